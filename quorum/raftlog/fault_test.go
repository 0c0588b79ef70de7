package raftlog

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// TestEachFailingCallIsFinal fails each call that writes in turn, and looks at what the store
// says then, and what a restart finds: with the page cache, and after a power cut.
func TestEachFailingCallIsFinal(t *testing.T) {
	seed := testkit.Seed(t)
	for _, fault := range []errorfs.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, PartBytes: 700}} {
		runs := errorfs.EachCall(errorfs.Once, fault, errorfs.Writes(), func(n int64, rule errorfs.Rule) bool {
			failingRun(t, seed, fmt.Sprintf("call %d", n), rule, false)
			return !t.Failed()
		})
		if runs < 50 {
			t.Errorf("only %d calls", runs)
		}
	}
}

// TestEachCallOnAFullDisk fails each call that takes space in turn: what is refused changed
// nothing, and the store goes on; or the failure is final.
func TestEachCallOnAFullDisk(t *testing.T) {
	seed := testkit.Seed(t)
	space := errorfs.Kinds(errorfs.Create, errorfs.Write, errorfs.Allocate, errorfs.Rename, errorfs.MkdirAll)
	refused := 0
	errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: syscall.ENOSPC}, space, func(n int64, rule errorfs.Rule) bool {
		if failingRun(t, seed, fmt.Sprintf("call %d", n), rule, true) {
			refused++
		}
		return !t.Failed()
	})
	if refused < 10 {
		t.Errorf("only %d calls were refused and may be made again", refused)
	}
}

// failingRun works under a rule, and reports whether something was refused for a full disk.
func failingRun(t *testing.T, seed uint64, what string, rule errorfs.Rule, full bool) (refused bool) {
	t.Helper()
	rng := testkit.NewRand(seed)
	disk := memfs.New()
	wrapped := errorfs.Wrap(disk, rule)
	m := &machine{t: t, rng: rng, disk: disk, dataMax: 1500, o: options(wrapped)}
	m.told = &told{logs: raft.NewInmemStore(), entries: make(map[uint64]*raft.Log)}
	other := m.told
	s, err := Open(m.o)
	if err == nil {
		m.s = s
		for range 22 {
			other = m.told.copy()
			if err = m.step(s, other); full && IsDiskFull(err) && s.Err() == nil {
				// Nothing changed that raft would not do again.
				refused, err = true, nil
				m.reconcile(s, other)
				continue
			}
			if err != nil {
				break
			}
			m.told = other
		}
		var failed *FailedError
		switch final := s.Err(); {
		case err == nil && final != nil:
			// The call that read or reaped did not report it.
		case err != nil && (final == nil || !errors.As(err, &failed)):
			t.Errorf("%s: failed with %v, which is not final: %v", what, err, final)
		case err != nil:
			refusesAll(t, what, s)
		}
		s.Kill()
	}
	if left := disk.Leaks(); len(left) > 0 {
		t.Errorf("%s: left open: %v", what, left)
	}
	crashed := disk.CrashClone(rng, 50)
	for _, again := range []*memfs.FS{disk, crashed} {
		o := m.o
		o.FS = again
		s, err := Open(o)
		if err != nil {
			t.Errorf("%s: reopen: %v", what, err)
			return refused
		}
		was := m.told.copy()
		m.s = s
		m.adopt(other)
		m.compare()
		s.Kill()
		m.told = was
	}
	return refused
}

// reconcile takes over what a refused step had done before it was refused, as raft does by
// asking.
func (m *machine) reconcile(s *Store, other *told) {
	first, last := bounds(m.t, s.Logs())
	_, al, _ := m.told.bounds()
	_, bl, _ := other.bounds()
	if last != al && last != bl {
		m.t.Fatalf("a refused call left a log that ends at %d, want %d or %d", last, al, bl)
	}
	list, err := s.Snapshots().List()
	must(m.t, err)
	var snapshots []uint64
	for i := range list {
		snapshots = append(snapshots, list[len(list)-1-i].Index)
	}
	term, vote := m.term, m.vote
	if last == bl && last != al {
		m.told = other
	}
	m.logs = raft.NewInmemStore()
	for i := first; i > 0 && i <= last; i++ {
		_ = m.logs.StoreLog(m.entries[i])
	}
	m.term, m.vote, m.snapshots = term, vote, snapshots
}

func refusesAll(t *testing.T, what string, s *Store) {
	t.Helper()
	_, last := bounds(t, s.Logs())
	first := s.Err()
	for i, err := range []error{
		s.Logs().StoreLog(entryOf(last+1, 9, 10)), s.Logs().DeleteRange(1, last), s.Stable().Set([]byte("x"), []byte("y")),
		s.Stable().SetUint64([]byte("CurrentTerm"), 99), takeSnapshot(s, last+1, 9, []byte("z")),
	} {
		if !errors.Is(err, first) && !(i == 1 && last == 0) {
			t.Errorf("%s: change %d after the failure: %v, want %v", what, i, err, first)
		}
	}
	select {
	case <-s.Failed():
	default:
		t.Errorf("%s: Failed is not closed", what)
	}
}

// TestAFailedSyncIsNotTriedAgain is the case that matters most: the second sync would succeed.
func TestAFailedSyncIsNotTriedAgain(t *testing.T) {
	disk := memfs.New()
	fs := errorfs.Wrap(disk, nil)
	s := open(t, options(fs))
	must(t, s.Logs().StoreLogs(entriesOf(1, 3, 1, 10)))
	fs.SetRule(errorfs.Once(0, errorfs.Fault{Err: syscall.EIO}, errorfs.Syncs()))
	err := s.Logs().StoreLogs(entriesOf(4, 6, 1, 10))
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	wantBounds(t, s.Logs(), 1, 3)
	refusesAll(t, "sync", s)
	s.Kill()
}

