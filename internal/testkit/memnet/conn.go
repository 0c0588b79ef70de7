package memnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// maxBuffered is what a half holds before its writer has to wait.
const maxBuffered = 256 << 10

// half is one direction of a connection. All of it is guarded by Network.mu.
type half struct {
	from, to string
	buf      []byte
	eof      bool  // the writer closed
	gone     bool  // the reader closed
	err      error // it was reset
}

// conn is one end of a connection.
type conn struct {
	net           *Network
	in, out       *half
	local, remote address
	closed        bool
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
		case c.in.err != nil:
			return 0, c.in.err
		case len(c.in.buf) > 0 && !cut:
			k := copy(p, c.in.buf)
			c.in.buf = c.in.buf[k:]
			n.changed.Broadcast()
			return k, nil
		case c.in.eof && !cut:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		case c.reads.over:
			return 0, os.ErrDeadlineExceeded
		}
		n.changed.Wait()
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
			c.out.buf = append(c.out.buf, p[done:done+k]...)
			done += k
			n.changed.Broadcast()
			continue
		}
		n.changed.Wait()
	}
}

func (c *conn) Close() error {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed, c.out.eof, c.in.gone = true, true, true
	c.reads.stop()
	c.writes.stop()
	delete(n.conns, c)
	n.changed.Broadcast()
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
			c.net.changed.Broadcast()
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
