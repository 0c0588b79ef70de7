package node

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestThreeServersAgree(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		leader := c.leader()
		for id, r := range c.sinks {
			for i := range 5 {
				path := fmt.Sprintf("/n%d-%d", id, i)
				if res := r.do(t, createTxn(path)); res.Code != jute.OK {
					t.Fatalf("create %s: %+v", path, res)
				}
				c.nodes[id].Read(func(s *tree.State) {
					if _, err := s.Stat(path); err != nil {
						t.Errorf("server %d does not see its own write: %v", id, err)
					}
				})
			}
		}
		c.agree()
		for id, n := range c.nodes {
			want := Follower
			if id == leader {
				want = Leader
			}
			if s := n.Status(); s.Mode != want || s.LeaderID != leader || len(s.Peers) != 3 {
				t.Errorf("server %d: %+v", id, s)
			}
			if n.Password(5) != c.nodes[leader].Password(5) {
				t.Error("the secrets differ")
			}
			n.Read(func(s *tree.State) {
				text, _, _ := s.Get(tree.ConfigPath)
				want := "server.1=h1:2888:3888:participant;0.0.0.0:2181\nserver.2=h2:2888:3888:participant;0.0.0.0:2181\nserver.3=h3:2888:3888:participant;0.0.0.0:2181\nversion=0"
				if string(text) != want {
					t.Errorf("configuration %q", text)
				}
			})
		}
	})
}

func TestTwoOfThreeBeginAndTheThirdJoinsLater(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.start(1)
		time.Sleep(30 * time.Second)
		if c.nodes[1].Status().Serving {
			t.Fatal("one of three serves")
		}
		c.start(2)
		c.serving()
		c.sinks[1].do(t, createTxn("/a"))
		c.start(3)
		c.serving()
		c.sinks[3].do(t, createTxn("/b"))
		c.eventually("three votes", func() bool { return voters(c.nodes[c.leader()]) == 3 })
		c.agree()
	})
}

func voters(n *Node) int {
	count := 0
	for _, p := range n.Status().Peers {
		if p.Voter {
			count++
		}
	}
	return count
}

func TestTheLeaderDies(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		old := c.leader()
		c.sinks[old].do(t, createTxn("/before"))
		c.kill(old)
		f := c.follower()
		before := time.Now()
		c.leader()
		c.sinks[f].serving(t, true)
		c.sinks[f].make(t, "/after")
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("the ensemble was without a leader for %v", took)
		}
		c.start(old)
		c.serving()
		c.agree()
		c.nodes[old].Read(func(s *tree.State) {
			for _, path := range []string{"/before", "/after"} {
				if _, err := s.Stat(path); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	})
}

func TestWithoutAQuorumNobodyIsServed(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		leader := c.leader()
		c.net.Isolate(host(leader), host(1), host(2), host(3))
		began := time.Now()
		lone := c.sinks[leader]
		lone.serving(t, false)
		if took := time.Since(began); took > 6*c.tick {
			t.Errorf("the lonely server served for %v", took)
		}
		if err := lone.handle.Submit(createTxn("/x")); err != ErrNotServing {
			t.Errorf("submit: %v", err)
		}
		if m := c.nodes[leader].Status().Mode; m != Looking {
			t.Errorf("mode %v", m)
		}
		for id, r := range c.sinks {
			if id != leader {
				r.make(t, fmt.Sprintf("/by-%d", id))
			}
		}
		c.net.HealAll()
		lone.serving(t, true)
		c.agree()
	})
}

// What a leader took in but could not commit is told as lost, and does not come back.
func TestWritesOfADeposedLeaderAreLost(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		leader := c.leader()
		c.net.Isolate(host(leader), host(1), host(2), host(3))
		r := c.sinks[leader]
		before := r.losses()
		r.start(t, createTxn("/lost"))
		r.until(t, func() bool { return r.lost > before })
		for id, other := range c.sinks {
			if id != leader {
				other.make(t, fmt.Sprintf("/kept-%d", id))
			}
		}
		c.net.HealAll()
		c.serving()
		c.agree()
		c.nodes[leader].Read(func(s *tree.State) {
			if _, err := s.Stat("/lost"); err == nil {
				t.Error("what was lost came back")
			}
		})
	})
}

