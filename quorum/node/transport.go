package node

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/raftnet"
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

// netTransport is Raft's network over the quorum ports. It watches what the followers have, for
// the heralds.
type netTransport struct {
	*raftnet.Transport
	n     *Node
	layer *raftLayer
	// appended is told what a follower holds for sure: its log up to last, and the news that
	// everything up to commit is committed.
	appended func(id raft.ServerID, last, commit uint64)
}

const (
	// minRaftTimeout is the least time that a message of Raft gets: a large one on a slow link.
	minRaftTimeout = 5 * time.Second
	// raftPool is the idle connections that are kept to each server: for entries, heartbeats and
	// votes.
	raftPool = 4
	// maxRaftSend is about the most that one message carries, if no entry is larger. What others
	// may send is more, so that servers whose limits differ a little understand each other.
	maxRaftSend    = 16 << 20
	maxRaftMessage = 4 * maxRaftSend
)

func (n *Node) newNetTransport(listener net.Listener) *netTransport {
	layer := &raftLayer{n: n, listener: listener}
	return &netTransport{
		n: n, layer: layer,
		Transport: raftnet.New(raftnet.Options{
			Network: layer, Local: raft.ServerAddress(n.me()), Timeout: max(minRaftTimeout, n.opt.syncTimeout()), Idle: raftPool,
			MaxMessageBytes: max(maxRaftMessage, 2*n.opt.MaxTxnBytes+maxEntryBytes), MaxSendBytes: maxRaftSend,
			Clock: n.clock, Log: n.log.With("part", "raft"),
		}),
		appended: func(raft.ServerID, uint64, uint64) {},
	}
}

// AppendEntries implements raft.Transport.
func (t *netTransport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	req.LeaderCommitIndex = t.n.guard.doubt.below(req.LeaderCommitIndex)
	err := t.Transport.AppendEntries(id, to, req, resp)
	if err == nil && resp.Success && (len(req.Entries) > 0 || req.PrevLogEntry > 0) {
		last := req.PrevLogEntry
		if k := len(req.Entries); k > 0 {
			last = req.Entries[k-1].Index
		}
		t.appended(id, last, min(req.LeaderCommitIndex, last))
	}
	return err
}

func (t *netTransport) sever() {
	t.Stop()
	t.layer.conns.closeAll()
}

// Close implements raft.WithClose.
func (t *netTransport) Close() error {
	t.sever()
	return t.Transport.Close()
}

// raftLayer gives Raft's transport its connections.
type raftLayer struct {
	n        *Node
	listener net.Listener
	conns    connSet
}

// Accept implements raftnet.Network.
func (l *raftLayer) Accept() (raftnet.Conn, error) {
	for {
		called, err := l.listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn := newPeerConn(called); l.conns.add(conn) {
			return &layerConn{conn, l}, nil
		}
	}
}

// Greet implements raftnet.Network: the caller has to say who it is.
func (l *raftLayer) Greet(conn raftnet.Conn) error {
	_, err := l.n.accept(conn, portRaft)
	return err
}

// Dial implements raftnet.Network; to is the id of a server.
func (l *raftLayer) Dial(to raft.ServerAddress) (raftnet.Conn, error) {
	dialed, err := l.n.dialPeer(context.Background(), portRaft, string(to), false)
	if err != nil {
		return nil, err
	}
	if !l.conns.add(dialed) {
		return nil, net.ErrClosed
	}
	return &layerConn{dialed, l}, nil
}

// Close implements raftnet.Network.
func (l *raftLayer) Close() error { return l.listener.Close() }

// layerConn is a connection of the quorum port.
type layerConn struct {
	*peerConn
	layer *raftLayer
}

func (c *layerConn) Close() error {
	c.layer.conns.remove(c.peerConn)
	return c.peerConn.Close()
}
