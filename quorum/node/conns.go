package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/netx"
)

// peerConn is a connection to another server, which reads and writes as netx does: most of what the
// servers tell each other is short. One goroutine reads it and one writes it at a time.
type peerConn struct {
	net.Conn
	x    *netx.Conn
	room []byte
}

func newPeerConn(c net.Conn) *peerConn { return &peerConn{Conn: c, x: netx.Wrap(c)} }

func (c *peerConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.room = p
	n, err := c.x.ReadInto(c)
	c.room = nil
	return n, err
}

// Lend implements netx.Lender.
func (c *peerConn) Lend() []byte { return c.room }

// Sleep implements netx.Lender.
func (c *peerConn) Sleep() bool { return true }

func (c *peerConn) Write(p []byte) (int, error) {
	if err := c.x.WriteShort(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WritePieces implements raftnet.Conn.
func (c *peerConn) WritePieces(v netx.Pieces) error {
	if !c.x.CanSendfile() { // each piece would be a call, and a record of TLS
		_, err := c.Conn.Write(slices.Concat(v...))
		return err
	}
	if len(v) == 1 {
		return c.x.WriteShort(v[0])
	}
	return c.x.WritePieces(v)
}

// connSet is the connections of one port, so that all can be broken at once.
type connSet struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// add takes a connection in. After closeAll it closes it and returns false.
func (s *connSet) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *connSet) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// closeAll breaks all connections, and those that are added later.
func (s *connSet) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// prefaceTimeout is how long a caller may take to say who it is.
const prefaceTimeout = 10 * time.Second

// dialTimeout bounds the time in which a connection must come up.
func (o *Options) dialTimeout() time.Duration {
	return min(max(o.TickTime, 500*time.Millisecond), 5*time.Second)
}

// dialPeer connects to the server with a Raft id, or to whoever has the number in it when any is
// set, and says who is calling.
func (n *Node) dialPeer(ctx context.Context, port byte, to string, any bool) (*peerConn, error) {
	server, ok := n.addressOf(myIDOf(raftID(to)))
	if !ok {
		return nil, errors.New("no address is known for server " + to)
	}
	addr := server.ElectionAddress()
	if port == portRaft {
		addr = server.PeerAddress()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := n.clock.AfterFunc(n.opt.dialTimeout(), cancel)
	defer timer.Stop()
	dialed, err := n.opt.Net.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn := newPeerConn(dialed)
	p := preface{port: port, cluster: n.clusterID(), from: string(n.me()), to: to}
	if any {
		p.to = ""
	}
	_ = conn.SetWriteDeadline(n.clock.Now().Add(prefaceTimeout))
	if _, err := conn.Write(p.appendTo(nil)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return conn, nil
}

// accept reads a caller's preface and tells who it is, or why it is not spoken to.
func (n *Node) accept(conn net.Conn, port byte) (preface, error) {
	_ = conn.SetReadDeadline(n.clock.Now().Add(prefaceTimeout))
	p, err := readPreface(conn)
	_ = conn.SetReadDeadline(time.Time{})
	switch mine := n.clusterID(); {
	case err != nil:
		return p, err
	case p.port != port:
		return p, errPreface
	case p.cluster != 0 && mine != 0 && p.cluster != mine:
		return p, errOtherCluster
	case p.to != "" && p.to != string(n.me()):
		return p, errNotMe
	}
	return p, nil
}
