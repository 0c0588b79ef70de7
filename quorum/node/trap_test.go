package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
)

// These tests hold the traps of hashicorp/raft that quorum.md lists to their rules, as far as
// cluster_test.go does not.

// An entry of a newer version, or a damaged one, ends the node.
func TestAnEntryThatIsNotKnownEndsTheNode(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	entry := tree.AppendEntry(nil, &tree.Entry{Txns: []tree.Txn{createTxn("/a")}})
	entry[0] = 99
	go n.raft.Apply(entry, 0)
	var unknown *EntryError
	if err := n.Wait(); !errors.As(err, &unknown) || !errors.Is(err, tree.ErrUnknown) {
		t.Errorf("it ended with %v", err)
	}
}

// A state that differs from the leader's ends its server.
func TestADivergedServerEnds(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		leader, f := c.nodes[c.leader()], c.nodes[c.follower()]
		c.sinks[c.leader()].make(t, "/a")
		c.agree()
		f.mu.Lock() // a bug: something is changed on one server only
		f.state.Apply(1, &tree.Entry{Txns: []tree.Txn{createTxn("/extra")}}, nil)
		f.mu.Unlock()
		r := c.sinks[c.leader()]
		for i := range digestInterval + 10 {
			r.make(t, fmt.Sprintf("/n%d", i))
		}
		if err := f.Wait(); !errors.Is(err, ErrDiverged) {
			t.Errorf("it ended with %v", err)
		}
		if leader.isStopped() {
			t.Error("the leader ended as well")
		}
	})
}

// Traps 4, 13, 16, 19 and 23: settings.
func TestRaftSettings(t *testing.T) {
	for tick, want := range map[time.Duration]time.Duration{2 * time.Second: time.Second, 600 * time.Millisecond: 300 * time.Millisecond} {
		o := Options{TickTime: tick, Stores: memStores()}
		if err := o.withDefaults(); err != nil {
			t.Fatal(err)
		}
		c := raftConfig(&o, "1", true, nil)
		if err := raft.ValidateConfig(c); err != nil {
			t.Error(err)
		}
		if c.HeartbeatTimeout != want || c.ElectionTimeout != want || c.LeaderLeaseTimeout != want/2 {
			t.Errorf("tick %v: %v %v %v", tick, c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout)
		}
		if c.MaxAppendEntries*maxEntryBytes > 16<<20 || !c.BatchApplyCh || c.PreVoteDisabled || !c.NoLegacyTelemetry ||
			!c.RestoreCommittedLogs || c.TrailingLogs < 50_000 {
			t.Errorf("settings %+v", c)
		}
	}
	tiny := Options{TickTime: time.Millisecond, Stores: memStores()}
	if err := tiny.withDefaults(); err != nil {
		t.Fatal(err)
	}
	if err := raft.ValidateConfig(raftConfig(&tiny, "1", false, nil)); err != nil {
		t.Errorf("a tick of 1 ms: %v", err)
	}
}

type monotonic struct{ *raft.InmemStore }

func (monotonic) IsMonotonic() bool { return true }

// Trap 6: whether the log may have gaps is asked of the store below.
func TestIsMonotonicIsForwarded(t *testing.T) {
	for store, want := range map[raft.LogStore]bool{raft.NewInmemStore(): false, monotonic{raft.NewInmemStore()}: true} {
		logs, _ := newGuardedLog(store, newFuse(func(error) {}), nil).forRaft(nil)
		if got := logs.(raft.MonotonicLogStore).IsMonotonic(); got != want {
			t.Errorf("%T: %v", store, got)
		}
	}
}

// Trap 12: a write through a follower does not wait for Raft's CommitTimeout.
func TestAFollowersWriteDoesNotWaitForATimer(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.leader()
		f := c.sinks[c.follower()]
		for i := range 20 {
			began := time.Now()
			f.do(t, createTxn(fmt.Sprintf("/n%d", i)))
			if took := time.Since(began); took > time.Millisecond { // synctest's time: only timers take any
				t.Errorf("write %d took %v", i, took)
			}
		}
	})
}

// Trap 23: a server that stands alone leads without waiting for a timer.
func TestALoneServerLeadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := startLone(t, Options{})
		r := attach(n)
		r.serving(t, true)
		r.do(t, createTxn("/a"))
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		_ = n.Close()
	})
}

