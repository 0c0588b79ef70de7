package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

func (n *node) produce(topic string, id [16]byte, partition int32, values ...string) {
	n.t.Helper()
	r := n.raw()
	defer r.c.Close()
	for _, v := range values {
		resp := r.do(produceRequest(9, 1, topic, id, partition, batchOf(n.t, record.BuilderOptions{}, v))).(*kmsg.ProduceResponse)
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			n.t.Fatalf("produce to %s-%d: code %d", topic, partition, code)
		}
	}
}

// recordsOf iterates whatever a fetch returned, checking each batch.
func recordsOf(t *testing.T, b []byte) (values []string) {
	t.Helper()
	for len(b) > 0 {
		batch, rest, err := record.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.CheckCRC(); err != nil {
			t.Fatal(err)
		}
		err = batch.Iterate(new(record.Scratch), func(r *record.Record) error {
			values = append(values, string(r.Value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b = rest
	}
	return values
}

func TestLongPollIsWokenByAProduce(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 2)
	r := n.raw()
	q := fetchRequest(12, "topic", id, 1, 0)
	q.MaxWaitMillis = 600_000
	r.send(q)
	meta := kmsg.NewPtrMetadataRequest()
	r.send(meta) // answered after the fetch
	testkit.WaitFor(t, "the fetch to be parked", func() bool { return n.broker.Stats().Parked.Load() == 1 })
	n.produce("topic", id, 1, "woken")
	p := r.receive(q, r.corr-1).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got := recordsOf(t, p.RecordBatches); len(got) != 1 || got[0] != "woken" || p.HighWatermark != 1 {
		t.Fatalf("got %q, high watermark %d", got, p.HighWatermark)
	}
	r.receive(meta, r.corr)
}

func TestLongPollWaitsForMinBytes(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	q := fetchRequest(12, "topic", id, 0, 0)
	q.MaxWaitMillis, q.MinBytes = 600_000, 5000
	r.send(q)
	testkit.WaitFor(t, "the fetch to be parked", func() bool { return n.broker.Stats().Parked.Load() == 1 })
	for range 4 {
		n.produce("topic", id, 0, strings.Repeat("x", 1100)) // below in sum
	}
	if n.broker.Stats().Parked.Load() != 1 {
		t.Fatal("the fetch was answered with less than min bytes")
	}
	n.produce("topic", id, 0, strings.Repeat("x", 1100))
	p := r.receive(q, r.corr).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if len(recordsOf(t, p.RecordBatches)) != 5 {
		t.Fatalf("%d bytes came", len(p.RecordBatches))
	}
}

func TestLongPollEndsAfterMaxWait(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	q := fetchRequest(12, "topic", id, 0, 0)
	q.MaxWaitMillis = 50
	began := time.Now()
	p := n.raw().do(q).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || len(p.RecordBatches) != 0 || p.HighWatermark != 0 {
		t.Fatalf("got %+v", p)
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Fatalf("answered after %v", took)
	}
}

func TestClosedPeerCancelsItsLongPoll(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	q := fetchRequest(12, "topic", id, 0, 0)
	q.MaxWaitMillis = 600_000
	r.send(q)
	parked := func(want int64) func() bool {
		return func() bool { return n.broker.Stats().Parked.Load() == want }
	}
	testkit.WaitFor(t, "the fetch to be parked", parked(1))
	r.c.Close()
	testkit.WaitFor(t, "the fetch to be cancelled", parked(0))
}

func TestDeletedTopicEndsItsLongPoll(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	r := n.raw()
	q := fetchRequest(13, "topic", id, 0, 0)
	q.MaxWaitMillis = 600_000
	r.send(q)
	testkit.WaitFor(t, "the fetch to be parked", func() bool { return n.broker.Stats().Parked.Load() == 1 })
	name := "topic"
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.SetVersion(6)
	del.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	n.raw().do(del)
	if code := r.receive(q, r.corr).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; code != 100 && code != 3 {
		t.Fatalf("code %d, want UNKNOWN_TOPIC_ID", code)
	}
}

// An oversized batch never stops a consumer, whatever limits it names.
func TestLimitsNeverBlockOnOneBatch(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 2)
	n.produce("topic", id, 0, strings.Repeat("a", 10_000), "small")
	n.produce("topic", id, 1, strings.Repeat("b", 10_000))
	q := fetchRequest(12, "topic", id, 0, 0)
	q.MaxBytes = 1
	q.Topics[0].Partitions[0].PartitionMaxBytes = 1
	second := q.Topics[0].Partitions[0]
	second.Partition = 1
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, second)
	ps := n.raw().do(q).(*kmsg.FetchResponse).Topics[0].Partitions
	if got := recordsOf(t, ps[0].RecordBatches); len(got) != 1 || len(got[0]) != 10_000 {
		t.Errorf("partition 0 sent %d records, want the one that is over every limit", len(got))
	}
	if len(ps[1].RecordBatches) != 0 || ps[1].HighWatermark != 1 {
		t.Errorf("partition 1 sent %d bytes, high watermark %d", len(ps[1].RecordBatches), ps[1].HighWatermark)
	}
	q.Topics[0].Partitions[0].FetchOffset = 1
	q.MaxBytes = 50
	ps = n.raw().do(q).(*kmsg.FetchResponse).Topics[0].Partitions
	if got := recordsOf(t, ps[0].RecordBatches); len(got) != 1 || got[0] != "small" {
		t.Errorf("partition 0 sent %q", got)
	}
}

func TestLargeFetchLeavesBySendfile(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	for i := range 8 {
		n.produce("topic", id, 0, strings.Repeat(string(rune('a'+i)), 100_000))
	}
	q := fetchRequest(12, "topic", id, 0, 0)
	p := n.raw().do(q).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	got := recordsOf(t, p.RecordBatches)
	for i, v := range got {
		if v != strings.Repeat(string(rune('a'+i)), 100_000) {
			t.Fatalf("record %d is wrong", i)
		}
	}
	if len(got) != 8 {
		t.Fatalf("%d records came", len(got))
	}
	if sent := n.broker.Stats().SendfileBytes.Load(); sent != int64(len(p.RecordBatches)) {
		t.Errorf("%d of %d bytes left by sendfile", sent, len(p.RecordBatches))
	}
	// A small one does not: it is copied beside its header.
	q.Topics[0].Partitions[0].PartitionMaxBytes = 1
	before := n.broker.Stats().SendfileCalls.Load()
	n.create("small", 1)
	n.produce("small", id, 0, "x")
	n.raw().do(fetchRequest(4, "small", id, 0, 0))
	if n.broker.Stats().SendfileCalls.Load() != before {
		t.Error("a small fetch used sendfile")
	}
}

func TestFetchErrors(t *testing.T) {
	n := startNode(t)
	id := n.create("topic", 1)
	n.produce("topic", id, 0, "a", "b")
	for _, c := range []struct {
		name    string
		version int16
		change  func(q *kmsg.FetchRequest)
		code    int16
	}{
		{"beyond the end", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = 3 }, 1},
		{"before the start", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = -5 }, 1},
		{"at the end", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = 2 }, 0},
		{"unknown topic", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Topic = "nope" }, 3},
		{"unknown partition", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].Partition = 9 }, 3},
		{"unknown id", 13, func(q *kmsg.FetchRequest) { q.Topics[0].TopicID = [16]byte{1} }, 100},
		{"future epoch", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].CurrentLeaderEpoch = 9 }, 75},
		{"this epoch", 12, func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].CurrentLeaderEpoch = 0 }, 0},
		{"replica that is none", 12, func(q *kmsg.FetchRequest) { q.ReplicaID = 5 }, 6},
		{"this replica", 12, func(q *kmsg.FetchRequest) { q.ReplicaID = 1 }, 0},
		{"replica state", 15, func(q *kmsg.FetchRequest) { q.ReplicaState.ID = 5 }, 6},
		{"rack", 12, func(q *kmsg.FetchRequest) { q.Rack = "somewhere" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := fetchRequest(c.version, "topic", id, 0, 0)
			q.MaxWaitMillis = 30 // an error does not wait: see the next line
			if c.code != 0 {
				q.MaxWaitMillis = 600_000
			}
			c.change(q)
			if p := n.raw().do(q).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != c.code {
				t.Fatalf("code %d, want %d", p.ErrorCode, c.code)
			}
		})
	}
}

// kgo consumes with sessions, long polls and topic ids what kgo produces with idempotence.
func TestClientProducesAndConsumes(t *testing.T) {
	n := startNode(t, "num.partitions=4")
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	const records = 5000
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		topic := fmt.Sprintf("topic-%T-%v", codec, codec)
		topic = "t" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, topic)
		producer := n.client(kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic))
		for i := range records {
			producer.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i), Value: fmt.Append(nil, "value ", i), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := producer.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		consumer := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		seen := make(map[string]bool)
		for len(seen) < records {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if string(r.Value) != "value "+string(r.Key) || len(r.Headers) != 1 || seen[string(r.Key)] {
					t.Errorf("wrong record %q = %q, seen %v", r.Key, r.Value, seen[string(r.Key)])
				}
				seen[string(r.Key)] = true
			})
		}
		consumer.Close()
	}
	if !strings.Contains(n.log.String(), "client=kgo-test") || !strings.Contains(n.log.String(), "created the topic") {
		t.Error("the log does not say who auto-created a topic")
	}
}
