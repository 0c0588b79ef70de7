package jute

import (
	"encoding/binary"
	"fmt"
)

// Reader reads records from one packet. The first failure sticks: later reads return zero
// values and move nothing, so that a record checks Err once, at its end.
//
// Buffers alias the packet: who keeps one longer than the packet copies it. Strings are
// copies.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader returns a Reader over b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Reset makes r read b from its start.
func (r *Reader) Reset(b []byte) { *r = Reader{b: b} }

// Err is the first failure, a *DecodeError.
func (r *Reader) Err() error { return r.err }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.off }

// Rest returns the bytes that are left. They alias the packet.
func (r *Reader) Rest() []byte { return r.b[r.off:] }

// DecodeError says why a packet is none. It unwraps to MarshallingError, the code that a
// server answers with.
type DecodeError struct {
	Offset int
	Reason string
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("malformed packet at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, MarshallingError) true.
func (e *DecodeError) Unwrap() error { return MarshallingError }

// Failf makes the reader fail at its place, unless it failed before.
func (r *Reader) Failf(format string, args ...any) {
	if r.err == nil {
		r.err = &DecodeError{Offset: r.off, Reason: fmt.Sprintf(format, args...)}
	}
}

// take returns the next n bytes, n >= 0, or nil after a failure.
func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.Len() {
		r.Failf("%d bytes are needed and %d are left", n, r.Len())
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// Bool reads a boolean. As in Java, everything but 0 is true.
func (r *Reader) Bool() bool {
	b := r.take(1)
	return b != nil && b[0] != 0
}

// Int32 reads an int.
func (r *Reader) Int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads a long.
func (r *Reader) Int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Buffer reads a buffer, which aliases the packet: nil when it is null, not nil when it is
// empty.
func (r *Reader) Buffer() []byte {
	n := r.Int32()
	if r.err != nil || n == -1 {
		return nil
	}
	if n < 0 {
		r.Failf("a length of %d", n)
		return nil
	}
	return r.take(int(n))
}

// String reads a string; a null one is empty.
func (r *Reader) String() string { return string(r.Buffer()) }

// Count reads the length of a vector whose elements take at least elementSize bytes each. It
// fails when so many cannot be left. A null vector has none.
func (r *Reader) Count(elementSize int) int {
	n := r.Int32()
	if r.err != nil || n == -1 {
		return 0
	}
	if n < 0 || int64(n)*int64(elementSize) > int64(r.Len()) {
		r.Failf("a vector of %d elements, with %d bytes left", n, r.Len())
		return 0
	}
	return int(n)
}

// Strings reads a vector of strings.
func (r *Reader) Strings() []string {
	n := r.Count(4)
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		s := r.String()
		if r.err != nil {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// ACLs reads a vector of ACLs.
func (r *Reader) ACLs() []ACL {
	n := r.Count(12)
	if n == 0 {
		return nil
	}
	out := make([]ACL, 0, n)
	for range n {
		a := ACL{Perms: r.Int32(), ID: ID{Scheme: r.String(), ID: r.String()}}
		if r.err != nil {
			return nil
		}
		out = append(out, a)
	}
	return out
}
