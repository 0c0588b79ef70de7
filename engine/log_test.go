package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

func openTestLog(t testing.TB, change func(*Config)) (*env, *Log) {
	t.Helper()
	e := newEnv(t)
	cfg := e.opts.DefaultConfig
	if change != nil {
		change(&cfg)
	}
	return e, mustCreate(t, e.open(t), "topic", cfg)
}

func TestLeaderAssignsOffsetsAndEpochs(t *testing.T) {
	_, l := openTestLog(t, nil)
	a, err := l.AppendAsLeader(batch(t, testStart.UnixMilli(), "a", "b"), 3, Client)
	if want := (Appended{FirstOffset: 0, LastOffset: 1, NextOffset: 2, AppendTimeMs: -1}); err != nil || a != want {
		t.Fatalf("%+v %v", a, err)
	}
	if a, err = l.AppendAsLeader(batch(t, testStart.UnixMilli(), "c"), 5, Client); err != nil || a.FirstOffset != 2 {
		t.Fatalf("%+v %v", a, err)
	}
	got := readAll(t, l, 0)
	if len(got) != 2 || got[0].LeaderEpoch() != 3 || got[1].LeaderEpoch() != 5 || got[1].BaseOffset() != 2 {
		t.Errorf("%d batches", len(got))
	}
	if epoch, end := l.EndOffsetForEpoch(4); epoch != 3 || end != 2 {
		t.Errorf("epoch 4 ended as epoch %d at %d", epoch, end)
	}
	if epoch, ok := l.LatestEpoch(); !ok || epoch != 5 {
		t.Error(epoch, ok)
	}
}

func TestLogAppendTime(t *testing.T) {
	_, l := openTestLog(t, func(c *Config) { c.TimestampType = record.LogAppendTime })
	a := mustAppend(t, l, batch(t, 17, "a", "b"))
	if a.AppendTimeMs != testStart.UnixMilli() {
		t.Errorf("append time %d", a.AppendTimeMs)
	}
	b := readAll(t, l, 0)[0]
	err := b.Iterate(nil, func(r *record.Record) error {
		if r.Timestamp != testStart.UnixMilli() {
			t.Errorf("timestamp %d", r.Timestamp)
		}
		return nil
	})
	if err != nil || b.TimestampType() != record.LogAppendTime {
		t.Error(err, b.TimestampType())
	}
}

func TestTimestampBounds(t *testing.T) {
	_, l := openTestLog(t, func(c *Config) { c.TimestampBeforeMaxMs, c.TimestampAfterMaxMs = 1000, 500 })
	now := testStart.UnixMilli()
	for ts, ok := range map[int64]bool{now: true, now - 1000: true, now - 1001: false, now + 500: true, now + 501: false, -1: true} {
		_, err := l.AppendAsLeader(batch(t, ts, "x"), 0, Client)
		if ok && err != nil || !ok && !errors.Is(err, record.ErrInvalidTimestamp) {
			t.Errorf("%d ms from now: %v", ts-now, err)
		}
	}
}

func TestCompressionOfTheTopic(t *testing.T) {
	value := strings.Repeat("compress me ", 300)
	for _, from := range []compress.Codec{compress.None, compress.Gzip, compress.Zstd} {
		for _, to := range []compress.Codec{CompressionProducer, compress.None, compress.Snappy, compress.LZ4, compress.Zstd} {
			_, l := openTestLog(t, func(c *Config) { c.Compression = to })
			mustAppend(t, l, batchOf(t, record.BuilderOptions{Codec: from}, 1, value, "second"))
			want := to
			if to == CompressionProducer {
				want = from
			}
			if b := readAll(t, l, 0)[0]; b.Codec() != want {
				t.Errorf("%s to %s: %s", from, want, b.Codec())
			}
			if _, vals := values(t, l); len(vals) != 2 || vals[0] != value || vals[1] != "second" {
				t.Errorf("%s to %s: %d values", from, want, len(vals))
			}
		}
	}
}

