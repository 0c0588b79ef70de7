package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// opens matches every call that needs a descriptor or a mapping.
var opens = errorfs.Kinds(errorfs.Open, errorfs.Create, errorfs.SyncDir, errorfs.ReadDir, errorfs.Map)

// starve answers as a process does that has no descriptor left, and no mapping.
func starve(rule errorfs.Rule) errorfs.Rule {
	return func(op errorfs.Op) errorfs.Fault {
		f := rule(op)
		if f.Err != nil && op.Kind == errorfs.Map {
			f.Err = vfs.ErrNoMapping
		}
		return f
	}
}

// TestDescriptorsRunOut refuses each open of a store's work in turn, once and for good. No
// log and no directory fails of it, and when descriptors are there again everything that
// was acknowledged is read back from the same store, which goes on.
func TestDescriptorsRunOut(t *testing.T) {
	for _, c := range []struct {
		name string
		rule func(int64, errorfs.Fault, errorfs.Match) errorfs.Rule
		err  error
	}{
		{"one EMFILE", errorfs.Once, syscall.EMFILE},
		{"EMFILE from then on", errorfs.From, syscall.EMFILE},
		{"one ENFILE", errorfs.Once, syscall.ENFILE},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runs := errorfs.EachCall(c.rule, errorfs.Fault{Err: c.err}, opens, func(n int64, rule errorfs.Rule) bool {
				disk := memfs.New()
				fsys := errorfs.Wrap(disk, nil)
				e := memEnv(t, fsys)
				s, err := OpenStore(context.Background(), e.opts)
				if err != nil {
					t.Fatal(err)
				}
				fsys.SetRule(starve(rule))
				if err := starvedLife(t, s, e, fsys); err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				if err := s.Close(context.Background()); err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				if leaks := disk.Leaks(); len(leaks) > 0 {
					t.Errorf("call %d: left open %q", n, leaks)
				}
				if v := disk.Violations(); len(v) > 0 {
					t.Errorf("call %d: %q", n, v)
				}
				return !t.Failed()
			})
			t.Logf("%d runs", runs)
			if runs < 40 {
				t.Error("too few calls were seen")
			}
		})
	}
}

