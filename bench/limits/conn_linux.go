package limits

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferBytes is what one receive takes at most. Requests of exactBytes and more are received
// one at a time into a buffer of their size, so that none is moved.
const (
	bufferBytes = 64 << 10
	exactBytes  = 32 << 10
	flushBytes  = 128 << 10 // replies are sent when so many bytes of them wait
)

// state is what a connection waits for.
type state int

const (
	needRead state = iota
	needWrite
	finished // closed by the peer, or broken
)

// conn is one connection: bytes in, requests to the handler, replies out. It belongs to one
// thread or goroutine at a time.
type conn struct {
	srv *server
	fd  int
	// own is the connection's buffer, [r,w) of it not yet served; nil when the loop lends
	// its own, and then what is not served is kept in rest.
	own  []byte
	r, w int
	rest []byte

	out   []byte // replies, sent up to sent
	sent  int
	mem   []byte // after out, from a mapping
	file  int    // after out, left bytes at offset of this file
	at    int64
	left  int
	next  int64 // where the next fetch of this connection reads
	iov   [2]unix.Iovec
	block bool // calls may block: the connection has a thread of its own
	raw   bool // the caller is a loop on a locked thread: the scheduler need not know of calls

	waiter int   // index among the waiters of a round, see committer
	round  int64 // the round that waiter belongs to
}

func (s *server) newConn(fd int, own bool) *conn {
	c := &conn{srv: s, fd: fd, round: -1}
	switch n := s.j.requestBytes(); {
	case n >= exactBytes:
		c.own = make([]byte, n)
	case own:
		c.own = make([]byte, bufferBytes)
	}
	return c
}

// pump receives, serves and sends until the connection has to wait. lent is the buffer for
// connections that have none.
func (c *conn) pump(lent []byte) (state, error) {
	buf := c.own
	if buf == nil {
		buf = lent
		c.r, c.w = 0, copy(lent, c.rest)
	}
	st, err := c.turn(buf)
	if c.own == nil {
		c.rest = append(c.rest[:0], buf[c.r:c.w]...)
	}
	return st, err
}

func (c *conn) turn(buf []byte) (state, error) {
	if st, err := c.flush(); st != needRead {
		return st, err
	}
	for drained := false; ; {
		if st, err := c.serve(buf); st != needRead {
			return st, err
		}
		if drained {
			return c.flush()
		}
		if c.r > 0 {
			c.r, c.w = 0, copy(buf, buf[c.r:c.w])
		}
		asked := len(buf) - c.w
		n, errno := c.receive(buf[c.w:])
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && c.block:
			if st, err := c.flush(); st != needRead {
				return st, err
			}
		case errno == unix.EAGAIN:
			drained = true
		case errno != 0:
			return finished, errno
		case n == 0:
			return finished, nil
		default:
			c.w += n
			// A short read of a stream has emptied it: the next event comes with new bytes.
			drained = n < asked && !c.block
		}
	}
}

// serve hands the complete requests of buf to the handler.
func (c *conn) serve(buf []byte) (state, error) {
	served := int64(0)
	defer func() { c.srv.units.Add(served) }()
	for c.w-c.r >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(buf[c.r:]))
		if n < 8 || n > len(buf) {
			return finished, &frameError{Bytes: n, Limit: len(buf)}
		}
		if c.w-c.r < n {
			break
		}
		if err := c.srv.handler.serve(c, buf[c.r:c.r+n]); err != nil {
			return finished, err
		}
		c.r += n
		served++
		if c.left > 0 || len(c.mem) > 0 || len(c.out) >= flushBytes {
			if st, err := c.flush(); st != needRead {
				return st, err
			}
		}
	}
	return needRead, nil
}

// flush sends what there is to send; needRead says that nothing is left.
func (c *conn) flush() (state, error) {
	for c.sent < len(c.out) || len(c.mem) > 0 || c.left > 0 {
		errno := c.sendSome()
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			return needWrite, nil
		case unix.EPIPE, unix.ECONNRESET:
			return finished, nil
		default:
			return finished, errno
		}
	}
	c.out, c.sent = c.out[:0], 0
	return needRead, nil
}

// sendSome makes one system call.
func (c *conn) sendSome() unix.Errno {
	head := c.out[c.sent:]
	switch {
	case len(head) > 0 && len(c.mem) > 0:
		c.iov[0].Base, c.iov[1].Base = &head[0], &c.mem[0]
		c.iov[0].SetLen(len(head))
		c.iov[1].SetLen(len(c.mem))
		n, errno := c.call(unix.SYS_WRITEV, uintptr(unsafe.Pointer(&c.iov[0])), 2, 0, 0, 0)
		if errno == 0 {
			c.sent += min(n, len(head))
			c.mem = c.mem[max(n-len(head), 0):]
		}
		return errno
	case len(head) > 0:
		flags := uintptr(unix.MSG_NOSIGNAL)
		if c.left > 0 {
			flags |= unix.MSG_MORE
		}
		n, errno := c.call(unix.SYS_SENDTO, uintptr(unsafe.Pointer(&head[0])), uintptr(len(head)), flags, 0, 0)
		if errno == 0 {
			c.sent += n
		}
		return errno
	case len(c.mem) > 0:
		n, errno := c.call(unix.SYS_SENDTO, uintptr(unsafe.Pointer(&c.mem[0])), uintptr(len(c.mem)), unix.MSG_NOSIGNAL, 0, 0)
		if errno == 0 {
			c.mem = c.mem[n:]
		}
		return errno
	}
	n, errno := c.call(unix.SYS_SENDFILE, uintptr(c.file), uintptr(unsafe.Pointer(&c.at)), uintptr(c.left), 0, 0)
	if errno == 0 && n == 0 {
		return unix.EIO // the file ended: nothing would ever come
	}
	if errno == 0 {
		c.left -= n
	}
	return errno
}

// receive fills b. On a thread of its own it waits, except while replies have to go first.
func (c *conn) receive(b []byte) (int, unix.Errno) {
	flags := uintptr(0)
	if !c.block || len(c.out) > c.sent {
		flags = unix.MSG_DONTWAIT
	}
	return c.call(unix.SYS_RECVFROM, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
}

// call makes a system call on the connection's socket. What it points to lives on the heap.
func (c *conn) call(trap, a, b, d, e, f uintptr) (int, unix.Errno) {
	var n uintptr
	var errno unix.Errno
	if c.raw {
		n, _, errno = unix.RawSyscall6(trap, uintptr(c.fd), a, b, d, e, f)
	} else {
		n, _, errno = unix.Syscall6(trap, uintptr(c.fd), a, b, d, e, f)
	}
	return int(n), errno
}

// end closes a connection that is finished and tells why, when it was not the peer's wish.
func (c *conn) end(err error) {
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		c.srv.out.failed(err)
	}
}

// frameError is a request that does not fit.
type frameError struct{ Bytes, Limit int }

func (e *frameError) Error() string {
	return fmt.Sprintf("request of %d bytes, want 8 to %d", e.Bytes, e.Limit)
}
