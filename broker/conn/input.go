package conn

import (
	"encoding/binary"
	"fmt"
	"time"
)

// prefixBytes is what must be there of a frame before its size is believed: the size
// itself, the API key and the version.
const (
	sizeBytes   = 4
	prefixBytes = sizeBytes + 4
	// minRequestBytes is the shortest request there is: key, version, correlation id.
	minRequestBytes = 8
)

// input is a connection's read buffer: buf[r:w] is received and not yet served. A frame
// is handed out as a view of it, and is valid until the next fill. An idle connection
// holds no buffer.
type input struct {
	c    *Conn
	buf  []byte
	r, w int
	// need is the size of the frame that starts at r, with its size prefix, once known.
	need int
	// usual is the size of the last frame: the next one is probably as large.
	usual int
	// receivedAt is the time of the last read.
	receivedAt time.Time
}

const (
	// A frame of largeBytes and more is read to its end and aheadBytes further: what is read
	// beyond has to be moved to the front of the buffer, and a large one would pay for that
	// with as much copying as it is long.
	largeBytes = 16 << 10
	aheadBytes = 512
	// maxUsualBytes bounds the buffer that a connection is given for the size of its last frame.
	maxUsualBytes = 2 << 20
)

// FrameError says why the bytes of a peer are no request.
type FrameError struct {
	SizeBytes, MaxBytes int64
	Key, Version        int16
	Reason              string
}

func (e *FrameError) Error() string {
	if e.MaxBytes > 0 {
		return fmt.Sprintf("request of %d bytes (api key %d version %d): %s %d (raise socket.request.max.bytes if it is honest)",
			e.SizeBytes, e.Key, e.Version, e.Reason, e.MaxBytes)
	}
	return fmt.Sprintf("request of %d bytes (api key %d version %d): %s", e.SizeBytes, e.Key, e.Version, e.Reason)
}

// next returns the next complete frame without its size prefix, or nil when more bytes
// are needed.
func (in *input) next() ([]byte, error) {
	have := in.w - in.r
	if in.need == 0 {
		if have < prefixBytes {
			if have >= sizeBytes {
				return nil, in.checkSize(int64(int32(binary.BigEndian.Uint32(in.buf[in.r:]))))
			}
			return nil, nil
		}
		b := in.buf[in.r:in.w]
		size := int64(int32(binary.BigEndian.Uint32(b)))
		if err := in.checkSize(size); err != nil {
			return nil, err
		}
		key, version := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))
		limit := in.c.session.MaxRequestBytes(key, version)
		if limit <= 0 {
			return nil, &FrameError{SizeBytes: size, Key: key, Version: version, Reason: "this API is not served here" + stranger(b)}
		}
		if size > int64(limit) {
			return nil, &FrameError{SizeBytes: size, MaxBytes: int64(limit), Key: key, Version: version, Reason: "the limit" + stranger(b) + " is"}
		}
		in.need = sizeBytes + int(size)
	}
	if have < in.need {
		return nil, nil
	}
	frame := in.buf[in.r+sizeBytes : in.r+in.need : in.r+in.need]
	in.r += in.need
	in.usual, in.need = in.need, 0
	in.c.partialSince.Store(0)
	return frame, nil
}

// stranger recognizes what often comes to the wrong port.
func stranger(b []byte) string {
	switch {
	case b[0] == 0x16 && b[1] == 3:
		return " (a TLS handshake came to a listener without TLS)"
	case string(b[:4]) == "GET " || string(b[:5]) == "POST " || string(b[:5]) == "HEAD ":
		return " (an HTTP request came to the listener of Kafka clients)"
	}
	return ""
}

func (in *input) checkSize(size int64) error {
	if size < minRequestBytes {
		return &FrameError{SizeBytes: size, Key: -1, Version: -1, Reason: "no request is that small: the peer does not speak this protocol"}
	}
	return nil
}