// starvedLife appends, rolls, syncs, idles, reads, retains, checkpoints and deletes while
// calls are refused, and again when none is.
func starvedLife(t *testing.T, s *Store, e *env, fsys *errorfs.FS) error {
	acked := make(map[int64][]byte)
	tp := TopicPartition{"t", 0}
	refused := func(err error) error {
		var limit *TooManyFilesError
		var empty *OffsetOutOfRangeError
		if err == nil || errors.As(err, &limit) || errors.As(err, &empty) {
			return nil
		}
		return err
	}
	var l *Log
	for range 3 {
		var err error
		if l, err = s.Create(tp, [16]byte{1}, e.opts.DefaultConfig); err == nil {
			break
		}
		if refused(err) != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	if l == nil {
		fsys.SetRule(nil)
		var err error
		if l, err = s.Create(tp, [16]byte{1}, e.opts.DefaultConfig); err != nil {
			return fmt.Errorf("create with descriptors: %w", err)
		}
	}
	other, otherErr := s.Create(TopicPartition{"other", 0}, [16]byte{2}, e.opts.DefaultConfig)
	var errs []error
	work := func() {
		for i := range 14 {
			b := batch(t, testStart.UnixMilli(), fmt.Sprint(i), strings.Repeat("y", 150))
			a, err := l.AppendAsLeader(b, 0, Client)
			errs = append(errs, refused(err))
			if err == nil {
				acked[a.FirstOffset] = bytes.Clone(b)
			}
			switch i {
			case 4, 9:
				errs = append(errs, refused(l.Sync()))
			case 6:
				s.goIdle()
				s.goIdle()
				s.goIdle()
			case 7:
				_, err := l.ReadBatch(0, nil)
				errs = append(errs, refused(err))
				_, _, _, _, err = l.OffsetForTimestamp(testStart.UnixMilli())
				errs = append(errs, refused(err))
			}
		}
		s.eachDir((*logDir).saveRecoveryPoints)
		s.eachDir((*logDir).saveHighWatermarks)
		s.EnforceRetention()
	}
	work()
	if otherErr == nil {
		errs = append(errs, s.Delete(other.tp))
		s.EnforceRetention()
	}
	fsys.SetRule(nil)
	work()
	errs = append(errs, l.Failure(), s.Dirs()[0].Err, l.Sync())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, b := range readAll(t, l, l.LogStartOffset()) {
		if want, ok := acked[b.BaseOffset()]; ok && !bytes.Equal(want, b) {
			return fmt.Errorf("the batch at %d changed", b.BaseOffset())
		}
		delete(acked, b.BaseOffset())
	}
	if len(acked) > 0 {
		return fmt.Errorf("%d batches are gone", len(acked))
	}
	if l.SyncedOffset() != l.LogEndOffset() {
		return fmt.Errorf("synced to %d of %d", l.SyncedOffset(), l.LogEndOffset())
	}
	return nil
}

// TestRetentionWithoutDescriptors: a segment whose timestamps cannot be read is not taken
// for an old one, and segments that were let go come out of the way later.
func TestRetentionWithoutDescriptors(t *testing.T) {
	runs := errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: syscall.EMFILE}, opens, func(n int64, rule errorfs.Rule) bool {
		fsys := errorfs.Wrap(memfs.New(), nil)
		e := memEnv(t, fsys)
		s, err := OpenStore(context.Background(), e.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Kill()
		cfg := e.opts.DefaultConfig
		cfg.RetentionMs, cfg.FileDeleteDelayMs = 1000, 0
		l := mustCreate(t, s, "t", cfg)
		for i := range 12 {
			// The first third is old by its timestamps, and the rest is not, whatever its files say.
			ts := testStart.UnixMilli() - 10_000
			if i >= 4 {
				ts = testStart.UnixMilli() + 10_000
			}
			mustAppend(t, l, batch(t, ts, strings.Repeat("y", 400)))
		}
		l.SetHighWatermark(l.LogEndOffset())
		s.goIdle()
		s.goIdle()
		s.goIdle()
		fsys.SetRule(starve(rule))
		e.clock.Advance(5 * time.Second)
		s.EnforceRetention()
		fsys.SetRule(nil)
		s.EnforceRetention()
		if got := l.LogStartOffset(); got != 4 {
			t.Errorf("call %d: the log starts at %d, not 4", n, got)
		}
		if got := len(readAll(t, l, 4)); got != 8 {
			t.Errorf("call %d: %d batches, not 8", n, got)
		}
		if err := errors.Join(l.Failure(), s.Dirs()[0].Err, l.Sync()); err != nil {
			t.Errorf("call %d: %v", n, err)
		}
		return !t.Failed()
	})
	if runs < 3 {
		t.Errorf("%d runs: too few calls were seen", runs)
	}
}

