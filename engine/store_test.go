package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

func wantSetupError(t *testing.T, e *env, change func(*StoreOptions), word string) {
	t.Helper()
	o := e.opts
	if change != nil {
		change(&o)
	}
	s, err := OpenStore(context.Background(), o)
	var setup *SetupError
	if !errors.As(err, &setup) || !strings.Contains(err.Error(), word) {
		t.Errorf("error %v, want one that says %q", err, word)
	}
	if err == nil {
		s.Kill()
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	e := newEnv(t)
	s := e.open(t)
	wantSetupError(t, e, nil, "another broker or process")
	mustClose(t, s)
	e.open(t)
}

func TestDirectoryBelongsToABroker(t *testing.T) {
	e := newEnv(t)
	e.opts.BrokerID, e.opts.ClusterID = 3, "cluster-a"
	mustClose(t, e.open(t))
	first, err := checkpoint.ParseMeta(mustRead(t, e.dir, "meta.properties"))
	if err != nil || first.NodeID != 3 || first.ClusterID != "cluster-a" || first.DirectoryID == ([16]byte{}) {
		t.Fatal(first, err)
	}
	wantSetupError(t, e, func(o *StoreOptions) { o.BrokerID = 4 }, "broker.id 3, but this is broker.id 4")
	wantSetupError(t, e, func(o *StoreOptions) { o.ClusterID = "cluster-b" }, "cluster.id cluster-a, but this is cluster.id cluster-b")
	mustClose(t, e.open(t))
	if again, err := checkpoint.ParseMeta(mustRead(t, e.dir, "meta.properties")); again != first || err != nil {
		t.Error(again, err)
	}
	mustWrite(t, filepath.Join(e.dir, "meta.properties"), []byte("version=9\n"))
	wantSetupError(t, e, nil, "version")
	mustWrite(t, filepath.Join(e.dir, "meta.properties"), []byte("version=1\nnode.id=3\ncluster.id=cluster-a\n"))
	e.open(t)
}

func TestPartitionInTwoDirectories(t *testing.T) {
	e := newEnv(t)
	other := t.TempDir()
	e.opts.Dirs = append(e.opts.Dirs, other)
	for _, dir := range e.opts.Dirs {
		if err := os.Mkdir(filepath.Join(dir, "twice-0"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	wantSetupError(t, e, nil, "twice-0")
}

func TestNewPartitionsGoWhereFewestAre(t *testing.T) {
	e := newEnv(t)
	e.opts.Dirs = append(e.opts.Dirs, t.TempDir(), t.TempDir())
	s := e.open(t)
	for i := range int32(9) {
		if _, err := s.Create(TopicPartition{"t", i}, [16]byte{1}, DefaultConfig()); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range s.Dirs() {
		if d.Logs != 3 || d.Err != nil || d.FreeBytes <= 0 || d.TotalBytes < d.FreeBytes {
			t.Errorf("%+v", d)
		}
	}
}

func TestTopicIDs(t *testing.T) {
	e := newEnv(t)
	s := e.open(t)
	tp := TopicPartition{"t", 0}
	l, err := s.Create(tp, [16]byte{}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(tp, [16]byte{5}, DefaultConfig()); err != nil || l.TopicID() != [16]byte{5} {
		t.Error("an unknown id is not adopted:", l.TopicID(), err)
	}
	if _, err := s.Create(tp, [16]byte{6}, DefaultConfig()); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	mustClose(t, s)
	l, _ = e.open(t).Get(tp)
	if l.TopicID() != [16]byte{5} {
		t.Error(l.TopicID())
	}
}

func TestNamesThatLeaveTheDirectory(t *testing.T) {
	s := newEnv(t).open(t)
	for _, topic := range []string{"", ".", "..", "../x", "a/b", "a b", "ü", strings.Repeat("x", 250)} {
		if _, err := s.Create(TopicPartition{topic, 0}, [16]byte{}, DefaultConfig()); err == nil {
			t.Errorf("%q was created", topic)
		}
	}
	if _, err := s.Create(TopicPartition{"t", -1}, [16]byte{}, DefaultConfig()); err == nil {
		t.Error("a negative partition was created")
	}
}

func TestDelete(t *testing.T) {
	e := newEnv(t)
	s := e.open(t)
	cfg := e.opts.DefaultConfig
	cfg.FileDeleteDelayMs = 1000
	l := mustCreate(t, s, "t", cfg)
	mustAppend(t, l, batch(t, 1, "x"))
	tp := l.TopicPartition()
	done := make(waiter, 1)
	l.WhenSynced(99, done)
	if err := s.Delete(tp); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("a waiter got %v", err)
	}
	if _, err := l.AppendAsLeader(batch(t, 1, "x"), 0, Client); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Delete(tp); !errors.Is(err, ErrUnknownPartition) {
		t.Error(err)
	}
	again := mustCreate(t, s, "t", cfg)
	if again.LogEndOffset() != 0 {
		t.Error("the new partition has the old one's records")
	}
	left := func() int {
		names, err := filepath.Glob(filepath.Join(e.dir, "t-0.*-delete"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	if left() != 1 {
		t.Fatal("no renamed folder")
	}
	e.clock.Advance(999 * time.Millisecond)
	if left() != 1 {
		t.Error("removed before file.delete.delay.ms")
	}
	e.clock.Advance(time.Millisecond)
	if left() != 0 {
		t.Error("not removed after file.delete.delay.ms")
	}
	if err := s.Delete(tp); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s = e.open(t)
	e.clock.Advance(0)
	if _, ok := s.Get(tp); ok || left() != 0 {
		t.Error("a deleted partition came back, or its files stay")
	}
}

func TestCleanMark(t *testing.T) {
	e := newEnv(t)
	mark := filepath.Join(e.dir, checkpoint.CleanShutdownFile)
	exists := func() bool { _, err := os.Stat(mark); return err == nil }
	s := e.open(t)
	mustAppend(t, mustCreate(t, s, "t", DefaultConfig()), batch(t, 1, "x"))
	mustClose(t, s)
	if !exists() {
		t.Error("no mark after a clean stop")
	}
	var cleans []bool
	e.opts.Progress = func(p RecoveryProgress) {
		if p.LogsDone == p.Logs {
			cleans = append(cleans, p.Clean)
		}
	}
	s = e.open(t)
	if exists() {
		t.Error("the mark outlives the start")
	}
	s.Kill()
	if exists() {
		t.Error("a mark after a crash")
	}
	e.open(t)
	if fmt.Sprint(cleans) != "[true false]" {
		t.Error(cleans)
	}
}

func TestCheckpointsAreWrittenInTime(t *testing.T) {
	e := newEnv(t)
	e.opts.CheckpointMs, e.opts.StartOffsetCheckpointMs, e.opts.HighWatermarkMs = 1000, 2000, 3000
	s := e.open(t)
	l := mustCreate(t, s, "t", DefaultConfig())
	for range 5 {
		mustAppend(t, l, batch(t, 1, "x"))
	}
	l.SetHighWatermark(4)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	l.logStart.Store(2)
	check := func(file, want string) {
		t.Helper()
		if data, _ := os.ReadFile(filepath.Join(e.dir, file)); string(data) != want {
			t.Errorf("%s holds %q, want %q", file, data, want)
		}
	}
	check(checkpoint.RecoveryPointFile, "")
	e.clock.Advance(time.Second)
	check(checkpoint.RecoveryPointFile, "0\n1\nt 0 5\n")
	check(checkpoint.LogStartFile, "")
	e.clock.Advance(time.Second)
	check(checkpoint.LogStartFile, "0\n1\nt 0 2\n")
	check(checkpoint.HighWatermarkFile, "")
	e.clock.Advance(time.Second)
	check(checkpoint.HighWatermarkFile, "0\n1\nt 0 4\n")
	s.Kill()
	l, _ = e.open(t).Get(l.TopicPartition())
	if l.LogStartOffset() != 2 || l.HighWatermark() != 4 || l.RecoveryPoint() != 5 {
		t.Error(l.LogStartOffset(), l.HighWatermark(), l.RecoveryPoint())
	}
}

func TestIdleLogsHoldNothingOpen(t *testing.T) {
	e := newEnv(t)
	disk := memfs.New()
	e.fs, e.opts.FS, e.opts.Dirs = disk, disk, []string{"/data"}
	e.opts.IdleAfterMs = 1000
	s := e.open(t)
	l := mustCreate(t, s, "t", DefaultConfig())
	mustAppend(t, l, batch(t, 1, "x"))
	busy := len(disk.OpenHandles()) + len(disk.OpenMappings())
	if busy == 0 {
		t.Fatal("an active log holds nothing: the test sees nothing")
	}
	e.clock.Advance(3 * time.Second)
	if left := append(disk.OpenHandles(), disk.OpenMappings()...); len(left) != 1 || left[0] != "/data/.lock" {
		t.Errorf("an idle log holds %q", left)
	}
	mustAppend(t, l, batch(t, 1, "y"))
	if _, vals := values(t, l); fmt.Sprint(vals) != "[x y]" {
		t.Error(vals)
	}
	mustClose(t, s)
	if leaks := disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left after close: %q", leaks)
	}
}

// twoDirs is a store on two disks, the first of which a test breaks.
func twoDirs(t *testing.T) (*env, *errorfs.FS) {
	t.Helper()
	e := newEnv(t)
	faulty := errorfs.Wrap(e.fs, nil)
	e.opts.FS = faulty
	e.opts.Dirs = append(e.opts.Dirs, t.TempDir())
	return e, faulty
}

func TestOneDirectoryFailsAlone(t *testing.T) {
	for _, kind := range []errorfs.Kind{errorfs.SyncData, errorfs.Write, errorfs.MapSync, errorfs.Allocate} {
		t.Run(kind.String(), func(t *testing.T) {
			e, faulty := twoDirs(t)
			var told atomic.Int32
			e.opts.OnDirFailed = func(dir string, err error) {
				if dir != e.dir || !errors.Is(err, syscall.EIO) {
					t.Error(dir, err)
				}
				told.Add(1)
			}
			s := e.open(t)
			var broken, healthy, beside *Log
			for i := range int32(4) {
				l, err := s.Create(TopicPartition{"t", i}, [16]byte{1}, DefaultConfig())
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case filepath.Dir(l.Dir()) != e.dir:
					healthy = l
				case broken == nil:
					broken = l
				default:
					beside = l
				}
			}
			mustAppend(t, beside, batch(t, 1, "x"))
			var syncs atomic.Int64
			faulty.SetRule(func(op errorfs.Op) errorfs.Fault {
				if !strings.HasPrefix(op.Path, e.dir) {
					return errorfs.Fault{}
				}
				if op.Kind == errorfs.SyncData || op.Kind == errorfs.MapSync {
					syncs.Add(1)
				}
				if op.Kind == kind || kind == errorfs.SyncData && op.Kind == errorfs.MapSync || kind == errorfs.MapSync && op.Kind == errorfs.SyncData {
					return errorfs.Fault{Err: syscall.EIO}
				}
				return errorfs.Fault{}
			})
			var failed *DirFailedError
			if err := breakIt(t, broken); !errors.As(err, &failed) || failed.Dir != e.dir {
				t.Fatalf("got %v", err)
			}
			synced := syncs.Load()
			for _, l := range []*Log{broken, beside} {
				if _, err := l.AppendAsLeader(batch(t, 1, "x"), 0, Client); !errors.As(err, &failed) {
					t.Errorf("append: %v", err)
				}
				if _, err := l.Read(0, 100, 1, true); !errors.As(err, &failed) {
					t.Errorf("read: %v", err)
				}
				if err := waitSynced(l, 99); !errors.As(err, &failed) {
					t.Errorf("wait: %v", err)
				}
				if err := l.Sync(); !errors.As(err, &failed) {
					t.Errorf("sync: %v", err)
				}
			}
			if syncs.Load() != synced {
				t.Error("a failed directory was synced again")
			}
			a := mustAppend(t, healthy, batch(t, 1, "x"))
			if err := waitSynced(healthy, a.NextOffset); err != nil {
				t.Error(err)
			}
			l, err := s.Create(TopicPartition{"new", 0}, [16]byte{1}, DefaultConfig())
			if err != nil || filepath.Dir(l.Dir()) == e.dir {
				t.Error("a new partition:", err)
			}
			if d := s.Dirs(); d[0].Err == nil || d[1].Err != nil || told.Load() != 1 {
				t.Errorf("%+v, told %d times", d, told.Load())
			}
			mustClose(t, s)
			if _, err := os.Stat(filepath.Join(e.dir, checkpoint.CleanShutdownFile)); err == nil {
				t.Error("a failed directory was marked clean")
			}
		})
	}
}

// A directory that is offline from the start may hold the partition that is asked for.
func TestAnOfflineDirectoryIsNotForgotten(t *testing.T) {
	e, faulty := twoDirs(t)
	s := e.open(t)
	tp := TopicPartition{"t", 0}
	l, err := s.Create(tp, [16]byte{1}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batch(t, 1, "x"))
	bad := filepath.Dir(l.Dir())
	mustClose(t, s)
	faulty.SetRule(errorfs.From(0, errorfs.Fault{Err: syscall.EIO}, errorfs.All(errorfs.Kinds(errorfs.ReadDir), func(op errorfs.Op) bool { return op.Path == bad })))
	s = e.open(t)
	var failed *DirFailedError
	if _, err := s.Create(tp, [16]byte{1}, DefaultConfig()); !errors.As(err, &failed) || failed.Dir != bad {
		t.Errorf("an empty log takes the place of one that is offline: %v", err)
	}
	if l, err = s.CreateNew(TopicPartition{"new", 0}, [16]byte{2}, DefaultConfig()); err != nil || filepath.Dir(l.Dir()) == bad {
		t.Errorf("a new partition: %v", err)
	}
	mustClose(t, s)
	faulty.SetRule(nil)
	l, _ = e.open(t).Get(tp)
	if _, vals := values(t, l); fmt.Sprint(vals) != "[x]" {
		t.Error(vals)
	}
}

func breakIt(t *testing.T, l *Log) error {
	t.Helper()
	for range 100 {
		a, err := l.AppendAsLeader(batch(t, 1, strings.Repeat("x", 50_000)), 0, Client)
		if err != nil {
			return err
		}
		if err := waitSynced(l, a.NextOffset); err != nil {
			return err
		}
	}
	return nil
}

func TestFullDisk(t *testing.T) {
	e := newEnv(t)
	disk := memfs.NewWith(memfs.Options{CapacityBytes: 4 << 20})
	e.fs, e.opts.FS, e.opts.Dirs = disk, disk, []string{"/data"}
	s := e.open(t)
	l := mustCreate(t, s, "t", DefaultConfig())
	var full *DiskFullError
	var err error
	for err == nil {
		_, err = l.AppendAsLeader(batch(t, 1, strings.Repeat("x", 10_000)), 0, Client)
	}
	if !errors.As(err, &full) || full.Dir != "/data" {
		t.Fatal(err)
	}
	end := l.LogEndOffset()
	if _, err := l.AppendAsLeader(batch(t, 1, strings.Repeat("x", 100_000)), 0, Client); !errors.As(err, &full) || l.LogEndOffset() != end {
		t.Error(err)
	}
	disk.SetCapacity(0)
	if _, err := s.Create(TopicPartition{"new", 0}, [16]byte{1}, DefaultConfig()); !errors.As(err, &full) {
		t.Errorf("create: %v", err)
	}
	// Everything else goes on.
	if got := readAll(t, l, 0); int64(len(got)) != end {
		t.Errorf("%d of %d batches are read", len(got), end)
	}
	if err := l.Sync(); err != nil {
		t.Error(err)
	}
	l.SetHighWatermark(end)
	if _, err := l.DeleteRecordsBefore(1); err != nil {
		t.Error(err)
	}
	if err := s.Dirs()[0].Err; err != nil {
		t.Error(err)
	}
	s.Kill()
	for _, clean := range []bool{false, true} {
		s = e.open(t)
		l, ok := s.Get(TopicPartition{"t", 0})
		if _, made := s.Get(TopicPartition{"new", 0}); !ok || made || l.Failure() != nil || l.LogEndOffset() != end {
			t.Fatalf("on a full disk, clean %v: %v", clean, l)
		}
		if got := readAll(t, l, l.LogStartOffset()); len(got) == 0 {
			t.Error("nothing to read")
		}
		if clean {
			disk.SetCapacity(8 << 20)
			if a := mustAppend(t, l, batch(t, 1, "there is room again")); a.FirstOffset != end {
				t.Error(a)
			}
			mustClose(t, s)
			continue
		}
		s.Close(context.Background()) // its checkpoints may fail, for the disk is full
	}
}
