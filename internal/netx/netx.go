// Package netx is the seam for what package net does not offer: a read that holds no
// buffer while it sleeps, a write that tells the kernel more is coming, and sendfile with
// an explicit offset.
//
// A Conn wraps a net.Conn. Where the connection is a socket the calls go to the kernel
// under the runtime's poller (they park the goroutine, not a thread, and obey deadlines
// and Close); everywhere else (net.Pipe, TLS, other systems) they fall back to plain Read
// and Write with the same results.
//
// One goroutine reads and one goroutine writes at a time: broker/conn sees to it.
// Close and SetReadDeadline may be called from anywhere.
//
// Lanes serve many connections with one goroutine, as long as none of them has to wait.
package netx

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/millrace/millrace/internal/vfs"
)

// Lender lends room to a read.
type Lender interface {
	// Lend returns the room that the next bytes go to. It must not block: it is called
	// while the descriptor is held.
	Lend() []byte
	// Sleep is called when there is nothing to read and the reader is about to wait;
	// room that was lent may be given away until the next Lend. False ends the read instead,
	// which then returns no bytes and no error.
	Sleep() bool
}

// Conn is a connection with the calls above.
type Conn struct {
	net.Conn                      // exchanged by a lane: but for closing only who reads and who writes may use it
	raw           syscall.RawConn // nil: no system calls
	local, remote net.Addr
	seat

	read  readOp
	write writeOp
}

// Wrap makes a Conn. A *net.TCPConn or *net.UnixConn gets system calls where the machine
// has them.
func Wrap(c net.Conn) *Conn {
	x := &Conn{Conn: c, raw: rawOf(c), local: c.LocalAddr(), remote: c.RemoteAddr()}
	x.read.step = x.read.do
	x.write.sendStep = x.write.send
	x.write.vecStep = x.write.vector
	x.write.allStep = x.write.all
	x.write.tryStep = x.write.try
	x.write.fileStep = x.write.sendfile
	x.write.corkStep = x.write.cork
	return x
}

// rawOf is how the kernel is reached under the runtime's poller, nil where it is not.
func rawOf(c net.Conn) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		if sc, ok := c.(syscall.Conn); ok && haveSyscalls {
			if raw, err := sc.SyscallConn(); err == nil {
				return raw
			}
		}
	}
	return nil
}

// CanSendfile tells whether SendRange leaves the copying to the kernel.
func (c *Conn) CanSendfile() bool { return c.raw != nil }

// SetBuffers sets the socket's buffer sizes in bytes; a size that is not positive leaves
// the system's own.
func (c *Conn) SetBuffers(sendBytes, receiveBytes int) error {
	t, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	if sendBytes > 0 {
		if err := t.SetWriteBuffer(sendBytes); err != nil {
			return err
		}
	}
	if receiveBytes > 0 {
		return t.SetReadBuffer(receiveBytes)
	}
	return nil
}

// SetCongestion makes the connection send by a TCP congestion control of that name.
// errors.ErrUnsupported: this is no TCP socket, or no Linux.
func (c *Conn) SetCongestion(name string) error { return SetCongestion(c.Conn, name) }

// SetCongestion is Conn.SetCongestion for any socket; what a listener accepts inherits it.
func SetCongestion(socket any, name string) error {
	return control(socket, func(fd uintptr) error { return setCongestion(fd, name) })
}

// Congestion is the name of a socket's TCP congestion control.
func Congestion(socket any) (name string, err error) {
	err = control(socket, func(fd uintptr) (err error) {
		name, err = congestion(fd)
		return err
	})
	return name, err
}

func control(socket any, f func(fd uintptr) error) error {
	switch socket.(type) {
	case *net.TCPConn, *net.TCPListener:
	default:
		return errors.ErrUnsupported
	}
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = f(fd) }); controlErr != nil {
		return controlErr
	}
	return err
}

// SameMachine tells whether both ends of a connection lie on this machine: on loopback, or
// at one address.
func SameMachine(local, remote net.Addr) bool {
	l, lok := local.(*net.TCPAddr)
	r, rok := remote.(*net.TCPAddr)
	return lok && rok && (r.IP.IsLoopback() || r.IP.Equal(l.IP))
}

// ReadInto waits for bytes and reads them into the room that l lends. It returns io.EOF
// when the peer has closed its side.
func (c *Conn) ReadInto(l Lender) (int, error) {
	if c.raw == nil {
		return c.Conn.Read(l.Lend())
	}
	r := &c.read
	r.lender, r.n, r.err, r.awake = l, 0, nil, false
	err := c.raw.Read(r.step)
	r.lender = nil
	if err != nil {
		return 0, err
	}
	if r.err != nil {
		return 0, c.opError("read", r.err)
	}
	if r.n == 0 && !r.awake {
		return 0, io.EOF
	}
	return r.n, nil
}

// CloseWrite tells the peer that nothing follows; errors.ErrUnsupported: this connection cannot.
// The writer calls it.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// shortBytes bounds a write that the scheduler is not told of.
const shortBytes = 16 << 10

