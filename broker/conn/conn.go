// Package conn is a broker's side of one client connection: frames in, replies out, in
// order. It knows sizes, slots and sockets; what a request means is its Session's affair.
//
// # Model
//
// One goroutine at a time reads (Conn.Run, or a lane, see mayStay). It hands each complete frame to Session.Serve, which
// acts on it at once and either completes the request's Slot or parks it. A parked slot
// costs no goroutine: whoever has the answer later completes it. Replies leave in the
// order of requests, so a ready one waits for those before it; the ready ones at the head
// are written together by whoever finds nobody writing. The reader sends them before it
// waits for anything (bytes, memory, a free slot, the end of a throttle) and when no
// complete request is left in its buffer; after a large request, when none is left in the
// socket either, or after two.
//
// # Invariants
//
//   - head <= tail, tail-head <= MaxInFlight; ring[head:tail] are the open slots.
//   - At most one goroutine writes: the holder of c.writing. It gives it up under c.mu
//     and only when no ready reply is at the head.
//   - A frame is valid until Session.Serve returns: what outlives the call is copied.
//   - Every range of a reply is released exactly once, in Reply.finish.
//   - Session.Closed is called once, after every parked slot was cancelled.
//
// # Locks
//
// c.mu is a leaf: no callback and no system call happens under it.
package conn

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
)

// Session is what a connection talks to. All calls come from whoever reads: the connection's
// goroutine, or its lane.
type Session interface {
	// MaxRequestBytes is asked before memory is taken for a request; a result that is not
	// positive refuses the API, and closes the connection.
	MaxRequestBytes(apiKey, apiVersion int16) int
	// Serve acts on one request (without its size prefix). It opens a Slot, and completes
	// or parks it, unless the request gets no reply.
	Serve(frame []byte)
	// Swift tells whether requests of an API are answered, while they are small, without waiting.
	Swift(apiKey int16) bool
	// Closed is the last call; err is nil after an orderly end.
	Closed(err error)
}

// Options are shared by the connections of a broker.
type Options struct {
	Clock  clock.Clock
	Log    *slog.Logger
	Memory *Memory
	Stats  *Stats
	// Senders send what becomes ready on goroutines that must not wait; all connections share them.
	Senders *Senders
	// Lanes, which may be nil, serve connections after SwiftRun small requests in a row that did
	// not wait; not positive: netx.SwiftRun.
	Lanes    *netx.Lanes
	SwiftRun int
	// MaxInFlight bounds the open slots of a connection; MaxQueuedBytes bounds the replies
	// that are ready but wait for an earlier one. Beyond either the reader stops.
	MaxInFlight    int
	MaxQueuedBytes int
	// Buffer sizes of the socket in bytes; not positive: the system's own.
	SendBufferBytes, ReceiveBufferBytes int
	// RemoteCongestion, when set, is the TCP congestion control towards peers on other machines;
	// those on this one keep what the listener gave them.
	RemoteCongestion string
}

// Stats counts what connections do. All fields may be read at any time.
type Stats struct {
	BytesIn, BytesOut            atomic.Int64
	Writes                       atomic.Int64
	SendfileBytes, SendfileCalls atomic.Int64
	Parked                       atomic.Int64
	Panics                       atomic.Int64
}

// Defaults of Options.
const (
	DefaultMaxInFlight    = 256
	DefaultMaxQueuedBytes = 4 << 20
)

// Conn is one connection.
type Conn struct {
	opts    *Options
	nc      *netx.Conn
	session Session
	in      input
	done    chan struct{} // closed with the connection
	// stopping is closed by Drain: the reader waits for nothing any more.
	stopping chan struct{}
	stopOnce sync.Once

	lastActive   atomic.Int64 // Unix ns
	partialSince atomic.Int64 // Unix ns of the first byte of an incomplete frame; 0: none
	mutedUntil   atomic.Int64 // Unix ns; set by Mute, taken by the reader
	unsent       int          // reads since the last Flush of the reader, which alone uses it
	overshot     atomic.Bool  // has the right to more memory than the budget
	draining     atomic.Bool
	aborted      error // set by Abort, reader goroutine only
	visit        visit

	mu          sync.Mutex
	changed     sync.Cond // head moved, writer stopped, or closed
	ring        []slot
	head, tail  uint64
	queuedBytes int
	writing     bool
	asked       bool   // a goroutine was started that will Flush
	inLane      bool   // no write waits; unchanged while writing is held
	handed      bool   // writing was left to the reader's goroutine, with rest or all of batch
	rest        []byte // as it is on the wire
	closed      bool
	err         error
	batch       []*Reply // owned by the holder of writing, as are the pieces of one reply
	pieces      netx.Pieces
}