func memDisk(t testing.TB, disk *memfs.FS, dir string) (Stores, *raftlog.Store) {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{FS: disk, Clock: clock.Real{}, Log: testLog(t), Dir: dir, SegmentBytes: 1 << 20, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return Stores{Log: s.Logs(), Stable: s.Stable(), Snapshots: s.Snapshots(), Failed: s.Failed(), Err: s.Err}, s
}

// Trap 16: what is known to be committed is applied before a leader was met, and Raft still
// knows its configuration, and more entries than its channel holds do not stop the start.
func TestARestartedServerIsWarm(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		disks, open := map[int]*memfs.FS{}, map[int]*raftlog.Store{}
		for id := 1; id <= 3; id++ {
			disks[id] = memfs.New()
			c.stores[id], open[id] = memDisk(t, disks[id], host(id))
		}
		c.adjust = func(o *Options) { o.TrailingLogs = 100 }
		c.startAll()
		c.serving()
		f := c.follower()
		r := c.sinks[c.leader()]
		r.make(t, "/a")
		c.agree()
		if err := c.nodes[f].raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			r.make(t, fmt.Sprintf("/n%d", i))
		}
		c.agree()
		for id := range c.nodes {
			c.kill(id)
			if err := open[id].Close(); err != nil {
				t.Fatal(err)
			}
			c.stores[id], open[id] = memDisk(t, disks[id], host(id))
		}
		c.start(f) // alone: nobody can tell it anything
		c.eventually("its own data", func() bool {
			var last error
			c.nodes[f].Read(func(s *tree.State) { _, last = s.Stat("/n40") })
			return last == nil
		})
		if c.nodes[f].Status().Serving {
			t.Error("it serves")
		}
		for id := range c.stores {
			if id != f {
				c.start(id)
			}
		}
		c.serving()
		c.sinks[f].make(t, "/b")
		c.agree()
	})
}

func TestALoneServerComesBackFromItsDisk(t *testing.T) {
	disk := memfs.New()
	for round := range 4 {
		stores, open := memDisk(t, disk, "q")
		n := startLone(t, Options{Stores: stores})
		r := attach(n)
		r.serving(t, true)
		r.make(t, fmt.Sprintf("/n%d", round))
		if round == 2 {
			if err := n.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		n.Read(func(s *tree.State) {
			for i := range round + 1 {
				if _, err := s.Stat(fmt.Sprintf("/n%d", i)); err != nil {
					t.Errorf("round %d: /n%d: %v", round, i, err)
				}
			}
		})
		_ = n.Close()
		if err := open.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Trap 21: what is said again and again is logged now and then.
func TestRaftLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := newRaftLog(textLog(&out), clock.Real{}, nil)
		for range 100 {
			l.Error("failed to heartbeat", "peer", "2")
		}
		l.Warn("something else")
		time.Sleep(repeatInterval)
		l.Error("failed to heartbeat", "peer", "2")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[2], "dropped=99") || !strings.Contains(lines[0], "level=WARN") {
			t.Errorf("%d lines:\n%s", len(lines), out.String())
		}
	})
}

func TestSeed(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		state := tree.New()
		state.Apply(7, &tree.Entry{TimeMs: 1, Txns: []tree.Txn{createTxn("/old")}}, nil)
		zxid := state.Zxid()
		c.stores[1] = memStores()
		if err := Seed(c.stores[1], 1, state); err != nil {
			t.Fatal(err)
		}
		if err := Seed(c.stores[1], 1, state); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("seeded twice: %v", err)
		}
		c.startAll()
		c.serving()
		c.eventually("three votes", func() bool { return voters(c.nodes[c.leader()]) == 3 })
		res := c.sinks[3].do(t, createTxn("/new"))
		if res.Code != jute.OK || res.Zxid <= zxid {
			t.Errorf("create: %+v after zxid %x", res, zxid)
		}
		if !c.exists("/old") {
			t.Error("the state is gone")
		}
		c.agree()
	})
}

func TestStartRefusesNonsense(t *testing.T) {
	for what, o := range map[string]Options{
		"no stores":      {},
		"a myid":         {MyID: 300, Stores: memStores()},
		"no network":     {Servers: newCluster(t, 3).servers, Stores: memStores()},
		"another's myid": {MyID: 9, Servers: newCluster(t, 3).servers, Stores: memStores(), Net: newCluster(t, 1).net.Host("h")},
	} {
		if n, err := Start(context.Background(), o); err == nil {
			_ = n.Close()
			t.Errorf("%s: it started", what)
		}
	}
	stores := memStores()
	_ = startLone(t, Options{Stores: stores, MyID: 1}).Close()
	if _, err := Start(context.Background(), Options{Stores: stores, MyID: 2}); err == nil || !strings.Contains(err.Error(), "belongs to server 1") {
		t.Errorf("another server's data: %v", err)
	}
}
