package raftnet

import (
	"encoding/binary"
	"io"
)

// kind says what a frame's body is.
type kind uint8

const (
	kindAppend   kind = 1
	kindVote     kind = 2
	kindPreVote  kind = 3
	kindTimeout  kind = 4
	kindSnapshot kind = 5
	kindNews     kind = 6

	answerTo    kind = 128 // to be added to the kind that is answered
	kindRefused kind = 255
)

const (
	lengthBytes = 4
	headBytes   = lengthBytes + 1 // of a frame
	// stepBytes is how much memory a length is believed for before its bytes arrive.
	stepBytes = 1 << 20
)

// begin begins a frame at the end of dst, end writes the length of the one that began at its
// start; more is how many bytes follow that are not in dst.
func begin(dst []byte, k kind) []byte { return append(dst, 0, 0, 0, 0, byte(k)) }

func end(dst []byte, more int) {
	binary.BigEndian.PutUint32(dst, uint32(len(dst)+more-lengthBytes))
}

// reader reads frames, and what is between them.
type reader struct {
	conn io.Reader
	max  int // of a frame's length
	room []byte
	r, w int // room[r:w] was read and not taken
}

func newReader(conn io.Reader, room, limit int) *reader {
	return &reader{conn: conn, max: limit, room: make([]byte, room)}
}

// next reads a frame. Its body is the caller's if own is set; else it is good until the next call.
// A frame that fits the reader's room takes one read as a rule, a larger one a second.
func (d *reader) next() (k kind, body []byte, own bool, err error) {
	if err := d.fill(headBytes); err != nil {
		return 0, nil, false, err
	}
	size := int64(binary.BigEndian.Uint32(d.room[d.r:]))
	k = kind(d.room[d.r+lengthBytes])
	if size < 1 || size > int64(d.max) {
		return 0, nil, false, &SizeError{Bytes: size, Max: int64(d.max)}
	}
	rest := int(size) - 1
	if headBytes+rest > len(d.room) {
		d.r += headBytes
		body, err = d.large(rest)
		return k, body, true, err
	}
	if err := d.fill(headBytes + rest); err != nil {
		return 0, nil, false, unexpected(err)
	}
	body = d.room[d.r+headBytes : d.r+headBytes+rest]
	d.r += headBytes + rest
	return k, body, false, nil
}

// fill sees to it that n bytes wait, which are no more than the room.
func (d *reader) fill(n int) error {
	if d.w-d.r >= n {
		return nil
	}
	if d.r > 0 {
		d.w = copy(d.room, d.room[d.r:d.w])
		d.r = 0
	}
	k, err := io.ReadAtLeast(d.conn, d.room[d.w:], n-d.w)
	d.w += k
	if err == io.EOF && d.w > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// large reads n bytes into memory of their own.
func (d *reader) large(n int) ([]byte, error) {
	b := make([]byte, min(n, stepBytes))
	have := copy(b, d.room[d.r:d.w])
	d.r += have
	for {
		if _, err := io.ReadFull(d.conn, b[have:]); err != nil {
			return nil, unexpected(err)
		}
		if have = len(b); have == n {
			return b, nil
		}
		longer := make([]byte, min(n, 2*have))
		copy(longer, b)
		b = longer
	}
}

// Read gives what comes outside of frames.
func (d *reader) Read(p []byte) (int, error) {
	if d.r < d.w {
		n := copy(p, d.room[d.r:d.w])
		d.r += n
		return n, nil
	}
	return d.conn.Read(p)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
