package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// conn is one client's connection.
type conn struct {
	srv    *Server
	nc     net.Conn  // as it came: until there is a session
	lower  io.Closer // what is closed: the socket below TLS
	x      *netx.Conn
	remote netip.AddrPort
	secure bool
	number uint64 // in the order of their coming
	since  int64  // when it was accepted, UnixMilli

	heard atomic.Int64 // when a request came last, by Server.now
	// timeoutMs is after how much silence the connection ends.
	timeoutMs atomic.Int32
	watcher   *watch.Watcher

	// Of who reads: the connection's goroutine, or its lane.
	in       input
	body     jute.Reader
	read     request             // the read that step executes
	step     func(s *tree.State) // execute of read, made once
	auth     []jute.ID           // replaced, never changed
	connGen  uint32
	seq      uint32
	visit    visit
	touched  int64
	touchNs  int64 // how often the ensemble is told that the session lives
	readOnly bool  // the client sent the byte, so it wants one
	reading  atomic.Bool

	session atomic.Int64 // 0: none yet
	// identity is auth for the goroutine that applies.
	identity atomic.Pointer[[]jute.ID]
	joining  atomic.Bool // takes a session over, or did

	mu      sync.Mutex
	changed sync.Cond // of mu: the queue got shorter, a slot went, or the end
	pending slots
	out     *chunk
	// inflight is the bytes that somebody is sending now.
	inflight int
	replyAt  int // where in out the reply begins that is being made
	writing  bool
	inLane   bool   // nobody who sends waits; unchanged while somebody does
	rest     *chunk // from restAt on; the right to send was left to the reader's goroutine with it
	restAt   int
	dirty    bool // is in the sink's list
	open     bool // its session is confirmed
	closing  bool // ends when all is sent
	closed   bool
	reason   string

	counters
}

// counters is what the word cons tells of a connection, guarded by its mu.
type counters struct {
	received, sent        int64
	lastOp                string
	lastXid, lastZxid     int64
	lastResponse          int64 // by Server.now
	lastNs, minNs, maxNs  int64
	totalNs, measurements int64
}

func (k *counters) reset() {
	*k = counters{lastOp: "NA", lastXid: -1, lastZxid: -1, minNs: -1}
}

func (s *Server) newConn(nc net.Conn, secure bool) *conn {
	x := netx.Wrap(nc)
	c := &conn{srv: s, nc: nc, lower: x, x: x, secure: secure, since: s.clock.Now().UnixMilli(), number: s.accepted.Add(1)}
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.lower = t.NetConn()
	}
	c.remote = addrPort(nc.RemoteAddr())
	c.in = input{pool: &s.chunks, max: s.cfg.MaxBufferBytes, canSleep: c.x.CanSendfile()}
	c.changed.L = &c.mu
	c.counters.reset()
	c.lastXid, c.lastZxid = 0, 0
	c.watcher = s.watches.Watcher(c)
	c.timeoutMs.Store(int32(s.cfg.SessionlessTimeout.Milliseconds()))
	c.heard.Store(s.now())
	c.reading.Store(true)
	c.step = func(st *tree.State) { c.execute(st, &c.read) }
	return c
}

// addrPort is where a connection comes from; zero where there is no such thing.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// serve is the reader's goroutine, which lends its role to a lane at times.
func (c *conn) serve() {
	defer c.finish()
	if !c.identify() {
		return
	}
	for {
		for {
			frame, err := c.nextFrame()
			if err != nil {
				c.kill(err.Error())
				return
			}
			if frame == nil {
				break
			}
			if !c.handle(frame) {
				c.flush()
				c.linger()
				return
			}
		}
		c.flush()
		stayed, goOn := c.stay()
		if !goOn {
			return
		}
		if stayed {
			continue
		}
		n, err := c.x.ReadInto(&c.in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.kill("read: " + err.Error())
			}
			c.srv.stats.dropped.Add(1)
			return
		}
		c.in.got(n)
	}
}

// errAnswered ends a connection that asked for a word.
var errAnswered = errors.New("the four-letter word is answered")

// nextFrame is the next packet, nil when it is not there yet. The first four bytes of a
// connection may be a word instead of a length.
func (c *conn) nextFrame() ([]byte, error) {
	if c.session.Load() == 0 {
		if n, ok := c.in.head(); ok && isWord(n) {
			return nil, c.word(n)
		}
	}
	frame, err := c.in.next()
	if frame != nil {
		c.mu.Lock()
		c.received++
		c.mu.Unlock()
		c.srv.stats.packetsReceived.Add(1)
		c.srv.stats.bytesReceived.Add(int64(len(frame)) + 4)
	}
	return frame, err
}

// handle executes or starts what a packet asks for. False: nothing more is read.
func (c *conn) handle(frame []byte) bool {
	if c.session.Load() == 0 {
		c.heard.Store(c.srv.now())
		return c.connect(frame)
	}
	c.visit.Count(isSwiftFrame(frame))
	return c.serveOne(frame) && c.throttle()
}

// serveOne executes or starts a request of a session. False: nothing more is read.
func (c *conn) serveOne(frame []byte) bool {
	now := c.srv.now()
	c.heard.Store(now)
	if now-c.touched >= c.touchNs {
		c.touched = now
		c.srv.handle.Touch(c.session.Load())
	}
	c.body.Reset(frame)
	var h jute.RequestHeader
	if h.Decode(&c.body) != nil {
		c.kill("a packet without a request header")
		return false
	}
	return c.dispatch(h, now)
}

// linger waits, after the last request, until what is outstanding has been answered and sent,
// or the client is gone.
func (c *conn) linger() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		switch {
		case !c.writing && c.queueBytesLocked() > 0:
			c.writing = true
			c.drainLocked()
		case !c.writing && c.pending.len() == 0:
			return
		default:
			c.changed.Wait()
		}
	}
}

// kill ends the connection now; what is queued is dropped. The reader's goroutine notices and
// does the rest. Whatever lock but a connection's may be held.
func (c *conn) kill(reason string) {
	c.mu.Lock()
	c.killLocked(reason)
	c.mu.Unlock()
}

func (c *conn) killLocked(reason string) {
	if c.haltLocked(reason) {
		_ = c.lower.Close()
	}
}

// haltLocked is killLocked but for the socket. It tells whether it was not over before.
func (c *conn) haltLocked(reason string) bool {
	if c.closed {
		return false
	}
	c.closed, c.reason = true, reason
	if c.out != nil {
		c.srv.chunks.put(c.out)
		c.out = nil
	}
	c.changed.Broadcast()
	return true
}

// closeLocked ends the connection when what is queued has been sent.
func (c *conn) closeLocked() {
	c.closing = true
	if !c.writing && c.queueBytesLocked() == 0 {
		c.killLocked("")
	}
}

// finish takes the connection out of everything. It runs once, at the end of the reader's
// goroutine.
func (c *conn) finish() {
	c.kill("")
	c.in.release()
	c.srv.watches.Leave(c.watcher)
	c.mu.Lock()
	n, bytes := c.pending.drop()
	reason := c.reason
	c.mu.Unlock()
	c.srv.outstanding.Add(-int64(n))
	c.srv.outstandingBytes.Add(-int64(bytes))
	c.srv.forget(c)
	if reason != "" && reason != errAnswered.Error() {
		c.srv.log.Info("client connection closed", "remote", c.remote, "session", hex(c.session.Load()), "reason", reason)
	}
}
