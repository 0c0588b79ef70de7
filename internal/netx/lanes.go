package netx

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// Lanes serve many sockets with few goroutines. A goroutine for each connection costs a wake, a
// read that finds nothing and a sleep for every few requests, and has all processors fight over
// what the connections share; a lane costs one epoll_wait for all that are ready (ADR 16).
//
// A connection stays in a lane while its owner, the Guest, waits for nothing; to do what may wait
// it leaves first. That is a rule, not a trust: a guest that keeps its lane busy from one look
// of the watch to the next is left alone with the goroutine that serves it, and another goroutine
// goes on with the others.
//
// While a connection stays, its socket is not known to the runtime's poller, which would be
// woken for every packet: the lane has a descriptor of its own, and the net.Conn is closed, and
// made again at the end. Close and SetReadDeadline work meanwhile: they end the stay.
type Lanes struct {
	lanes []*lane
	next  atomic.Uint32
}

// NewLanes makes n lanes. One begins with its first guest.
func NewLanes(n int, c clock.Clock) *Lanes {
	l := &Lanes{lanes: make([]*lane, n)}
	for i := range l.lanes {
		l.lanes[i] = newLane(c)
	}
	return l
}

// Close ends the lanes and waits for their goroutines. No connection may be in one any more.
func (l *Lanes) Close() {
	for _, one := range l.lanes {
		one.close()
	}
}

// Guests is how many connections are in lanes. Handovers is how often a guest kept its lane busy
// for so long that another goroutine went on with the others.
func (l *Lanes) Guests() (n int64) {
	for _, one := range l.lanes {
		n += one.inside.Load()
	}
	return n
}

// Handovers: see Guests.
func (l *Lanes) Handovers() (n int64) {
	for _, one := range l.lanes {
		n += one.handovers.Load()
	}
	return n
}

// counters are what a lane tells of itself.
type counters struct{ inside, handovers atomic.Int64 }

// Guest is who owns a connection in a lane. Its calls come from one goroutine at a time, each sees
// what those before it did, and all lie between the begin and the end of Stay.
type Guest interface {
	// Enter is called first, if there is a lane for the guest: from now on the socket is that of
	// ReadNow and WriteNow.
	Enter()
	// Ready is called when ReadNow would find something: bytes, the end, or an error. It must not
	// wait. False ends the stay.
	Ready() (stay bool)
	// Send is called after Ready, when the others that were ready had theirs: what is written at
	// the end of a round wakes the peers once. It must not wait.
	Send()
	// Leave is called last, before the socket changes. When it returns nobody uses that; it may
	// wait for a call that does not wait itself.
	Leave()
}

// ErrNoLane means that a connection has to do without a lane; nothing happened to it.
var ErrNoLane = errors.New("no lane for this connection")

// watchEvery is how often a lane that is at work is looked after.
const watchEvery = 10 * time.Millisecond

// stay is a connection's time in a lane.
type stay struct {
	conn  *Conn
	guest Guest
	lane  *lane
	fd    int
	asked atomic.Bool // somebody wants the connection out
	in    bool        // in the lane's table; guarded by lane.mu
	left  chan error
}

// Stay puts c in a lane until its guest leaves, or somebody closes c or sets a deadline. The
// caller has the reading and the writing of c before and after; in between the guest has. An error
// other than ErrNoLane means that c is of no use any more.
func (l *Lanes) Stay(c *Conn, g Guest) error {
	if !l.Takes(c) {
		return ErrNoLane
	}
	s := &stay{conn: c, guest: g, lane: l.lanes[l.next.Add(1)%uint32(len(l.lanes))], left: make(chan error, 1)}
	err := s.lane.open()
	if err == nil {
		err = c.leavePoller(s)
	}
	if err != nil {
		return err
	}
	g.Enter()
	s.lane.enter(s)
	return <-s.left
}

// Takes tells whether c can stay: it is a TCP socket of a system that has lanes.
func (l *Lanes) Takes(c *Conn) bool {
	if l == nil || len(l.lanes) == 0 || c.raw == nil {
		return false
	}
	_, ok := c.Conn.(*net.TCPConn)
	return ok
}

// leavePoller replaces c's net.Conn by a descriptor that the runtime's poller does not know.
func (c *Conn) leavePoller(s *stay) error {
	fd, err := duplicate(c.raw)
	if err != nil {
		return ErrNoLane // it will see by itself whether it is closed
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		closeDescriptor(fd)
		return ErrNoLane
	}
	s.fd, c.fd, c.stay = fd, fd, s
	s.asked.Store(!c.readDeadline.IsZero())
	old := c.Conn
	c.mu.Unlock()
	_ = old.Close() // the socket lives on in fd
	return nil
}

// joinPoller is the end of leavePoller: c has a net.Conn again, and what was asked of it meanwhile
// is done.
func (c *Conn) joinPoller(s *stay) error {
	nc, err := s.lane.netConn(s.fd)
	c.mu.Lock()
	c.stay, c.fd = nil, -1
	closed, deadline := c.closed, c.readDeadline
	if err == nil {
		c.Conn, c.raw = nc, rawOf(nc)
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		return err
	case closed:
		_ = nc.Close() // as Close would have: nobody is there to be told
	case !deadline.IsZero():
		_ = nc.SetReadDeadline(deadline) // fails only when closed, which the reader will see
	}
	return nil
}

// EndStay ends the stay of c in a lane, if it is in one, from any goroutine.
func (c *Conn) EndStay() {
	c.mu.Lock()
	s := c.stay
	c.mu.Unlock()
	if s != nil {
		s.lane.ask(s)
	}
}

// Close ends the connection, from any goroutine.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	nc, s := c.Conn, c.stay
	c.mu.Unlock()
	if s != nil {
		s.lane.ask(s)
		return nil
	}
	return nc.Close()
}

// SetReadDeadline is that of net.Conn, from any goroutine.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.readDeadline = t
	nc, s := c.Conn, c.stay
	c.mu.Unlock()
	if s != nil {
		s.lane.ask(s)
		return nil
	}
	return nc.SetReadDeadline(t)
}

// LocalAddr and RemoteAddr are the ends of the connection. They are kept because the net.Conn
// changes.
func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// seat is what changes when a connection goes to a lane and comes back.
type seat struct {
	fd   int        // the socket while it is in a lane; its Guest's
	mu   sync.Mutex // guards what follows, and Conn against those that only close it
	stay *stay
	// closed and readDeadline are what was asked last.
	closed       bool
	readDeadline time.Time
}
