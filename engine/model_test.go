package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// logModel is the naive log: batches in a slice, and what each producer wrote last.
type logModel struct {
	batches []record.Batch
	start   int64 // log start
	base    int64 // the log ends here at least: it began anew at an offset
	synced  int64 // everything below survives a power cut
}

func (m *logModel) end() int64 {
	if len(m.batches) == 0 {
		return m.base
	}
	return max(m.base, m.batches[len(m.batches)-1].NextOffset())
}

// lastOf finds the newest batch of a producer.
func (m *logModel) lastOf(id int64) record.Batch {
	for i := len(m.batches) - 1; i >= 0; i-- {
		if m.batches[i].ProducerID() == id {
			return m.batches[i]
		}
	}
	return nil
}

func (m *logModel) truncate(offset int64) {
	for len(m.batches) > 0 && m.batches[len(m.batches)-1].LastOffset() >= offset {
		m.batches = m.batches[:len(m.batches)-1]
	}
}

// modelRun drives a Log and its model with the same random operations.
type modelRun struct {
	t     *testing.T
	rng   *rand.Rand
	disk  *memfs.FS
	clock *testkit.Clock
	opts  StoreOptions
	store *Store
	log   *Log
	m     logModel
	epoch int32
	trace []string // what was done, shown when it fails
}

func (r *modelRun) note(format string, args ...any) {
	r.trace = append(r.trace, fmt.Sprintf(format, args...))
}

// TestRandomOperationsMatchAModel appends, truncates, rolls, flushes, reads, deletes, stops
// and loses power at random; what the log holds is compared with a slice of batches all
// along. After a power cut everything that was synced must be there, nothing else but what
// was appended after it, and each producer's retry must be recognised.
func TestRandomOperationsMatchAModel(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "MODEL_ROUNDS", 30) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			mode := segment.Mode(round % 2)
			runModel(t, seed+uint64(round), mode, 300)
		})
		if t.Failed() {
			return
		}
	}
}

func runModel(t *testing.T, seed uint64, mode segment.Mode, steps int) {
	r := &modelRun{t: t, rng: testkit.NewRand(seed), disk: memfs.New(), clock: testkit.NewClock(testStart)}
	e := &env{fs: r.disk, clock: r.clock, dir: "/data"}
	r.opts = e.storeOptions(t)
	r.opts.Mode = mode
	r.opts.DefaultConfig.SegmentBytes = 2000
	r.opts.DefaultConfig.IndexIntervalBytes = 200
	r.opts.DefaultConfig.IndexMaxBytes = 512
	r.reopen()
	defer func() {
		r.store.Kill()
		if t.Failed() {
			last := r.trace[max(0, len(r.trace)-40):]
			t.Logf("SEED=%d gives this run as round 0; the last steps:\n%s", seed, strings.Join(last, "\n"))
		}
	}()
	for step := range steps {
		r.step()
		if r.t.Failed() {
			t.Fatalf("step %d", step)
		}
		r.clock.Advance(1_000_000)
	}
	r.check()
}

