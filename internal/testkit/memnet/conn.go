package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxBuffered is what a half holds before its writer has to wait.
const maxBuffered = 256 << 10

// half is one direction of a connection. All of it is guarded by Network.mu.
type half struct {
	from, to string
	changed  *sync.Cond // it got bytes, room or an end
	buf      []byte
	late     []span // of buf, what has not arrived; in order
	arrived  int    // bytes of buf that have
	eof      bool   // the writer closed
	gone     bool   // the reader closed
	err      error  // it was reset
}

// span is bytes under way.
type span struct {
	bytes int
	at    time.Time
}

// send puts p under way. The caller broadcasts.
func (h *half) send(n *Network, p []byte) {
	h.buf = append(h.buf, p...)
	var delay time.Duration
	if n.delay != nil {
		delay = n.delay(h.from, h.to)
	}
	if delay <= 0 && len(h.late) == 0 {
		h.arrived += len(p)
		return
	}
	at := time.Now().Add(delay)
	if k := len(h.late); k > 0 && at.Before(h.late[k-1].at) {
		at = h.late[k-1].at // bytes do not overtake
	}
	h.late = append(h.late, span{len(p), at})
	time.AfterFunc(time.Until(at), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		h.arrive()
		h.changed.Broadcast()
	})
}

// arrive counts what is due.
func (h *half) arrive() {
	for now := time.Now(); len(h.late) > 0 && !h.late[0].at.After(now); h.late = h.late[1:] {
		h.arrived += h.late[0].bytes
	}
}

func (h *half) reset() {
	h.err, h.buf, h.late, h.arrived = syscall.ECONNRESET, nil, nil, 0
	h.changed.Broadcast()
}

// conn is one end of a connection.
type conn struct {
	net           *Network
	in, out       *half
	local, remote address
	closed        bool
	err           error // the host of this end has no power
	reads, writes deadline
}

func (c *conn) Read(p []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		cut := n.cuts[[2]string{c.in.from, c.in.to}]
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.err != nil:
			return 0, c.err
		case c.in.err != nil:
			return 0, c.in.err
		case c.in.arrived > 0 && !cut:
			k := copy(p, c.in.buf[:c.in.arrived])
			c.in.buf = c.in.buf[k:]
			c.in.arrived -= k
			c.in.changed.Broadcast()
			return k, nil
		case c.in.eof && len(c.in.late) == 0 && !cut:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		case c.reads.over:
			return 0, os.ErrDeadlineExceeded
		}
		c.in.changed.Wait()
	}
}

func (c *conn) Write(p []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	done := 0
	for {
		switch {
		case c.closed:
			return done, net.ErrClosed
		case c.err != nil:
			return done, c.err
		case c.out.err != nil:
			return done, c.out.err
		case c.out.gone && !n.cuts[[2]string{c.in.from, c.in.to}]:
			return done, syscall.EPIPE
		case c.writes.over:
			return done, os.ErrDeadlineExceeded
		case done == len(p):
			return done, nil
		}
		if room := maxBuffered - len(c.out.buf); room > 0 {
			k := min(room, len(p)-done)
			c.out.send(n, p[done:done+k])
			done += k
			c.out.changed.Broadcast()
			continue
		}
		c.out.changed.Wait()
	}
}

func (c *conn) Close() error {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.err == nil {
		c.out.eof, c.in.gone = true, true
	}
	c.reads.stop()
	c.writes.stop()
	delete(n.conns, c)
	c.in.changed.Broadcast()
	c.out.changed.Broadcast()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.arm(&c.reads, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.arm(&c.writes, t) }

func (c *conn) arm(d *deadline, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	d.stop()
	d.over = false
	if t.IsZero() || c.closed {
		return nil
	}
	d.set++
	set := d.set
	d.timer = time.AfterFunc(time.Until(t), func() {
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		if d.set == set {
			d.over = true
			c.in.changed.Broadcast()
			c.out.changed.Broadcast()
		}
	})
	return nil
}

// deadline is guarded by Network.mu.
type deadline struct {
	timer *time.Timer
	set   int // counts the times that it was set
	over  bool
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
}
