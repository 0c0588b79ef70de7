package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// moveEnv is a store of two directories in memory.
func moveEnv(t *testing.T, fsys vfs.FS) *env {
	e := memEnv(t, fsys)
	e.opts.Dirs = []string{"/a", "/b"}
	return e
}

var movedTP = TopicPartition{Topic: "t"}

// wanderer makes the log that the tests move: several segments, two leader epochs, a producer,
// a log start inside of a batch, everything durable.
func wanderer(t *testing.T, s *Store) *Log {
	t.Helper()
	l, err := s.Create(movedTP, [16]byte{1}, s.o.DefaultConfig)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 150)
	for i := range 10 {
		b := idempotent(t, 7, 0, int32(3*i), fmt.Sprint("a", i, long), fmt.Sprint("b", i), fmt.Sprint("c", i))
		if _, err := l.AppendAsLeader(b, int32(i/5), Client); err != nil {
			t.Fatal(err)
		}
	}
	l.SetHighWatermark(l.LogEndOffset())
	if _, err := l.DeleteRecordsBefore(4); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	return l
}

// move takes the log to the other directory, with an append between copy and finish.
func move(t *testing.T, s *Store, l *Log) (*Log, error) {
	t.Helper()
	to := map[string]string{"/a": "/b", "/b": "/a"}[l.LogDir()]
	m, err := s.BeginMove(l.TopicPartition(), to)
	if err != nil {
		return nil, err
	}
	if err = m.Copy(func(int) bool { return true }); err == nil {
		_, err = l.AppendAsLeader(idempotent(t, 7, 0, 30, "last"), 1, Client)
	}
	var next *Log
	if err == nil {
		next, err = m.Finish()
	}
	if err != nil {
		m.Abort()
	}
	return next, err
}

// homes are the folders of the partition, and what other folders there are.
func homes(t *testing.T, fsys vfs.FS) (homes, others []string) {
	t.Helper()
	for _, dir := range []string{"/a", "/b"} {
		entries, err := fsys.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			switch {
			case e.Name() == movedTP.String():
				homes = append(homes, path.Join(dir, e.Name()))
			case e.IsDir():
				others = append(others, path.Join(dir, e.Name()))
			}
		}
	}
	return homes, others
}

func TestMove(t *testing.T) {
	disk := memfs.New()
	e := moveEnv(t, disk)
	s := e.open(t)
	old := wanderer(t, s)
	_, want := values(t, old)
	epochs, producers := old.EpochEntries(), old.ActiveProducers()
	from := old.LogDir()

	w := make(waiter, 1)
	l, err := move(t, s, old)
	if err != nil {
		t.Fatal(err)
	}
	old.WhenSynced(old.LogEndOffset()+1, w)
	if err := <-w; !errors.Is(err, ErrMoved) || !errors.Is(err, ErrClosed) {
		t.Errorf("who waits for the old log is told %v", err)
	}
	if _, err := old.AppendAsLeader(batch(t, 1, "x"), 1, Client); !errors.Is(err, ErrMoved) {
		t.Errorf("an append to the old log: %v", err)
	}
	check := func(what string, l *Log) {
		t.Helper()
		_, got := values(t, l)
		if !reflect.DeepEqual(got, append(want[:len(want):len(want)], "last")) {
			t.Errorf("%s: records %d, want %d and one", what, len(got), len(want))
		}
		if l.LogDir() == from || l.LogStartOffset() != 4 || l.LogEndOffset() != 31 || l.TopicID() != [16]byte{1} {
			t.Errorf("%s: in %s from %d to %d", what, l.LogDir(), l.LogStartOffset(), l.LogEndOffset())
		}
		if !reflect.DeepEqual(l.EpochEntries(), epochs) {
			t.Errorf("%s: epochs %v, want %v", what, l.EpochEntries(), epochs)
		}
		got2 := l.ActiveProducers()
		if len(got2) != 1 || got2[0].ID != producers[0].ID || got2[0].LastSequence != 30 {
			t.Errorf("%s: producers %+v", what, got2)
		}
		if here, others := homes(t, disk); len(here) != 1 || path.Dir(here[0]) != l.LogDir() {
			t.Errorf("%s: the partition lies in %v, beside %v", what, here, others)
		}
	}
	check("moved", l)
	if l.HighWatermark() != 30 || l.SyncedOffset() != 31 || l.RecoveryPoint() != 31 {
		t.Errorf("high watermark %d, synced %d, recovery point %d", l.HighWatermark(), l.SyncedOffset(), l.RecoveryPoint())
	}
	// An older batch of the producer is still recognised, which a snapshot would not know.
	if a, err := l.AppendAsLeader(idempotent(t, 7, 0, 24, "a8"+strings.Repeat("x", 150), "b8", "c8"), 1, Client); err != nil || !a.Duplicate || a.FirstOffset != 24 {
		t.Errorf("a repeated batch: %+v, %v", a, err)
	}
	if got, ok := s.Get(movedTP); !ok || got != l || len(s.Moves()) != 0 {
		t.Error("the store has another log")
	}
	l.SetHighWatermark(31)
	mustClose(t, s)
	s = e.open(t)
	l, _ = s.Get(movedTP)
	check("after a restart", l)
	if l.HighWatermark() != 31 || len(s.InterruptedMoves()) != 0 {
		t.Errorf("high watermark %d, interrupted %v", l.HighWatermark(), s.InterruptedMoves())
	}
	mustClose(t, s)
	if leaks := disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left open %q", leaks)
	}
}