// WriteShort is Write for what is at most a few KiB.
func (c *Conn) WriteShort(p []byte) error {
	if c.raw == nil || len(p) > shortBytes {
		_, err := c.Conn.Write(p)
		return err
	}
	w := &c.write
	w.buf, w.err = p, nil
	err := c.raw.Write(w.allStep)
	w.buf = nil
	return c.writeError(err)
}

// WriteMore writes all of p and tells the kernel that more follows at once, so that it
// does not send a short packet. The last write of a reply must be another.
func (c *Conn) WriteMore(p []byte) error {
	if c.raw == nil {
		_, err := c.Conn.Write(p)
		return err
	}
	w := &c.write
	w.buf, w.err = p, nil
	err := c.raw.Write(w.sendStep)
	w.buf = nil
	return c.writeError(err)
}

// Pieces are stretches of bytes that leave one after the other.
type Pieces [][]byte

// advance takes n bytes off the front.
func (v *Pieces) advance(n int) {
	for n > 0 {
		first := (*v)[0]
		if n < len(first) {
			(*v)[0] = first[n:]
			return
		}
		*v, n = (*v)[1:], n-len(first)
	}
}

// WritePieces writes all of v, by few system calls, and changes what is in it. v may lie in a
// mapping: a page that cannot be read is an error to a system call, but to be read from the disk
// it should not need, for the processor stands still meanwhile. Without system calls
// (CanSendfile) it must not lie in a mapping.
func (c *Conn) WritePieces(v Pieces) error {
	if c.raw == nil {
		for _, p := range v {
			if _, err := c.Conn.Write(p); err != nil {
				return err
			}
		}
		return nil
	}
	w := &c.write
	w.vec, w.err = v, nil
	err := c.raw.Write(w.vecStep)
	w.vec, w.iov = nil, iovecs{}
	return c.writeError(err)
}

// TryWrite writes what the socket takes at once and never waits. Fewer bytes than asked for
// without an error mean that the rest would have to wait: for Write. Without system calls
// that is all of them.
func (c *Conn) TryWrite(p []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	w := &c.write
	w.buf, w.err = p, nil
	err := c.writeError(c.raw.Write(w.tryStep))
	n := len(p) - len(w.buf)
	w.buf = nil
	return n, err
}

// SendRange sends the bytes of a file range, by sendfile where it can and through
// scratch (which must not be empty) where it cannot. It reports how many bytes the kernel
// copied itself. A file that ends early is an error that wraps io.ErrUnexpectedEOF, and
// so many bytes are missing on the wire that the connection must be closed.
func (c *Conn) SendRange(r vfs.Range, scratch []byte) (byKernel int, err error) {
	fd, ok := r.File.Fd()
	if c.raw == nil || !ok {
		return 0, c.copyRange(r, scratch)
	}
	w := &c.write
	w.src, w.pos, w.left, w.err = int(fd), r.Pos, r.LenBytes, nil
	err = c.writeError(c.raw.Write(w.fileStep))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("send %s at %d: %d of %d bytes missing: %w", r.File.Name(), r.Pos, w.left, r.LenBytes, err)
	}
	return r.LenBytes - w.left, err
}

// Cork keeps a segment that is not full from leaving until Cork(false): a sendfile cannot say
// that more follows it. It is a matter of speed; where there is no cork nothing happens.
func (c *Conn) Cork(on bool) {
	if c.raw == nil {
		return
	}
	c.write.corkOn = 0
	if on {
		c.write.corkOn = 1
	}
	_ = c.raw.Control(c.write.corkStep) // a closed socket shows at the write
}

// SendfileCalls is the number of sendfile calls so far; it is read by the writing goroutine.
func (c *Conn) SendfileCalls() int64 { return c.write.calls }

func (c *Conn) writeError(err error) error {
	if err != nil {
		return err
	}
	if c.write.err != nil {
		return c.opError("write", c.write.err)
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: c.remote, Err: err}
}

func (c *Conn) copyRange(r vfs.Range, scratch []byte) error {
	for r.LenBytes > 0 {
		n := min(len(scratch), r.LenBytes)
		part := vfs.Range{File: r.File, Pos: r.Pos, LenBytes: n}
		if err := part.CopyTo(scratch[:n]); err != nil {
			return err
		}
		if _, err := c.Conn.Write(scratch[:n]); err != nil {
			return err
		}
		r.Pos += int64(n)
		r.LenBytes -= n
	}
	return nil
}

// readOp and writeOp hold the arguments of a system call between the calls of its step
// function, which is made once per connection: a closure per call would be an allocation.
type readOp struct {
	step   func(fd uintptr) bool
	lender Lender
	n      int
	awake  bool // the lender refused to sleep
	err    error
}

type writeOp struct {
	vecStep, sendStep, allStep, tryStep, fileStep func(fd uintptr) bool
	corkStep                                      func(fd uintptr)
	corkOn                                        int
	buf                                           []byte
	vec                                           Pieces
	iov                                           iovecs
	src                                           int
	pos                                           int64
	left                                          int
	calls                                         int64
	err                                           error
}
