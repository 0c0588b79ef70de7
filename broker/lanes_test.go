package broker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

// inLanes is how many connections the broker has in lanes.
func (n *node) inLanes() int64 { return n.broker.connOptions.Lanes.Guests() }

// Producers of small batches go to a lane, whether their acks come at once or with a sync, leave
// it for what else they ask, and lose nothing in all this. The broker ends with them inside.
func TestProducersInLanes(t *testing.T) {
	for _, flush := range []string{"flush.messages=9223372036854775807", "flush.messages=1"} {
		t.Run(flush, func(t *testing.T) {
			n := startNode(t)
			n.create("topic", 3, flush)
			const producers, records = 4, 300
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					cl := n.client(kgo.DefaultProduceTopic("topic"), kgo.ProducerLinger(0), kgo.ManualFlushing(), kgo.MaxBufferedRecords(1000))
					for i := range records {
						cl.Produce(context.Background(), kgo.StringRecord(fmt.Sprintf("%d/%d", p, i)), func(_ *kgo.Record, err error) {
							if err != nil {
								t.Error(err)
							}
						})
						if err := cl.Flush(context.Background()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			if in, out := n.inLanes(), n.broker.connOptions.Lanes.Handovers(); in+out < producers {
				t.Errorf("%d of %d producers are in lanes, %d had to leave", in, producers, out)
			}
			seen := map[string]int{}
			cl := n.client(kgo.ConsumeTopics("topic"))
			for len(seen) < producers*records {
				f := cl.PollFetches(context.Background())
				if err := f.Err(); err != nil {
					t.Fatal(err)
				}
				f.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
			}
			for value, times := range seen {
				if times != 1 {
					t.Errorf("%s is there %d times", value, times)
				}
			}
			n.stop()
		})
	}
}

// What a lane does not serve is answered all the same, in the order of the requests.
func TestOtherRequestsLeaveTheLane(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	produce := produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, "x"))
	records := int64(r.intoLane(n, produce))
	versions := kmsg.NewPtrApiVersionsRequest()
	r.write(append(append(r.encode(produce), r.encode(versions)...), r.encode(produce)...))
	first := r.corr - 2
	r.receive(produce, first)
	r.receive(versions, first+1)
	resp := r.receive(produce, first+2).(*kmsg.ProduceResponse)
	if got := resp.Topics[0].Partitions[0].BaseOffset; got != records+1 {
		t.Errorf("the last record is at offset %d", got)
	}
	if n.inLanes() != 0 {
		t.Error("the connection did not leave")
	}
	for _, metric := range []string{"millrace_connections_in_lanes", "millrace_lane_handovers_total"} {
		if n.scrape(metric) == "" {
			t.Errorf("there is no %s", metric)
		}
	}
}

// intoLane repeats a request until its connection is in a lane, and returns how often.
func (r *raw) intoLane(n *node, req kmsg.Request) (times int) {
	r.t.Helper()
	before := n.inLanes()
	for ; n.inLanes() == before; times++ {
		if r.do(req); times > 100*netx.SwiftRun {
			r.t.Fatal("the connection does not get into a lane")
		}
	}
	return times
}

// Consumers near the end of a log go to a lane too. One that stops reading, and one that reads
// what is no longer in memory, leave it, and get what they asked for.
func TestConsumersInLanes(t *testing.T) {
	n := startNode(t)
	const perSegment = 30
	id := n.create("topic", 1, "segment.bytes=500000")
	producer := n.raw()
	var values []string
	for i := range 2*perSegment + perSegment/2 {
		values = append(values, fmt.Sprintf("%d%s", i, strings.Repeat("x", 16<<10)))
		producer.do(produceRequest(9, 1, "topic", id, 0, batchOf(t, record.BuilderOptions{}, values[i])))
	}
	fetch := func(offset int64) *kmsg.FetchRequest {
		req := fetchRequest(12, "topic", id, 0, offset)
		req.Topics[0].Partitions[0].PartitionMaxBytes = 17 << 10
		return req
	}
	check := func(resp kmsg.Response, offset int) {
		t.Helper()
		got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
		if !strings.Contains(string(got), values[offset]) {
			t.Fatalf("%d bytes came for offset %d, without its value", len(got), offset)
		}
	}
	last := len(values) - 1
	r := n.raw()
	r.intoLane(n, fetch(int64(last)))
	first, frames := r.corr+1, []byte(nil)
	const many = 2000
	for range many {
		frames = append(frames, r.encode(fetch(int64(last)))...)
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		if _, err := r.c.Write(frames); err != nil {
			t.Error(err)
		}
	}()
	testkit.WaitFor(t, "a consumer that does not read leaves", func() bool { return n.inLanes() == 0 })
	for i := range int32(many) {
		check(r.receive(fetch(0), first+i), last)
	}
	<-wrote
	r.c.Close() // it may be in a lane again
	testkit.WaitFor(t, "the lanes are empty", func() bool { return n.inLanes() == 0 })
	old := n.raw()
	old.intoLane(n, fetch(int64(last)))
	check(old.do(fetch(3)), 3)
	if n.inLanes() != 0 {
		t.Error("a consumer that reads from files is in a lane")
	}
	check(old.do(fetch(int64(last))), last)
}