// A log that was compacted keeps its holes and how far it was cleaned, and is not cleaned
// while it is copied.
func TestMoveOfACompactedLog(t *testing.T) {
	disk := memfs.New()
	e := moveEnv(t, disk)
	e.opts.DefaultConfig.CleanupCompact, e.opts.DefaultConfig.CleanupDelete = true, false
	e.opts.DefaultConfig.MinCleanableRatio = 0
	s := e.open(t)
	l := wanderer(t, s) // all records have one key
	if s.Clean() == 0 {
		t.Fatal("nothing was cleaned")
	}
	cleaned := l.cleanedTo.Load()
	offsets, want := values(t, l)
	if len(want) >= 26 || cleaned == never {
		t.Fatalf("%d records are left, cleaned to %d", len(want), cleaned)
	}
	m, err := s.BeginMove(movedTP, map[string]string{"/a": "/b", "/b": "/a"}[l.LogDir()])
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Clean(); n != 0 {
		t.Error("it was cleaned while it was copied")
	}
	next, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	check := func(l *Log) {
		t.Helper()
		o, got := values(t, l)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(o, offsets) || l.cleanedTo.Load() != cleaned {
			t.Errorf("offsets %v, want %v; cleaned to %d, want %d", o, offsets, l.cleanedTo.Load(), cleaned)
		}
	}
	check(next)
	s.Kill()
	s = e.open(t)
	l, _ = s.Get(movedTP)
	check(l)
	mustClose(t, s)
}

// What happens to the log while it is copied happens to the copy.
func TestMoveFollowsTheLog(t *testing.T) {
	for name, change := range map[string]func(l *Log) error{
		"deleted head": func(l *Log) error { _, err := l.DeleteRecordsBefore(25); return err },
		"retention": func(l *Log) error {
			cfg := l.Config()
			cfg.RetentionBytes = 500
			l.SetConfig(cfg)
			_, err := l.EnforceRetention(testStart)
			return err
		},
		"truncated":      func(l *Log) error { return l.TruncateTo(18) },
		"begun anew":     func(l *Log) error { return l.TruncateFullyAndStartAt(100) },
		"all deleted":    func(l *Log) error { _, err := l.DeleteRecordsBefore(UpToHighWatermark); return err },
		"nothing at all": func(*Log) error { return nil },
	} {
		for _, after := range []int{0, 1, 5} {
			disk := memfs.New()
			s := moveEnv(t, disk).open(t)
			l := wanderer(t, s)
			m, err := s.BeginMove(movedTP, map[string]string{"/a": "/b", "/b": "/a"}[l.LogDir()])
			if err != nil {
				t.Fatal(err)
			}
			for range after {
				if _, err := m.step(); err != nil {
					t.Fatal(err)
				}
			}
			if err := change(l); err != nil {
				t.Fatal(err)
			}
			start, end := l.LogStartOffset(), l.LogEndOffset()
			_, want := values(t, l)
			next, err := m.Finish()
			if err != nil {
				t.Fatalf("%s after %d steps: %v", name, after, err)
			}
			if _, got := values(t, next); !reflect.DeepEqual(got, want) || next.LogStartOffset() != start || next.LogEndOffset() != end {
				t.Errorf("%s after %d steps: from %d to %d, %d records, want %d to %d, %d", name, after, next.LogStartOffset(), next.LogEndOffset(), len(got), start, end, len(want))
			}
			mustClose(t, s)
		}
	}
}