func TestBatchSizeLimits(t *testing.T) {
	value := strings.Repeat("x", 3000)
	var tooLarge *RecordTooLargeError
	for _, c := range []struct {
		codec   compress.Codec
		change  func(*Config)
		refused bool
		segment bool
	}{
		{compress.None, func(c *Config) { c.MaxMessageBytes = 2000 }, true, false},
		{compress.Gzip, func(c *Config) { c.MaxMessageBytes = 2000 }, false, false},
		{compress.Gzip, func(c *Config) { c.MaxMessageBytes, c.Compression = 2000, compress.None }, true, false},
		{compress.None, func(c *Config) { c.MaxMessageBytes, c.Compression = 2000, compress.Gzip }, true, false},
		{compress.None, func(c *Config) { c.SegmentBytes = 2000 }, true, true},
		{compress.None, nil, false, false},
	} {
		_, l := openTestLog(t, c.change)
		_, err := l.AppendAsLeader(batchOf(t, record.BuilderOptions{Codec: c.codec}, 1, value), 0, Client)
		if c.refused != errors.As(err, &tooLarge) || c.refused && tooLarge.Segment != c.segment {
			t.Errorf("%s: %v", c.codec, err)
		}
		if c.refused && l.LogEndOffset() != 0 {
			t.Errorf("%s: something was appended", c.codec)
		}
	}
}

func TestBadBatchesAreRefused(t *testing.T) {
	_, l := openTestLog(t, func(c *Config) { c.CleanupCompact = true })
	good := batch(t, 1, "a")
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x01
		_, err := l.AppendAsLeader(bad, 0, Client)
		// The leader writes base offset and epoch itself.
		if stamped := i < 8 || i >= 12 && i < 16; stamped != (err == nil) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	b := record.NewBuilder(record.BuilderOptions{})
	b.Append(1, nil, []byte("no key"))
	noKey, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendAsLeader(noKey, 0, Client); !errors.Is(err, record.ErrNoKey) {
		t.Errorf("record without key in a compacted topic: %v", err)
	}
}

func TestIdempotentProducer(t *testing.T) {
	_, l := openTestLog(t, nil)
	mustAppend(t, l, idempotent(t, 7, 1, 0, "a", "b"))
	mustAppend(t, l, idempotent(t, 7, 1, 2, "c"))
	a := mustAppend(t, l, idempotent(t, 7, 1, 0, "a", "b"))
	if !a.Duplicate || a.FirstOffset != 0 || a.LastOffset != 1 || l.LogEndOffset() != 3 {
		t.Errorf("%+v, end %d", a, l.LogEndOffset())
	}
	var seq *SequenceError
	if _, err := l.AppendAsLeader(idempotent(t, 7, 1, 9, "gap"), 0, Client); !errors.As(err, &seq) || seq.Last != 2 {
		t.Errorf("gap: %v", err)
	}
	var fenced *ProducerFencedError
	if _, err := l.AppendAsLeader(idempotent(t, 7, 0, 3, "old epoch"), 0, Client); !errors.As(err, &fenced) {
		t.Errorf("old epoch: %v", err)
	}
}

func TestProducersSurviveStopAndKill(t *testing.T) {
	e := newEnv(t)
	seq := int32(0)
	for i, stop := range []func(*Store){func(s *Store) { mustClose(t, s) }, (*Store).Kill, (*Store).Kill} {
		s := e.open(t)
		l := mustCreate(t, s, "topic", e.opts.DefaultConfig)
		if seq > 0 {
			a := mustAppend(t, l, idempotent(t, 7, 0, seq-1, fmt.Sprint(seq-1)))
			if !a.Duplicate || a.FirstOffset != int64(seq-1) {
				t.Errorf("start %d: retry answered with %+v", i, a)
			}
		}
		for range 3 {
			if a := mustAppend(t, l, idempotent(t, 7, 0, seq, fmt.Sprint(seq))); a.Duplicate {
				t.Errorf("start %d: %+v", i, a)
			}
			seq++
		}
		stop(s)
	}
}

