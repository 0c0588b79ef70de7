package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// quick makes retention run often.
var quick = harness.Options{Config: map[string]string{
	"log.retention.check.interval.ms": "50",
	"log.segment.delete.delay.ms":     "100",
}}

// fixture is one topic with one partition on the broker under test.
type fixture struct {
	t      *testing.T
	ctx    context.Context
	addr   string
	client *kgo.Client
	admin  *kadm.Client
	topic  string
}

func newFixture(t *testing.T, addr string, config map[string]string) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	must(t, err)
	t.Cleanup(c.Close)
	f := &fixture{t: t, ctx: ctx, addr: addr, client: c, admin: kadm.NewClient(c)}
	f.topic = fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
	values := map[string]*string{}
	for k, v := range config {
		values[k] = &v
	}
	_, err = f.admin.CreateTopic(ctx, 1, 1, values, f.topic)
	must(t, err)
	return f
}

const valueBytes = 1000

// produce writes n records of about 1 KiB, each a batch of its own, with the given time.
func (f *fixture) produce(n int, at time.Time) {
	f.t.Helper()
	for range n {
		r := &kgo.Record{Topic: f.topic, Value: bytes.Repeat([]byte{'v'}, valueBytes), Timestamp: at}
		must(f.t, f.client.ProduceSync(f.ctx, r).FirstErr())
	}
}

func (f *fixture) start() int64 {
	f.t.Helper()
	listed, err := f.admin.ListStartOffsets(f.ctx, f.topic)
	must(f.t, errors.Join(err, listed.Error()))
	o, _ := listed.Lookup(f.topic, 0)
	return o.Offset
}

func (f *fixture) end() int64 {
	f.t.Helper()
	listed, err := f.admin.ListEndOffsets(f.ctx, f.topic)
	must(f.t, errors.Join(err, listed.Error()))
	o, _ := listed.Lookup(f.topic, 0)
	return o.Offset
}

// sizeBytes is what the broker says that the partition takes.
func (f *fixture) sizeBytes() int64 {
	f.t.Helper()
	dirs, err := f.admin.DescribeAllLogDirs(f.ctx, kadm.TopicsSet{f.topic: {0: struct{}{}}})
	must(f.t, err)
	size := int64(-1)
	dirs.Each(func(d kadm.DescribedLogDir) {
		if p, ok := d.Topics.Lookup(f.topic, 0); ok {
			size = p.Size
		}
	})
	return size
}

// read fetches from an offset and returns the offsets of the first answer with any.
func (f *fixture) read(from int64) ([]int64, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: {0: kgo.NewOffset().At(from)}}))
	must(f.t, err)
	defer c.Close()
	fetches := c.PollFetches(f.ctx)
	for _, e := range fetches.Errors() {
		return nil, e.Err
	}
	var out []int64
	fetches.EachRecord(func(r *kgo.Record) { out = append(out, r.Offset) })
	return out, nil
}

// startsAt checks that a log starts at an offset: readable there, out of range below.
func (f *fixture) startsAt(want int64) {
	f.t.Helper()
	if got := f.start(); got != want {
		f.t.Errorf("the log starts at %d, want %d", got, want)
	}
	if f.end() > want {
		if got, err := f.read(want); err != nil || len(got) == 0 || got[0] != want {
			f.t.Errorf("read from the start %d: %v, %v", want, got, err)
		}
	}
	if want > 0 {
		if got, err := f.read(want - 1); !errors.Is(err, kerr.OffsetOutOfRange) {
			f.t.Errorf("read below the start: %v, %v", got, err)
		}
	}
}

func TestBySize(t *testing.T) {
	const segment, keep = 16 << 10, 64 << 10
	f := newFixture(t, harness.Target(t, quick), map[string]string{
		"segment.bytes": fmt.Sprint(segment), "retention.bytes": fmt.Sprint(keep), "retention.ms": "-1",
	})
	const records = 200
	f.produce(records, time.Now())
	testkit.WaitFor(t, "deletion down to the limit", func() bool { return f.sizeBytes() < keep+segment })
	if size := f.sizeBytes(); size < keep {
		t.Errorf("%d bytes are left: more was deleted than retention.bytes=%d allows", size, keep)
	}
	if end := f.end(); end != records {
		t.Errorf("the log ends at %d", end)
	}
	f.startsAt(f.start())
}

func TestByTime(t *testing.T) {
	f := newFixture(t, harness.Target(t, quick), map[string]string{"segment.bytes": "16384", "retention.ms": "600000"})
	old, now := time.Now().Add(-time.Hour), time.Now()
	f.produce(40, old)
	f.produce(40, now)
	// 40 records of a good 1 KiB fill two segments of 16 KiB and part of a third, which new
	// records share and so keep, unless retention passes before they come.
	testkit.WaitFor(t, "deletion of old segments", func() bool { return f.start() >= 25 })
	first := f.start()
	if first > 40 {
		t.Errorf("the log starts at %d: of 40 old records in segments of 16 KiB the last few stay, and no new one goes", first)
	}
	f.startsAt(first)
	f.produce(1, now)
	if end := f.end(); end != 81 {
		t.Errorf("the log ends at %d", end)
	}
}

