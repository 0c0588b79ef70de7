package raftlog

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// TestLogStore asks what hashicorp's own tests ask of a log store.
func TestLogStore(t *testing.T) {
	s := open(t, options(memfs.New()))
	defer s.Close()
	l := s.Logs()
	wantBounds(t, l, 0, 0)
	var got raft.Log
	if err := l.GetLog(1, &got); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("get from an empty log: %v", err)
	}
	must(t, l.StoreLog(entryOf(1, 1, 10)))
	must(t, l.StoreLogs(entriesOf(2, 20, 1, 300)))
	must(t, l.StoreLogs(nil))
	wantBounds(t, l, 1, 20)
	for i := uint64(1); i <= 20; i++ {
		size := 300
		if i == 1 {
			size = 10
		}
		must(t, l.GetLog(i, &got))
		if !same(&got, entryOf(i, 1, size)) {
			t.Errorf("entry %d is %+v", i, got)
		}
	}
	for _, i := range []uint64{0, 21, 1 << 63, 1<<64 - 1} {
		if err := l.GetLog(i, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("get %d: %v", i, err)
		}
	}
	must(t, l.DeleteRange(1, 4))
	wantBounds(t, l, 5, 20)
	if err := l.GetLog(4, &got); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("get a removed entry: %v", err)
	}
	must(t, l.DeleteRange(18, 20))
	wantBounds(t, l, 5, 17)
	must(t, l.StoreLogs(entriesOf(18, 19, 2, 50)))
	must(t, l.GetLog(18, &got))
	if !same(&got, entryOf(18, 2, 50)) {
		t.Errorf("entry 18 is %+v", got)
	}
	if err := l.DeleteRange(7, 9); err == nil {
		t.Error("a hole was allowed")
	}
	must(t, l.DeleteRange(1, 2))
	must(t, l.DeleteRange(30, 40))
	must(t, l.DeleteRange(9, 8))
	wantBounds(t, l, 5, 19)
	must(t, l.DeleteRange(5, 19))
	wantBounds(t, l, 0, 0)
	must(t, l.StoreLog(entryOf(1001, 3, 5))) // as after a snapshot of the leader's
	wantBounds(t, l, 1001, 1001)
	must(t, l.DeleteRange(1, 1<<62))
	must(t, l.StoreLog(entryOf(7, 3, 5)))
	wantBounds(t, l, 7, 7)
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

func TestEntriesMustFollow(t *testing.T) {
	s := open(t, options(memfs.New()))
	defer s.Close()
	l := s.Logs()
	must(t, l.StoreLogs(entriesOf(1, 3, 1, 10)))
	for _, logs := range [][]*raft.Log{
		{entryOf(3, 1, 1)}, {entryOf(5, 1, 1)}, {entryOf(4, 1, 1), entryOf(6, 1, 1)}, {{Index: 0}}, {{Index: 1<<63 + 1}},
	} {
		var gap *GapError
		if err := l.StoreLogs(logs); !errors.As(err, &gap) {
			t.Errorf("store %d: %v", logs[0].Index, err)
		}
	}
	must(t, l.StoreLogs(entriesOf(4, 5, 1, 10)))
	wantBounds(t, l, 1, 5)
	must(t, l.DeleteRange(1, 5))
	for _, logs := range [][]*raft.Log{{{Index: 0}}, {{Index: 1<<63 + 1}}, {entryOf(9, 1, 1), entryOf(11, 1, 1)}} {
		var gap *GapError
		if err := l.StoreLogs(logs); !errors.As(err, &gap) {
			t.Errorf("store %d into an empty log: %v", logs[0].Index, err)
		}
	}
	wantBounds(t, l, 0, 0)
}