// fill reads more bytes. It makes room first, which may wait for memory. Replies that were
// held back are sent when there is nothing to read.
func (in *input) fill() error {
	if err := in.makeRoom(); err != nil {
		return err
	}
	n, err := in.c.nc.ReadInto(in)
	for n == 0 && err == nil {
		in.c.sendHeldBack()
		n, err = in.c.nc.ReadInto(in)
	}
	if err != nil {
		return err
	}
	in.took(n)
	return nil
}

// took notes what was read.
func (in *input) took(n int) {
	in.w += n
	in.c.opts.Stats.BytesIn.Add(int64(n))
	in.receivedAt = in.c.opts.Clock.Now()
	now := in.receivedAt.UnixNano()
	in.c.lastActive.Store(now)
	in.c.partialSince.CompareAndSwap(0, now)
}

// makeRoom sees to free space behind w. A buffer grows as bytes arrive: to sixteen times
// what has come while memory is plentiful (one step for most requests), else to twice.
func (in *input) makeRoom() error {
	if in.buf == nil {
		return nil // Lend takes a fresh one
	}
	have := in.w - in.r
	if in.r > 0 && (have == 0 || in.w == len(in.buf) || (in.need > 0 && in.r+in.need > len(in.buf))) {
		copy(in.buf, in.buf[in.r:in.w])
		in.r, in.w = 0, have
	}
	if in.w < len(in.buf) {
		return nil
	}
	size := sizeFor(max(2*len(in.buf), minBufferBytes))
	if in.need > len(in.buf) {
		size = sizeFor(min(in.need, 2*len(in.buf)))
		if want := sizeFor(min(in.need, 16*len(in.buf))); in.c.opts.Memory.roomy(want) {
			size = want
		}
	}
	return in.move(size)
}

// move carries the buffered bytes to a buffer of another size, waiting for memory if need be.
func (in *input) move(size int) error {
	buf := in.c.opts.Memory.tryTake(size)
	if buf == nil {
		in.c.Flush()               // nothing may wait behind a wait for memory
		in.c.partialSince.Store(0) // the peer is not the one who is slow
		if buf = in.c.opts.Memory.take(in.c, size); buf == nil {
			return ErrClosed
		}
		in.c.partialSince.Store(in.c.opts.Clock.Now().UnixNano())
	}
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r = 0
	in.c.opts.Memory.give(in.buf)
	in.buf = buf
	return nil
}

// Lend implements netx.Lender.
func (in *input) Lend() []byte {
	if in.buf == nil {
		in.buf, in.r, in.w = in.fresh(), 0, 0
	}
	end := in.r + in.usual
	if in.need > 0 {
		end = in.r + in.need
	}
	if end-in.r < largeBytes || end < in.w || end+aheadBytes > len(in.buf) {
		return in.buf[in.w:]
	}
	return in.buf[in.w : end+aheadBytes]
}

// fresh lends a first buffer: of the size that the last frame needed while memory is plentiful.
func (in *input) fresh() []byte {
	m := in.c.opts.Memory
	size := normalBufferBytes
	if want := sizeFor(in.usual + aheadBytes); want > size && want <= maxUsualBytes && m.roomy(want) {
		size = want
	}
	if buf := m.tryTake(size); buf != nil {
		return buf
	}
	return m.tryTake(minBufferBytes)
}

// Sleep implements netx.Lender: a connection that waits for its peer holds little, and has
// sent its replies.
func (in *input) Sleep() bool {
	if in.c.unsent > 0 {
		return false
	}
	if in.buf != nil {
		in.shrink()
	}
	return true
}

func (in *input) shrink() {
	m := in.c.opts.Memory
	have := in.w - in.r
	switch {
	case have == 0:
		m.give(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	case have <= minBufferBytes/4 && len(in.buf) > minBufferBytes:
		if small := m.tryTake(minBufferBytes); small != nil {
			in.w = copy(small, in.buf[in.r:in.w])
			in.r = 0
			m.give(in.buf)
			in.buf = small
		}
	}
}

func (in *input) release() {
	if in.buf != nil {
		in.c.opts.Memory.give(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
}