// TestAFullDiskIsFinalAfterATruncation: raft's idea of the last index is wrong when it can not
// store after it has cut the log, until it is started again.
func TestAFullDiskIsFinalAfterATruncation(t *testing.T) {
	full := errorfs.From(0, errorfs.Fault{Err: syscall.ENOSPC}, errorfs.Kinds(errorfs.Create, errorfs.Allocate, errorfs.Write))
	fs := errorfs.Wrap(memfs.New(), nil)
	s := open(t, options(fs))
	must(t, s.Logs().StoreLogs(entriesOf(1, 10, 1, 300)))
	fs.SetRule(full)
	if err := s.Logs().StoreLogs(entriesOf(11, 20, 1, 300)); !IsDiskFull(err) || s.Err() != nil {
		t.Fatalf("append: %v, %v", err, s.Err())
	}
	fs.SetRule(nil)
	must(t, s.Logs().StoreLogs(entriesOf(11, 12, 1, 300)))
	must(t, s.Logs().DeleteRange(11, 12))
	fs.SetRule(full)
	if err := s.Logs().StoreLogs(entriesOf(11, 20, 2, 300)); IsDiskFull(err) || s.Err() == nil {
		t.Fatalf("append after a truncation: %v, %v", err, s.Err())
	}
	s.Kill()
}

// TestTheReserveCarriesOverAFullDisk: with no free byte a server still starts, votes, appends,
// and makes room by a snapshot.
func TestTheReserveCarriesOverAFullDisk(t *testing.T) {
	disk := memfs.NewWith(memfs.Options{CapacityBytes: 8 << 20})
	o := options(disk)
	o.ReserveBytes, o.SegmentBytes = 2<<20, 256<<10
	s := open(t, o)
	must(t, s.Logs().StoreLogs(entriesOf(1, 10, 1, 1000)))
	filler, err := disk.OpenFile("filler", 0x42, 0o600)
	must(t, err)
	for size, step := int64(0), int64(1<<20); step >= 4096; {
		if filler.Allocate(size, step) != nil {
			step /= 2
			continue
		}
		size += step
	}
	must(t, filler.Close())
	next := uint64(11)
	for range 5 {
		for range 3 {
			must(t, s.Logs().StoreLogs(entriesOf(next, next+19, 1, 1000)))
			next += 20
		}
		must(t, s.Stable().SetUint64([]byte("CurrentTerm"), next))
		must(t, s.Close())
		s = open(t, o)
	}
	for range 200 {
		if err := s.Logs().StoreLogs(entriesOf(next, next+19, 1, 1000)); err != nil {
			if !IsDiskFull(err) {
				t.Fatal(err)
			}
			break
		}
		next += 20
	}
	if !s.Stats().ReserveInUse {
		t.Error("the reserve is not in use")
	}
	wantBounds(t, s.Logs(), 1, next-1)
	must(t, disk.Remove("filler"))
	must(t, takeSnapshot(s, next-1, 1, bodyOf(1, 1000)))
	must(t, s.Logs().DeleteRange(1, next-5))
	if st := s.Stats(); st.ReserveInUse {
		t.Errorf("the reserve was not taken again: %+v", st)
	}
	must(t, s.Close())
}

// TestAStalledDiskIsGivenUp: a call that hangs is warned of, then final, while it hangs.
func TestAStalledDiskIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		kinds []errorfs.Kind
		call  func(s *Store) error
	}{
		{"append", []errorfs.Kind{errorfs.SyncData}, func(s *Store) error { return s.Logs().StoreLog(entryOf(4, 1, 10)) }},
		{"truncate", []errorfs.Kind{errorfs.Truncate}, func(s *Store) error { return s.Logs().DeleteRange(2, 3) }},
		{"vote", []errorfs.Kind{errorfs.Write}, func(s *Store) error { return s.Stable().Set([]byte("a"), []byte("b")) }},
		{"snapshot", []errorfs.Kind{errorfs.Sync}, func(s *Store) error { return takeSnapshot(s, 3, 1, []byte("x")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := testkit.NewClock(time.Unix(1000, 0))
			fs := errorfs.Wrap(memfs.New(), nil)
			o := options(fs)
			o.Clock = clk
			s := open(t, o)
			must(t, s.Logs().StoreLogs(entriesOf(1, 3, 1, 10)))
			reached, release := make(chan struct{}, 10), make(chan struct{})
			match := errorfs.Kinds(c.kinds...)
			fs.SetRule(func(op errorfs.Op) errorfs.Fault {
				if match(op) {
					reached <- struct{}{}
					<-release
				}
				return errorfs.Fault{}
			})
			result := make(chan error, 1)
			go func() { result <- c.call(s) }()
			<-reached
			clk.Advance(9 * time.Second)
			if err := s.Err(); err != nil {
				t.Errorf("given up after 9 s: %v", err)
			}
			clk.Advance(2 * time.Second)
			<-s.Failed()
			var stalled *StalledError
			if !errors.As(s.Err(), &stalled) {
				t.Errorf("failed with %v", s.Err())
			}
			close(release)
			if err := <-result; !errors.As(err, &stalled) {
				t.Errorf("the call returned %v", err)
			}
			s.Kill()
			if n := clk.Pending(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
	}
}
