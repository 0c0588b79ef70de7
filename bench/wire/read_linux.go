package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/bench/pace"
)

// bulkBytes is the size of a reply above which its head is read alone: the rest of it is
// discarded in the kernel, or goes to room of its own without a copy.
func (l *Load) bulkBytes() int {
	if l.Keep {
		return inBytes
	}
	return bulkBytes
}

// read takes everything that has arrived and hands replies over. It returns the time after
// the last read. hungUp says that the peer's end is among what has arrived.
func (c *conn) read(hungUp bool) (now int64, err error) {
	for {
		n, asked, err := c.readOnce()
		now = pace.Now()
		if err != nil {
			return now, err
		}
		if n > 0 {
			c.t.receivedBytes += int64(n)
			if err := c.take(n, asked, now); err != nil {
				return now, err
			}
		}
		// Less than was asked for: the socket is empty, and the next arrival is an event. But
		// the peer's end behind these bytes had its event already.
		if n == 0 || (n < asked && !hungUp) {
			return now, nil
		}
	}
}

// readOnce makes one call: it discards, or reads into the connection's own buffer when that
// holds a reply too large to share one, or into the shared buffer.
func (c *conn) readOnce() (n, asked int, err error) {
	t := c.t
	var errno syscall.Errno
	t.syscalls++
	switch {
	case c.discard > 0:
		asked = c.discard
		n, errno = recv(c.fd, &t.in[0], asked, unix.MSG_TRUNC)
	case c.ownRoom():
		asked = 4 + int(binary.BigEndian.Uint32(c.part)) - len(c.part)
		n, errno = recv(c.fd, &c.part[:cap(c.part)][len(c.part)], asked, 0)
	default:
		copy(t.in, c.part)
		asked = len(t.in) - len(c.part)
		if c.size > t.l.bulkBytes() && !t.l.NoReply && !c.whole {
			asked = 4 + t.l.HeadBytes - len(c.part)
		}
		n, errno = recv(c.fd, &t.in[len(c.part)], asked, 0)
	}
	switch {
	case errno == unix.EAGAIN:
		return 0, asked, nil
	case errno != 0:
		return 0, asked, c.broken(errno)
	case n == 0:
		return 0, asked, c.broken(ErrClosed)
	}
	return n, asked, nil
}

// ownRoom says whether the reply under way is read into the connection's own buffer: part
// has its size prefix, and room for all of it.
func (c *conn) ownRoom() bool {
	return cap(c.part) > inBytes && len(c.part) >= 4 && (c.t.l.Keep || c.whole)
}

// take handles n bytes that readOnce brought.
func (c *conn) take(n, asked int, now int64) error {
	t := c.t
	switch {
	case t.l.NoReply:
		return nil // nobody asked for them
	case c.discard > 0:
		c.discard -= n
		return nil
	case c.ownRoom():
		c.part = c.part[:len(c.part)+n]
		if n < asked {
			return nil
		}
		err := c.reply(len(c.part)-4, c.part[4:], now)
		c.part = c.part[:0]
		return err
	}
	buf := t.in[:len(c.part)+n]
	c.part = c.part[:0]
	for len(buf) >= 4 {
		size := int64(int32(binary.BigEndian.Uint32(buf)))
		if size < 0 || size > int64(t.l.MaxReplyBytes) {
			return c.broken(&SizeError{Size: size, Limit: int64(t.l.MaxReplyBytes)})
		}
		need, enough := c.need(int(size), buf)
		if !enough {
			break
		}
		if err := c.reply(int(size), buf[4:4+need], now); err != nil {
			return err
		}
		used := min(len(buf), 4+int(size))
		c.discard = 4 + int(size) - used
		buf = buf[used:]
	}
	c.keep(buf)
	return nil
}

// need is how much of the reply that begins in buf is handed over, and whether it is there.
func (c *conn) need(size int, buf []byte) (int, bool) {
	l := c.t.l
	if l.Keep || c.whole {
		return size, len(buf) >= 4+size
	}
	head := min(size, l.HeadBytes)
	if len(buf) < 4+head || l.Want == nil || c.waiting.n == 0 {
		return head, len(buf) >= 4+head
	}
	if c.whole = l.Want(c.id, c.answered, size, buf[4:4+head]); c.whole {
		return size, len(buf) >= 4+size
	}
	return head, true
}

// keep puts the beginning of a reply aside.
func (c *conn) keep(buf []byte) {
	if len(buf) >= 4 && (c.t.l.Keep || c.whole) {
		// Too large for the shared buffer: it gets room of its own.
		if need := 4 + int(binary.BigEndian.Uint32(buf)); need > inBytes && need > cap(c.part) {
			c.part = make([]byte, 0, need+need/8)
		}
	}
	c.part = append(c.part, buf...)
}

// reply hands over one reply.
func (c *conn) reply(size int, head []byte, now int64) error {
	t := c.t
	if c.waiting.n == 0 {
		return c.broken(&UnaskedError{Bytes: 4 + size})
	}
	e := c.waiting.pop()
	t.latency.record(e.steady, now-e.sent)
	if t.r.paced {
		t.corrected.record(e.steady, now-e.intended)
	}
	c.size, c.whole = size, false
	t.requests++
	if e.steady {
		t.counted++
	}
	seq := c.answered
	c.answered++
	if t.l.OnReply != nil {
		t.l.OnReply(c.id, seq, size, head)
	}
	return nil
}

func (c *conn) broken(err error) error {
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		err = fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	return &ConnError{Address: c.t.l.address(c.id), Conn: c.id, Answered: c.answered, InFlight: c.waiting.n, Err: err}
}