// A follower whose way to the leader breaks is told so, and goes on over a new one.
func TestALinkBreaks(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		f, leader := c.follower(), c.leader()
		r := c.sinks[f]
		before := r.losses()
		c.net.Break(host(f), host(leader))
		r.until(t, func() bool { return r.lost > before })
		r.make(t, "/after")
		c.agree()
	})
}

func TestASnapshotIsInstalled(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.adjust = func(o *Options) { o.TrailingLogs = 1 }
		c.startAll()
		c.serving()
		f := c.follower()
		c.kill(f)
		leader := c.leader()
		r := c.sinks[leader]
		for i := range 50 {
			r.do(t, createTxn(fmt.Sprintf("/n%d", i)))
		}
		if err := c.nodes[leader].raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		back := c.start(f)
		resets := back.resets
		back.serving(t, true)
		if back.resets == resets {
			t.Error("the sink was not reset by the snapshot")
		}
		c.agree()
		back.do(t, createTxn("/after"))
		c.agree()
	})
}

// A server that lost its data comes back under a new name: as an observer, then with a vote,
// and its old name is gone.
func TestAWipedServerIsNotItself(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.sinks[c.leader()].do(t, createTxn("/a"))
		f := c.follower()
		c.kill(f)
		c.stores[f] = memStores()
		c.start(f)
		c.serving()
		leader := c.nodes[c.leader()]
		c.eventually("the vote of the new incarnation", func() bool {
			peers := leader.Status().Peers
			return len(peers) == 3 && voters(leader) == 3
		})
		for _, p := range leader.Status().Peers {
			if p.ID == f && p.Name == fmt.Sprint(f) {
				t.Errorf("the wiped server has its old name %s", p.Name)
			}
		}
		c.agree()
		// The name is kept over a restart.
		name := c.nodes[f].me()
		c.kill(f)
		c.start(f)
		c.serving()
		if c.nodes[f].me() != name {
			t.Errorf("name %s became %s", name, c.nodes[f].me())
		}
	})
}

// A wiped server must not bring an ensemble to life whose other servers have data but no quorum.
func TestAWipedServerDoesNotVoteForALostQuorum(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.sinks[c.leader()].do(t, createTxn("/a"))
		c.kill(1)
		c.kill(2)
		c.stores[1] = memStores()
		c.start(1)
		c.sinks[3].serving(t, false)
		time.Sleep(time.Minute)
		for id, n := range c.nodes {
			if n.Status().Serving {
				t.Errorf("server %d serves", id)
			}
		}
		c.start(2)
		c.serving()
		c.agree()
	})
}

func TestObserver(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *cluster) {
		c.servers[3].Observer = true
		c.startAll()
		c.serving()
		if res := c.sinks[4].do(t, createTxn("/by-observer")); res.Code != jute.OK {
			t.Errorf("create: %+v", res)
		}
		if s := c.nodes[4].Status(); s.Mode != Observer {
			t.Errorf("mode %v", s.Mode)
		}
		if v := voters(c.nodes[c.leader()]); v != 3 {
			t.Errorf("%d votes", v)
		}
		c.agree()
	})
}

// Raft's VerifyLeader takes the word of observers for that of voters. Nothing here uses it, and
// a leader with observers only stops leading.
func TestObserversDoNotKeepALeader(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, c *cluster) {
		c.servers[3].Observer, c.servers[4].Observer = true, true
		c.startAll()
		c.serving()
		leader := c.leader()
		for _, s := range c.servers[:3] {
			if int(s.ID) != leader {
				c.net.CutBoth(host(leader), host(int(s.ID)))
			}
		}
		r := c.sinks[leader]
		before := r.losses()
		r.start(t, createTxn("/lost"))
		r.until(t, func() bool { return r.lost > before })
		c.eventually("the end of the reign", func() bool { return c.nodes[leader].reign.Load() == nil })
		if got := r.outcomes(); len(got) != 0 {
			t.Errorf("a write without a quorum was applied: %v", got)
		}
	})
}

func TestTransferLeadership(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		old := c.leader()
		if err := c.nodes[c.follower()].TransferLeadership(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.eventually("another leader", func() bool { return c.leader() != old })
		c.serving()
		c.sinks[old].make(t, "/a")
		c.agree()
	})
}
