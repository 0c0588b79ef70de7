package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/conn"
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
	records := int64(0)
	for ; n.inLanes() == 0; records++ {
		if r.do(produce); records > 100*conn.DefaultSwiftRun {
			t.Fatal("the connection does not get into a lane")
		}
	}
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
