package node

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
)

// streams are the links of other servers at the leader.
type streams struct {
	mu  sync.Mutex
	all map[raft.ServerID]*peerStream
}

// peerStream is the link of one other server, seen from the leader.
type peerStream struct {
	n     *Node
	reign *reign
	from  raft.ServerID
	conn  net.Conn
	dead  chan struct{} // the reader has ended
	wake  chan struct{} // out is not empty
	slots chan struct{} // one for each call under way
	// origin is that of the last transaction that was read.
	origin uint64

	mu      sync.Mutex
	out     []byte
	applied uint64 // as it reported
	told    bool   // it has reported
}

const (
	// maxCalls bounds the calls of one server that are under way; more are not read.
	maxCalls = 256
	// maxOutBytes bounds what a server that does not read makes the leader keep.
	maxOutBytes = 4 << 20
)

// add takes a stream in while its reign lasts; an older one of the same server breaks.
func (s *streams) add(p *peerStream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.n.reign.Load() != p.reign {
		return false
	}
	if s.all == nil {
		s.all = map[raft.ServerID]*peerStream{}
	}
	if old := s.all[p.from]; old != nil {
		_ = old.conn.Close()
	}
	s.all[p.from] = p
	return true
}

func (s *streams) remove(p *peerStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[p.from] == p {
		delete(s.all, p.from)
	}
}

// drop breaks the stream of one server.
func (s *streams) drop(id raft.ServerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.all[id]; p != nil {
		_ = p.conn.Close()
	}
}

// closeAll breaks all streams.
func (s *streams) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all {
		_ = p.conn.Close()
	}
	clear(s.all)
}

// applied returns how far a server is that has a stream.
func (s *streams) applied(id raft.ServerID) (uint64, bool) {
	s.mu.Lock()
	p := s.all[id]
	s.mu.Unlock()
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied, p.told
}

// count is the servers that have a stream.
func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// serveStream serves the link of another server until it breaks.
func (n *Node) serveStream(conn net.Conn, from raft.ServerID, frames *frameReader) error {
	if !n.isMember(from) {
		return n.refuse(conn, fmt.Errorf("server %s is no member of this ensemble", from))
	}
	r := n.awaitReign()
	if r == nil {
		return n.refuse(conn, ErrNotLeader)
	}
	p := &peerStream{
		n: n, reign: r, from: from, conn: conn, dead: make(chan struct{}),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxCalls),
	}
	if !n.streams.add(p) {
		return n.refuse(conn, ErrNotLeader)
	}
	defer n.streams.remove(p)
	hello := binary.BigEndian.AppendUint64(appendFrame(nil, frameWelcome), r.term)
	p.send(endFrame(binary.BigEndian.AppendUint64(hello, n.applied.Load()), 0))
	n.log.Debug("a server follows", "server", from)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.write()
	}()
	err := p.read(frames)
	close(p.dead)
	_ = conn.Close()
	<-done
	return err
}

// refuse tells a caller why it is not served.
func (n *Node) refuse(conn net.Conn, err error) error {
	_ = conn.SetWriteDeadline(n.clock.Now().Add(prefaceTimeout))
	_, _ = conn.Write(endFrame(appendError(appendFrame(nil, frameRefuse), err), 0))
	return err
}

// send queues a frame. A server that lets too many of them lie loses its stream.
func (p *peerStream) send(frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.out)+len(frame) > maxOutBytes {
		_ = p.conn.Close()
		return
	}
	p.out = append(p.out, frame...)
	signal(p.wake)
}

// write sends what is queued, and now and then that this server still leads.
func (p *peerStream) write() {
	defer p.conn.Close()
	beat := make(chan struct{}, 1)
	interval := p.n.opt.reportInterval()
	timer := p.n.clock.AfterFunc(interval, func() { signal(beat) })
	defer timer.Stop()
	var buf []byte
	for {
		buf = buf[:0]
		select {
		case <-p.wake:
		case <-beat:
			buf = binary.BigEndian.AppendUint64(appendFrame(buf, frameBeat), p.n.applied.Load())
			buf = endFrame(buf, 0)
			timer.Reset(interval)
		case <-p.dead:
			return
		}
		p.mu.Lock()
		buf = append(buf, p.out...)
		p.out = p.out[:0]
		p.mu.Unlock()
		_ = p.conn.SetWriteDeadline(p.n.clock.Now().Add(p.n.opt.syncTimeout()))
		if _, err := p.conn.Write(buf); err != nil {
			return
		}
	}
}

