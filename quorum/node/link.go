package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/tree"
)

// link is the stream of this server to its leader. Its transactions arrive in the order in
// which they were submitted, or the link breaks and is never resumed.
type link struct {
	n      *Node
	leader raft.ServerID
	conn   net.Conn
	began  chan error    // the leader's answer to frameOpen
	dead   chan struct{} // the reader has ended
	calls  chan struct{} // a call waits to be written

	mu      sync.Mutex
	out     []byte // frames of calls that wait
	pending map[uint32]chan reply
	last    uint32
	broken  bool
}

type reply struct {
	body []byte
	err  error
}

const (
	// openTimeout is how long a leader may take to take office after it was elected.
	openTimeout = 10 * time.Second
	// linkRetry is the pause before a leader is called again, at first and at most.
	linkRetry    = 20 * time.Millisecond
	maxLinkRetry = 320 * time.Millisecond
	// smallFrame bounds what a leader sends.
	smallFrame = 1 << 20
)

// follow keeps a link to the leader while there is another one.
func (n *Node) follow() {
	retry := linkRetry
	for !n.isStopped() {
		_, leader := n.raft.LeaderWithID()
		if leader == "" || leader == n.me() {
			retry = linkRetry
			n.pause(0, n.leaderWake)
			continue
		}
		began, err := n.serveLink(leader)
		if err != nil {
			n.log.Debug("the link to the leader broke", "leader", leader, "error", err)
		}
		if began {
			retry = linkRetry
			n.linkBroke()
			continue
		}
		n.pause(retry, n.leaderWake)
		retry = min(2*retry, maxLinkRetry)
	}
}

// linkBroke gives up all that was submitted and not applied: what was sent may be lost, and
// what was not sent must not arrive before what is sent again.
func (n *Node) linkBroke() {
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	n.dropWaiting()
	n.writesLostLocked()
}

// serveLink calls the leader and keeps the link until it breaks. It tells whether the leader
// took the call.
func (n *Node) serveLink(leader raft.ServerID) (began bool, err error) {
	conn, err := n.dialPeer(n.ctx, portRPC, string(leader), false)
	if err != nil {
		return false, err
	}
	if !n.rpcConns.add(conn) {
		return false, ErrClosed
	}
	defer n.rpcConns.remove(conn)
	l := &link{
		n: n, leader: leader, conn: conn, began: make(chan error, 1), dead: make(chan struct{}),
		calls: make(chan struct{}, 1), pending: map[uint32]chan reply{},
	}
	go l.read()
	defer func() {
		_ = conn.Close()
		<-l.dead
		l.breakOff()
	}()
	if err := l.open(); err != nil {
		return false, err
	}
	n.setLink(l)
	defer n.setLink(nil)
	return true, l.run()
}

// open asks the leader to begin.
func (l *link) open() error {
	if err := l.write(endFrame(appendFrame(nil, frameOpen), 0)); err != nil {
		return err
	}
	late := make(chan struct{})
	timer := l.n.clock.AfterFunc(openTimeout, func() { close(late) })
	defer timer.Stop()
	for {
		select {
		case err := <-l.began:
			return err
		case <-l.dead:
			select {
			case err := <-l.began:
				return err
			default:
				return io.ErrUnexpectedEOF
			}
		case <-l.n.leaderWake:
			if !l.current() {
				return errors.New("there is another leader")
			}
		case <-late:
			return errors.New("the leader does not take office")
		case <-l.n.stop:
			return ErrClosed
		}
	}
}

// current tells whether the link leads to whom Raft says that leads.
func (l *link) current() bool {
	_, leader := l.n.raft.LeaderWithID()
	return leader == l.leader || leader == ""
}

// run sends what there is to send.
func (l *link) run() error {
	n := l.n
	report := make(chan struct{}, 1)
	timer := n.clock.AfterFunc(n.opt.reportInterval(), func() { signal(report) })
	defer timer.Stop()
	var buf []byte
	var ids []int64
	signal(report) // at once: the leader wants to know how far this server is
	n.route.begin()
	for {
		buf = buf[:0]
		select {
		case <-n.route.wake:
			buf = appendTxns(buf, n.route.take())
		case <-l.calls:
			l.mu.Lock()
			buf = append(buf, l.out...)
			l.out = l.out[:0]
			l.mu.Unlock()
		case <-report:
			ids = n.touches.take(ids[:0])
			buf = appendReport(buf, n.applied.Load(), ids)
			timer.Reset(n.opt.reportInterval())
		case <-n.leaderWake:
			if !l.current() {
				return errors.New("there is another leader")
			}
		case <-l.dead:
			return io.ErrUnexpectedEOF
		case <-n.stop:
			return ErrClosed
		}
		if len(buf) == 0 {
			continue
		}
		if err := l.write(buf); err != nil {
			return err
		}
		if cap(buf) > keptFrameBytes {
			buf = nil
		}
	}
}

