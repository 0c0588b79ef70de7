package apis

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Replies come in the order of requests: what follows a fetch that waits is done at once,
// and told after it.
func TestRepliesKeepTheirOrder(t *testing.T) {
	c := target(t)
	made := c.create(1)
	watcher := c.another()

	c.send(12, longPoll(made, 0, 1)) // its own connection's produce wakes it
	c.send(9, produceRequest(made, 0, values("a", "b").bytes()))
	c.send(3, kmsg.NewPtrApiVersionsRequest())
	resp, took := c.answered(12, time.Now())
	equal(t, "batches", len(split(t, onePartition(c, resp).RecordBatches)), 1)
	if took > patience/2 {
		t.Errorf("woken after %v", took)
	}
	produced := kmsg.NewPtrProduceResponse()
	produced.SetVersion(9)
	c.receive(produced)
	versions := kmsg.NewPtrApiVersionsResponse()
	versions.SetVersion(3)
	c.receive(versions)

	c.send(12, longPoll(made, 2, 1))
	other := watcher.create(1)
	c.send(9, produceRequest(other, 0, values("behind").bytes()))
	c.send(3, kmsg.NewPtrApiVersionsRequest())
	// The produce behind the fetch is done although its answer must wait.
	deadline := time.Now().Add(patience)
	for watcher.offset(other, 0, -1) != 1 {
		if time.Now().After(deadline) {
			t.Fatal("a produce behind a fetch that waits is not done")
		}
	}
	c.parked(watcher)
	watcher.put(made, values("c"))
	c.answered(12, time.Now())
	c.receive(produced)
	c.receive(versions)
	equal(t, "answers that are missing", len(c.expected), 0)
}

func TestPipelining(t *testing.T) {
	c := target(t)
	made := c.create(4)
	const n = 200
	var out []byte
	var want []kmsg.Response
	for i := range n {
		var req kmsg.Request
		v := int16(9)
		switch i % 5 {
		case 0, 1:
			req = produceRequest(made, int32(i%4), values(fmt.Sprintf("value %d", i)).bytes())
		case 2:
			req, v = fetchRequest(made, wanted(int32(i%4), 0)), 12
		case 3:
			req = metadataOf(made.name)
		default:
			req, v = kmsg.NewPtrApiVersionsRequest(), 3
		}
		out = append(out, c.frame(v, req)...)
		c.expected = append(c.expected, c.correlation)
		resp := req.ResponseKind()
		resp.SetVersion(v)
		want = append(want, resp)
	}
	go func() {
		// In pieces that know nothing of frames. An error shows as answers that are missing.
		for len(out) > 0 {
			piece := min(len(out), 1777)
			if _, err := c.nc.Write(out[:piece]); err != nil {
				return
			}
			out = out[piece:]
		}
	}()
	produced := 0
	for _, resp := range want {
		c.receive(resp)
		if p, ok := resp.(*kmsg.ProduceResponse); ok {
			code(t, p.Topics[0].Partitions[0].ErrorCode, nil)
			produced++
		}
	}
	total := int64(0)
	for p := range int32(4) {
		total += c.offset(made, p, -1)
	}
	equal(t, "records", total, int64(produced))
}

// More requests than a connection may have open wait in its socket, and are served.
func TestPipeliningBehindAFetchThatWaits(t *testing.T) {
	c := target(t)
	made := c.create(1)
	other := c.another()
	c.send(12, longPoll(made, 0, 1))
	const n = 1000
	var out []byte
	for range n {
		out = append(out, c.frame(0, kmsg.NewPtrApiVersionsRequest())...)
		c.expected = append(c.expected, c.correlation)
	}
	go c.nc.Write(out)
	c.parked(other)
	other.put(made, values("go"))
	c.answered(12, time.Now())
	for range n {
		c.receive(kmsg.NewPtrApiVersionsResponse())
	}
}
