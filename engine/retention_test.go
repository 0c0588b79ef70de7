package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/record"
)

// retained is a log of one record a segment, with the given timestamps; its files were
// written last at the test's start.
func retained(t *testing.T, cfg Config, e *env, timestamps ...int64) (*Store, *Log) {
	t.Helper()
	cfg.TimestampAfterMaxMs = noLagLimit
	s := e.open(t)
	l := mustCreate(t, s, "r", cfg)
	for i, ts := range timestamps {
		if i > 0 {
			roll(t, l)
		}
		put(t, l, ts, fmt.Sprint("k", i), val)
	}
	setModTimes(t, l, testStart)
	return s, l
}

func setModTimes(t *testing.T, l *Log, at time.Time) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(l.Dir(), "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func retentionConfig() Config {
	cfg := DefaultConfig()
	cfg.RetentionMs = time.Hour.Milliseconds()
	return cfg
}

func enforce(t *testing.T, s *Store, l *Log, when, want string) {
	t.Helper()
	s.EnforceRetention()
	if err := l.Failure(); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, l, when, want)
}

// TestTimestampsInTheFuture: one record of a client whose clock is wrong must not keep its
// segment, and all later ones, for years. Its segment ages with its file.
func TestTimestampsInTheFuture(t *testing.T) {
	e := newEnv(t)
	now := testStart.UnixMilli()
	year := 365 * 24 * time.Hour
	s, l := retained(t, retentionConfig(), e, now, now+year.Milliseconds(), now, now)
	e.clock.Advance(time.Hour)
	enforce(t, s, l, "within retention", "0:k0 1:k1 2:k2 3:k3")
	e.clock.Advance(time.Second)
	enforce(t, s, l, "over: the active one too", "")
	if l.LogStartOffset() != 4 || l.LogEndOffset() != 4 {
		t.Errorf("log %d to %d", l.LogStartOffset(), l.LogEndOffset())
	}
}

// TestAFutureTimestampInTheActiveSegment: the time of its file is trusted less, because stores
// through a mapping move it late.
func TestAFutureTimestampInTheActiveSegment(t *testing.T) {
	e := newEnv(t)
	s, l := retained(t, retentionConfig(), e, testStart.Add(time.Hour*1000).UnixMilli())
	e.clock.Advance(time.Hour + mappedLag)
	enforce(t, s, l, "maybe written lately", "0:k0")
	e.clock.Advance(time.Millisecond)
	enforce(t, s, l, "over", "")
}

// TestFilesAreYoungerThanTheirRecords: a copied or restored folder has new files; the records'
// own time counts where it is possible.
func TestFilesAreYoungerThanTheirRecords(t *testing.T) {
	e := newEnv(t)
	old := testStart.Add(-2 * time.Hour).UnixMilli()
	s, l := retained(t, retentionConfig(), e, old, old, testStart.UnixMilli())
	enforce(t, s, l, "two are due", "2:k2")
}

// TestRecordsWithoutTimestamps age with their file.
func TestRecordsWithoutTimestamps(t *testing.T) {
	e := newEnv(t)
	s, l := retained(t, retentionConfig(), e, record.NoTimestamp, record.NoTimestamp, testStart.UnixMilli()+1000)
	e.clock.Advance(time.Hour)
	enforce(t, s, l, "young", "0:k0 1:k1 2:k2")
	e.clock.Advance(time.Millisecond)
	enforce(t, s, l, "due", "2:k2")
}

