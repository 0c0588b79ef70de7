package raftnet

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
)

// Conn is a connection to another server. One goroutine uses it at a time.
type Conn interface {
	net.Conn
	// WritePieces writes all of v and may change what is in it.
	WritePieces(v netx.Pieces) error
}

// Network is where connections come from and go to.
type Network interface {
	// Accept waits for a caller. An error is final when the transport was closed.
	Accept() (Conn, error)
	// Greet hears who has called, in a goroutine of its own. An error ends the connection.
	Greet(Conn) error
	// Dial calls a server, which is where the Network knows it to be now.
	Dial(to raft.ServerAddress) (Conn, error)
	// Close lets nobody call any more.
	Close() error
}

// Options is what New needs; all of it but the log.
type Options struct {
	Network Network
	Local   raft.ServerAddress // what this server is called by others
	// Timeout is how long a call may take, within a quarter. That of a snapshot grows with its size.
	Timeout time.Duration
	// Idle is how many idle connections to each server are kept.
	Idle int
	// MaxMessageBytes is the longest message that is taken, MaxSendBytes about the longest that is
	// sent, if a single entry does not exceed it.
	MaxMessageBytes, MaxSendBytes int
	Clock                         clock.Clock
	Log                           *slog.Logger
}

// Transport is a raft.Transport. Each call to another server has a connection to itself while it
// lasts: one that waits for a disk holds up nobody else.
type Transport struct {
	o     Options
	local []byte // o.Local
	inbox chan raft.RPC
	over  chan struct{}
	tasks sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	idle      map[lane][]*caller
	heartbeat func(raft.RPC)
}

// lane is what a connection is used for. News has one of its own, since it waits for Raft at the
// other end, and what follows on its connection waits with it.
type lane struct {
	to   raft.ServerAddress
	news bool
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// New makes a transport and answers callers from then on.
func New(o Options) *Transport {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Transport{o: o, local: []byte(o.Local), inbox: make(chan raft.RPC), over: make(chan struct{}), idle: map[lane][]*caller{}}
	t.tasks.Go(t.accept)
	return t
}

// Close implements raft.WithClose. Connections that callers made or answer are the Network's to
// break; Close waits until nobody is answered any more, so they must be broken before.
func (t *Transport) Close() error {
	t.Stop()
	t.tasks.Wait()
	return nil
}

// Stop lets nobody call, gives up what waits for Raft, and does not wait.
func (t *Transport) Stop() {
	t.mu.Lock()
	was := t.closed
	t.closed = true
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	if !was {
		close(t.over)
		_ = t.o.Network.Close()
	}
	for _, callers := range idle {
		for _, c := range callers {
			_ = c.conn.Close()
		}
	}
}

// Consumer implements raft.Transport.
func (t *Transport) Consumer() <-chan raft.RPC { return t.inbox }

// LocalAddr implements raft.Transport.
func (t *Transport) LocalAddr() raft.ServerAddress { return t.o.Local }

// EncodePeer implements raft.Transport.
func (t *Transport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte {
	if a == t.o.Local { // each message has it, and nobody changes it
		return t.local
	}
	return []byte(a)
}

// DecodePeer implements raft.Transport.
func (t *Transport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler implements raft.Transport.
func (t *Transport) SetHeartbeatHandler(f func(raft.RPC)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heartbeat = f
}

// AppendEntriesPipeline implements raft.Transport: there is none. With the library's, a refused
// entry can make replication to a server hang for ever (hashicorp/raft issue 612), and it is slower.
func (t *Transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport. Entries that one message does not take are cut off
// args, which Raft counts by: it goes on behind those that were sent.
func (t *Transport) AppendEntries(_ raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	args.Entries = args.Entries[:fitting(args.Entries, t.o.MaxSendBytes)]
	return t.call(lane{to: to}, resp, func(c *caller) error { return c.sendAppend(kindAppend, args) })
}

// News is AppendEntries for what needs no answer: it returns when the message is on its way.
// Whether it arrives nobody knows.
func (t *Transport) News(to raft.ServerAddress, args *raft.AppendEntriesRequest) error {
	return t.call(lane{to, true}, nil, func(c *caller) error { return c.sendAppend(kindNews, args) })
}

// RequestVote implements raft.Transport.
func (t *Transport) RequestVote(_ raft.ServerID, to raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.call(lane{to: to}, resp, func(c *caller) error { return c.send(args) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *Transport) RequestPreVote(_ raft.ServerID, to raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.call(lane{to: to}, resp, func(c *caller) error { return c.send(args) })
}

// TimeoutNow implements raft.Transport.
func (t *Transport) TimeoutNow(_ raft.ServerID, to raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.call(lane{to: to}, resp, func(c *caller) error { return c.send(args) })
}

// InstallSnapshot implements raft.Transport. The connection is not used again.
func (t *Transport) InstallSnapshot(_ raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	c, err := t.take(lane{to: to})
	if err != nil {
		return err
	}
	defer c.conn.Close()
	c.allow(t, snapshotTimeout(t.o.Timeout, args.Size))
	if err := c.sendSnapshot(args, data); err != nil {
		return err
	}
	return c.receive(resp)
}

// snapshotScaleBytes is what may take Timeout of a snapshot.
const snapshotScaleBytes = 256 << 10

func snapshotTimeout(timeout time.Duration, size int64) time.Duration {
	return timeout * time.Duration(max(1, size/snapshotScaleBytes))
}

// call has a connection send something and receive its answer, if there is one.
func (t *Transport) call(l lane, resp any, send func(*caller) error) error {
	c, err := t.take(l)
	if err != nil {
		return err
	}
	c.allow(t, t.o.Timeout)
	err = send(c)
	if err == nil && resp != nil {
		err = c.receive(resp)
	}
	_, refused := errors.AsType[*RefusedError](err)
	if err == nil || refused {
		t.give(l, c)
		return err
	}
	_ = c.conn.Close()
	if !errors.Is(err, ErrUnencodable) {
		t.drop(l)
	}
	return err
}

// take is a connection to a server, an idle one if there is.
func (t *Transport) take(l lane) (*caller, error) {
	t.mu.Lock()
	closed, idle := t.closed, t.idle[l]
	var c *caller
	if k := len(idle) - 1; k >= 0 {
		c = idle[k]
		idle[k], t.idle[l] = nil, idle[:k]
	}
	t.mu.Unlock()
	if closed {
		return nil, raft.ErrTransportShutdown
	}
	if c != nil {
		return c, nil
	}
	conn, err := t.o.Network.Dial(l.to)
	if err != nil {
		return nil, err
	}
	return newCaller(conn, t.o.MaxMessageBytes), nil
}

// give keeps a connection for the next call.
func (t *Transport) give(l lane, c *caller) {
	t.mu.Lock()
	keep := !t.closed && len(t.idle[l]) < t.o.Idle
	if keep {
		t.idle[l] = append(t.idle[l], c)
	}
	t.mu.Unlock()
	if !keep {
		_ = c.conn.Close()
	}
}

// drop gives up the idle connections of a lane after one broke: the server may be another one now.
func (t *Transport) drop(l lane) {
	t.mu.Lock()
	idle := t.idle[l]
	delete(t.idle, l)
	t.mu.Unlock()
	for _, c := range idle {
		_ = c.conn.Close()
	}
}