func TestAllOfAnEntryComesBack(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	logs := []*raft.Log{
		{Index: 1, Term: 0, Type: raft.LogNoop},
		{Index: 2, Term: 1<<31 - 1, Type: raft.LogBarrier, Data: []byte{}},
		{Index: 3, Term: 1 << 31, Type: raft.LogConfiguration, Data: []byte("x"), Extensions: []byte{}},
		{Index: 4, Term: 1<<64 - 1, Type: raft.LogCommand, Data: bytes.Repeat([]byte("y"), 100_000), Extensions: []byte("e")},
		{Index: 5, Term: 1<<64 - 1, AppendedAt: time.Unix(-5, 7)},
		{Index: 6, Term: 1<<64 - 1, AppendedAt: time.Unix(1<<55, 999_999_999)},
	}
	must(t, s.Logs().StoreLogs(logs))
	for range 2 {
		for _, want := range logs {
			var got raft.Log
			must(t, s.Logs().GetLog(want.Index, &got))
			if !same(&got, want) || (got.Data == nil) != (want.Data == nil) {
				t.Errorf("entry %d: got %+v", want.Index, got)
			}
		}
		must(t, s.Close())
		s = open(t, options(fs))
	}
	s.Kill()
	if left := fs.Leaks(); len(left) > 0 {
		t.Errorf("left open: %v", left)
	}
}

func TestOneSyncForAStoreLogs(t *testing.T) {
	s := open(t, Options{FS: memfs.New(), Clock: options(nil).Clock, Log: quiet(), Dir: "raft"})
	defer s.Close()
	for i := range uint64(5) {
		must(t, s.Logs().StoreLogs(entriesOf(i*1000+1, (i+1)*1000, 1, 100)))
	}
	if got := s.Stats().Syncs; got != 5 {
		t.Errorf("%d syncs for 5 calls", got)
	}
}

func TestCommitIndexComesWithTheEntries(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	want := func(n uint64) {
		t.Helper()
		if got, err := s.Logs().GetCommitIndex(); err != nil || got != n {
			t.Errorf("commit index %d, %v, want %d", got, err, n)
		}
	}
	reopen := func() {
		t.Helper()
		must(t, s.Close())
		s = open(t, options(fs))
	}
	want(0)
	must(t, s.Logs().StageCommitIndex(9))
	must(t, s.Logs().StoreLogs(entriesOf(1, 5, 1, 10)))
	want(5) // never above the last entry
	reopen()
	want(5)
	must(t, s.Logs().StageCommitIndex(4))
	must(t, s.Logs().StoreLogs(entriesOf(6, 8, 1, 10)))
	must(t, s.Logs().StageCommitIndex(8)) // staged, but nothing was stored with it
	reopen()
	want(4)
	must(t, s.Logs().DeleteRange(3, 8))
	want(2)
	s.Kill()
}

func TestReadersBesideAWriter(t *testing.T) {
	s := open(t, options(memfs.New()))
	defer s.Close()
	l := s.Logs()
	must(t, l.StoreLogs(entriesOf(1, 50, 1, 100)))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for r := range uint64(3) {
		wg.Go(func() {
			for i := r; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				first, last := bounds(t, l)
				if first == 0 || last < first {
					continue
				}
				index := first + i%(last-first+1)
				var got raft.Log
				if err := l.GetLog(index, &got); err == nil && got.Index != index {
					t.Errorf("asked for %d, got %d", index, got.Index)
				} else if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
					t.Error(err)
				}
			}
		})
	}
	next := uint64(51)
	for i := range 150 {
		switch {
		case i%10 == 9:
			must(t, l.DeleteRange(next-5, next-1))
			next -= 5
		case i%37 == 36:
			must(t, l.DeleteRange(1, next-20))
		case i%70 == 69:
			must(t, l.DeleteRange(1, next))
		}
		must(t, l.StoreLogs(entriesOf(next, next+7, 1, 100)))
		next += 8
	}
	close(stop)
	wg.Wait()
	must(t, s.Err())
}

