package node

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// transport is Raft's network. A server's address in Raft's configuration is its id: where it
// is found is looked up when it is dialed.
type transport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
	// sever breaks all connections and lets no new ones come up.
	sever()
}

// raftID is a name as Raft's type.
func raftID(name string) raft.ServerID { return raft.ServerID(name) }

// netTransport is Raft's own transport over the quorum ports. It watches what the followers
// have, for the heralds.
type netTransport struct {
	*raft.NetworkTransport
	layer *streamLayer
	// appended is told what a follower holds for sure: its log up to last, and the news that
	// everything up to commit is committed.
	appended func(id raft.ServerID, last, commit uint64)
}

const (
	// minRaftTimeout is the least time that a message of Raft gets: a large one on a slow link.
	minRaftTimeout = 5 * time.Second
	// raftPool is the idle connections that are kept to each server: for entries, heartbeats,
	// votes and heralds.
	raftPool = 4
)

func (n *Node) newNetTransport(listener net.Listener) *netTransport {
	layer := &streamLayer{n: n, listener: listener}
	return &netTransport{
		layer: layer,
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: layer, MaxPool: raftPool, Timeout: max(minRaftTimeout, n.opt.syncTimeout()),
			// Without pipelining: with it, a refused entry can make replication to a server hang
			// for ever while its heartbeats go on (hashicorp/raft issue 612), and it is slower.
			MaxRPCsInFlight: 1,
			Logger:          newRaftLog(n.log, n.clock, n.stop),
		}),
		appended: func(raft.ServerID, uint64, uint64) {},
	}
}

// AppendEntries implements raft.Transport.
func (t *netTransport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	req.LeaderCommitIndex = t.layer.n.guard.doubt.below(req.LeaderCommitIndex)
	err := t.NetworkTransport.AppendEntries(id, to, req, resp)
	if err == nil && resp.Success && (len(req.Entries) > 0 || req.PrevLogEntry > 0) {
		last := req.PrevLogEntry
		if k := len(req.Entries); k > 0 {
			last = req.Entries[k-1].Index
		}
		t.appended(id, last, min(req.LeaderCommitIndex, last))
	}
	return err
}

func (t *netTransport) sever() { t.layer.sever() }

// Close implements raft.WithClose.
func (t *netTransport) Close() error {
	err := t.NetworkTransport.Close()
	t.layer.sever()
	return err
}

// streamLayer gives Raft's transport its connections.
type streamLayer struct {
	n        *Node
	listener net.Listener
	conns    connSet
}

// Accept implements net.Listener. A caller is asked who it is when it is first read from, which
// is in a goroutine of its own.
func (l *streamLayer) Accept() (net.Conn, error) {
	for {
		called, err := l.listener.Accept()
		if err != nil {
			return nil, err
		}
		conn := newPeerConn(called)
		if l.conns.add(conn) {
			return &layerConn{Conn: conn, layer: l, called: true}, nil
		}
	}
}

// Dial implements raft.StreamLayer; address is the id of a server.
func (l *streamLayer) Dial(address raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	conn, err := l.n.dialPeer(context.Background(), portRaft, string(address), false)
	if err != nil {
		return nil, err
	}
	if !l.conns.add(conn) {
		return nil, net.ErrClosed
	}
	return &layerConn{Conn: conn, layer: l}, nil
}

func (l *streamLayer) Close() error   { return l.listener.Close() }
func (l *streamLayer) Addr() net.Addr { return layerAddr(l.n.me()) }

func (l *streamLayer) sever() {
	_ = l.listener.Close()
	l.conns.closeAll()
}

type layerAddr string

func (layerAddr) Network() string  { return "millrace" }
func (a layerAddr) String() string { return string(a) }

// layerConn is a connection of the quorum port.
type layerConn struct {
	net.Conn
	layer  *streamLayer
	called bool // by the other side, which has to say who it is
	greet  sync.Once
	err    error
}

func (c *layerConn) Read(p []byte) (int, error) {
	if c.called {
		c.greet.Do(func() { _, c.err = c.layer.n.accept(c.Conn, portRaft) })
		if c.err != nil {
			return 0, c.err
		}
	}
	return c.Conn.Read(p)
}

func (c *layerConn) Close() error {
	c.layer.conns.remove(c.Conn)
	return c.Conn.Close()
}