func (r *modelRun) reopen() {
	r.t.Helper()
	s, err := OpenStore(context.Background(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = s
	tp := TopicPartition{"model", 0}
	l, ok := s.Get(tp)
	if !ok {
		if r.m.end() > 0 {
			r.t.Fatal("the partition is gone")
		}
		if l, err = s.Create(tp, [16]byte{9}, r.opts.DefaultConfig); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := l.Failure(); err != nil {
		r.t.Fatal(err)
	}
	r.log = l
}

func (r *modelRun) step() {
	switch n := r.rng.IntN(100); {
	case n < 50:
		r.append()
	case n < 58:
		r.retry()
	case n < 66:
		r.check()
	case n < 74:
		r.note("sync at %d", r.m.end())
		if err := r.log.Sync(); err != nil {
			r.t.Fatal(err)
		}
		r.m.synced = r.m.end()
		r.probe()
	case n < 80:
		r.note("roll at %d", r.m.end())
		if err := r.log.chain.Roll(); err != nil {
			r.t.Fatal(err)
		}
	case n < 84:
		r.truncate()
	case n < 87:
		r.deleteRecords()
	case n < 90:
		r.note("idle")
		if err := r.log.chain.Idle(); err != nil {
			r.t.Fatal(err)
		}
	case n < 94:
		r.note("close at %d", r.m.end())
		if err := r.store.Close(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.m.synced = r.m.end()
		r.reopen()
		r.sameEnd()
	default:
		r.powerCut()
	}
}

func (r *modelRun) append() {
	o := record.BuilderOptions{}
	if id := r.rng.Int64N(4); id > 0 {
		seq := int32(0)
		if last := r.m.lastOf(id); last != nil {
			seq = record.NextSequence(last.LastSequence(), 1)
		}
		o.Producer = &record.Producer{ID: id, Epoch: 3, BaseSequence: seq}
	}
	values := make([]string, 1+r.rng.IntN(4))
	for i := range values {
		values[i] = fmt.Sprint(r.rng.Int64(), string(make([]byte, r.rng.IntN(200))))
	}
	b := batchOf(r.t, o, r.clock.Now().UnixMilli(), values...)
	if r.rng.IntN(20) == 0 {
		r.epoch++
	}
	a, err := r.log.AppendAsLeader(b, r.epoch, Client)
	if err != nil {
		r.t.Fatal(err)
	}
	if a.FirstOffset != r.m.end() || a.Duplicate {
		r.t.Fatalf("appended at %d (duplicate %v), want %d", a.FirstOffset, a.Duplicate, r.m.end())
	}
	r.m.batches = append(r.m.batches, bytes.Clone(b))
	r.note("append %d-%d epoch %d, %d bytes", a.FirstOffset, a.LastOffset, r.epoch, len(b))
	r.log.SetHighWatermark(a.NextOffset)
}

// retry sends a batch again that is in the log: it must be answered, not stored.
func (r *modelRun) retry() {
	last := r.m.lastOf(1 + r.rng.Int64N(3))
	if last == nil || last.LastOffset() < r.m.start {
		return // deleted: its producer may be forgotten after a power cut
	}
	end := r.log.LogEndOffset()
	a, err := r.log.AppendAsLeader(bytes.Clone(last), r.epoch, Client)
	if err != nil || !a.Duplicate || a.FirstOffset != last.BaseOffset() || a.LastOffset != last.LastOffset() {
		r.t.Fatalf("retry of the batch at %d: %+v, %v", last.BaseOffset(), a, err)
	}
	if r.log.LogEndOffset() != end {
		r.t.Fatal("a retry was stored")
	}
}

func (r *modelRun) truncate() {
	offset := r.log.LogStartOffset() + r.rng.Int64N(r.m.end()-r.log.LogStartOffset()+1)
	if err := r.log.TruncateTo(offset); err != nil {
		r.t.Fatal(err)
	}
	r.m.truncate(offset)
	r.m.base = min(r.m.base, r.log.LogEndOffset())
	r.m.start = min(r.m.start, r.m.end())
	r.m.synced = min(r.m.synced, r.m.end())
	r.note("truncate to %d, end %d", offset, r.log.LogEndOffset())
	r.sameEnd()
}

func (r *modelRun) deleteRecords() {
	to := r.log.LogStartOffset() + r.rng.Int64N(r.log.HighWatermark()-r.log.LogStartOffset()+1)
	got, err := r.log.DeleteRecordsBefore(to)
	if err != nil {
		r.t.Fatal(err)
	}
	r.note("delete records before %d", to)
	r.m.start = max(r.m.start, to)
	if got != r.m.start {
		r.t.Fatalf("log start %d, want %d", got, r.m.start)
	}
	if _, err := r.log.EnforceRetention(r.clock.Now()); err != nil {
		r.t.Fatal(err)
	}
}

// powerCut takes the disk as it would be found, and goes on with that.
func (r *modelRun) powerCut() {
	percent := []int{0, 30, 70, 100}[r.rng.IntN(4)]
	r.note("power cut, %d%%, synced %d, end %d, recovery point %d", percent, r.m.synced, r.m.end(), r.log.RecoveryPoint())
	next := r.disk.CrashClone(r.rng, percent)
	r.store.Kill()
	r.disk, r.opts.FS = next, next
	r.reopen()
	end := r.log.LogEndOffset()
	if end < r.m.synced || end > r.m.end() {
		r.t.Fatalf("after a power cut (%d%% unsynced kept) the log ends at %d: it was synced up to %d and ended at %d", percent, end, r.m.synced, r.m.end())
	}
	if r.log.LogStartOffset() != r.m.start {
		r.t.Fatalf("after a power cut the log starts at %d, want %d", r.log.LogStartOffset(), r.m.start)
	}
	r.m.truncate(end)
	if end == r.m.start {
		r.m.base = end // all that was left lay below the log start
	}
	r.m.start = r.log.LogStartOffset()
	r.m.synced = end
	r.sameEnd()
	r.log.SetHighWatermark(end)
	r.check()
	r.retry()
}

// probe looks at what the strictest disk would keep if the power went now, and goes on.
func (r *modelRun) probe() {
	r.t.Helper()
	e := env{fs: r.disk.CrashClone(r.rng, 0), clock: r.clock, dir: "/data", opts: r.opts}
	e.opts.FS = e.fs
	s, err := OpenStore(context.Background(), e.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Kill()
	l, ok := s.Get(TopicPartition{"model", 0})
	if !ok {
		r.t.Fatal("a power cut would take the partition")
	}
	if got := l.LogEndOffset(); got < r.m.synced {
		r.t.Fatalf("a power cut would leave the log's end at %d: it was synced up to %d", got, r.m.synced)
	}
	got := readAll(r.t, l, l.LogStartOffset())
	for _, b := range r.m.batches {
		if len(got) > 0 && got[0].BaseOffset() == b.BaseOffset() {
			if !bytes.Equal(got[0], b) {
				r.t.Fatalf("a power cut would change the batch at %d", b.BaseOffset())
			}
			got = got[1:]
		}
	}
	if len(got) > 0 {
		r.t.Fatalf("a power cut would bring back the batch at %d", got[0].BaseOffset())
	}
}

func (r *modelRun) sameEnd() {
	r.t.Helper()
	if got, want := r.log.LogEndOffset(), r.m.end(); got != want {
		r.t.Fatalf("log end %d, want %d", got, want)
	}
}

// check compares all batches and the watermarks.
func (r *modelRun) check() {
	r.t.Helper()
	l := r.log
	if s, lso, hw, end := l.LogStartOffset(), l.LastStableOffset(), l.HighWatermark(), l.LogEndOffset(); s > lso || lso > hw || hw > end {
		r.t.Fatalf("watermarks %d <= %d <= %d <= %d", s, lso, hw, end)
	}
	if rp := l.RecoveryPoint(); rp > l.SyncedOffset() {
		r.t.Fatalf("recovery point %d, synced %d", rp, l.SyncedOffset())
	}
	r.sameEnd()
	got := readAll(r.t, l, l.LogStartOffset())
	want := r.m.batches
	for len(want) > 0 && want[0].LastOffset() < l.LogStartOffset() {
		want = want[1:]
	}
	if len(got) != len(want) {
		r.t.Fatalf("%d batches from %d on, want %d", len(got), l.LogStartOffset(), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			r.t.Fatalf("batch at %d differs", want[i].BaseOffset())
		}
		if e := l.EpochForOffset(want[i].LastOffset()); e != want[i].LeaderEpoch() {
			r.t.Fatalf("offset %d: leader epoch %d, want %d", want[i].LastOffset(), e, want[i].LeaderEpoch())
		}
	}
	var outOfRange *OffsetOutOfRangeError
	if _, err := l.Read(l.LogEndOffset()+1, 100, l.LogEndOffset()+2, true); !errors.As(err, &outOfRange) {
		r.t.Fatalf("read past the end: %v", err)
	}
	if l.LogStartOffset() > 0 {
		if _, err := l.Read(l.LogStartOffset()-1, 100, l.LogEndOffset(), true); !errors.As(err, &outOfRange) {
			r.t.Fatalf("read below the start: %v", err)
		}
	}
}
