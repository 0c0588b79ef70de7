package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

func (c *cluster) config(id int) string {
	var text string
	c.nodes[id].Read(func(s *tree.State) {
		data, _, _ := s.Get(tree.ConfigPath)
		text = string(data)
	})
	return text
}

func (c *cluster) reconfig(id int, ch Change) error {
	return c.nodes[id].Reconfig(context.Background(), ch)
}

func TestReconfigAddsAndRemoves(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.sinks[1].make(t, "/a")
		if err := c.reconfig(c.follower(), Change{Joining: server(4).String(), Leaving: "9", FromVersion: -1}); err != nil {
			t.Fatalf("a joiner that is not there yet does not stop the others: %v", err)
		}
		c.servers = append(c.servers, server(4)) // its own file has all four
		c.start(4)
		c.serving()
		c.eventually("four votes", func() bool { return voters(c.nodes[c.leader()]) == 4 })
		c.sinks[4].make(t, "/b")
		if text := c.config(4); !strings.Contains(text, "server.4=h4:2888:3888:participant;0.0.0.0:2181\nversion=") || strings.Contains(text, "version=0") {
			t.Errorf("configuration %q", text)
		}

		gone := c.follower()
		if err := c.reconfig(4, Change{Leaving: fmt.Sprint(gone), FromVersion: -1}); err != nil {
			t.Fatal(err)
		}
		c.sinks[gone].serving(t, false)
		c.kill(gone)
		c.eventually("three votes", func() bool { return voters(c.nodes[c.leader()]) == 3 })
		c.agree()
	})
}

func TestReconfigOfTheLeaderItself(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		old := c.leader()
		err := c.reconfig(old, Change{Leaving: fmt.Sprint(old), FromVersion: -1})
		if err != nil && !errors.Is(err, ErrNotServing) {
			t.Fatal(err)
		}
		c.eventually("an ensemble without it", func() bool {
			leader := c.leader()
			return leader != old && voters(c.nodes[leader]) == 2
		})
		c.sinks[old].serving(t, false)
		c.kill(old)
		c.sinks[c.leader()].make(t, "/after")
		c.agree()
	})
}

// Who asks the server that is to leave gets an answer, and may call it back at once: the suite
// of go-zookeeper does so.
func TestReconfigThroughTheOneThatLeaves(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		for _, leaves := range []int{c.follower(), c.leader()} {
			all := []string{server(1).String(), server(2).String(), server(3).String()}
			rest := slices.Delete(slices.Clone(all), leaves-1, leaves)
			if err := c.reconfig(leaves, Change{Members: strings.Join(rest, ","), FromVersion: -1}); err != nil {
				t.Fatalf("server %d leaves: %v", leaves, err)
			}
			if err := c.reconfig(leaves, Change{Members: strings.Join(all, ","), FromVersion: -1}); err != nil {
				t.Fatalf("server %d comes back: %v", leaves, err)
			}
			c.eventually("three votes", func() bool { return voters(c.nodes[c.leader()]) == 3 })
			c.serving()
			c.sinks[leaves].make(t, fmt.Sprint("/after", leaves))
		}
		c.agree()
	})
}

func TestReconfigMakesAnObserver(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		f := c.follower()
		s := server(f)
		s.Observer = true
		if err := c.reconfig(c.leader(), Change{Joining: s.String(), FromVersion: -1}); err != nil {
			t.Fatal(err)
		}
		c.eventually("an observer", func() bool { return c.nodes[f].Status().Mode == Observer })
		c.sinks[f].make(t, "/a")
		if err := c.reconfig(f, Change{Joining: server(f).String(), FromVersion: -1}); err != nil {
			t.Fatal(err)
		}
		c.eventually("a follower", func() bool { return c.nodes[f].Status().Mode == Follower })
	})
}

func TestReconfigRefuses(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		before := c.config(1)
		for _, x := range []struct {
			what string
			ch   Change
			want error
		}{
			{"nonsense", Change{Joining: "server.4=nowhere", FromVersion: -1}, jute.BadArguments},
			{"a number that is none", Change{Leaving: "x", FromVersion: -1}, jute.BadArguments},
			{"everybody leaves", Change{Leaving: "1,2,3", FromVersion: -1}, jute.BadArguments},
			{"an address that is taken", Change{Joining: "server.4=h1:2888:3888", FromVersion: -1}, jute.BadArguments},
			{"both forms", Change{Joining: server(4).String(), Members: server(1).String(), FromVersion: -1}, jute.BadArguments},
			{"another version", Change{Leaving: "3", FromVersion: 77}, jute.BadVersion},
			{"voters that are not there", Change{Members: server(1).String() + "," + server(4).String() + "\n" + server(5).String(), FromVersion: -1}, jute.NewConfigNoQuorum},
		} {
			for id := 1; id <= 2; id++ {
				if err := c.reconfig(id, x.ch); !errors.Is(err, x.want) {
					t.Errorf("%s, asked on server %d: %v, want %v", x.what, id, err, x.want)
				}
			}
		}
		if after := c.config(1); after != before {
			t.Errorf("%q became %q", before, after)
		}
	})
}

