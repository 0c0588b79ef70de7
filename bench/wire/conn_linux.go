package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// conn is one connection. Everything in it belongs to its thread.
type conn struct {
	t  *thread
	id int
	fd int

	// Sending: frames up to nextSeq were made. What the kernel did not take yet is rest,
	// then parts (of one large frame, not copied: it stays as it is until the next Frame).
	nextSeq  int64
	due      int64 // open loop: frames whose time has come
	ended    bool  // Frame has no more
	rest     []byte
	parts    [][]byte
	partsBuf [][]byte // what parts is a slice of
	made     int64    // frames that the kernel does not have yet
	toCount  int64    // those of made that belong to the steady phase
	inReady  bool     // in the thread's list of connections with more to send
	waiting  ring
	answered int64

	// Receiving: part is the beginning of a reply that is not complete, discard what is
	// left of one whose head was handed over.
	part    []byte
	discard int
	size    int  // of the last reply: whether a bulk read pays
	whole   bool // Want wants all of the reply that part begins

	lastMoveNs int64 // when the kernel last took bytes, or began to refuse them
}

// Frames and reads by size.
const (
	// A frame up to copyBytes is copied behind others, so that they leave together; the
	// copy of 16 KiB costs less than the call that it saves.
	copyBytes = 16 << 10
	// outBytes is what is collected before it is sent.
	outBytes = 128 << 10
	// inBytes is the read buffer that all connections of a thread share.
	inBytes = 256 << 10
	// Replies above bulkBytes are discarded in the kernel but for their head; for smaller
	// ones a second call costs more than the copy.
	bulkBytes = 8 << 10
	// turnBytes is what one connection may send without replies before others get a turn.
	turnBytes = 512 << 10
)

// pending says whether the kernel refused bytes.
func (c *conn) pending() bool { return len(c.rest) > 0 || len(c.parts) > 0 }

// idle says whether nothing is expected on c.
func (c *conn) idle() bool { return c.waiting.n == 0 && !c.pending() }

// open returns how many frames c may make now.
func (c *conn) open() int64 {
	if c.ended || c.t.phase >= draining {
		return 0
	}
	n := int64(1 << 30)
	if c.t.r.paced {
		n = c.due - c.nextSeq
	}
	if !c.t.l.NoReply {
		n = min(n, int64(c.t.l.Depth)-int64(c.waiting.n))
	}
	return n
}

// fill makes and sends as many frames as c may have, at the time now. It returns false when
// there is more to send but others should get a turn first.
func (c *conn) fill(now int64) (bool, error) {
	if c.pending() {
		if err := c.flushRest(now); err != nil || c.pending() {
			return true, err
		}
	}
	t := c.t
	turn := 0
	for n := c.open(); n > 0 && turn < turnBytes; n-- {
		if !t.r.reserve(t.phase) {
			break
		}
		parts := t.l.Frame(c.id, c.nextSeq)
		size := 0
		for _, p := range parts {
			size += len(p)
		}
		if size == 0 {
			c.ended = len(parts) == 0
			t.r.giveBack(t.phase, c.ended)
			break
		}
		c.note(now)
		turn += size
		if size <= copyBytes {
			for _, p := range parts {
				t.out = append(t.out, p...)
			}
			if len(t.out) < outBytes {
				continue
			}
			parts = nil
		}
		if err := c.write(parts, now); err != nil || c.pending() {
			return true, err
		}
	}
	if len(t.out) > 0 {
		if err := c.write(nil, now); err != nil || c.pending() {
			return true, err
		}
	}
	return turn < turnBytes, nil
}

// note takes down that frame nextSeq is made.
func (c *conn) note(now int64) {
	t := c.t
	e := entry{sent: now, intended: now, steady: t.phase == steady}
	if t.r.paced {
		e.intended = t.r.intended(c.id, c.nextSeq)
		t.late.record(e.steady, now-e.intended)
	}
	c.nextSeq++
	c.made++
	if t.l.NoReply {
		if e.steady {
			c.toCount++
		}
		return
	}
	c.waiting.push(e)
}

// write sends the thread's out buffer and then parts. What the kernel does not take is kept.
func (c *conn) write(parts [][]byte, now int64) error {
	t := c.t
	total := len(t.out)
	var n int
	var errno syscall.Errno
	if len(parts) == 0 {
		n, errno = send(c.fd, t.out)
	} else {
		t.iov = t.iov[:0]
		t.iov = addIovec(t.iov, t.out)
		for _, p := range parts {
			t.iov = addIovec(t.iov, p)
			total += len(p)
		}
		n, errno = writev(c.fd, t.iov[:min(len(t.iov), maxIovecs)])
	}
	t.syscalls++
	if errno != 0 {
		if errno != unix.EAGAIN {
			return c.broken(errno)
		}
		n = 0
	}
	c.sent(n, now)
	if n == total {
		t.out = t.out[:0]
		c.delivered()
		return nil
	}
	c.lastMoveNs = now
	taken := min(n, len(t.out))
	c.rest = append(c.rest[:0], t.out[taken:]...)
	t.out = t.out[:0]
	c.partsBuf = append(c.partsBuf[:0], parts...)
	c.parts = skip(c.partsBuf, n-taken)
	return nil
}

// flushRest sends what the kernel refused before.
func (c *conn) flushRest(now int64) error {
	for c.pending() {
		t := c.t
		t.iov = addIovec(t.iov[:0], c.rest)
		for _, p := range c.parts {
			t.iov = addIovec(t.iov, p)
		}
		n, errno := writev(c.fd, t.iov[:min(len(t.iov), maxIovecs)])
		t.syscalls++
		if errno == unix.EAGAIN {
			return nil
		}
		if errno != 0 {
			return c.broken(errno)
		}
		c.sent(n, now)
		taken := min(n, len(c.rest))
		c.rest = c.rest[:copy(c.rest, c.rest[taken:])]
		c.parts = skip(c.parts, n-taken)
	}
	c.delivered()
	return nil
}

// sent notes that the kernel took n bytes.
func (c *conn) sent(n int, now int64) {
	c.t.sentBytes += int64(n)
	if n > 0 {
		c.lastMoveNs = now
	}
}

// delivered is called when the kernel has all frames that were made.
func (c *conn) delivered() {
	if c.t.l.NoReply {
		c.t.requests += c.made
		c.t.counted += c.toCount
	}
	c.made, c.toCount = 0, 0
}

// maxIovecs is the kernel's limit (IOV_MAX) of one call.
const maxIovecs = 1024

func addIovec(iov []unix.Iovec, p []byte) []unix.Iovec {
	if len(p) == 0 {
		return iov
	}
	v := unix.Iovec{Base: &p[0]}
	v.SetLen(len(p))
	return append(iov, v)
}

// skip takes n bytes off the front of parts.
func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

// entry is a request on its way.
type entry struct {
	intended, sent int64 // pace.Now
	steady         bool  // sent in the steady phase
}

// ring holds the entries of a connection in order. It grows to the depth that is used.
type ring struct {
	e       []entry // a power of two
	head, n int
}

func (r *ring) push(e entry) {
	if r.n == len(r.e) {
		bigger := make([]entry, max(2*len(r.e), 8))
		for i := range r.n {
			bigger[i] = r.e[(r.head+i)&(len(r.e)-1)]
		}
		r.e, r.head = bigger, 0
	}
	r.e[(r.head+r.n)&(len(r.e)-1)] = e
	r.n++
}

func (r *ring) first() entry { return r.e[r.head] }

func (r *ring) pop() entry {
	e := r.e[r.head]
	r.head = (r.head + 1) & (len(r.e) - 1)
	r.n--
	return e
}
