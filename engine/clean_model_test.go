package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// written is one record as it was appended.
type written struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
	aborted           bool // its transaction was
	open              bool // its transaction has not ended
	producer          int64
}

func (w written) same(o written) bool {
	return w.offset == o.offset && w.timestamp == o.timestamp && w.key == o.key && w.value == o.value && w.tombstone == o.tombstone
}

// compactRun drives a compacted log and keeps all that was ever appended to it.
type compactRun struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *memfs.FS
	fs     *errorfs.FS
	clock  *testkit.Clock
	opts   StoreOptions
	store  *Store
	log    *Log
	all    []written
	last   map[int64]record.Batch // of each producer
	txn    map[int64]int          // producers in a transaction: where it begins in all
	probes int
	trace  []string
	shrunk int64 // bytes that cleanings took out
}

func (r *compactRun) note(format string, args ...any) {
	r.trace = append(r.trace, fmt.Sprintf(format, args...))
}

// TestCompactionAgainstAModel appends records of few keys (plain, by idempotent producers and
// in transactions, in every codec, with tombstones), compacts, stops and loses power at
// random, also between any two calls of a cleaning. What a consumer in read_committed folds
// into a map must be what it was without compaction; offsets, order and contents of what is
// left must be those that were appended; and producers' retries must be recognised.
func TestCompactionAgainstAModel(t *testing.T) {
	seed := testkit.Seed(t)
	rounds := testkit.Rounds(t, "COMPACT_ROUNDS", 12)
	var shrunk int64
	probes := 0
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			r := runCompaction(t, seed+uint64(round), 120)
			shrunk, probes = shrunk+r.shrunk, probes+r.probes
		})
	}
	// One round may have a transaction that is open from the start: nothing is cleaned then.
	if rounds >= 12 && (shrunk <= 0 || probes == 0) {
		t.Errorf("%d bytes were taken out in all rounds, and the power cut %d times", shrunk, probes)
	}
}

func runCompaction(t *testing.T, seed uint64, steps int) *compactRun {
	r := &compactRun{
		t: t, rng: testkit.NewRand(seed), disk: memfs.New(), clock: testkit.NewClock(testStart),
		last: make(map[int64]record.Batch), txn: make(map[int64]int),
	}
	e := &env{fs: r.disk, clock: r.clock, dir: "/data"}
	r.opts = e.storeOptions(t)
	r.opts.Log = quiet()
	cfg := &r.opts.DefaultConfig
	cfg.SegmentBytes, cfg.IndexIntervalBytes, cfg.IndexMaxBytes = 1500, 200, 512
	cfg.CleanupCompact, cfg.CleanupDelete = true, false
	cfg.MinCleanableRatio, cfg.DeleteRetentionMs = 0.01, 10_000
	cfg.FileDeleteDelayMs = 1000
	r.opts.Cleaner = CleanerConfig{DedupeBufferBytes: 24 * int64(5+r.rng.IntN(60)), IOBufferBytes: 2048}
	r.reopen()
	defer func() {
		r.store.Kill()
		if t.Failed() {
			t.Logf("SEED=%d gives this run as round 0; the last steps:\n%s", seed, strings.Join(r.trace[max(0, len(r.trace)-30):], "\n"))
		}
	}()
	for range steps {
		r.step()
		r.clock.Advance(time.Duration(r.rng.IntN(500)) * time.Millisecond)
	}
	r.compact()
	if v := r.disk.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
	return r
}