func (l *link) write(b []byte) error {
	_ = l.conn.SetWriteDeadline(l.n.clock.Now().Add(l.n.opt.syncTimeout()))
	_, err := l.conn.Write(b)
	return err
}

// appendTxns appends frames of transactions, none larger than an entry unless one transaction is.
func appendTxns(dst []byte, txns []tree.Txn) []byte {
	for len(txns) > 0 {
		count, _ := pack(txns)
		from := len(dst)
		dst = tree.AppendEntry(appendFrame(dst, frameTxns), &tree.Entry{Txns: txns[:count]})
		dst = endFrame(dst, from)
		txns = txns[count:]
	}
	return dst
}

func appendReport(dst []byte, applied uint64, sessions []int64) []byte {
	const most = 64 << 10 // sessions in one frame
	for {
		part := sessions[:min(most, len(sessions))]
		from := len(dst)
		dst = binary.BigEndian.AppendUint64(appendFrame(dst, frameReport), applied)
		for _, id := range part {
			dst = binary.BigEndian.AppendUint64(dst, uint64(id))
		}
		dst = endFrame(dst, from)
		if sessions = sessions[len(part):]; len(sessions) == 0 {
			return dst
		}
	}
}

// read takes what the leader says until the connection breaks.
func (l *link) read() {
	defer close(l.dead)
	defer l.conn.Close()
	frames := frameReader{r: bufio.NewReader(l.conn), max: smallFrame}
	for {
		_ = l.conn.SetReadDeadline(l.n.clock.Now().Add(max(openTimeout, l.n.opt.syncTimeout())))
		t, b, err := frames.next()
		if err == nil {
			err = l.heard(t, newBody(b))
		}
		if err != nil {
			select {
			case l.began <- err:
			default:
			}
			return
		}
	}
}

// heard takes one frame.
func (l *link) heard(t frameType, b *body) error {
	n := l.n
	switch t {
	case frameWelcome, frameBeat:
		if t == frameWelcome {
			b.uint64() // the term
		}
		applied := b.uint64()
		if err := b.err(); err != nil {
			return err
		}
		if t == frameWelcome {
			l.began <- nil
		}
		n.gateChange(func(g *gate, now time.Time) { g.announced(applied, now) })
	case frameRefuse:
		if err := b.error(); err != nil {
			return err
		}
		return errFrame
	case frameReply:
		l.answer(b.uint32(), b)
		return nil
	default:
		return fmt.Errorf("%w: type %d", errFrame, t)
	}
	return nil
}

// answer hands a reply to whoever waits for it.
func (l *link) answer(number uint32, b *body) {
	l.mu.Lock()
	waiting := l.pending[number]
	delete(l.pending, number)
	l.mu.Unlock()
	if waiting == nil {
		return // it gave up
	}
	err := b.error()
	waiting <- reply{append([]byte(nil), b.rest()...), err}
}

// breakOff fails the calls under way.
func (l *link) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for _, waiting := range l.pending {
		waiting <- reply{err: ErrNotServing}
	}
	l.pending = nil
}

// call asks the leader something. An error of the leader's comes as it was; ErrNotServing when
// the link broke, and then nobody knows whether it was done.
func (l *link) call(ctx context.Context, op callOp, args []byte) ([]byte, error) {
	waiting := make(chan reply, 1)
	l.mu.Lock()
	if l.broken {
		l.mu.Unlock()
		return nil, ErrNotServing
	}
	l.last++
	number := l.last
	l.pending[number] = waiting
	from := len(l.out)
	l.out = binary.BigEndian.AppendUint32(appendFrame(l.out, frameCall), number)
	l.out = endFrame(append(append(l.out, byte(op)), args...), from)
	l.mu.Unlock()
	signal(l.calls)
	select {
	case r := <-waiting:
		return r.body, r.err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pending, number)
		return nil, ctx.Err()
	}
}
