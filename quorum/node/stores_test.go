package node

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// brokenStore fails what it is told to.
type brokenStore struct {
	*raft.InmemStore
	failLogs, failTerm, failVote, failRead atomic.Pointer[error]
}

func fails(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *brokenStore) StoreLogs(l []*raft.Log) error {
	if err := fails(&s.failLogs); err != nil {
		return err
	}
	return s.InmemStore.StoreLogs(l)
}

func (s *brokenStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *brokenStore) SetUint64(k []byte, v uint64) error {
	if err := fails(&s.failTerm); err != nil {
		return err
	}
	return s.InmemStore.SetUint64(k, v)
}

func (s *brokenStore) Set(k, v []byte) error {
	if err := fails(&s.failVote); err != nil {
		return err
	}
	return s.InmemStore.Set(k, v)
}

func (s *brokenStore) GetLog(i uint64, l *raft.Log) error {
	if err := fails(&s.failRead); err != nil {
		return err
	}
	return s.InmemStore.GetLog(i, l)
}

func newBrokenStore() (*brokenStore, Stores) {
	s := &brokenStore{InmemStore: raft.NewInmemStore()}
	return s, Stores{Log: s, Stable: s, Snapshots: raft.NewInmemSnapshotStore()}
}

var errDisk = errors.New("the disk is gone")

// Trap 3: Raft goes on after a failed write.
func TestAFailedAppendEndsTheNode(t *testing.T) {
	store, stores := newBrokenStore()
	n := startLone(t, Options{Stores: stores})
	r := attach(n)
	r.serving(t, true)
	store.failLogs.Store(&errDisk)
	r.start(t, createTxn("/a"))
	var failed *StoreError
	if err := n.Wait(); !errors.As(err, &failed) || !errors.Is(err, errDisk) {
		t.Errorf("it ended with %v", err)
	}
	r.serving(t, false)
	if got := r.outcomes(); len(got) != 0 {
		t.Errorf("what was not written was applied: %v", got)
	}
}

// A full disk is no reason to end: there may be room again.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, stores := newBrokenStore()
		n := startLone(t, Options{Stores: stores})
		r := attach(n)
		r.serving(t, true)
		full := error(fmt.Errorf("write: %w", syscall.ENOSPC))
		store.failLogs.Store(&full)
		r.start(t, createTxn("/a"))
		r.until(t, func() bool { return r.lost > 0 })
		time.Sleep(3 * time.Second)
		store.failLogs.Store(nil)
		r.make(t, "/b")
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Traps 2 and 3: Raft panics when it cannot write its term or read its log. Here a follower of a
// dead leader stands for election, and cannot write that.
func TestAFailedVoteEndsTheNode(t *testing.T) {
	for what, fail := range map[string]func(*brokenStore){
		"term": func(s *brokenStore) { s.failTerm.Store(&errDisk) },
		"vote": func(s *brokenStore) { s.failVote.Store(&errDisk) },
		"read": func(s *brokenStore) { s.failRead.Store(&errDisk) },
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *cluster) {
				broken := map[int]*brokenStore{}
				for id := 1; id <= 3; id++ {
					broken[id], c.stores[id] = newBrokenStore()
				}
				c.startAll()
				c.serving()
				leader := c.leader()
				for id, s := range broken {
					if id != leader {
						fail(s)
					}
				}
				if what == "read" { // a follower that was away needs older entries than are cached
					c.kill(c.follower())
					n := c.nodes[c.leader()]
					n.guard.remember([]*raft.Log{{Index: 1 << 40}})
					fail(broken[leader])
					for id := range broken {
						if c.nodes[id] == nil {
							broken[id].failRead.Store(nil)
							c.start(id)
						}
					}
					<-n.Done()
					if err := n.Wait(); !errors.Is(err, errDisk) {
						t.Errorf("it ended with %v", err)
					}
					return
				}
				c.kill(leader)
				ended := 0
				c.eventually("the end of one that stood for election", func() bool {
					for _, n := range c.nodes {
						select {
						case <-n.Done():
							ended++
							if err := n.Wait(); !errors.Is(err, errDisk) {
								t.Errorf("it ended with %v", err)
							}
							return true
						default:
						}
					}
					return false
				})
			})
		})
	}
}

// Trap 2: a write that does not return is told from outside.
func TestAStalledStoreEndsTheNode(t *testing.T) {
	stores := memStores()
	failed := make(chan struct{})
	stores.Failed, stores.Err = failed, func() error { return errDisk }
	n := startLone(t, Options{Stores: stores})
	attach(n).serving(t, true)
	close(failed)
	if err := n.Wait(); !errors.Is(err, errDisk) {
		t.Errorf("it ended with %v", err)
	}
}