func (r *compactRun) reopen() {
	r.t.Helper()
	r.fs = errorfs.Wrap(r.disk, nil)
	r.opts.FS = r.fs
	s, err := OpenStore(context.Background(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = s
	l, ok := s.Get(TopicPartition{"model", 0})
	if !ok {
		if len(r.all) > 0 {
			r.t.Fatal("the partition is gone")
		}
		if l, err = s.Create(TopicPartition{"model", 0}, [16]byte{9}, r.opts.DefaultConfig); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := l.Failure(); err != nil {
		r.t.Fatal(err)
	}
	r.log = l
	l.SetHighWatermark(l.LogEndOffset())
}

func (r *compactRun) step() {
	switch n := r.rng.IntN(100); {
	case n < 60:
		r.append()
	case n < 70:
		r.endTxn()
	case n < 74:
		r.roll()
	case n < 86:
		r.compact()
	case n < 90:
		if _, err := r.log.EnforceRetention(r.clock.Now()); err != nil { // removes *.deleted
			r.t.Fatal(err)
		}
	case n < 94:
		r.note("close")
		if err := r.store.Close(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.reopen()
		r.check(r.log)
		r.retries(r.log)
	default:
		r.note("power cut")
		r.sync()
		next := r.disk.CrashClone(r.rng, []int{0, 30, 70, 100}[r.rng.IntN(4)])
		r.store.Kill()
		r.disk = next
		r.reopen()
		r.check(r.log)
		r.retries(r.log)
	}
}

func (r *compactRun) sync() {
	if err := r.log.Sync(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *compactRun) roll() {
	r.note("roll at %d", r.log.LogEndOffset())
	if err := r.log.chain.Roll(); err != nil {
		r.t.Fatal(err)
	}
}

// append writes one batch: by nobody in particular, by an idempotent producer (1 to 3), or in
// a transaction (4 and 5).
func (r *compactRun) append() {
	id := r.rng.Int64N(6)
	o := record.BuilderOptions{Codec: compress.Codec(r.rng.IntN(5))}
	if id > 0 {
		seq := int32(0)
		if last := r.last[id]; last != nil {
			seq = record.NextSequence(last.LastSequence(), 1)
		}
		o.Producer, o.Transactional = &record.Producer{ID: id, Epoch: 1, BaseSequence: seq}, id >= 4
	}
	base, now := r.log.LogEndOffset(), r.clock.Now().UnixMilli()
	build := record.NewBuilder(o)
	var records []written
	for i := range 1 + r.rng.IntN(5) {
		w := written{offset: base + int64(i), timestamp: now - r.rng.Int64N(100), key: fmt.Sprint("key", r.rng.IntN(40)), open: o.Transactional, producer: id}
		value := []byte(fmt.Sprint(r.rng.Int64(), strings.Repeat("v", r.rng.IntN(80))))
		if w.tombstone = r.rng.IntN(6) == 0; w.tombstone {
			value = nil
		}
		w.value = string(value)
		build.Append(w.timestamp, []byte(w.key), value, record.Header{Key: "h", Value: []byte{byte(i)}})
		records = append(records, w)
	}
	b, err := build.Finish()
	if err != nil {
		r.t.Fatal(err)
	}
	b = bytes.Clone(b)
	a, err := r.log.AppendAsLeader(b, 0, Client)
	if err != nil || a.FirstOffset != base || a.Duplicate {
		r.t.Fatalf("append by %d: %+v, %v", id, a, err)
	}
	if id >= 4 {
		if _, open := r.txn[id]; !open {
			r.txn[id] = len(r.all)
		}
	}
	if id > 0 {
		r.last[id] = b
	}
	r.note("append %d-%d by %d, %v", a.FirstOffset, a.LastOffset, id, o.Codec)
	r.all = append(r.all, records...)
	r.log.SetHighWatermark(a.NextOffset)
}

func (r *compactRun) endTxn() {
	id := 4 + r.rng.Int64N(2)
	from, open := r.txn[id]
	if !open {
		return
	}
	kind := record.ControlType(r.rng.IntN(2))
	marker, err := record.EndTxnMarker(kind, record.Producer{ID: id, Epoch: 1}, 0, r.clock.Now().UnixMilli())
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.log.AppendAsLeader(marker, 0, Coordinator)
	if err != nil {
		r.t.Fatal(err)
	}
	r.note("%v of %d at %d", kind, id, a.FirstOffset)
	r.log.SetHighWatermark(a.NextOffset)
	delete(r.txn, id)
	for i := from; i < len(r.all); i++ {
		if w := &r.all[i]; w.open && w.producer == id {
			w.open, w.aborted = false, kind == record.ControlAbort
		}
	}
}

// compact cleans the log; now and then the power goes before some of its calls, which is
// looked at and forgotten.
func (r *compactRun) compact() {
	r.note("compact, end %d, cleaned to %d", r.log.LogEndOffset(), r.log.cleanedTo.Load())
	r.sync()
	if r.rng.IntN(3) == 0 {
		calls := 0
		next := r.rng.IntN(20)
		r.fs.SetRule(func(op errorfs.Op) errorfs.Fault {
			if calls++; calls > next {
				next = calls + 5 + r.rng.IntN(60)
				r.probe(op)
			}
			return errorfs.Fault{}
		})
	}
	before := r.log.SizeBytes()
	r.store.Clean()
	r.fs.SetRule(nil)
	r.shrunk += before - r.log.SizeBytes()
	st := r.store.CleanerStatus()
	if len(st.Uncleanable) > 0 || st.Failed > 0 {
		r.t.Fatalf("cleaning failed: %+v", st)
	}
	r.check(r.log)
	r.checkClean()
	r.retries(r.log)
}

// probe looks at what a power cut would leave.
func (r *compactRun) probe(op errorfs.Op) {
	r.probes++
	opts := r.opts
	opts.FS = r.disk.CrashClone(r.rng, []int{0, 50, 100}[r.rng.IntN(3)])
	s, err := OpenStore(context.Background(), opts)
	if err != nil {
		r.t.Fatalf("power cut before %v: %v", op, err)
	}
	defer s.Kill()
	l, ok := s.Get(TopicPartition{"model", 0})
	if !ok || l.Failure() != nil {
		r.t.Fatalf("power cut before %v: the partition is gone", op)
	}
	l.SetHighWatermark(l.LogEndOffset())
	r.note("power cut before %v", op)
	r.check(l)
	r.retries(l)
	r.trace = r.trace[:len(r.trace)-1]
}

// check compares what a log holds with what was appended.
func (r *compactRun) check(l *Log) {
	r.t.Helper()
	want := make(map[int64]written, len(r.all))
	for _, w := range r.all {
		want[w.offset] = w
	}
	batches := readAll(r.t, l, l.LogStartOffset())
	aborted, err := l.Aborted(l.LogStartOffset(), l.LogEndOffset())
	if err != nil {
		r.t.Fatal(err)
	}
	lso := l.LastStableOffset()
	if len(r.txn) == 0 && lso != l.HighWatermark() {
		r.t.Fatalf("last stable offset %d, high watermark %d: a transaction hangs", lso, l.HighWatermark())
	}
	got := make(map[string]written)
	last := int64(-1)
	for _, b := range batches {
		if b.BaseOffset() <= last {
			r.t.Fatalf("batch at %d after %d", b.BaseOffset(), last)
		}
		last = b.LastOffset()
	}
	committed(r.t, batches, aborted, func(rec *record.Record) {
		w := written{offset: rec.Offset, timestamp: rec.Timestamp, key: string(rec.Key), value: string(rec.Value), tombstone: rec.Value == nil}
		if !w.same(want[w.offset]) {
			r.t.Fatalf("record at %d: %+v, want %+v", w.offset, w, want[w.offset])
		}
		if want[w.offset].aborted {
			r.t.Fatalf("the record at %d was aborted, and is shown", w.offset)
		}
		if rec.Offset < lso {
			got[w.key] = w
		}
	})
	model := make(map[string]written)
	for _, w := range r.all {
		if !w.aborted && w.offset < lso {
			model[w.key] = w
		}
	}
	for key, w := range model {
		have, ok := got[key]
		if !ok && !w.tombstone {
			r.t.Fatalf("%s: the newest record, at %d, is gone", key, w.offset)
		}
		if ok && have.offset != w.offset && !(w.tombstone && have.tombstone) {
			r.t.Fatalf("%s: newest record at %d, want %d", key, have.offset, w.offset)
		}
	}
}

// committed calls f with the records that a consumer in read_committed keeps, in the way
// that Kafka's does it.
func committed(t *testing.T, batches []record.Batch, aborted []index.AbortedTxn, f func(*record.Record)) {
	t.Helper()
	slices.SortFunc(aborted, func(a, b index.AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	skip := make(map[int64]bool)
	for _, b := range batches {
		for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
			skip[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		err := b.Iterate(nil, func(rec *record.Record) error {
			if b.IsControl() {
				if c, err := record.ParseControl(rec); err != nil {
					return err
				} else if c.Type == record.ControlAbort {
					delete(skip, b.ProducerID())
				}
				return nil
			}
			if !b.IsTransactional() || !skip[b.ProducerID()] {
				f(rec)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// checkClean looks for what a finished cleaning must have taken: older records of a key, and
// tombstones whose time is over.
func (r *compactRun) checkClean() {
	r.t.Helper()
	to := r.log.cleanedTo.Load()
	newest := make(map[string]int64)
	for _, w := range r.all {
		if w.offset < to && !w.aborted {
			newest[w.key] = w.offset
		}
	}
	for _, b := range readAll(r.t, r.log, 0) {
		if b.IsControl() {
			continue
		}
		err := b.Iterate(nil, func(rec *record.Record) error {
			if rec.Offset < to && rec.Offset != newest[string(rec.Key)] {
				return fmt.Errorf("the record at %d of %s should be gone: cleaned to %d, newest at %d", rec.Offset, rec.Key, to, newest[string(rec.Key)])
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// retries sends each producer's last batch again.
func (r *compactRun) retries(l *Log) {
	r.t.Helper()
	for id, b := range r.last {
		a, err := l.AppendAsLeader(bytes.Clone(b), 0, Client)
		if err != nil || !a.Duplicate || a.FirstOffset != b.BaseOffset() || a.LastOffset != b.LastOffset() {
			r.t.Fatalf("retry of producer %d's batch at %d: %+v, %v", id, b.BaseOffset(), a, err)
		}
	}
}
