package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// compactEnv is a store whose topics are compacted, with small segments.
func compactEnv(t testing.TB) *env {
	e := newEnv(t)
	cfg := &e.opts.DefaultConfig
	cfg.SegmentBytes, cfg.CleanupCompact, cfg.CleanupDelete = 1<<20, true, false
	cfg.MinCleanableRatio = 0
	return e
}

// put appends one record and shows it; a nil value is a tombstone.
func put(t testing.TB, l *Log, tsMs int64, key string, value []byte) int64 {
	t.Helper()
	return putBatch(t, l, record.BuilderOptions{}, tsMs, [2]any{key, value})
}

func putBatch(t testing.TB, l *Log, o record.BuilderOptions, tsMs int64, pairs ...[2]any) int64 {
	t.Helper()
	build := record.NewBuilder(o)
	for _, p := range pairs {
		build.Append(tsMs, []byte(p[0].(string)), p[1].([]byte))
	}
	b, err := build.Finish()
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.AppendAsLeader(b, 0, Client)
	if err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(a.NextOffset)
	return a.FirstOffset
}

func marker(t testing.TB, l *Log, kind record.ControlType, id int64) int64 {
	t.Helper()
	b, err := record.EndTxnMarker(kind, record.Producer{ID: id}, 0, testStart.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.AppendAsLeader(b, 0, Coordinator)
	if err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(a.NextOffset)
	return a.FirstOffset
}

func roll(t testing.TB, l *Log) {
	t.Helper()
	if err := l.chain.Roll(); err != nil {
		t.Fatal(err)
	}
}

// left lists what a log holds: offset:key, with - for a tombstone, and m for a marker.
func left(t testing.TB, l *Log) string {
	t.Helper()
	var out []string
	for _, b := range readAll(t, l, l.LogStartOffset()) {
		if b.Count() == 0 {
			out = append(out, fmt.Sprintf("%d:empty", b.LastOffset()))
		}
		err := b.Iterate(nil, func(r *record.Record) error {
			what := string(r.Key)
			if b.IsControl() {
				what = "m"
			} else if r.Value == nil {
				what = "-" + what
			}
			out = append(out, fmt.Sprintf("%d:%s", r.Offset, what))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(out, " ")
}

func clean(t testing.TB, s *Store) {
	t.Helper()
	s.Clean()
	if st := s.CleanerStatus(); st.Failed > 0 || st.Running > 0 {
		t.Fatalf("%+v", st)
	}
}

func wantLeft(t testing.TB, l *Log, when, want string) {
	t.Helper()
	if got := left(t, l); got != want {
		t.Errorf("%s:\n got %s\nwant %s", when, got, want)
	}
}

var val = []byte("v")

// TestTombstonesStayForTheirTime follows a tombstone through four cleanings, and the records
// that come after it: the horizon is set by the first one and kept by those that follow.
func TestTombstonesStayForTheirTime(t *testing.T) {
	e := compactEnv(t)
	e.opts.DefaultConfig.DeleteRetentionMs = 1000
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	now := func() int64 { return e.clock.Now().UnixMilli() }
	put(t, l, now(), "a", val)
	put(t, l, now(), "b", val)
	putBatch(t, l, record.BuilderOptions{}, now()-50, [2]any{"a", []byte(nil)}, [2]any{"c", val})
	roll(t, l)
	clean(t, s)
	wantLeft(t, l, "first", "1:b 2:-a 3:c")
	b, err := l.ReadBatch(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ms, ok := b.DeleteHorizonMs(); !ok || ms != now()+1000 {
		t.Errorf("horizon %d %v", ms, ok)
	}
	err = b.Iterate(nil, func(r *record.Record) error {
		if r.Timestamp != now()-50 {
			t.Errorf("record at %d: timestamp %d, want %d", r.Offset, r.Timestamp, now()-50)
		}
		return nil
	})
	if err != nil || b.MaxTimestamp() != now()-50 {
		t.Errorf("largest timestamp %d, %v", b.MaxTimestamp(), err)
	}
	e.clock.Advance(999 * time.Millisecond)
	put(t, l, now(), "d", val)
	roll(t, l)
	clean(t, s)
	wantLeft(t, l, "in time", "1:b 2:-a 3:c 4:d")
	e.clock.Advance(time.Millisecond)
	put(t, l, now(), "d", val)
	roll(t, l)
	clean(t, s)
	wantLeft(t, l, "over", "1:b 3:c 5:d")
}

// TestTransactionsAreCompacted follows an aborted and a committed transaction: aborted records
// go at once, the last batch of a producer stays as a header, an abort marker goes when
// nothing of its transaction is left and its time is over, and the transaction index with it.
func TestTransactionsAreCompacted(t *testing.T) {
	e := compactEnv(t)
	e.opts.DefaultConfig.DeleteRetentionMs = 1000
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	ts := testStart.UnixMilli()
	txn := func(id int64, seq int32) record.BuilderOptions {
		return record.BuilderOptions{Transactional: true, Producer: &record.Producer{ID: id, BaseSequence: seq}}
	}
	put(t, l, ts, "a", val)
	putBatch(t, l, txn(7, 0), ts, [2]any{"a", val})
	putBatch(t, l, txn(8, 0), ts, [2]any{"b", val})
	marker(t, l, record.ControlAbort, 7)
	marker(t, l, record.ControlCommit, 8)
	putBatch(t, l, txn(7, 1), ts, [2]any{"c", val})
	roll(t, l)
	put(t, l, ts, "z", val)
	clean(t, s)
	wantLeft(t, l, "a transaction is open", "0:a 1:a 2:b 3:m 4:m 5:c 6:z")
	marker(t, l, record.ControlCommit, 7)
	clean(t, s)
	wantLeft(t, l, "first", "0:a 2:b 3:m 4:m 5:c 6:z 7:m")
	if txns, err := l.Aborted(0, 100); err != nil || len(txns) != 1 {
		t.Errorf("the index goes with the cleaning after: %v, %v", txns, err)
	}
	for round := range 3 {
		put(t, l, ts, "y", val)
		roll(t, l)
		clean(t, s)
		e.clock.Advance(time.Second)
		if txns, err := l.Aborted(0, 100); err != nil || len(txns) != 0 {
			t.Errorf("round %d: %v, %v", round, txns, err)
		}
	}
	wantLeft(t, l, "the abort's time is over", "0:a 2:b 4:m 5:c 6:z 7:m 10:y")
	e.clock.Advance(time.Second)
	mustClose(t, s)
	l, _ = e.open(t).Get(l.TopicPartition())
	if lso := l.LastStableOffset(); lso != l.LogEndOffset() {
		t.Errorf("last stable offset %d, end %d", lso, l.LogEndOffset())
	}
}

// TestTheLastBatchOfAProducerStays lets all records of a producer be superseded.
func TestTheLastBatchOfAProducerStays(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Zstd} {
		e := compactEnv(t)
		s := e.open(t)
		l := mustCreate(t, s, "c", e.opts.DefaultConfig)
		ts := testStart.UnixMilli()
		of := func(seq int32) record.BuilderOptions {
			return record.BuilderOptions{Codec: codec, Producer: &record.Producer{ID: 3, BaseSequence: seq}}
		}
		putBatch(t, l, of(0), ts, [2]any{"a", val})
		putBatch(t, l, of(1), ts, [2]any{"a", val}, [2]any{"b", val})
		put(t, l, ts, "a", val)
		put(t, l, ts, "b", val)
		roll(t, l)
		clean(t, s)
		wantLeft(t, l, codec.String(), "2:empty 3:a 4:b")
		s.Kill()
		l, _ = e.open(t).Get(l.TopicPartition())
		build := record.NewBuilder(of(1))
		build.Append(ts, []byte("a"), val)
		build.Append(ts, []byte("b"), val)
		b, _ := build.Finish()
		if a, err := l.AppendAsLeader(b, 0, Client); err != nil || !a.Duplicate || a.FirstOffset != 1 {
			t.Errorf("%v: the retry after a crash: %+v, %v", codec, a, err)
		}
	}
}

// TestOneBadPartitionIsSetAside damages a record of one of three logs.
func TestOneBadPartitionIsSetAside(t *testing.T) {
	e := compactEnv(t)
	var told []Cleaning
	e.opts.OnCleaned = func(c Cleaning) { told = append(told, c) }
	e.opts.Log = quiet()
	s := e.open(t)
	var logs []*Log
	for _, topic := range []string{"a", "b", "c"} {
		l := mustCreate(t, s, topic, e.opts.DefaultConfig)
		for range 3 {
			put(t, l, testStart.UnixMilli(), "k", []byte("value"))
		}
		roll(t, l)
		logs = append(logs, l)
	}
	name := filepath.Join(logs[1].Dir(), "00000000000000000000.log")
	data := mustRead(t, name)
	data[len(data)-3] ^= 1
	mustWrite(t, name, data)
	if n := s.Clean(); n != 2 {
		t.Errorf("%d logs were cleaned", n)
	}
	wantLeft(t, logs[0], "a", "2:k")
	wantLeft(t, logs[2], "c", "2:k")
	st := s.CleanerStatus()
	reason := st.Uncleanable[logs[1].TopicPartition()]
	if !errors.Is(reason, record.ErrCorrupt) || len(st.Uncleanable) != 1 || st.UncleanableBytes != logs[1].SizeBytes() || st.Failed != 1 {
		t.Errorf("%+v", st)
	}
	if got := mustRead(t, name); !slices.Equal(got, data) {
		t.Error("the damaged segment was changed")
	}
	if len(told) != 3 || !told[1].SetAside && !told[0].SetAside && !told[2].SetAside {
		t.Errorf("%+v", told)
	}
	put(t, logs[0], testStart.UnixMilli(), "k", val)
	roll(t, logs[0])
	if n := s.Clean(); n != 1 || s.CleanerStatus().Failed != 1 {
		t.Errorf("%d logs were cleaned after it", n)
	}
	if err := s.Delete(logs[1].TopicPartition()); err != nil {
		t.Fatal(err)
	}
	if st := s.CleanerStatus(); len(st.Uncleanable) != 0 {
		t.Errorf("a deleted partition counts as uncleanable: %v", st.Uncleanable)
	}
}

// TestWhatIsCleanedWhen holds the settings that say when a log is due.
func TestWhatIsCleanedWhen(t *testing.T) {
	hour := time.Hour.Milliseconds()
	fill := func(t *testing.T, l *Log, e *env) {
		for range 4 {
			put(t, l, e.clock.Now().UnixMilli(), "k", make([]byte, 100))
		}
	}
	for name, c := range map[string]struct {
		set     func(*Config)
		rolled  bool
		wait    time.Duration
		cleaned bool
	}{
		"all dirty":               {func(c *Config) { c.MinCleanableRatio = 0.9 }, true, 0, true},
		"active segment":          {func(*Config) {}, false, 0, false},
		"not compacted":           {func(c *Config) { c.CleanupCompact, c.CleanupDelete = false, true }, true, 0, false},
		"min lag":                 {func(c *Config) { c.MinCompactionLagMs = hour }, true, time.Hour - time.Second, false},
		"min lag over":            {func(c *Config) { c.MinCompactionLagMs = hour }, true, time.Hour, true},
		"max lag, active":         {func(c *Config) { c.MaxCompactionLagMs = hour }, false, time.Hour, false},
		"max lag over, active":    {func(c *Config) { c.MaxCompactionLagMs = hour }, false, time.Hour + time.Millisecond, true},
		"compact and delete both": {func(c *Config) { c.CleanupDelete = true }, true, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := compactEnv(t)
			cfg := e.opts.DefaultConfig
			c.set(&cfg)
			s := e.open(t)
			l := mustCreate(t, s, "c", cfg)
			fill(t, l, e)
			if c.rolled {
				roll(t, l)
			}
			e.clock.Advance(c.wait)
			clean(t, s)
			want := "0:k 1:k 2:k 3:k"
			if c.cleaned {
				want = "3:k"
			}
			wantLeft(t, l, name, want)
		})
	}
	t.Run("ratio", func(t *testing.T) {
		e := compactEnv(t)
		s := e.open(t)
		l := mustCreate(t, s, "c", e.opts.DefaultConfig)
		for i := range 8 {
			put(t, l, testStart.UnixMilli(), fmt.Sprint(i), make([]byte, 100))
		}
		roll(t, l)
		clean(t, s)
		cfg := e.opts.DefaultConfig
		cfg.MinCleanableRatio, cfg.MaxCompactionLagMs = 0.5, hour
		l.SetConfig(cfg)
		for range 8 {
			put(t, l, testStart.UnixMilli(), "0", make([]byte, 100))
		}
		roll(t, l)
		clean(t, s)
		if st := s.CleanerStatus(); st.Cleanings != 1 || st.MaxDirtyPercent != 50 {
			t.Errorf("%+v", st)
		}
		e.clock.Advance(time.Hour + time.Second)
		clean(t, s)
		if st := s.CleanerStatus(); st.Cleanings != 2 {
			t.Errorf("overdue, and not cleaned: %+v", st)
		}
	})
}

// TestSmallSegmentsBecomeOne compacts many segments to a few records.
func TestSmallSegmentsBecomeOne(t *testing.T) {
	e := compactEnv(t)
	e.opts.DefaultConfig.FileDeleteDelayMs = 0
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	for i := range 20 {
		put(t, l, testStart.UnixMilli(), fmt.Sprint(i%3), val)
		roll(t, l)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
	wantLeft(t, l, "all", "17:2 18:0 19:1")
	if n := len(l.chain.Segments()); n != 2 {
		t.Errorf("%d segments", n)
	}
	s.EnforceRetention()
	names, err := filepath.Glob(filepath.Join(l.Dir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range names {
		got = append(got, strings.TrimLeft(filepath.Base(name), "0"))
	}
	want := ".index .log .timeindex 20.index 20.log 20.snapshot 20.timeindex leader-epoch-checkpoint partition.metadata"
	if strings.Join(got, " ") != want {
		t.Errorf("files %v, want %s", got, want)
	}
}

// TestMemoryForKeysIsBounded compacts ten thousand keys with room for some hundred.
func TestMemoryForKeysIsBounded(t *testing.T) {
	e := compactEnv(t)
	e.opts.Cleaner = CleanerConfig{DedupeBufferBytes: 24 * 500, LoadFactor: 0.8}
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	const keys = 3000
	for i := range 2 * keys / 50 {
		var pairs [][2]any
		for j := range 50 {
			pairs = append(pairs, [2]any{fmt.Sprint((i*50 + j) % keys), val})
		}
		putBatch(t, l, record.BuilderOptions{}, testStart.UnixMilli(), pairs...)
	}
	roll(t, l)
	thread := &cleanThread{s: s}
	rounds := 0
	for s.cleanNext(thread) {
		rounds++
		if n := thread.keys.MemoryBytes(); n > 24*500 {
			t.Fatalf("%d bytes of keys", n)
		}
		if st := s.CleanerStatus(); st.BufferPercent > 81 {
			t.Fatalf("buffer %v%%", st.BufferPercent)
		}
	}
	if rounds != 2*keys/400 {
		t.Errorf("%d rounds", rounds)
	}
	offsets, _ := values(t, l)
	if len(offsets) != keys || offsets[0] != keys {
		t.Errorf("%d records from %d on", len(offsets), offsets[0])
	}
}

// TestTheCheckpointSurvives restarts and finds nothing to do, and holds the file's format.
func TestTheCheckpointSurvives(t *testing.T) {
	e := compactEnv(t)
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	mustCreate(t, s, "never", e.opts.DefaultConfig)
	put(t, l, testStart.UnixMilli(), "a", val)
	put(t, l, testStart.UnixMilli(), "a", val)
	roll(t, l)
	clean(t, s)
	if got := string(mustRead(t, e.dir, checkpoint.CleanerFile)); got != "0\n1\nc 0 2\n" {
		t.Errorf("%q", got)
	}
	mustClose(t, s)
	s = e.open(t)
	clean(t, s)
	if st := s.CleanerStatus(); st.Cleanings != 0 {
		t.Errorf("%+v", st)
	}
	if err := s.Delete(TopicPartition{"c", 0}); err != nil {
		t.Fatal(err)
	}
	l, _ = s.Get(TopicPartition{"never", 0})
	put(t, l, testStart.UnixMilli(), "a", val)
	roll(t, l)
	clean(t, s)
	if got := string(mustRead(t, e.dir, checkpoint.CleanerFile)); got != "0\n1\nnever 0 1\n" {
		t.Errorf("%q", got)
	}
}

// TestHolesOfACleaningAreNoDamage changes the policy after a cleaning and crashes: recovery
// cuts logs at holes, but not at those that a cleaning made.
func TestHolesOfACleaningAreNoDamage(t *testing.T) {
	e := compactEnv(t)
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	for i := range 6 {
		put(t, l, testStart.UnixMilli(), fmt.Sprint(i%2), val)
	}
	roll(t, l)
	put(t, l, testStart.UnixMilli(), "x", val)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
	s.Kill()
	e.opts.DefaultConfig.CleanupCompact, e.opts.DefaultConfig.CleanupDelete = false, true
	l, _ = e.open(t).Get(l.TopicPartition())
	l.SetHighWatermark(l.LogEndOffset())
	wantLeft(t, l, "after the crash", "4:0 5:1 6:x")
}

// TestCleanerThreads lets the threads do it, changes their number and stops them.
func TestCleanerThreads(t *testing.T) {
	e := compactEnv(t)
	e.opts.Cleaner = CleanerConfig{Threads: 2, BackoffMs: 100, MaxBytesPerSecond: 1e12}
	s := e.open(t)
	var logs []*Log
	for i := range 3 {
		l := mustCreate(t, s, fmt.Sprint("t", i), e.opts.DefaultConfig)
		put(t, l, testStart.UnixMilli(), "a", val)
		put(t, l, testStart.UnixMilli(), "a", val)
		roll(t, l)
		logs = append(logs, l)
	}
	e.clock.Advance(99 * time.Millisecond)
	wantLeft(t, logs[0], "too early", "0:a 1:a")
	e.clock.Advance(time.Millisecond)
	for _, l := range logs {
		wantLeft(t, l, "due", "1:a")
	}
	s.SetCleanerConfig(CleanerConfig{Threads: 0, BackoffMs: 100})
	e.clock.Advance(time.Second)
	if st := s.CleanerStatus(); st.Threads != 0 || st.Cleanings != 3 {
		t.Errorf("%+v", st)
	}
	s.SetCleanerConfig(CleanerConfig{Threads: 1, BackoffMs: 100})
	put(t, logs[0], testStart.UnixMilli(), "a", val)
	roll(t, logs[0])
	e.clock.Advance(time.Second)
	if st := s.CleanerStatus(); st.Threads != 1 || st.Cleanings != 4 {
		t.Errorf("%+v", st)
	}
	mustClose(t, s)
}

// TestCleaningStopsWithTheStore cancels a cleaning that waits for its share of bytes.
func TestCleaningStopsWithTheStore(t *testing.T) {
	e := compactEnv(t)
	e.opts.Cleaner.MaxBytesPerSecond = 1
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	for i := range 40 {
		put(t, l, testStart.UnixMilli(), fmt.Sprint(i), make([]byte, 20_000))
	}
	roll(t, l)
	done := make(chan int)
	go func() { done <- s.Clean() }()
	testkit.WaitFor(t, "a cleaning that waits for the clock", func() bool {
		return s.CleanerStatus().Running == 1 && e.clock.Pending() > 0
	})
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := <-done; n != 0 {
		t.Errorf("%d cleanings", n)
	}
	names, _ := filepath.Glob(filepath.Join(l.Dir(), "*.cleaned"))
	if len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestGoldenCompactedLogs goes on compacting what Apache Kafka has compacted.
func TestGoldenCompactedLogs(t *testing.T) {
	for _, r := range goldenRows(t) {
		if !strings.HasSuffix(r.dir, "05-compacted") || !strings.HasPrefix(r.partition, "compact-") {
			continue
		}
		t.Run(r.version+"/"+r.partition, func(t *testing.T) {
			e := newEnv(t)
			copyTree(t, r.dir, e.dir)
			e.opts.DefaultConfig.CleanupCompact, e.opts.DefaultConfig.CleanupDelete = true, false
			e.opts.DefaultConfig.MinCleanableRatio = 0
			s := e.open(t)
			l := goldenLog(t, s, r.partition)
			l.SetHighWatermark(l.LogEndOffset())
			before, end := newestOf(t, l), l.LogEndOffset()
			size := l.SizeBytes()
			roll(t, l)
			clean(t, s)
			if st := s.CleanerStatus(); st.Cleanings == 0 {
				t.Error("nothing was cleaned")
			}
			after := newestOf(t, l)
			if l.LogEndOffset() != end || l.SizeBytes() >= size {
				t.Errorf("log end %d, was %d; %d bytes, were %d", l.LogEndOffset(), end, l.SizeBytes(), size)
			}
			for key, rec := range before {
				if after[key] != rec {
					t.Errorf("%s: %q, was %q", key, after[key], rec)
				}
			}
			if len(after) != len(before) {
				t.Errorf("%d keys, were %d", len(after), len(before))
			}
			mustClose(t, s)
			l = goldenLog(t, e.open(t), r.partition)
			if got := newestOf(t, l); len(got) != len(before) || l.LastStableOffset() != end {
				t.Errorf("after a stop: %d keys, last stable offset %d", len(got), l.LastStableOffset())
			}
		})
	}
}

// newestOf folds a log, as a consumer in read_committed sees it, into a map.
func newestOf(t *testing.T, l *Log) map[string]string {
	t.Helper()
	aborted, err := l.Aborted(l.LogStartOffset(), l.LogEndOffset())
	if err != nil {
		t.Fatal(err)
	}
	newest := make(map[string]string)
	committed(t, readAll(t, l, l.LogStartOffset()), slices.Clone[[]index.AbortedTxn](aborted), func(r *record.Record) {
		newest[string(r.Key)] = fmt.Sprintf("%d %d %q %v", r.Offset, r.Timestamp, r.Value, r.Value == nil)
	})
	return newest
}

// TestALogThatIsDeletedWhileItIsCleaned takes the folder away between two steps.
func TestALogThatIsDeletedWhileItIsCleaned(t *testing.T) {
	e := compactEnv(t)
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	put(t, l, testStart.UnixMilli(), "a", val)
	put(t, l, testStart.UnixMilli(), "a", val)
	roll(t, l)
	found, way := s.pick(e.clock.Now())
	if found == nil {
		t.Fatal("not due")
	}
	if err := s.Delete(l.TopicPartition()); err != nil {
		t.Fatal(err)
	}
	thread := &cleanThread{s: s}
	job := s.newJob(thread, way.ctx)
	_, err := l.clean(found, job, e.clock.Now())
	if err == nil {
		t.Error("a deleted log was cleaned")
	}
	if aside, again := s.cleanFailed(l, err); aside || again {
		t.Errorf("%v: set aside %v, again %v", err, aside, again)
	}
	s.cleaners.done(l)
	if s.Dirs()[0].Err != nil {
		t.Error(s.Dirs()[0].Err)
	}
	if _, err := os.Stat(filepath.Join(e.dir, "c-0")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestNothingGoesForWhatIsNotDurable: an older record is removed because of a newer one, which
// a power cut must not take then.
func TestNothingGoesForWhatIsNotDurable(t *testing.T) {
	disk := memfs.New()
	e := memEnv(t, disk)
	cfg := &e.opts.DefaultConfig
	cfg.CleanupCompact, cfg.CleanupDelete, cfg.MinCleanableRatio, cfg.SegmentBytes = true, false, 0, 100
	s := e.open(t)
	l := mustCreate(t, s, "t", *cfg)
	put(t, l, testStart.UnixMilli(), "k", []byte("old"))
	roll(t, l)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	put(t, l, testStart.UnixMilli(), "k", []byte("new"))
	roll(t, l)
	clean(t, s)
	for _, percent := range []int{0, 50, 100} {
		after := memEnv(t, disk.CrashClone(newRand(1), percent))
		after.opts.DefaultConfig = *cfg
		found, _ := after.open(t).Get(l.TopicPartition())
		if got := left(t, found); got != "1:k" {
			t.Errorf("%d%%: %q is left", percent, got)
		}
	}
}

// TestACleaningIsAborted ends one that waits for its share of bytes, and lets none begin.
func TestACleaningIsAborted(t *testing.T) {
	e := compactEnv(t)
	e.opts.Cleaner.MaxBytesPerSecond = 1
	s := e.open(t)
	l := mustCreate(t, s, "c", e.opts.DefaultConfig)
	for range 40 {
		put(t, l, testStart.UnixMilli(), "k", make([]byte, 20_000))
	}
	roll(t, l)
	done := make(chan int)
	go func() { done <- s.Clean() }()
	testkit.WaitFor(t, "a cleaning that waits for the clock", func() bool {
		return s.CleanerStatus().Running == 1 && e.clock.Pending() > 0
	})
	s.cleaners.abortAndPause(l)
	if n := <-done; n != 0 {
		t.Errorf("%d cleanings", n)
	}
	s.SetCleanerConfig(CleanerConfig{})
	if n := s.Clean(); n != 0 {
		t.Error("cleaned while it was paused")
	}
	if st := s.CleanerStatus(); st.Running != 0 || len(st.Uncleanable) != 0 {
		t.Errorf("%+v", st)
	}
	s.cleaners.resume(l)
	if n := s.Clean(); n != 1 {
		t.Error("not cleaned after it")
	}
	wantLeft(t, l, "cleaned", "39:k")
}