// Why a connection ended.
var (
	ErrClosed  = errors.New("connection closed")
	ErrIdle    = errors.New("idle for longer than connections.max.idle.ms")
	ErrTooSlow = errors.New("an unfinished request held memory that other connections waited for")
)

// New makes the connection of nc. Run serves it.
func New(nc net.Conn, opts *Options) *Conn {
	c := &Conn{opts: opts, nc: netx.Wrap(nc), done: make(chan struct{}), stopping: make(chan struct{})}
	c.changed.L = &c.mu
	c.in.c = c
	c.lastActive.Store(opts.Clock.Now().UnixNano())
	return c
}

// ReceivedAt is when the bytes came that the last complete frame ends with; the zero time
// before anything was read. Only Session.Serve may ask.
func (c *Conn) ReceivedAt() time.Time { return c.in.receivedAt }

// LocalAddr and RemoteAddr are the ends of the connection.
func (c *Conn) LocalAddr() net.Addr  { return c.nc.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Run serves the connection until it ends. It returns when nothing of it is left.
func (c *Conn) Run(s Session) {
	c.session = s
	if name := c.opts.RemoteCongestion; name != "" && !netx.SameMachine(c.LocalAddr(), c.RemoteAddr()) {
		_ = c.nc.SetCongestion(name) // a matter of speed only
	}
	err := c.nc.SetBuffers(c.opts.SendBufferBytes, c.opts.ReceiveBufferBytes)
	if err == nil {
		err = c.serve()
	}
	if errors.Is(err, io.EOF) {
		err = nil
		c.Flush() // what is ready still goes out: the peer may have closed one side only
	}
	if c.draining.Load() {
		c.drain()
		c.linger()
		err = nil
	}
	c.close(err)
	c.in.release()
	if c.overshot.Load() {
		c.opts.Memory.served(c)
	}
	s.Closed(c.waitClosed())
}

func (c *Conn) serve() error {
	for {
		frame, err := c.in.next()
		if err != nil {
			c.Flush()
			return err
		}
		if frame == nil {
			c.mayHoldBack()
			stayed, err := c.mayStay()
			if err == nil && !stayed {
				err = c.in.fill()
			}
			if err != nil {
				return err
			}
			continue
		}
		if err := c.waitForTurn(); err != nil {
			return err
		}
		if err := c.serveOne(frame); err != nil {
			c.Flush()
			return err
		}
		c.visit.count(len(frame) < maxSwiftBytes && c.session.Swift(int16(binary.BigEndian.Uint16(frame))))
	}
}

// maxHeldBack bounds the large requests whose replies wait for one more to be read. A few are
// enough to share the system call, and leave the peer something to go on with.
const maxHeldBack = 2

// mayHoldBack sends what is ready before the next read, unless requests are so large that one
// read brings one: then what is ready leaves with the reply to the next, if that is there. A
// connection without system calls cannot tell whether it is.
func (c *Conn) mayHoldBack() {
	if c.in.usual >= largeBytes && c.unsent < maxHeldBack && c.nc.CanSendfile() {
		c.unsent++
		return
	}
	c.sendHeldBack()
}

func (c *Conn) sendHeldBack() {
	c.unsent = 0
	c.Flush()
}

// serveOne keeps a panic in a handler from costing more than its connection.
func (c *Conn) serveOne(frame []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.opts.Stats.Panics.Add(1)
			c.opts.Log.Error("a request handler panicked; its connection is closed",
				"remote", c.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	c.session.Serve(frame)
	if c.overshot.Load() {
		c.overshot.Store(false)
		c.opts.Memory.served(c)
	}
	return c.aborted
}

// waitForTurn returns when the next request may start: not muted, not draining, a slot
// free. It sends what is ready before it waits.
func (c *Conn) waitForTurn() error {
	if c.draining.Load() {
		return ErrClosed
	}
	if until := c.mutedUntil.Load(); until != 0 {
		c.mutedUntil.CompareAndSwap(until, 0)
		if d := until - c.opts.Clock.Now().UnixNano(); d > 0 {
			c.waitMuted(time.Duration(d))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && !c.draining.Load() && c.fullLocked() {
		if c.headReadyLocked() && !c.writing {
			c.mu.Unlock()
			c.Flush()
			c.mu.Lock()
			continue
		}
		c.changed.Wait()
	}
	if c.closed || c.draining.Load() {
		return ErrClosed
	}
	return nil
}

func (c *Conn) fullLocked() bool {
	return c.tail-c.head >= uint64(c.opts.MaxInFlight) || c.queuedBytes >= c.opts.MaxQueuedBytes
}

// Mute stops reading for d from now on, once the replies so far are sent: the client learns
// of its throttle before it feels it (KIP-219), and does not feel it twice when it waits
// by itself. Any goroutine may call it.
func (c *Conn) Mute(d time.Duration) {
	until := c.opts.Clock.Now().Add(d).UnixNano()
	for {
		old := c.mutedUntil.Load()
		if old >= until || c.mutedUntil.CompareAndSwap(old, until) {
			return
		}
	}
}

func (c *Conn) waitMuted(d time.Duration) {
	c.Flush()
	over := make(chan struct{})
	t := c.opts.Clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
	case <-c.stopping:
	case <-c.done:
	}
}

// Abort ends the connection once Serve has returned: the request cannot be answered.
func (c *Conn) Abort(err error) { c.aborted = err }

// Close ends the connection now, from any goroutine.
func (c *Conn) Close(err error) { c.close(err) }

func (c *Conn) close(err error) {
	c.mu.Lock()
	c.failLocked(err)
	parked, dropped := c.dropAllLocked()
	c.mu.Unlock()
	_ = c.nc.Close() // perhaps not the first time; the peer may be gone, there is nobody to tell
	for _, r := range dropped {
		r.Release()
	}
	for _, p := range parked {
		p.Cancel()
	}
}

// failLocked marks the connection closed. The caller closes the socket once c.mu is free,
// which wakes reader and writer: closing waits for a system call on the socket to return, a
// sendfile that waits for a disk for one, and a syncer that completes a slot must not wait
// with it. Run then empties the queue.
func (c *Conn) failLocked(err error) {
	if c.closed {
		return
	}
	c.closed, c.err = true, err
	close(c.done)
	c.changed.Broadcast()
}

func (c *Conn) waitClosed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	return c.err
}

// Drain asks for an orderly end, from any goroutine: no further request is started, those
// that were are answered, then the connection closes and Run returns.
func (c *Conn) Drain() {
	c.draining.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; a closed socket needs no waking
	c.stopOnce.Do(func() { close(c.stopping) })
	c.mu.Lock()
	c.changed.Broadcast()
	c.mu.Unlock()
}

func (c *Conn) drain() {
	var parked []Parked
	c.mu.Lock()
	for seq := c.head; seq != c.tail; seq++ {
		if p := c.ring[seq&c.maskLocked()].parked; p != nil {
			parked = append(parked, p)
		}
	}
	c.mu.Unlock()
	for _, p := range parked {
		p.Hurry()
	}
	c.mu.Lock()
	for !c.closed && (c.head != c.tail || c.writing) { // what is being written has left the ring
		if c.headReadyLocked() && !c.writing {
			c.mu.Unlock()
			c.Flush()
			c.mu.Lock()
			continue
		}
		c.changed.Wait()
	}
	c.mu.Unlock()
}

// lingerFor bounds the wait for a peer to take its last replies.
const lingerFor = 500 * time.Millisecond

// linger lets a peer that was active a moment ago take its replies: a socket that is closed with
// requests unread resets the connection, and a reset takes from the peer what it has not read.
func (c *Conn) linger() {
	now := c.opts.Clock.Now()
	if now.UnixNano()-c.lastActive.Load() > int64(lingerFor) || c.nc.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(now.Add(lingerFor)) // fails when closed, as the read then does
	buf := c.opts.Memory.force(minBufferBytes)
	defer c.opts.Memory.give(buf)
	for {
		if _, err := c.nc.Read(buf); err != nil {
			return // the peer has closed too, or its time is over
		}
	}
}

// Sweep closes the connection if it is idle since before idleBefore with nothing parked,
// or, while connections wait for memory, holds a request that has not been complete since
// slowBefore. The broker calls it from time to time.
func (c *Conn) Sweep(idleBefore, slowBefore time.Time, pressed bool) {
	if since := c.partialSince.Load(); pressed && since != 0 && since < slowBefore.UnixNano() {
		c.close(ErrTooSlow)
		return
	}
	if c.lastActive.Load() >= idleBefore.UnixNano() {
		return
	}
	c.mu.Lock()
	waits := c.head != c.tail && !c.writing // something is parked: the peer is not the one we wait for
	c.mu.Unlock()
	if !waits {
		c.close(ErrIdle)
	}
}
