package apis

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answered reads the answer to a fetch that was sent, and how long it took since.
func (c *client) answered(v int16, since time.Time) (*kmsg.FetchResponse, time.Duration) {
	c.Helper()
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(v)
	c.receive(resp)
	return resp, time.Since(since)
}

// parked checks that no answer has come although the broker served requests that were sent
// later by another connection.
func (c *client) parked(other *client) {
	c.Helper()
	code(c, call[*kmsg.ApiVersionsResponse](other, 0, kmsg.NewPtrApiVersionsRequest()).ErrorCode, nil)
	if err := c.nc.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		c.Fatal(err)
	}
	if n, err := c.nc.Read(make([]byte, 1)); n > 0 || err == nil {
		c.Fatal("a fetch was answered that should wait")
	}
	if err := c.nc.SetReadDeadline(time.Now().Add(2 * patience)); err != nil {
		c.Fatal(err)
	}
}

// longPoll asks for minBytes and is ready to wait for all of the suite's patience.
func longPoll(t topic, offset int64, minBytes int32) *kmsg.FetchRequest {
	req := fetchRequest(t, wanted(0, offset))
	req.MinBytes, req.MaxWaitMillis = minBytes, int32(patience.Milliseconds())
	return req
}

func TestFetchWaitsForMinBytes(t *testing.T) {
	c := target(t)
	producer := c.another()
	each(c, 4, 18, func(c *client, v int16) {
		made := c.create(1)
		size := int32(len(sized(100).bytes()))
		start := time.Now()
		c.send(v, longPoll(made, 0, 2*size))
		c.parked(producer)
		producer.put(made, sized(100)) // half of it: not enough
		c.parked(producer)
		producer.put(made, sized(100))
		resp, took := c.answered(v, start)
		equal(c, "batches", len(split(c, onePartition(c, resp).RecordBatches)), 2)
		if took > patience/2 {
			c.Errorf("woken after %v", took)
		}
	})
}

func TestFetchWaitExpires(t *testing.T) {
	c := target(t)
	each(c, 4, 18, func(c *client, v int16) {
		made := c.create(1)
		c.put(made, values("x"))
		req := longPoll(made, 0, 1<<20)
		req.MaxWaitMillis = 30
		start := time.Now()
		c.send(v, req)
		resp, took := c.answered(v, start)
		p := onePartition(c, resp)
		code(c, p.ErrorCode, nil)
		equal(c, "what there is when time is up", len(split(c, p.RecordBatches)), 1)
		if took < 30*time.Millisecond || took > patience/2 {
			c.Errorf("a wait of 30 ms took %v", took)
		}
	})
}

func TestFetchDoesNotWait(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 4, 18, func(c *client, v int16) {
		for name, req := range map[string]*kmsg.FetchRequest{
			"min bytes 0":        longPoll(made, 0, 0),
			"out of range":       longPoll(made, 99, 1<<20),
			"unknown partition":  fetchRequest(made, wanted(7, 0)),
			"nothing asked for":  fetchRequest(made),
			"max wait of zero":   fetchRequest(made, wanted(0, 0)),
			"negative max wait":  fetchRequest(made, wanted(0, 0)),
			"negative min bytes": longPoll(made, 0, -5),
		} {
			if name == "negative max wait" {
				req.MaxWaitMillis = -1
			}
			if name == "unknown partition" || name == "nothing asked for" {
				req.MaxWaitMillis = int32(patience.Milliseconds())
			}
			start := time.Now()
			c.send(v, req)
			if _, took := c.answered(v, start); took > patience/2 {
				c.Errorf("%s: took %v", name, took)
			}
		}
	})
}

func TestFetchWakesWhenItsTopicGoes(t *testing.T) {
	c := target(t)
	admin := c.another()
	each(c, 4, 18, func(c *client, v int16) {
		made := c.create(1)
		start := time.Now()
		c.send(v, longPoll(made, 0, 1))
		c.parked(admin)
		admin.deleteTopic(made)
		resp, took := c.answered(v, start)
		want := kerr.UnknownTopicOrPartition
		if v >= 13 {
			want = kerr.UnknownTopicID
		}
		code(c, onePartition(c, resp).ErrorCode, want)
		if took > patience/2 {
			c.Errorf("woken after %v", took)
		}
	})
}

// DeleteRecords moves the log start past a consumer that waits.
func TestFetchWakesWhenTheLogStartPassesIt(t *testing.T) {
	c := target(t)
	admin := c.another()
	made := c.create(1)
	c.put(made, values("a", "b", "c"))
	start := time.Now()
	c.send(12, longPoll(made, 1, 1<<20))
	c.parked(admin)
	code(t, admin.deleteRecords(2, made, 0, 3).ErrorCode, nil)
	resp, took := c.answered(12, start)
	code(t, onePartition(c, resp).ErrorCode, kerr.OffsetOutOfRange)
	if took > patience/2 {
		t.Errorf("woken after %v", took)
	}
}

// A client that goes away takes its waiting fetch with it.
func TestFetchOfAClosedConnectionIsForgotten(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	for range 50 {
		gone := c.another()
		gone.send(12, longPoll(made, 0, 1))
		gone.nc.Close()
	}
	deadline := time.Now().Add(patience)
	for metric(t, b, "millrace_requests_parked") > 0 || metric(t, b, "millrace_connections") > 1 {
		if time.Now().After(deadline) {
			t.Fatalf("%v requests are parked, %v connections open", metric(t, b, "millrace_requests_parked"), metric(t, b, "millrace_connections"))
		}
		call[*kmsg.ApiVersionsResponse](c, 0, kmsg.NewPtrApiVersionsRequest())
	}
	c.put(made, values("x"))
}
