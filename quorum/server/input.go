package server

import (
	"encoding/binary"
	"sync"

	"github.com/millrace/millrace/quorum/jute"
)

// chunkBytes is the size of a pooled buffer: some hundred small requests or replies.
const chunkBytes = 8 << 10

// smallBytes is what a connection holds while it waits where a read cannot do without a
// buffer (TLS, pipes).
const smallBytes = 1 << 10

// chunk is a buffer, pooled by pointer.
type chunk struct{ b []byte }

// chunks lends buffers of chunkBytes.
type chunks struct{ pool sync.Pool }

func (p *chunks) get() *chunk {
	if c, ok := p.pool.Get().(*chunk); ok {
		return c
	}
	return &chunk{b: make([]byte, chunkBytes)}
}

// put takes a buffer back; one that grew far is left to the garbage collector.
func (p *chunks) put(c *chunk) {
	if cap(c.b) < chunkBytes || cap(c.b) > 8*chunkBytes {
		return
	}
	c.b = c.b[:cap(c.b)]
	p.pool.Put(c)
}

// input cuts what a connection sends into packets. It implements netx.Lender: while the
// connection sleeps and nothing is half read it holds no buffer. A packet's length is believed
// only as far as its bytes come: room is doubled, never taken at once.
type input struct {
	pool     *chunks
	max      int  // of a packet
	canSleep bool // the connection tells when it sleeps

	buf      *chunk
	off, end int // what was read and not taken yet
	want     int // the size with its length of the packet that is half there; 0: not known
}

// Lend implements netx.Lender.
func (in *input) Lend() []byte {
	if in.buf == nil {
		if in.canSleep {
			in.buf = in.pool.get()
		} else {
			in.buf = &chunk{b: make([]byte, smallBytes)}
		}
		in.off, in.end = 0, 0
	}
	b := in.buf.b
	if in.off == in.end {
		in.off, in.end = 0, 0
	}
	if in.end == len(b) && in.off > 0 {
		in.end = copy(b, b[in.off:in.end])
		in.off = 0
	}
	if in.end == len(b) {
		in.grow()
		b = in.buf.b
	}
	return b[in.end:]
}

// grow makes room for a packet that fills the buffer from its start.
func (in *input) grow() {
	size := 2 * len(in.buf.b)
	if in.want > 0 {
		size = min(size, in.want)
	}
	b := make([]byte, max(size, in.end+1))
	copy(b, in.buf.b[:in.end])
	in.pool.put(in.buf)
	in.buf = &chunk{b: b}
}

// Sleep implements netx.Lender.
func (in *input) Sleep() bool {
	if in.off == in.end {
		in.release()
	}
	return true
}

func (in *input) release() {
	if in.buf != nil {
		in.pool.put(in.buf)
		in.buf, in.off, in.end = nil, 0, 0
	}
}

// got notes that n bytes were read into what Lend returned.
func (in *input) got(n int) { in.end += n }

// head is the first four bytes that are there, as a number.
func (in *input) head() (int32, bool) {
	if in.buf == nil || in.end-in.off < 4 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(in.buf.b[in.off:])), true
}

// skip drops n bytes that are there.
func (in *input) skip(n int) { in.off += n }

// next returns the payload of the next packet if all of it is there, nil if not. It aliases
// the buffer and is good until the next Lend. A length that cannot be is an error.
func (in *input) next() ([]byte, error) {
	n, ok := in.head()
	if !ok {
		return nil, nil
	}
	if n < 0 || int64(n) > int64(in.max) {
		return nil, &jute.FrameSizeError{Length: n, Max: in.max}
	}
	in.want = int(n) + 4
	if in.end-in.off < in.want {
		return nil, nil
	}
	frame := in.buf.b[in.off+4 : in.off+in.want : in.off+in.want]
	in.off += in.want
	in.want = 0
	if in.off == in.end && len(in.buf.b) > chunkBytes {
		// The frame keeps a large buffer alive while it is used; the next read gets a new one.
		in.buf, in.off, in.end = nil, 0, 0
	}
	return frame, nil
}
