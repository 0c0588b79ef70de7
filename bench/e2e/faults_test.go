package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/tools/cli/clitest"
)

// sentRecords counts what a produce request holds, by the batches' own headers.
func sentRecords(t *testing.T, req kmsg.Request) int {
	n := 0
	for _, topic := range req.(*kmsg.ProduceRequest).Topics {
		for _, p := range topic.Partitions {
			var b kmsg.RecordBatch
			if err := b.ReadFrom(p.Records); err != nil {
				t.Errorf("produced batch: %v", err)
			}
			n += int(b.NumRecords)
		}
	}
	return n
}

// A broker that does nothing for 300 ms, once, gets 1000 records a second. The one request
// that it holds up is not all that a user of it would have seen: from intended send times at
// least those of the 150 ms after the stall began waited 150 ms and more, whatever the
// scheduler did meanwhile.
func TestStallOfTheBrokerIsSeenByAllRecordsOfItsTime(t *testing.T) {
	const perS, records, before, stall = 1000, 700, 100, 300 * time.Millisecond
	cluster, addr := clitest.Cluster(t)
	got, stalled := 0, false
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		got += sentRecords(t, req)
		if got > before && !stalled {
			stalled = true
			<-time.After(stall) // on the cluster's only goroutine: nobody is served
		}
		return nil, nil, false
	})
	path := filepath.Join(t.TempDir(), "r.json")
	r := clitest.Run(limited(t), Command("bench e2e"), "", "--bootstrap-server", addr, "--topic", "t", "--json", path,
		"--throughput", strconv.Itoa(perS), "--num-records", strconv.Itoa(records), "--record-size", "64")
	if r.Code != 0 || !stalled {
		t.Fatalf("stalled %v: %+v", stalled, r)
	}
	run := read(t, path).Runs[0]
	h, err := hist.FromLatency(run.Latency)
	if err != nil {
		t.Fatal(err)
	}
	if h.Count() != records {
		t.Fatalf("%d latencies, want %d", h.Count(), records)
	}
	// 150 of 700: the 78th percentile and everything above it.
	if got := h.Percentile(100 * float64(records-150) / records); got < 149*time.Millisecond {
		t.Errorf("the 150 longest latencies begin at %v, want at least 150 ms", got)
	}
}

// silent is a cluster that takes records and answers no fetch.
func silent(t *testing.T) string {
	cluster, addr := clitest.Cluster(t)
	cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, nil, true
	})
	return addr
}

func TestRecordsThatDoNotArrive(t *testing.T) {
	addr := silent(t)
	for _, more := range [][]string{nil, {"--throughput", "500"}} {
		path := filepath.Join(t.TempDir(), "r.json")
		r := clitest.Run(limited(t), Command("bench e2e"), "", append([]string{"--bootstrap-server", addr, "--topic", "t",
			"--num-records", "5", "--timeout", "300ms", "--json", path}, more...)...)
		if r.Code != 1 || !strings.Contains(r.Err, "poll() timed out before finding a result (timeout:[300ms])") {
			t.Errorf("%v: %+v", more, r)
		}
		if run := read(t, path).Runs[0]; run.Error == "" || run.Records != 0 {
			t.Errorf("%v: error %q, %d records", more, run.Error, run.Records)
		}
		if strings.Contains(r.Out, "Percentiles") {
			t.Errorf("%v: percentiles of nothing: %q", more, r.Out)
		}
	}
}

// stranger writes to a topic until stop is called.
func stranger(t *testing.T, addr, topic string) (stop func()) {
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addr, ",")...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(limited(t))
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := c.ProduceSync(ctx, kgo.StringRecord("somebody else's")).FirstErr(); err != nil && ctx.Err() == nil {
				t.Errorf("the stranger: %v", err)
				return
			}
		}
	})
	return func() { cancel(); done.Wait(); c.Close() }
}

func TestOtherProducers(t *testing.T) {
	cluster, addr := clitest.Cluster(t)
	if err := cluster.CreateTopic("shared", 1, nil); err != nil {
		t.Fatal(err)
	}
	stop := stranger(t, addr, "shared")
	defer stop()
	closed := clitest.Run(limited(t), Command("bench e2e"), "", "--bootstrap-server", addr, "--topic", "shared", "--num-records", "1000000")
	if closed.Code != 1 || !strings.Contains(closed.Err, "did not match the message value sent") && !strings.Contains(closed.Err, "Only one result was expected") {
		t.Errorf("one at a time: %+v", closed)
	}
	open := clitest.Run(limited(t), Command("bench e2e"), "", "--bootstrap-server", addr, "--topic", "shared", "--num-records", "500", "--throughput", "1000")
	if open.Code != 0 || !strings.Contains(open.Err, "records of other producers were passed over") {
		t.Errorf("open loop: %+v", open)
	}
}

func TestRefusedRecordsEndTheRun(t *testing.T) {
	cluster, addr := clitest.Cluster(t)
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 10 // MESSAGE_TOO_LARGE
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	for _, more := range [][]string{nil, {"--throughput", "500"}} {
		r := clitest.Run(limited(t), Command("bench e2e"), "", append([]string{"--bootstrap-server", addr, "--topic", "t", "--num-records", "1000"}, more...)...)
		if r.Code != 1 || !strings.Contains(r.Err, "MESSAGE_TOO_LARGE") {
			t.Errorf("%v: %+v", more, r)
		}
	}
}

func TestRecordsAreTheSame(t *testing.T) {
	sent := func() *kgo.Record {
		return &kgo.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: nil}}}
	}
	if err := same(sent(), sent()); err != nil {
		t.Errorf("the same record: %v", err)
	}
	for field, change := range map[string]func(*kgo.Record){
		"value":             func(r *kgo.Record) { r.Value = []byte("w") },
		"key":               func(r *kgo.Record) { r.Key = nil },
		"number of headers": func(r *kgo.Record) { r.Headers = nil },
		"header":            func(r *kgo.Record) { r.Headers[0].Value = []byte{} },
	} {
		got := sent()
		change(got)
		var mismatch *MismatchError
		if err := same(sent(), got); !errors.As(err, &mismatch) || mismatch.Field != field {
			t.Errorf("%s changed: %v", field, err)
		}
	}
}
