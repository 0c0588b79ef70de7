package raw

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record/compress"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fake is a cluster of another implementation.
func fake(t *testing.T, brokers int, topics map[string]int32, more ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	opts := append([]kfake.Opt{kfake.NumBrokers(brokers)}, more...)
	for name, n := range topics {
		opts = append(opts, kfake.SeedTopics(n, name))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func dialFake(t *testing.T, c *kfake.Cluster) *Target {
	t.Helper()
	return dialTo(t, strings.Join(c.ListenAddrs(), ","))
}

func dialTo(t *testing.T, bootstrap string) *Target {
	t.Helper()
	target, err := Dial(t.Context(), bootstrap, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

func partitions(t *testing.T, target *Target, topic string, n int) []Partition {
	t.Helper()
	parts, err := target.Partitions(t.Context(), topic, n)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func batches(t *testing.T, spec workload.Spec, n, bytes int, codec compress.Codec) []workload.Batch {
	t.Helper()
	source, err := workload.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := source.Batches(n, bytes, codec)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// consume reads n records of a topic with another client.
func consume(t *testing.T, seeds []string, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		out = append(out, f.Records()...)
	}
	return out
}

func TestProduceReachesAnotherImplementation(t *testing.T) {
	c := fake(t, 3, map[string]int32{"one": 5, "two": 4})
	target := dialFake(t, c)
	parts := append(partitions(t, target, "one", 0), partitions(t, target, "two", 0)...)
	if len(parts) != 9 {
		t.Fatalf("%d partitions, want 9", len(parts))
	}
	b := batches(t, workload.Spec{Sizes: "50", Keys: "seq"}, 4, 1000, compress.None)
	per := int64(b[0].Records)
	for _, x := range b {
		if int64(x.Records) != per {
			t.Fatalf("batches of %d and %d records: the test wants equal ones", per, x.Records)
		}
	}
	st, err := Produce(t.Context(), target, ProduceSpec{
		Common: Common{Partitions: parts, Connections: 9, Depth: 3, Threads: 2, Records: 40 * per},
		Acks:   -1, Batches: b,
	})
	if err != nil {
		t.Fatal(err)
	}
	if st.Records != 40*per || st.Requests != 40 || st.Errors != 0 || st.Uncorrected.Count() != 40 {
		t.Fatalf("%d records in %d requests, %d errors, %d latencies; want %d in 40, 0, 40",
			st.Records, st.Requests, st.Errors, st.Uncorrected.Count(), 40*per)
	}
	ones, twos := 0, 0
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("one", "two"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for int64(ones+twos) < 40*per {
		f := cl.PollFetches(ctx)
		if f.Err() != nil {
			t.Fatal(f.Err())
		}
		f.EachRecord(func(r *kgo.Record) {
			if len(r.Value) != 50 {
				t.Errorf("a value of %d bytes", len(r.Value))
			}
			if r.Topic == "one" {
				ones++
			} else {
				twos++
			}
		})
	}
	if ones == 0 || twos == 0 || int64(ones+twos) != 40*per {
		t.Errorf("%d and %d records in the topics, want %d together", ones, twos, 40*per)
	}
}

func TestFetchReadsAllOnce(t *testing.T) {
	c := fake(t, 2, map[string]int32{"log": 4})
	target := dialFake(t, c)
	parts := partitions(t, target, "log", 0)
	b := batches(t, workload.Spec{Sizes: "10..400", Seed: testkit.Seed(t)}, 8, 4000, compress.LZ4)
	st, err := Produce(t.Context(), target, ProduceSpec{
		Common: Common{Partitions: parts, Connections: 4, Depth: 2, Records: 5000}, Acks: 1, Batches: b,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []int{1, 5} {
		got, err := Fetch(t.Context(), target, FetchSpec{
			Common: Common{Partitions: parts, Connections: 2, Depth: depth},
			Mode:   Replay, Once: true, PartitionMaxBytes: 10_000, Offset: -1, MaxWaitMs: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Records != st.Records {
			t.Errorf("depth %d: %d records, %d were produced", depth, got.Records, st.Records)
		}
	}
	// Twice and a bit: the second pass is from what the first one learned.
	want := 2*st.Records + 100
	got, err := Fetch(t.Context(), target, FetchSpec{
		Common: Common{Partitions: parts, Connections: 2, Depth: 5, Records: want},
		Mode:   Replay, PartitionMaxBytes: 10_000, Offset: -1, MaxWaitMs: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records < want || got.Records > 3*st.Records {
		t.Errorf("%d records, want %d and a little more", got.Records, want)
	}
}

func TestPartitionsThatNeverCome(t *testing.T) {
	target := dialFake(t, fake(t, 1, map[string]int32{"small": 1}))
	for _, topic := range []string{"absent", "small"} {
		ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
		_, err := target.Partitions(ctx, topic, 2)
		cancel()
		var e *NotReadyError
		if !errors.As(err, &e) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want a NotReadyError", topic, err)
		}
	}
}