func TestStableStore(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	st := s.Stable()
	if v, err := st.Get([]byte("k")); len(v) != 0 || err != nil {
		t.Errorf("absent key: %q, %v", v, err)
	}
	if v, err := st.GetUint64([]byte("k")); v != 0 || err != nil {
		t.Errorf("absent number: %d, %v", v, err)
	}
	for i := range uint64(9) {
		must(t, st.SetUint64([]byte("CurrentTerm"), i))
		must(t, st.Set([]byte("LastVoteCand"), []byte(strings.Repeat("v", int(i)))))
	}
	must(t, st.Set([]byte("CurrentTermX"), []byte("abc")))
	if err := st.Set([]byte("big"), make([]byte, slotBytes)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a value that does not fit: %v", err)
	}
	if _, err := st.GetUint64([]byte("CurrentTermX")); err == nil {
		t.Error("three bytes as a number")
	}
	for range 3 {
		s.Kill()
		s = open(t, options(fs))
		if v, err := s.Stable().GetUint64([]byte("CurrentTerm")); v != 8 || err != nil {
			t.Errorf("term %d, %v", v, err)
		}
		if v, err := s.Stable().Get([]byte("LastVoteCand")); string(v) != "vvvvvvvv" || err != nil {
			t.Errorf("vote %q, %v", v, err)
		}
	}
	must(t, s.Close())
}

func TestOneProcessOnly(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	defer s.Close()
	if _, err := Open(options(fs)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
}

func TestClosedStoreRefuses(t *testing.T) {
	s := open(t, options(memfs.New()))
	must(t, s.Logs().StoreLogs(entriesOf(1, 3, 1, 10)))
	must(t, s.Close())
	must(t, s.Close())
	s.Kill()
	for _, err := range []error{
		s.Logs().StoreLog(entryOf(4, 1, 1)), s.Logs().DeleteRange(1, 2), s.Logs().GetLog(1, new(raft.Log)),
		s.Stable().Set([]byte("a"), nil), takeSnapshot(s, 2, 1, nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestBytesSince(t *testing.T) {
	s := open(t, options(memfs.New()))
	defer s.Close()
	must(t, s.Logs().StoreLogs(entriesOf(1, 6, 1, 1000)))
	for i := uint64(7); i <= 100; i++ {
		must(t, s.Logs().StoreLog(entryOf(i, 1, 1000)))
	}
	all := s.Stats().LogBytes
	if got := s.Logs().BytesSince(0); got != all {
		t.Errorf("since 0: %d of %d", got, all)
	}
	if got := s.Logs().BytesSince(50); got < all*45/100 || got > all*55/100 {
		t.Errorf("since 50: %d of %d", got, all)
	}
	if got := s.Logs().BytesSince(100); got != 0 {
		t.Errorf("since 100: %d", got)
	}
}

// TestAChangeWaitsForTheSyncBefore: recovery takes what is not whole at the end of the log for what
// one call left, so only one may be in doubt.
func TestAChangeWaitsForTheSyncBefore(t *testing.T) {
	for what, change := range map[string]func(l *Logs) error{
		"append": func(l *Logs) error { return l.StoreLogs(entriesOf(7, 8, 1, 10)) },
		"cut":    func(l *Logs) error { return l.DeleteRange(6, 6) },
		"late append": func(l *Logs) error {
			sync, err := l.AppendLogs(entriesOf(7, 7, 1, 10))
			if err != nil {
				return err
			}
			return sync()
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, options(memfs.New()))
				defer s.Kill()
				must(t, s.Logs().StoreLogs(entriesOf(1, 3, 1, 10)))
				sync, err := s.Logs().AppendLogs(entriesOf(4, 6, 1, 10))
				must(t, err)
				var done atomic.Bool
				go func() {
					if err := change(s.Logs()); err != nil {
						t.Error(err)
					}
					done.Store(true)
				}()
				synctest.Wait()
				if done.Load() {
					t.Error("it did not wait")
				}
				must(t, sync())
				synctest.Wait()
				if !done.Load() {
					t.Error("it waits on")
				}
			})
		})
	}
}