// TestRetentionLoweredWhileRunning takes effect with the next check, for all segments that are
// due then, the active one included; raising it keeps what is left.
func TestRetentionLoweredWhileRunning(t *testing.T) {
	e := newEnv(t)
	now := testStart.UnixMilli()
	s, l := retained(t, retentionConfig(), e, now-3000, now-2000, now-1000, now)
	enforce(t, s, l, "an hour", "0:k0 1:k1 2:k2 3:k3")
	cfg := l.Config()
	cfg.RetentionMs = 1500
	l.SetConfig(cfg)
	enforce(t, s, l, "1.5 s", "2:k2 3:k3")
	cfg.RetentionMs = time.Hour.Milliseconds()
	l.SetConfig(cfg)
	e.clock.Advance(time.Minute)
	enforce(t, s, l, "an hour again", "2:k2 3:k3")
	cfg.RetentionMs = 1
	l.SetConfig(cfg)
	enforce(t, s, l, "1 ms", "")
	if put(t, l, now, "next", val) != 4 {
		t.Error("offsets were given out again")
	}
	cfg.RetentionMs, cfg.RetentionBytes = -1, 1
	l.SetConfig(cfg)
	roll(t, l)
	put(t, l, now, "last", val)
	enforce(t, s, l, "by size, keeping as much as the limit", "5:last")
}

// TestEmptySegments: an empty active segment is not rolled again and again, and one that
// compaction emptied does not hold up what is due behind it.
func TestEmptySegments(t *testing.T) {
	e := newEnv(t)
	cfg := retentionConfig()
	cfg.CleanupCompact, cfg.MinCleanableRatio = true, 0
	cfg.SegmentBytes = 150 // two records
	now := testStart.UnixMilli()
	s, l := retained(t, cfg, e, now, now)
	for range 3 {
		roll(t, l)
		put(t, l, now, "k0", val)
	}
	roll(t, l)
	clean(t, s)
	wantLeft(t, l, "cleaned", "1:k1 4:k0")
	if list := l.chain.Segments(); len(list) != 4 || list[1].SizeBytes != 0 {
		t.Fatalf("%+v", list)
	}
	setModTimes(t, l, testStart.Add(50*time.Hour)) // as if it was cleaned just now
	e.clock.Advance(time.Hour)
	enforce(t, s, l, "young", "1:k1 4:k0")
	e.clock.Advance(time.Second)
	enforce(t, s, l, "due", "")
	if segments := l.chain.Segments(); len(segments) != 1 || segments[0].Base != 5 {
		t.Errorf("%+v", segments)
	}
	for range 3 {
		if n := s.EnforceRetention(); n != 0 {
			t.Errorf("%d segments of an empty log went", n)
		}
	}
}

// TestCompactAndDelete: both policies at once; a log that is only compacted keeps its records
// whatever their age.
func TestCompactAndDelete(t *testing.T) {
	for _, both := range []bool{true, false} {
		e := newEnv(t)
		cfg := retentionConfig()
		cfg.CleanupCompact, cfg.CleanupDelete, cfg.MinCleanableRatio = true, both, 0
		now := testStart.UnixMilli()
		s, l := retained(t, cfg, e, now, now+1000, now+2000)
		put(t, l, now+2000, "k0", val)
		roll(t, l)
		clean(t, s)
		wantLeft(t, l, "cleaned", "1:k1 2:k2 3:k0")
		e.clock.Advance(time.Hour + 3*time.Second)
		want := "1:k1 2:k2 3:k0"
		if both {
			want = ""
		}
		enforce(t, s, l, fmt.Sprintf("an hour later, delete too: %v", both), want)
		clean(t, s)
		put(t, l, e.clock.Now().UnixMilli(), "k9", val)
		roll(t, l)
		clean(t, s)
	}
}

// TestRetentionWaitsForTheHighWatermark: what is not replicated is not removed.
func TestRetentionWaitsForTheHighWatermark(t *testing.T) {
	e := newEnv(t)
	s := e.open(t)
	l := mustCreate(t, s, "r", retentionConfig())
	for range 3 {
		mustAppend(t, l, batch(t, testStart.UnixMilli(), "x"))
		roll(t, l)
	}
	l.SetHighWatermark(1)
	e.clock.Advance(2 * time.Hour)
	if n := s.EnforceRetention(); n != 1 || l.LogStartOffset() != 1 {
		t.Errorf("%d segments went, log start %d", n, l.LogStartOffset())
	}
}