func TestTransactionMarkers(t *testing.T) {
	_, l := openTestLog(t, nil)
	p := record.Producer{ID: 4, Epoch: 0, BaseSequence: 0}
	mustAppend(t, l, batch(t, 1, "before"))
	mustAppend(t, l, batchOf(t, record.BuilderOptions{Producer: &p, Transactional: true}, 1, "in", "side"))
	mustAppend(t, l, batch(t, 1, "beside"))
	l.SetHighWatermark(4)
	if lso := l.LastStableOffset(); lso != 1 {
		t.Errorf("last stable offset %d, want 1", lso)
	}
	marker, err := record.EndTxnMarker(record.ControlAbort, p, 9, testStart.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendAsLeader(marker, 0, Client); err == nil {
		t.Error("a client wrote a marker")
	}
	if _, err := l.AppendAsLeader(marker, 0, Coordinator); err != nil {
		t.Fatal(err)
	}
	if lso := l.LastStableOffset(); lso != 1 {
		t.Errorf("last stable offset %d before the marker is replicated, want 1", lso)
	}
	l.SetHighWatermark(5)
	if lso := l.LastStableOffset(); lso != 5 {
		t.Errorf("last stable offset %d, want 5", lso)
	}
	txns, err := l.Aborted(0, 5)
	if err != nil || len(txns) != 1 || txns[0].ProducerID != 4 || txns[0].FirstOffset != 1 || txns[0].LastOffset != 4 {
		t.Errorf("%+v %v", txns, err)
	}
	var fenced *CoordinatorFencedError
	if marker, err = record.EndTxnMarker(record.ControlCommit, p, 8, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendAsLeader(marker, 0, Coordinator); !errors.As(err, &fenced) {
		t.Errorf("marker of an old coordinator: %v", err)
	}
}

func TestFollowerKeepsOffsets(t *testing.T) {
	_, leader := openTestLog(t, nil)
	_, follower := openTestLog(t, nil)
	for i := range 10 {
		mustAppend(t, leader, idempotent(t, 1, 0, int32(i), fmt.Sprint(i)))
	}
	var all []byte
	for _, b := range readAll(t, leader, 0) {
		all = append(all, b...)
	}
	a, err := follower.AppendAsFollower(all)
	if err != nil || a.FirstOffset != 0 || a.NextOffset != 10 {
		t.Fatalf("%+v %v", a, err)
	}
	var unexpected *UnexpectedOffsetError
	if _, err := follower.AppendAsFollower(all); !errors.As(err, &unexpected) || follower.LogEndOffset() != 10 {
		t.Errorf("the same again: %v", err)
	}
	// It takes over: the producer's retry is known.
	if a := mustAppend(t, follower, idempotent(t, 1, 0, 9, "9")); !a.Duplicate || a.FirstOffset != 9 {
		t.Errorf("%+v", a)
	}
}

func TestFlushMessages(t *testing.T) {
	for every, want := range map[int64][]bool{1: {true, true, true, true}, 3: {false, false, true, false}, math.MaxInt64: {false, false, false, false}} {
		_, l := openTestLog(t, func(c *Config) { c.FlushMessages = every })
		for i, must := range want {
			a := mustAppend(t, l, batch(t, 1, "x"))
			if a.MustSync != must {
				t.Errorf("flush.messages=%d, record %d: MustSync %v", every, i, a.MustSync)
			}
			if !must {
				continue
			}
			if err := waitSynced(l, a.NextOffset); err != nil || l.SyncedOffset() < a.NextOffset {
				t.Errorf("flush.messages=%d: synced %d, %v", every, l.SyncedOffset(), err)
			}
		}
	}
}

func TestFlushMs(t *testing.T) {
	e, l := openTestLog(t, func(c *Config) { c.FlushMs = 200 })
	mustAppend(t, l, batch(t, 1, "x"))
	e.clock.Advance(199 * time.Millisecond)
	if l.SyncedOffset() != 0 {
		t.Error("synced before flush.ms")
	}
	e.clock.Advance(time.Millisecond)
	testkit.WaitFor(t, "the sync", func() bool { return l.SyncedOffset() == 1 && l.RecoveryPoint() == 1 })
}

// TestSealedSegmentsAreSyncedLater: the second look after a roll syncs what was sealed before
// the first, and not what was appended since.
func TestSealedSegmentsAreSyncedLater(t *testing.T) {
	e := newEnv(t)
	e.opts.Inline = false
	l := mustCreate(t, e.open(t), "topic", e.opts.DefaultConfig)
	mustAppend(t, l, batch(t, 1, "a", "b"))
	mustAppend(t, l, batch(t, 1, "c"))
	if err := l.chain.Roll(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batch(t, 1, "d"))
	e.clock.Advance(sealedSyncMs * time.Millisecond)
	if got := l.SyncedOffset(); got != 0 {
		t.Errorf("synced below %d at the first look", got)
	}
	e.clock.Advance(sealedSyncMs * time.Millisecond)
	testkit.WaitFor(t, "the sync", func() bool { return l.RecoveryPoint() > 0 })
	if got := l.SyncedOffset(); got != 3 || l.RecoveryPoint() != 3 {
		t.Errorf("synced below %d, recovery point %d; want 3", got, l.RecoveryPoint())
	}
}

// TestSmallSegmentsDoNotPileUp: many rolls do not wait for the next look.
func TestSmallSegmentsDoNotPileUp(t *testing.T) {
	e := newEnv(t)
	e.opts.Inline = false
	l := mustCreate(t, e.open(t), "topic", e.opts.DefaultConfig)
	for range maxSnapshotsDue {
		mustAppend(t, l, batch(t, 1, "x"))
		if err := l.chain.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(t, "the sync", func() bool { return l.RecoveryPoint() == maxSnapshotsDue })
}

func TestRetention(t *testing.T) {
	const hour = 3_600_000
	now := testStart.UnixMilli()
	fill := func(l *Log, ages ...int64) {
		for _, age := range ages {
			ts := now - age*hour
			if age < 0 {
				ts = -1
			}
			mustAppend(t, l, batch(t, ts, strings.Repeat("x", 1000)))
			l.chain.Roll()
		}
		l.SetHighWatermark(l.LogEndOffset())
	}
	for _, c := range []struct {
		name      string
		change    func(*Config)
		ages      []int64
		hw        int64
		wantStart int64
	}{
		{"time", func(c *Config) { c.RetentionMs = 5 * hour }, []int64{9, 7, 6, 4, 1}, 5, 3},
		{"time, all", func(c *Config) { c.RetentionMs = hour / 2 }, []int64{9, 7, 6}, 3, 3},
		{"time, a young one in front", func(c *Config) { c.RetentionMs = 5 * hour }, []int64{1, 7, 6}, 3, 0},
		{"time, above the high watermark", func(c *Config) { c.RetentionMs = 5 * hour }, []int64{9, 7, 6}, 2, 2},
		{"time, never", func(c *Config) { c.RetentionMs = -1 }, []int64{9, 7}, 2, 0},
		{"time, without timestamps the file's counts", func(c *Config) { c.RetentionMs = 5 * hour }, []int64{-1, -1}, 2, 0},
		{"size", func(c *Config) { c.RetentionMs, c.RetentionBytes = -1, 2500 }, []int64{1, 1, 1, 1}, 4, 1},
		{"size, exactly", func(c *Config) { c.RetentionMs, c.RetentionBytes = -1, 0 }, []int64{1, 1}, 2, 2},
		{"compact", func(c *Config) { c.RetentionMs, c.CleanupDelete, c.CleanupCompact = 1, false, true }, []int64{9, 9}, 2, 0},
	} {
		_, l := openTestLog(t, func(cfg *Config) {
			cfg.TimestampAfterMaxMs = math.MaxInt64
			c.change(cfg)
		})
		fill(l, c.ages...)
		l.hw.Store(c.hw)
		if _, err := l.EnforceRetention(testStart); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if l.LogStartOffset() != c.wantStart || l.LogEndOffset() != int64(len(c.ages)) {
			t.Errorf("%s: %d to %d, want %d", c.name, l.LogStartOffset(), l.LogEndOffset(), c.wantStart)
		}
		if a := mustAppend(t, l, batch(t, now, "on")); a.FirstOffset != int64(len(c.ages)) {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

func TestRetentionRollsTheActiveSegment(t *testing.T) {
	e, l := openTestLog(t, func(c *Config) { c.RetentionMs, c.FileDeleteDelayMs = 1000, 500 })
	mustAppend(t, l, batch(t, testStart.UnixMilli(), "old"))
	l.SetHighWatermark(1)
	if n, err := l.EnforceRetention(testStart.Add(time.Second)); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := l.EnforceRetention(testStart.Add(1001 * time.Millisecond)); n != 1 || err != nil || l.LogStartOffset() != 1 {
		t.Errorf("%d, %v, log start %d", n, err, l.LogStartOffset())
	}
	if n, err := l.EnforceRetention(testStart.Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("an empty segment: %d, %v", n, err)
	}
	if names := fileNames(t, e, l); !strings.Contains(names, "00000000000000000001.log") || strings.Contains(names, ".deleted") {
		t.Error(names)
	}
}

func fileNames(t *testing.T, e *env, l *Log) string {
	t.Helper()
	entries, err := e.fs.ReadDir(l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func TestDeleteRecords(t *testing.T) {
	e := newEnv(t)
	s := e.open(t)
	l := mustCreate(t, s, "topic", e.opts.DefaultConfig)
	for range 10 {
		mustAppend(t, l, batch(t, 1, "a", "b"))
	}
	l.SetHighWatermark(18)
	var outOfRange *OffsetOutOfRangeError
	for _, bad := range []int64{19, -2} {
		if _, err := l.DeleteRecordsBefore(bad); !errors.As(err, &outOfRange) {
			t.Errorf("before %d: %v", bad, err)
		}
	}
	if start, err := l.DeleteRecordsBefore(7); start != 7 || err != nil {
		t.Error(start, err)
	}
	if start, err := l.DeleteRecordsBefore(3); start != 7 || err != nil {
		t.Error("backwards:", start, err)
	}
	if _, err := l.Read(6, 100, 20, true); !errors.As(err, &outOfRange) || outOfRange.Start != 7 {
		t.Error(err)
	}
	s.Kill() // the log start survives even that
	s = e.open(t)
	l, _ = s.Get(TopicPartition{"topic", 0})
	if l.LogStartOffset() != 7 || l.LogEndOffset() != 20 {
		t.Errorf("%d to %d", l.LogStartOffset(), l.LogEndOffset())
	}
	l.SetHighWatermark(20)
	if start, err := l.DeleteRecordsBefore(UpToHighWatermark); start != 20 || err != nil {
		t.Error(start, err)
	}
}

func TestOffsetsByTimestamp(t *testing.T) {
	_, l := openTestLog(t, nil)
	for i := range int64(10) {
		if _, err := l.AppendAsLeader(batch(t, 1000+i*10, "x"), int32(i/5), Client); err != nil {
			t.Fatal(err)
		}
	}
	if offset, ts, epoch, found, err := l.OffsetForTimestamp(1035); offset != 4 || ts != 1040 || epoch != 0 || !found || err != nil {
		t.Error(offset, ts, epoch, found, err)
	}
	if offset, ts, epoch, found, err := l.OffsetOfMaxTimestamp(); offset != 9 || ts != 1090 || epoch != 1 || !found || err != nil {
		t.Error(offset, ts, epoch, found, err)
	}
	if _, _, _, found, err := l.OffsetForTimestamp(2000); found || err != nil {
		t.Error(found, err)
	}
}

func TestAppendCostsNoAllocation(t *testing.T) {
	_, l := openTestLog(t, nil)
	b, p := batch(t, testStart.UnixMilli(), "x"), idempotent(t, 3, 0, 0, "y")
	mustAppend(t, l, b)
	mustAppend(t, l, p)
	allocs := testing.AllocsPerRun(200, func() {
		mustAppend(t, l, b)
		p[56]++ // the sequence number; wraps after 256, and so answers from the window
		resealCRC(p)
		if _, err := l.AppendAsLeader(p, 0, Client); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestConcurrentUse appends, reads, flushes, rolls, trims and deletes at once, for the race
// detector, and finds every record where its append said.
func TestConcurrentUse(t *testing.T) {
	e := newEnv(t)
	e.opts.Inline = false
	cfg := e.opts.DefaultConfig
	cfg.SegmentBytes, cfg.FlushMessages = 8<<10, 10
	l := mustCreate(t, e.open(t), "topic", cfg)
	var wg, appenders sync.WaitGroup
	stop := make(chan struct{})
	where := make([]map[int64]string, 4)
	for i := range where {
		where[i] = make(map[int64]string)
		appenders.Go(func() {
			for n := range 150 {
				v := fmt.Sprint(i, " ", n)
				a, err := l.AppendAsLeader(batch(t, testStart.UnixMilli(), v), 0, Client)
				if err != nil {
					t.Error(err)
					return
				}
				where[i][a.FirstOffset] = v
				l.SetHighWatermark(a.NextOffset)
				if a.MustSync {
					if err := waitSynced(l, a.NextOffset); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	loop := func(f func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loop(func() error { return readSome(l) })
	loop(l.Sync)
	loop(func() error {
		l.appendMu.Lock()
		defer l.appendMu.Unlock()
		return l.chain.Idle()
	})
	loop(func() error {
		if l.LastStableOffset() > l.HighWatermark() || l.HighWatermark() > l.LogEndOffset() {
			return errors.New("watermarks out of order")
		}
		_, err := l.EnforceRetention(testStart)
		return err
	})
	appenders.Wait()
	close(stop)
	wg.Wait()
	offsets, vals := values(t, l)
	if len(vals) != 600 {
		t.Fatalf("%d records", len(vals))
	}
	for i, offset := range offsets {
		var n int
		fmt.Sscan(vals[i], &n)
		if where[n][offset] != vals[i] {
			t.Fatalf("offset %d holds %q", offset, vals[i])
		}
	}
}

func readSome(l *Log) error {
	hw := l.HighWatermark()
	rng, err := l.Read(hw/2, 4<<10, hw, true)
	if err != nil || rng.LenBytes == 0 {
		return err
	}
	defer rng.Release()
	buf := make([]byte, rng.LenBytes)
	if err := rng.CopyTo(buf); err != nil {
		return err
	}
	for len(buf) > 0 {
		b, rest, err := record.Next(buf)
		if err != nil {
			return err
		}
		if b.LastOffset() >= hw {
			return fmt.Errorf("a batch up to %d is served below %d", b.LastOffset(), hw)
		}
		if err := b.CheckCRC(); err != nil {
			return err
		}
		buf = rest
	}
	return nil
}
