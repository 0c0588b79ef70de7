package node

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// loopback is the machine's network with names for its ports.
type loopback struct {
	mu    sync.Mutex
	ports map[string]string
}

func (l *loopback) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var c net.ListenConfig
	listener, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ports[addr] = listener.Addr().String()
	return listener, nil
}

func (l *loopback) Dial(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	port := l.ports[addr]
	l.mu.Unlock()
	if port == "" {
		return nil, fmt.Errorf("nobody listens on %s", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", port)
}

func diskStores(t testing.TB, dir string) Stores {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{FS: osfs.FS{}, Clock: clock.Real{}, Log: testLog(t), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return Stores{Log: s.Logs(), Stable: s.Stable(), Snapshots: s.Snapshots(), Failed: s.Failed(), Err: s.Err}
}

// realEnsemble is an ensemble on real files and sockets.
func realEnsemble(t testing.TB, size int, tick time.Duration) map[int]*Node {
	network := &loopback{ports: map[string]string{}}
	var servers []zoocfg.Server
	for id := 1; id <= size; id++ {
		servers = append(servers, server(id))
	}
	nodes := map[int]*Node{}
	dir := t.TempDir()
	for _, s := range servers {
		id := int(s.ID)
		n, err := Start(context.Background(), Options{
			MyID: id, Servers: servers, Net: network, TickTime: tick, Log: testLog(t).With("server", id),
			Stores: diskStores(t, filepath.Join(dir, fmt.Sprint(id))),
		})
		if err != nil {
			t.Fatal(err)
		}
		nodes[id] = n
		t.Cleanup(func() { _ = n.Close() })
	}
	return nodes
}

// callers is a Sink for many waiting goroutines: each has a channel of its own.
type callers struct {
	recorder
	waiting sync.Map // Req to chan jute.Code
	next    atomic.Uint64
	h       *Handle
}

func (c *callers) Applied(_ *tree.State, o *tree.Outcome) {
	if c.h == nil || o.Txn.Origin != c.h.Origin() {
		return
	}
	if w, ok := c.waiting.LoadAndDelete(o.Txn.Req); ok {
		w.(chan jute.Code) <- o.Result.Code
	}
}

func (c *callers) do(b *testing.B, txn tree.Txn) {
	txn.Req = c.next.Add(1)
	w := make(chan jute.Code, 1)
	c.waiting.Store(txn.Req, w)
	if err := c.h.Submit(txn); err != nil {
		b.Error(err)
		return
	}
	if code := <-w; code != jute.OK {
		b.Error(code)
	}
}

func newCallers(n *Node) *callers {
	c := &callers{}
	c.changed = sync.NewCond(&c.mu)
	h := n.Attach(c)
	n.sinkMu.Lock()
	c.h = h
	n.sinkMu.Unlock()
	return c
}

// BenchmarkWrite sets 1 KiB, alone and with many under way, spread over all servers.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 3} {
		nodes := realEnsemble(b, size, 2*time.Second)
		sinks := map[int]*callers{}
		leader, follower := 0, 0
		for id, n := range nodes {
			sinks[id] = newCallers(n)
			sinks[id].serving(b, true)
			if n.reign.Load() != nil {
				leader = id
			} else {
				follower = id
			}
		}
		sinks[leader].do(b, createTxn("/bench"))
		set := tree.Txn{Op: tree.Op{Kind: tree.SetData, Path: "/bench", Data: make([]byte, 1024), Version: -1}}
		many := func(b *testing.B, ids []int, outstanding int) {
			var all sync.WaitGroup
			for w := range outstanding {
				all.Go(func() {
					for i := w; i < b.N; i += outstanding {
						sinks[ids[w%len(ids)]].do(b, set)
					}
				})
			}
			all.Wait()
		}
		ids := slices.Sorted(maps.Keys(nodes))
		b.Run(fmt.Sprintf("servers=%d/lone/leader", size), func(b *testing.B) { many(b, []int{leader}, 1) })
		if size > 1 {
			b.Run(fmt.Sprintf("servers=%d/lone/follower", size), func(b *testing.B) { many(b, []int{follower}, 1) })
		}
		for _, outstanding := range []int{64, 256} {
			b.Run(fmt.Sprintf("servers=%d/outstanding=%d", size, outstanding), func(b *testing.B) { many(b, ids, outstanding) })
		}
		for _, n := range nodes {
			_ = n.Close()
		}
	}
}
