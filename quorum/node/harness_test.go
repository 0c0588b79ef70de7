package node

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/testkit/memnet"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// cluster is an ensemble in one process, each server on a host of its own: server 1 on h1.
type cluster struct {
	t       testing.TB
	net     *memnet.Network
	servers []zoocfg.Server
	stores  map[int]Stores
	nodes   map[int]*Node
	sinks   map[int]*recorder
	tick    time.Duration
	adjust  func(*Options)
}

func host(id int) string { return fmt.Sprintf("h%d", id) }

func server(id int) zoocfg.Server {
	return zoocfg.Server{ID: int64(id), Host: host(id), PeerPort: 2888, ElectionPort: 3888, ClientPort: 2181}
}

func newCluster(t testing.TB, size int) *cluster {
	c := &cluster{
		t: t, net: memnet.New(), stores: map[int]Stores{}, nodes: map[int]*Node{}, sinks: map[int]*recorder{},
		tick: 2 * time.Second, adjust: func(*Options) {},
	}
	for id := 1; id <= size; id++ {
		c.servers = append(c.servers, server(id))
	}
	return c
}

// start starts a server, with the stores that it had or with new ones.
func (c *cluster) start(id int) *recorder {
	c.t.Helper()
	if _, known := c.stores[id]; !known {
		c.stores[id] = memStores()
	}
	opt := Options{
		MyID: id, Servers: c.servers, Stores: c.stores[id], Net: c.net.Host(host(id)), TickTime: c.tick,
		Log: testLog(c.t).With("server", id),
	}
	c.adjust(&opt)
	n, err := Start(context.Background(), opt)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[id], c.sinks[id] = n, attach(n)
	return c.sinks[id]
}

func (c *cluster) startAll() {
	for _, s := range c.servers {
		c.start(int(s.ID))
	}
}

// kill ends a server as a crash does, for the others: nobody is told.
func (c *cluster) kill(id int) {
	c.net.Kill(host(id))
	_ = c.nodes[id].Close()
	delete(c.nodes, id)
	delete(c.sinks, id)
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		_ = n.Close()
	}
}

// serving waits until all running servers serve.
func (c *cluster) serving() {
	c.t.Helper()
	for _, r := range c.sinks {
		r.serving(c.t, true)
	}
}

// eventually waits for something that no sink tells.
func (c *cluster) eventually(what string, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("never came: %s", what)
		}
	}
}

// leader waits for a leader that serves.
func (c *cluster) leader() int {
	c.t.Helper()
	leader := 0
	c.eventually("a leader", func() bool {
		for id, n := range c.nodes {
			if n.reign.Load() != nil && n.Status().Serving {
				leader = id
				return true
			}
		}
		return false
	})
	return leader
}

func (c *cluster) follower() int {
	leader := c.leader()
	for _, s := range c.servers {
		if id := int(s.ID); id != leader && c.nodes[id] != nil {
			return id
		}
	}
	c.t.Fatal("no follower")
	return 0
}

// agree waits until all running servers have applied the same, and compares their states.
func (c *cluster) agree() {
	c.t.Helper()
	var digests map[int]uint64
	c.eventually("equal states", func() bool {
		digests = map[int]uint64{}
		var zxids []int64
		for id, n := range c.nodes {
			n.Read(func(s *tree.State) { digests[id] = s.Digest(); zxids = append(zxids, s.Zxid()) })
		}
		slices.Sort(zxids)
		return len(slices.Compact(zxids)) == 1
	})
	for _, d := range digests {
		for _, e := range digests {
			if d != e {
				c.t.Fatalf("the states differ: %v", digests)
			}
		}
	}
}

// inBubble runs a test on an ensemble on synctest's time.
func inBubble(t *testing.T, size int, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, size)
		defer c.close()
		f(t, c)
	})
}