func TestMoveRefusals(t *testing.T) {
	s := moveEnv(t, memfs.New()).open(t)
	l := wanderer(t, s)
	var unknown *UnknownDirError
	if _, err := s.BeginMove(movedTP, "/c"); !errors.As(err, &unknown) {
		t.Errorf("another folder: %v", err)
	}
	if _, err := s.BeginMove(TopicPartition{Topic: "x"}, "/b"); !errors.Is(err, ErrUnknownPartition) {
		t.Errorf("another partition: %v", err)
	}
	if _, err := s.BeginMove(movedTP, l.LogDir()); err == nil {
		t.Error("it was moved to where it is")
	}
	m, err := s.BeginMove(movedTP, map[string]string{"/a": "/b", "/b": "/a"}[l.LogDir()])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginMove(movedTP, "/b"); err == nil {
		t.Error("it was moved twice at once")
	}
	if got := s.Moves(); len(got) != 1 || got[0].OffsetLag != 30-3 {
		t.Errorf("moves %+v", got)
	}
	if err := s.Delete(movedTP); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Finish(); !errors.Is(err, ErrClosed) {
		t.Errorf("a deleted log was moved: %v", err)
	}
	m.Abort()
	m.Abort()
	if here, others := homes(t, s.o.FS); len(here) != 0 || len(others) != 1 || len(s.Moves()) != 0 {
		t.Errorf("left: %v %v", here, others)
	}
	mustClose(t, s)
}

// Whatever call fails, and whatever a power cut leaves at any of them, the partition is in one
// place afterwards, whole, and can be written to.
func TestMoveFailsAndCrashesAtEachStep(t *testing.T) {
	rng := testkit.Rand(t)
	crash := func(disk *memfs.FS, percent int, what string) {
		t.Helper()
		again := moveEnv(t, disk.CrashClone(rand.New(rand.NewPCG(rng.Uint64(), 1)), percent))
		s, err := OpenStore(context.Background(), again.opts)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer s.Kill()
		l, ok := s.Get(movedTP)
		if !ok {
			t.Errorf("%s: the partition is nowhere", what)
			return
		}
		_, got := values(t, l)
		if n := len(got); n < 26 || got[0] != "b1" || got[25] != "c9" {
			t.Errorf("%s: %d records", what, n)
		}
		if here, _ := homes(t, again.fs); len(here) != 1 {
			t.Errorf("%s: the partition lies in %v", what, here)
		}
		if _, err := l.AppendAsLeader(batch(t, testStart.UnixMilli(), "on"), 2, Client); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	match := errorfs.Writes() // what a power cut can come between
	if testkit.Rounds(t, "ROUNDS", 1) > 1 {
		match = errorfs.All() // and reads that fail
	}
	runs := errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: syscall.EIO}, match, func(n int64, rule errorfs.Rule) bool {
		disk := memfs.New()
		faulty := errorfs.Wrap(disk, nil)
		s, err := OpenStore(context.Background(), moveEnv(t, faulty).opts)
		if err != nil {
			t.Fatal(err)
		}
		l := wanderer(t, s)
		percent := int(n) % 3 * 50
		faulty.SetRule(func(op errorfs.Op) errorfs.Fault {
			f := rule(op)
			if f.Err != nil { // here the power goes, in another world
				crash(disk, percent, fmt.Sprintf("cut at call %d (%v %s), %d%%", n, op.Kind, op.Path, percent))
			}
			return f
		})
		next, err := move(t, s, l)
		faulty.SetRule(nil)
		what := fmt.Sprintf("call %d failed (%v)", n, err)
		live, _ := s.Get(movedTP)
		if (err == nil) != (live == next && live != l) {
			t.Errorf("%s: another log is in force", what)
		}
		if live.Failure() == nil {
			if _, got := values(t, live); len(got) < 26 {
				t.Errorf("%s: %d records", what, len(got))
			}
			if _, err := live.AppendAsLeader(batch(t, testStart.UnixMilli(), "on"), 1, Client); err != nil {
				t.Errorf("%s: append: %v", what, err)
			}
		}
		_ = s.Close(context.Background()) // where a directory failed it is not clean
		if leaks := disk.Leaks(); len(leaks) > 0 {
			t.Errorf("%s: left open %q", what, leaks)
		}
		if n%4 == 0 {
			crash(disk, 0, what+", stopped")
		}
		return !t.Failed()
	})
	t.Logf("%d runs", runs)
	if runs < 40 {
		t.Error("too few calls were seen")
	}
}

// A copy that a crash left is removed, and the move is told of.
func TestInterruptedMove(t *testing.T) {
	disk := memfs.New()
	e := moveEnv(t, disk)
	s := e.open(t)
	l := wanderer(t, s)
	to := map[string]string{"/a": "/b", "/b": "/a"}[l.LogDir()]
	m, err := s.BeginMove(movedTP, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, others := homes(t, disk); len(others) != 1 || !hasID(path.Base(others[0]), futureDirSuffix) || !strings.HasPrefix(path.Base(others[0]), "t-0.") {
		t.Errorf("the copy lies in %v", others)
	}
	m.Leave()
	mustClose(t, s)
	s = e.open(t)
	if got := s.InterruptedMoves(); len(got) != 1 || got[0] != (InterruptedMove{movedTP, to}) {
		t.Errorf("%+v", got)
	}
	e.clock.Advance(1)
	if _, others := homes(t, disk); len(others) != 0 {
		t.Errorf("%v is still there", others)
	}
	mustClose(t, s)
}