// TestSyncWaitsForDescriptors: who waits for a sync is not told of an error, but gets the
// sync when there are descriptors again.
func TestSyncWaitsForDescriptors(t *testing.T) {
	fsys := errorfs.Wrap(memfs.New(), nil)
	e := memEnv(t, fsys)
	s, err := OpenStore(context.Background(), e.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	l := mustCreate(t, s, "t", e.opts.DefaultConfig)
	mustAppend(t, l, batch(t, 1, "a"))
	s.goIdle()
	s.goIdle()
	s.goIdle()
	tried := make(chan struct{}, 1)
	fsys.SetRule(func(op errorfs.Op) errorfs.Fault {
		if !opens(op) {
			return errorfs.Fault{}
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return errorfs.Fault{Err: syscall.EMFILE}
	})
	w := make(waiter, 1)
	l.WhenSynced(1, w)
	<-tried
	fsys.SetRule(nil)
	for done := false; !done; {
		select {
		case err := <-w:
			if err != nil {
				t.Errorf("the waiter was told %v", err)
			}
			done = true
		default:
			e.clock.Advance(time.Second)
		}
	}
	if l.SyncedOffset() != 1 {
		t.Errorf("synced to %d", l.SyncedOffset())
	}
}

// TestBudget appends to many more logs than descriptors are there for, in turn, twice, with
// consumers reading old segments, and never holds more of them than its share.
func TestBudget(t *testing.T) {
	const limit, logs = 60, 200
	disk := memfs.New()
	e := &env{fs: disk, clock: testkit.NewClock(testStart), dir: "/data"}
	e.opts = e.storeOptions(t)
	e.opts.Log = quiet()
	e.opts.DefaultConfig.SegmentBytes = 1000
	e.opts.FileLimit = limit
	s, err := OpenStore(context.Background(), e.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var all []*Log
	for i := range logs {
		l, err := s.Create(TopicPartition{"t", int32(i)}, [16]byte{1}, e.opts.DefaultConfig)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	most := int64(0)
	for round := range 6 {
		for _, l := range all {
			mustAppend(t, l, batch(t, 1, fmt.Sprint(round), strings.Repeat("y", 300)))
			most = max(most, s.budget.files.Load())
		}
	}
	for i, l := range all {
		if _, got := values(t, l); len(got) != 12 {
			t.Fatalf("log %d: %d values of 12", i, len(got))
		}
		most = max(most, s.budget.files.Load())
	}
	if most < limit/4 || most >= limit {
		t.Errorf("up to %d descriptors of %d were held", most, limit)
	}
	mustClose(t, s)
	if n, m := s.budget.files.Load(), s.budget.maps.Load(); n != 0 || m != 0 {
		t.Errorf("%d descriptors and %d mappings are still counted", n, m)
	}
}

// TestBudgetKeepsRecentlyUsed: a log that is appended to all the time is not closed for
// others that are not.
func TestBudgetKeepsRecentlyUsed(t *testing.T) {
	opened := 0
	fsys := errorfs.Wrap(memfs.New(), func(op errorfs.Op) errorfs.Fault {
		if (op.Kind == errorfs.Create || op.Kind == errorfs.Open) && strings.Contains(op.Path, "busy-0/") && strings.HasSuffix(op.Path, ".log") {
			opened++
		}
		return errorfs.Fault{}
	})
	e := memEnv(t, fsys)
	e.opts.DefaultConfig.SegmentBytes = 1 << 20
	e.opts.FileLimit = 40
	s := e.open(t)
	busy := mustCreate(t, s, "busy", e.opts.DefaultConfig)
	mustAppend(t, busy, batch(t, 1, "v"))
	before := opened
	for i := range 300 {
		l, err := s.Create(TopicPartition{"t", int32(i)}, [16]byte{1}, e.opts.DefaultConfig)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, batch(t, 1, "v"))
		mustAppend(t, busy, batch(t, 1, "v"))
	}
	if opened != before {
		t.Errorf("the busy log was opened %d times more", opened-before)
	}
}

// TestActiveLogHoldsOneDescriptor: the mappings of the indexes outlive their descriptors.
func TestActiveLogHoldsOneDescriptor(t *testing.T) {
	e := newEnv(t)
	e.opts.FileLimit = 1000
	s := e.open(t)
	l := mustCreate(t, s, "t", e.opts.DefaultConfig)
	for range 40 {
		mustAppend(t, l, batch(t, 1, strings.Repeat("y", 1000)))
	}
	if n, m := s.budget.files.Load(), s.budget.maps.Load(); n != 1 || m != 3 {
		t.Errorf("%d descriptors and %d mappings are held, not 1 and 3", n, m)
	}
}