func TestReconfigOfOneServerAlone(t *testing.T) {
	n := startLone(t, Options{})
	attach(n).serving(t, true)
	if err := n.Reconfig(context.Background(), Change{Leaving: "1", FromVersion: -1}); !errors.Is(err, jute.Unimplemented) {
		t.Error(err)
	}
}

// An ensemble grows from one server to three without ever waiting for a vote that cannot come.
func TestOneServerBecomesThree(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.sinks[1].make(t, "/a")
		c.servers = []zoocfg.Server{server(1), server(2), server(3)}
		c.start(2)
		c.start(3)
		c.serving() // as observers, which nobody asked for
		if v := voters(c.nodes[1]); v != 1 {
			t.Fatalf("%d votes", v)
		}
		if err := c.reconfig(1, Change{Joining: server(2).String() + "," + server(3).String(), FromVersion: -1}); err != nil {
			t.Fatal(err)
		}
		c.eventually("three votes", func() bool { return voters(c.nodes[2]) == 3 && voters(c.nodes[3]) == 3 })
		c.kill(1)
		c.sinks[c.leader()].make(t, "/b")
	})
}

func TestNextStep(t *testing.T) {
	type list = []raft.Server
	v := func(id string) raft.Server { return raft.Server{ID: raft.ServerID(id), Suffrage: raft.Voter} }
	o := func(id string) raft.Server { return raft.Server{ID: raft.ServerID(id), Suffrage: raft.Nonvoter} }
	observer := func(id int) zoocfg.Server { s := server(id); s.Observer = true; return s }
	three := []zoocfg.Server{server(1), server(2), server(3)}
	for _, c := range []struct {
		what  string
		have  list
		want  []zoocfg.Server
		ready string
		step  string
	}{
		{"all is well", list{v("1"), v("2"), v("3")}, three, "1 2 3", ""},
		{"a voter that is down stays", list{v("1"), v("2"), v("3")}, three, "1 2", ""},
		{"who caught up gets a vote", list{v("1"), v("2"), o("3.a")}, three, "1 2 3.a", "1 3.a"},
		{"who did not does not", list{v("1"), v("2"), o("3.a")}, three, "1 2", ""},
		{"the old name goes first", list{v("1"), v("2"), v("3"), o("3.a")}, three, "1 2 3.a", "3 3"},
		{"a live voter is not replaced", list{v("1"), v("2"), v("3"), o("3.a")}, three, "1 2 3 3.a", ""},
		{"the leader is not replaced", list{v("1"), v("2"), v("3"), o("1.a")}, three, "1 2 3 1.a", ""},
		{"an incarnation that is dead goes", list{v("1"), v("2"), v("3.b"), o("3.a")}, three, "1 2 3.b", "3 3.a"},
		{"who waits to be asked stays", list{v("1"), v("2"), v("3"), o("4.a")}, three, "1 2 3 4.a", ""},
		{"who is not wanted loses its vote first", list{v("1"), v("2"), v("3")}, three[:2], "1 2 3", "4 3"},
		{"and waits for its dismissal", list{v("1"), v("2"), o("3")}, three[:2], "1 2 3", ""},
		{"one that is called back gets its vote again", list{v("1"), v("2"), o("3")}, three, "1 2 3", "1 3"},
		{"who is not wanted goes even if it is down", list{v("1"), v("2"), v("3")}, three[:2], "1 2", "3 3"},
		{"who is to observe loses its vote", list{v("1"), v("2"), v("3")}, []zoocfg.Server{server(1), server(2), observer(3)}, "1 2 3", "2 3"},
		{"an observer does not get a vote", list{v("1"), v("2"), o("3")}, []zoocfg.Server{server(1), server(2), observer(3)}, "1 2 3", ""},
		{"joining comes before leaving", list{v("1"), v("2"), v("3"), o("4.a")}, []zoocfg.Server{server(1), server(2), server(4)}, "1 2 3 4.a", "1 4.a"},
		{"the leader hands over before it goes", list{v("1"), v("2"), v("3")}, three[1:], "1 2 3", "5 1"},
		{"but not to nobody", list{v("1"), v("2")}, three[1:2], "1", ""},
	} {
		ready := strings.Fields(c.ready)
		step, ok := nextStep(c.have, c.want, func(id raft.ServerID) bool {
			for _, r := range ready {
				if r == string(id) {
					return true
				}
			}
			return false
		}, "1")
		got := ""
		if ok {
			got = fmt.Sprintf("%d %s", step.kind, step.id)
		}
		if got != c.step {
			t.Errorf("%s: step %q, want %q", c.what, got, c.step)
		}
	}
}
