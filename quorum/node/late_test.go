package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
)

// lateStore is a store whose syncs can be held up, and fail.
type lateStore struct {
	*raft.InmemStore
	gate atomic.Pointer[chan struct{}] // nil: open
	err  error                         // of a sync; set before the gate opens
	late atomic.Int64                  // appends whose sync came apart
}

func (s *lateStore) AppendLogs(l []*raft.Log) (func() error, error) {
	s.late.Add(1)
	return func() error {
		if gate := s.gate.Load(); gate != nil {
			<-*gate
		}
		return s.err
	}, s.InmemStore.StoreLogs(l)
}

// leaderInDoubt starts an ensemble whose leader's disk does not answer, and writes through a
// follower. open lets the disk answer.
func leaderInDoubt(t *testing.T, c *cluster) (leader int, store *lateStore, open func()) {
	t.Helper()
	stores := map[int]*lateStore{}
	for id := 1; id <= 3; id++ {
		stores[id] = &lateStore{InmemStore: raft.NewInmemStore()}
		c.stores[id] = Stores{Log: stores[id], Stable: stores[id], Snapshots: raft.NewInmemSnapshotStore()}
	}
	c.startAll()
	c.serving()
	leader = c.leader()
	gate := make(chan struct{})
	store = stores[leader]
	store.gate.Store(&gate)
	c.sinks[c.follower()].start(t, createTxn("/a"))
	return leader, store, func() { close(gate) }
}

// hasNode tells how many servers have applied the creation of /a.
func hasNode(c *cluster) (n int) {
	for _, node := range c.nodes {
		node.Read(func(s *tree.State) {
			if _, err := s.Stat("/a"); err == nil {
				n++
			}
		})
	}
	return n
}

// TestALeaderInDoubtTellsNobody: both followers have the entry, and nobody may learn that it is
// committed before the leader has it too, whom the library counted already.
func TestALeaderInDoubtTellsNobody(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		leader, store, open := leaderInDoubt(t, c)
		synctest.Wait()
		if store.late.Load() == 0 {
			t.Fatal("the leader waits for its disk before it asks its followers")
		}
		last, err := store.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		c.eventually("the entry at the followers", func() bool {
			for id := range c.nodes {
				if at, err := c.stores[id].Log.LastIndex(); err != nil || at < last {
					return false
				}
			}
			return true
		})
		if commit := c.nodes[leader].raft.CommitIndex(); commit < last {
			t.Errorf("the library has committed up to %d of %d: is there a doubt left to guard?", commit, last)
		}
		if n := hasNode(c); n > 0 {
			t.Errorf("%d servers applied what the leader may lose", n)
		}
		open()
		c.eventually("the write on all servers", func() bool { return hasNode(c) == 3 })
	})
}

// TestALeaderWhoseSyncFailsEnds, and what it was in doubt of is applied by those who have it.
func TestALeaderWhoseSyncFailsEnds(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		leader, store, open := leaderInDoubt(t, c)
		synctest.Wait()
		store.err = errDisk
		open()
		failed := c.nodes[leader]
		<-failed.Done()
		if err := failed.Wait(); err == nil {
			t.Error("it ended without an error")
		}
		failed.Read(func(s *tree.State) {
			if _, err := s.Stat("/a"); err == nil {
				t.Error("it applied what it may have lost")
			}
		})
		delete(c.nodes, leader)
		delete(c.sinks, leader)
		c.eventually("the write on those that are left", func() bool { return hasNode(c) == 2 })
	})
}
