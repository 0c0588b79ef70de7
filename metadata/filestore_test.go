package metadata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

const file = "/data/metadata"

func newDisk(t *testing.T) *memfs.FS {
	t.Helper()
	m := memfs.New()
	if err := errors.Join(m.MkdirAll("/data", 0o755), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	return m
}

func openStore(t *testing.T, fsys vfs.FS) *FileStore {
	t.Helper()
	s, err := OpenFileStore(fsys, file, testkit.NewClock(time.UnixMilli(5000)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // tests close it themselves where it matters
	return s
}

func multi(t *testing.T, s Store, ops ...Op) Result {
	t.Helper()
	r, err := s.Multi(t.Context(), ops...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, s Store, path string) string {
	t.Helper()
	data, _, err := s.Get(t.Context(), path)
	if errors.Is(err, ErrNoNode) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFileStoreKeepsTheTree(t *testing.T) {
	disk := newDisk(t)
	s := openStore(t, disk)
	multi(t, s, Create("/a", []byte("1")), Create("/ids", nil))
	r := multi(t, s, Set("/a", []byte("2"), 0), CreateEphemeral("/ids/1", []byte("me")))
	if r.Zxid != 2 || r.Ops[0].Stat.Version != 1 || r.Ops[1].Stat.EphemeralOwner != s.Session().ID {
		t.Errorf("got %+v", r)
	}
	if _, err := OpenFileStore(disk, file, testkit.NewClock(time.UnixMilli(0))); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second store on the same file: %v", err)
	}
	other := s.NewSession()
	multi(t, other, CreateEphemeral("/ids/2", nil))
	if names, _, err := s.Children(t.Context(), "/ids"); err != nil || fmt.Sprint(names) != "[1 2]" {
		t.Errorf("children %v, %v", names, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if get(t, s, "/ids/2") != "(none)" || get(t, s, "/ids/1") != "me" {
		t.Error("closing a session removes its ephemerals and no others")
	}
	if _, err := other.Multi(t.Context(), Create("/x", nil)); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("a closed session writes: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.Session().Done
	if _, err := s.Multi(t.Context(), Create("/x", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed store writes: %v", err)
	}
	s = openStore(t, disk)
	if get(t, s, "/a") != "2" || get(t, s, "/ids/1") != "(none)" || s.Zxid() != 5 {
		t.Errorf("opened again: %s, %s, zxid %d", get(t, s, "/a"), get(t, s, "/ids/1"), s.Zxid())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if leaks := disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left open: %v", leaks)
	}
}

// A process that dies leaves its ephemerals in the file; opening drops them, every time,
// with the same transaction.
func TestEphemeralsEndWithTheProcess(t *testing.T) {
	disk := newDisk(t)
	s := openStore(t, disk)
	multi(t, s, Create("/ids", nil), CreateEphemeral("/ids/1", nil))
	after := disk.CrashClone(testkit.NewRand(1), 0)
	for range 2 {
		again := openStore(t, after)
		stat := Stat{}
		if _, stat, _ = again.Get(t.Context(), "/ids"); get(t, again, "/ids/1") != "(none)" || again.Zxid() != 2 || stat.Cversion != 2 || stat.Pzxid != 2 {
			t.Errorf("zxid %d, parent %+v", again.Zxid(), stat)
		}
		after = after.CrashClone(testkit.NewRand(1), 0)
	}
}

// TestPowerCuts commits, cuts the power at a random point of the file system's work, and
// checks that what was acknowledged is there and that the tree is one that existed.
func TestPowerCuts(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "METADATA_CRASH_ROUNDS", 60) {
		rng := testkit.NewRand(seed + uint64(round))
		disk := newDisk(t)
		calls, cutAt := 0, rng.IntN(60)
		var image *memfs.FS
		fsys := errorfs.Wrap(disk, func(errorfs.Op) errorfs.Fault {
			if calls == cutAt {
				image = disk.CrashClone(rng, rng.IntN(101))
			}
			calls++
			return errorfs.Fault{}
		})
		s, err := OpenFileStore(fsys, file, testkit.NewClock(time.UnixMilli(1)))
		if err != nil {
			t.Fatal(err)
		}
		acked, tried := 0, 0
		for image == nil {
			op := Set("/n", fmt.Append(nil, tried+1), int32(tried-1))
			if tried == 0 {
				op = Create("/n", []byte("1"))
			}
			tried++
			multi(t, s, op)
			if image == nil {
				acked = tried
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := openStore(t, image)
		got := get(t, again, "/n")
		if got != fmt.Sprint(acked) && got != fmt.Sprint(tried) && !(acked == 0 && got == "(none)") {
			t.Errorf("SEED=%d, round %d, cut at call %d: %s, acknowledged %d, tried %d", seed, round, cutAt, got, acked, tried)
		}
		if want := map[bool]int64{true: int64(tried), false: int64(acked)}[got == fmt.Sprint(tried)]; again.Zxid() != want {
			t.Errorf("SEED=%d, round %d: zxid %d, want %d", seed, round, again.Zxid(), want)
		}
		multi(t, again, Create("/after", nil)) // what was left aside is no obstacle
		_ = again.Close()
	}
}

// TestEveryCallFails lets each call of a commit fail in turn. Before the rename nothing has
// changed and the next commit works; from the rename on the outcome is unknown and the
// store refuses to go on.
func TestEveryCallFails(t *testing.T) {
	for n := 1; ; n++ {
		disk := newDisk(t)
		fsys := errorfs.Wrap(disk, nil)
		s := openStore(t, fsys)
		multi(t, s, Create("/a", []byte("1")))
		calls := 0
		var failed errorfs.Kind
		fsys.SetRule(func(op errorfs.Op) errorfs.Fault {
			if calls++; calls == n {
				failed = op.Kind
				return errorfs.Fault{Err: syscall.EIO}
			}
			return errorfs.Fault{}
		})
		_, err := s.Multi(t.Context(), Set("/a", []byte("2"), AnyVersion))
		if err == nil {
			if n < 6 {
				t.Fatalf("call %d of a commit failed and the commit did not", n)
			}
			return
		}
		if got := get(t, s, "/a"); got != "1" {
			t.Errorf("%v failed and a reader sees %s", failed, got)
		}
		_, err2 := s.Multi(t.Context(), Set("/a", []byte("3"), AnyVersion))
		var w *WriteError
		if failed == errorfs.Rename || failed == errorfs.SyncDir {
			if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err2, ErrUnknownOutcome) {
				t.Errorf("%v failed: %v, then %v", failed, err, err2)
			}
		} else if !errors.As(err, &w) || !errors.Is(err, syscall.EIO) || err2 != nil || get(t, s, "/a") != "3" || s.Zxid() != 2 {
			t.Errorf("%v failed: %v, then %v, %s, zxid %d", failed, err, err2, get(t, s, "/a"), s.Zxid())
		}
	}
}

func TestFullDisk(t *testing.T) {
	disk := newDisk(t)
	s := openStore(t, disk)
	multi(t, s, Create("/a", []byte("1")))
	disk.SetCapacity(4096)
	_, err := s.Multi(t.Context(), Set("/a", make([]byte, 1<<20), AnyVersion))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Fatalf("a full disk: %v", err)
	}
	disk.SetCapacity(1 << 30)
	multi(t, s, Set("/a", []byte("2"), 0))
}

// A disk that is full to the last block still takes commits: topics can be deleted, which is
// what makes room, and a broker registers when it starts.
func TestCommitsOnAFullDisk(t *testing.T) {
	disk := newDisk(t)
	s := openStore(t, disk)
	multi(t, s, Create("/a", make([]byte, 20_000)))
	usage, err := disk.Usage("/data")
	if err != nil {
		t.Fatal(err)
	}
	disk.SetCapacity(usage.TotalBytes - usage.FreeBytes)
	for i := range 20 {
		multi(t, s, CreateEphemeral("/b", []byte(fmt.Sprint(i))), Set("/a", make([]byte, 20_000), AnyVersion))
		multi(t, s, Delete("/b", AnyVersion))
		if i%5 == 4 { // the next start is on the full disk, too
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, disk)
		}
	}
	multi(t, s, Delete("/a", AnyVersion))
}

func TestDamagedFileIsRefused(t *testing.T) {
	disk := newDisk(t)
	s := openStore(t, disk)
	multi(t, s, Create("/a", []byte("hello")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenFile(file, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("J"), 60); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var format *FormatError
	if _, err := OpenFileStore(disk, file, testkit.NewClock(time.UnixMilli(0))); !errors.As(err, &format) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if leaks := disk.Leaks(); len(leaks) > 0 {
		t.Errorf("left open: %v", leaks)
	}
}

// Commits that wait at the same time share one replacement of the file.
func TestGroupCommit(t *testing.T) {
	disk := newDisk(t)
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	renames := 0
	fsys := errorfs.Wrap(disk, func(op errorfs.Op) errorfs.Fault {
		if op.Kind == errorfs.Rename {
			if renames++; renames == 1 {
				entered <- struct{}{}
				<-gate
			}
		}
		return errorfs.Fault{}
	})
	s := openStore(t, fsys)
	const n = 50
	var wg sync.WaitGroup
	results := make([]Result, n+1)
	errs := make([]error, n+1)
	commit := func(i int, ops ...Op) {
		wg.Go(func() { results[i], errs[i] = s.Multi(context.Background(), ops...) })
	}
	commit(n, Create("/q", nil))
	<-entered
	for i := range n {
		if i%5 == 0 {
			commit(i, CreateSequential("/q/n", nil), Check("/nope", AnyVersion))
		} else {
			commit(i, CreateSequential("/q/n", nil))
		}
	}
	testkit.WaitFor(t, 10*time.Second, "all commits to queue", func() bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return len(s.queue) == n
	})
	close(gate)
	wg.Wait()
	seen := map[string]bool{}
	for i := range n {
		if i%5 == 0 {
			if !errors.Is(errs[i], ErrNoNode) {
				t.Errorf("commit %d: %v", i, errs[i])
			}
			continue
		}
		if errs[i] != nil || seen[results[i].Ops[0].Path] {
			t.Errorf("commit %d: %v, %v", i, results[i], errs[i])
		}
		seen[results[i].Ops[0].Path] = true
	}
	if renames != 2 || len(seen) != n*4/5 || s.Zxid() != int64(1+len(seen)) {
		t.Errorf("%d replacements, %d nodes, zxid %d", renames, len(seen), s.Zxid())
	}
}

func TestSubscribe(t *testing.T) {
	s := openStore(t, newDisk(t))
	multi(t, s, Create("/a", nil))
	type call struct {
		zxid     int64
		snapshot bool
		events   int
	}
	collect := func(from int64) (chan call, func(), int64) {
		calls := make(chan call, 100)
		cancel, at := s.Subscribe(from, func(txn Txn) { calls <- call{txn.Zxid, txn.Snapshot, len(txn.Events)} })
		return calls, cancel, at
	}
	first, cancelFirst, at := collect(0)
	if got := <-first; got != (call{1, true, 2}) || at != 1 {
		t.Errorf("a snapshot: %+v at %d", got, at)
	}
	multi(t, s, Create("/b", nil), Set("/b", nil, 0))
	multi(t, s, Delete("/b", AnyVersion))
	for _, want := range []call{{2, false, 2}, {3, false, 1}} {
		if got := <-first; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	late, cancelLate, _ := collect(1)
	if got := <-late; got != (call{2, false, 2}) {
		t.Errorf("from zxid 1: %+v", got)
	}
	cancelLate()
	ahead, cancelAhead, _ := collect(99)
	if got := <-ahead; !got.snapshot || got.zxid != 3 {
		t.Errorf("from a zxid that does not exist: %+v", got)
	}
	cancelAhead()
	cancelFirst()
	multi(t, s, Create("/c", nil))
	select {
	case got := <-first:
		t.Errorf("after cancel: %+v", got)
	default:
	}
}

// Many writers, readers and subscribers; every subscriber sees every transaction once and
// in order, and what it folds is the tree.
func TestStoreRace(t *testing.T) {
	s := openStore(t, newDisk(t))
	multi(t, s, Create("/q", nil), Create("/n", []byte("0")))
	const writers, each = 8, 20
	last := int64(2 + writers*each)
	var subscribers, work sync.WaitGroup
	for range 3 {
		subscribers.Add(1)
		done := make(chan struct{})
		var next int64
		children := map[string]bool{}
		cancel, _ := s.Subscribe(0, func(txn Txn) {
			if !txn.Snapshot && txn.Zxid != next {
				t.Errorf("zxid %d, want %d", txn.Zxid, next)
			}
			next = txn.Zxid + 1
			for _, e := range txn.Events {
				if strings.HasPrefix(e.Path, "/q/") {
					children[e.Path] = true
				}
			}
			if txn.Zxid == last {
				close(done)
			}
		})
		go func() {
			defer subscribers.Done()
			<-done
			cancel()
			if len(children) != writers*each {
				t.Errorf("%d children, want %d", len(children), writers*each)
			}
		}()
	}
	for range writers {
		work.Go(func() {
			for range each {
				r, err := s.Multi(context.Background(), CreateSequential("/q/n", nil), Set("/n", nil, AnyVersion))
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := s.Get(context.Background(), r.Ops[0].Path); err != nil {
					t.Errorf("what was written is not there: %v", err)
				}
			}
		})
	}
	work.Wait()
	multi(t, s, Set("/n", nil, AnyVersion))
	subscribers.Wait()
}
