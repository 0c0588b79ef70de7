package retention

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
)

// eager makes the cleaner look often.
var eager = harness.Options{Config: map[string]string{
	"log.retention.check.interval.ms": "50",
	"log.segment.delete.delay.ms":     "100",
	"log.cleaner.backoff.ms":          "50",
}}

// latest is the newest record of a key.
type latest struct {
	offset    int64
	value     string
	tombstone bool
}

// write produces n records of few keys, in batches of several, with any codec, and notes the
// newest of each key.
func (f *fixture) write(rng *rand.Rand, n int, newest map[string]latest) {
	f.t.Helper()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	c, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[rng.IntN(len(codecs))]), kgo.ProducerBatchMaxBytes(6000), kgo.ProducerLinger(5*time.Millisecond))
	must(f.t, err)
	defer c.Close()
	var records []*kgo.Record
	for range n {
		r := &kgo.Record{Topic: f.topic, Key: fmt.Append(nil, "key", rng.IntN(100))}
		if rng.IntN(10) > 0 {
			r.Value = fmt.Append(nil, rng.Int64(), string(make([]byte, rng.IntN(300))))
		}
		records = append(records, r)
	}
	must(f.t, c.ProduceSync(f.ctx, records...).FirstErr())
	for _, r := range records {
		newest[string(r.Key)] = latest{r.Offset, string(r.Value), r.Value == nil}
	}
}

// readAll reads the log from its start up to end, in order, and returns how many records it
// has and the newest of each key.
func (f *fixture) readAll(addr string, end int64) (records int, newest map[string]latest) {
	f.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchMaxPartitionBytes(3000),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: {0: kgo.NewOffset().AtStart()}}))
	must(f.t, err)
	defer c.Close()
	newest = make(map[string]latest)
	for last := int64(-1); last < end-1; {
		fetches := c.PollFetches(f.ctx)
		must(f.t, errors.Join(fetches.Err(), f.ctx.Err()))
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset <= last {
				f.t.Errorf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
			records++
			newest[string(r.Key)] = latest{r.Offset, string(r.Value), r.Value == nil}
		})
	}
	return records, newest
}

// checkNewest compares what a consumer folded with what was written. A tombstone may be gone.
func (f *fixture) checkNewest(got, want map[string]latest, when string) {
	f.t.Helper()
	for key, w := range want {
		if g, ok := got[key]; g != w && (ok || !w.tombstone) {
			f.t.Errorf("%s: %s is %+v, want %+v", when, key, g, w)
		}
	}
	if len(got) > len(want) {
		f.t.Errorf("%s: %d keys, want %d", when, len(got), len(want))
	}
}

var compacted = map[string]string{
	"cleanup.policy": "compact", "segment.bytes": "16384", "min.cleanable.dirty.ratio": "0.01",
}

// TestCompaction reads a topic through franz-go, again and again, while it is compacted, and
// once more after a kill -9: the newest record of each key is there each time, offsets rise,
// and in the end little else is left.
func TestCompaction(t *testing.T) {
	if os.Getenv("BOOTSTRAP") != "" {
		t.Skip("the broker is not ours to kill")
	}
	b := harness.LaunchFor(t, eager)
	f := newFixture(t, b.Bootstrap(), compacted)
	rng := testkit.Rand(t)
	newest := make(map[string]latest)
	const rounds, each = 15, 200
	for round := range rounds {
		f.write(rng, each, newest)
		if round%4 == 0 {
			_, got := f.readAll(f.addr, f.end())
			f.checkNewest(got, newest, fmt.Sprint("round ", round))
		}
	}
	// What is in the active segment cannot be compacted: a quarter of all, at most.
	testkit.WaitFor(t, "compaction", func() bool {
		records, _ := f.readAll(f.addr, f.end())
		return records < rounds*each/2
	})
	_, got := f.readAll(f.addr, f.end())
	f.checkNewest(got, newest, "compacted")
	end := f.end()
	must(t, b.Kill())
	must(t, b.Start())
	records, got := f.readAll(b.Bootstrap(), end)
	f.checkNewest(got, newest, "after kill -9")
	if records >= rounds*each/2 {
		t.Errorf("%d of %d records after kill -9", records, rounds*each)
	}
	r := &kgo.Record{Topic: f.topic, Value: []byte("no key")}
	if err := f.client.ProduceSync(f.ctx, r).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("a record without a key: %v", err)
	}
}

// TestCompactAndDelete has both policies: old segments go whole, of the rest the newest
// records stay.
func TestCompactAndDelete(t *testing.T) {
	f := newFixture(t, harness.Target(t, eager), map[string]string{
		"cleanup.policy": "compact,delete", "segment.bytes": "16384", "min.cleanable.dirty.ratio": "0.01", "retention.ms": "600000",
	})
	keyed := func(n int, at time.Time) {
		for i := range n {
			r := &kgo.Record{Topic: f.topic, Key: fmt.Append(nil, i%3), Value: make([]byte, valueBytes), Timestamp: at}
			must(t, f.client.ProduceSync(f.ctx, r).FirstErr())
		}
	}
	keyed(40, time.Now().Add(-time.Hour))
	keyed(40, time.Now())
	testkit.WaitFor(t, "deletion and compaction", func() bool {
		records, _ := f.readAll(f.addr, 80)
		return f.start() > 0 && records < 35
	})
	if end := f.end(); end != 80 {
		t.Errorf("the log ends at %d", end)
	}
}

// TestRetentionLoweredWhileRunning: a change of the topic's setting acts without a restart.
func TestRetentionLoweredWhileRunning(t *testing.T) {
	f := newFixture(t, harness.Target(t, eager), map[string]string{"segment.bytes": "16384", "retention.ms": "36000000"})
	f.produce(60, time.Now().Add(-time.Hour))
	if start := f.start(); start != 0 {
		t.Fatalf("the log starts at %d", start)
	}
	minutes := "600000"
	_, err := f.admin.AlterTopicConfigs(f.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &minutes}}, f.topic)
	must(t, err)
	testkit.WaitFor(t, "deletion of all segments", func() bool { return f.start() == 60 })
}