func TestByTimeTakesTheActiveSegmentToo(t *testing.T) {
	f := newFixture(t, harness.Target(t, quick), map[string]string{"retention.ms": "1000"})
	f.produce(5, time.Now().Add(-time.Hour))
	testkit.WaitFor(t, "deletion of everything", func() bool { return f.start() == 5 })
	if end := f.end(); end != 5 {
		t.Errorf("the log ends at %d", end)
	}
	f.produce(1, time.Now().Add(time.Hour))
	f.startsAt(5)
}

func TestATimeInTheFutureStopsDeletion(t *testing.T) {
	f := newFixture(t, harness.Target(t, quick), map[string]string{"segment.bytes": "16384", "retention.ms": "600000"})
	f.produce(1, time.Now().Add(30*time.Minute))
	f.produce(60, time.Now().Add(-time.Hour))
	other := newFixture(t, f.addr, map[string]string{"retention.ms": "1000"})
	other.produce(1, time.Now().Add(-time.Hour))
	// When the other topic's record is gone, retention has passed over this one too.
	testkit.WaitFor(t, "retention at work", func() bool { return other.start() == 1 })
	f.startsAt(0)
}

func TestWithoutLimitsNothingGoes(t *testing.T) {
	f := newFixture(t, harness.Target(t, quick), map[string]string{"segment.bytes": "16384", "retention.ms": "-1", "retention.bytes": "-1"})
	f.produce(40, time.Now().Add(-1000*time.Hour))
	other := newFixture(t, f.addr, map[string]string{"retention.ms": "1000"})
	other.produce(1, time.Now().Add(-time.Hour))
	testkit.WaitFor(t, "retention at work", func() bool { return other.start() == 1 })
	f.startsAt(0)
}

func TestDeleteRecords(t *testing.T) {
	f := newFixture(t, harness.Target(t, quick), map[string]string{"segment.bytes": "16384", "retention.ms": "-1"})
	f.produce(50, time.Now())
	del := func(offset int64) (int64, error) {
		t.Helper()
		got, err := f.admin.DeleteRecords(f.ctx, kadm.Offsets{f.topic: {0: {Topic: f.topic, Partition: 0, At: offset}}})
		must(t, err)
		r, _ := got.Lookup(f.topic, 0)
		return r.LowWatermark, r.Err
	}
	for _, c := range []struct{ ask, low int64 }{{7, 7}, {30, 30}, {20, 30}, {-1, 50}} {
		if low, err := del(c.ask); err != nil || low != c.low {
			t.Errorf("delete before %d: low watermark %d, %v; want %d", c.ask, low, err, c.low)
		}
		f.startsAt(c.low)
	}
	if _, err := del(51); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("delete beyond the end: %v", err)
	}
	f.produce(1, time.Now())
	f.startsAt(50)
}

// TestDeletionIsKeptAndFreesTheDisk needs control over the process and its folder.
func TestDeletionIsKeptAndFreesTheDisk(t *testing.T) {
	if os.Getenv("BOOTSTRAP") != "" {
		t.Skip("the broker is not ours to restart, and its disk not ours to see")
	}
	b := harness.LaunchFor(t, quick)
	f := newFixture(t, b.Bootstrap(), map[string]string{"segment.bytes": "16384", "retention.bytes": "65536", "file.delete.delay.ms": "100"})
	f.produce(200, time.Now())
	dir := filepath.Join(b.DataDir(), f.topic+"-0")
	testkit.WaitFor(t, "removal of the files", func() bool {
		return onDisk(t, dir) < 3*65536 && len(glob(t, dir, "*.deleted")) == 0
	})
	_, err := f.admin.DeleteRecords(f.ctx, kadm.Offsets{f.topic: {0: {Topic: f.topic, Partition: 0, At: 190}}})
	must(t, err)
	f.startsAt(190)
	must(t, b.Restart())
	f.startsAt(190)
	if end := f.end(); end != 200 {
		t.Errorf("the log ends at %d", end)
	}

	_, err = f.admin.DeleteTopic(f.ctx, f.topic)
	must(t, err)
	testkit.WaitFor(t, "removal of the topic's folder", func() bool {
		return len(glob(t, b.DataDir(), f.topic+"-*")) == 0
	})
}

// onDisk sums the blocks of the log files, so that preallocated space counts.
func onDisk(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	for _, name := range glob(t, dir, "*.log*") {
		if st, err := os.Stat(name); err == nil { // it may go at any moment
			sum += st.Size()
		}
	}
	return sum
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	return names
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