// read takes what the follower sends until the connection breaks.
func (p *peerStream) read(frames *frameReader) error {
	for {
		_ = p.conn.SetReadDeadline(p.n.clock.Now().Add(p.n.opt.syncTimeout()))
		t, b, err := frames.next()
		if err != nil {
			return err
		}
		switch t {
		case frameTxns:
			err = p.takeTxns(b)
			frames.buf = nil // the transactions are parts of it
		case frameReport:
			err = p.takeReport(newBody(b))
		case frameCall:
			err = p.takeCall(newBody(b))
		default:
			err = fmt.Errorf("%w: type %d", errFrame, t)
		}
		if err != nil {
			return err
		}
	}
}

func (p *peerStream) takeTxns(b []byte) error {
	entry, err := tree.DecodeEntry(b)
	if err != nil {
		return err
	}
	for i := range entry.Txns {
		if k := entry.Txns[i].Op.Kind; k == tree.InitCluster || k == tree.SetConfig || k == tree.DigestCheck || k == tree.SetFlags {
			return fmt.Errorf("%w: a follower may not propose kind %d", errFrame, k)
		}
		if o := entry.Txns[i].Origin; o != p.origin {
			p.origin = o
			p.n.heralds.originOf(o, p.from)
		}
	}
	if !p.n.proposer.pushPaced(entry.Txns) {
		return ErrNotLeader
	}
	return nil
}

func (p *peerStream) takeReport(b *body) error {
	applied := b.uint64()
	if !b.ok || len(b.b)%8 != 0 {
		return errFrame
	}
	ids := make([]int64, 0, len(b.b)/8)
	for len(b.b) > 0 {
		ids = append(ids, int64(b.uint64()))
	}
	p.reign.touch(ids)
	p.mu.Lock()
	p.applied, p.told = applied, true
	p.mu.Unlock()
	return nil
}

// takeCall answers a call in a goroutine of its own: some wait for the log.
func (p *peerStream) takeCall(b *body) error {
	number, op := b.uint32(), callOp(b.uint8())
	if !b.ok {
		return errFrame
	}
	args := append([]byte(nil), b.rest()...)
	select {
	case p.slots <- struct{}{}:
	case <-p.reign.over:
		return ErrNotLeader
	}
	p.n.run(func() {
		defer func() { <-p.slots }()
		result, err := p.reign.serveCall(op, newBody(args))
		frame := appendError(binary.BigEndian.AppendUint32(appendFrame(nil, frameReply), number), err)
		p.send(endFrame(append(frame, result...), 0))
	})
	return nil
}

// listenRPC serves the calls of other servers.
func (n *Node) listenRPC(listener net.Listener) {
	for {
		called, err := listener.Accept()
		if err != nil {
			if !n.pause(acceptRetry, nil) {
				return
			}
			continue
		}
		conn := newPeerConn(called)
		if n.rpcConns.add(conn) {
			n.run(func() { n.serveRPC(conn) })
		}
	}
}

// serveRPC serves one caller.
func (n *Node) serveRPC(conn net.Conn) {
	defer n.rpcConns.remove(conn)
	defer conn.Close()
	p, err := n.accept(conn, portRPC)
	if err != nil {
		_ = n.refuse(conn, err)
		n.log.Debug("a caller was refused", "from", conn.RemoteAddr(), "error", err)
		return
	}
	frames := &frameReader{r: bufio.NewReaderSize(conn, 64<<10), max: n.opt.MaxTxnBytes + maxEntryBytes}
	_ = conn.SetReadDeadline(n.clock.Now().Add(prefaceTimeout))
	t, b, err := frames.next()
	if err != nil {
		return
	}
	switch t {
	case frameOpen:
		err = n.serveStream(conn, raftID(p.from), frames)
	case frameProbe:
		err = n.serveProbe(conn)
	case frameJoin:
		err = n.serveJoin(conn, raftID(p.from), newBody(b))
	default:
		err = n.refuse(conn, errFrame)
	}
	if err != nil {
		n.log.Debug("a caller is gone", "from", p.from, "error", err)
	}
}
