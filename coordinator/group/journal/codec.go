package journal

import (
	"encoding/binary"
	"fmt"
	"math"
)

// FormatError is a key or value that cannot be read.
type FormatError struct {
	What   string // the kind of record: "OffsetCommitValue"
	Reason string
}

func (e *FormatError) Error() string { return e.What + ": " + e.Reason }

// reader reads one key or value. The first failure sticks; later reads return zero values.
type reader struct {
	what string
	b    []byte
	flex bool
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{What: r.what, Reason: fmt.Sprintf(format, args...)}
		r.b = nil
	}
}

func (r *reader) take(n int, field string) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.fail("%s needs %d bytes, %d are left", field, n, len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int16(field string) int16 {
	if b := r.take(2, field); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32(field string) int32 {
	if b := r.take(4, field); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64(field string) int64 {
	if b := r.take(8, field); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint(field string) uint32 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 || n > 5 || v > math.MaxUint32 {
		r.fail("%s is no varint of 32 bits", field)
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

// length reads a length; -1 is null.
func (r *reader) length(width int, field string) int {
	switch {
	case r.flex:
		return int(r.uvarint(field)) - 1
	case width == 2:
		return int(r.int16(field))
	}
	return int(r.int32(field))
}

func (r *reader) string(field string) string {
	n := r.length(2, field)
	if n < 0 {
		r.fail("%s is null", field)
		return ""
	}
	return string(r.take(n, field))
}

// nullString returns "" for null too, and whether there was a string.
func (r *reader) nullString(field string) (s string, present bool) {
	n := r.length(2, field)
	switch {
	case n == -1:
		return "", false
	case n < 0:
		r.fail("%s has length %d", field, n)
		return "", false
	}
	return string(r.take(n, field)), true
}

// bytes returns a copy, so that what is kept does not hold the whole batch.
func (r *reader) bytes(field string) []byte {
	n := r.length(4, field)
	if n < 0 {
		r.fail("%s is null", field)
		return nil
	}
	b := r.take(n, field)
	return append(make([]byte, 0, len(b)), b...)
}

// count reads the count of an array whose elements take at least minBytes each.
func (r *reader) count(minBytes int, field string) int {
	n := r.length(4, field)
	if r.err == nil && (n < 0 || n > len(r.b)/minBytes) {
		r.fail("%s claims %d elements, %d bytes are left", field, n, len(r.b))
	}
	if r.err != nil {
		return 0
	}
	return n
}

// skipTags passes over tagged fields, none of which is known.
func (r *reader) skipTags() {
	if !r.flex {
		return
	}
	n := int(r.uvarint("tags"))
	if n > len(r.b)/2 {
		r.fail("%d tags, %d bytes are left", n, len(r.b))
	}
	for ; n > 0 && r.err == nil; n-- {
		r.uvarint("tag")
		r.take(int(r.uvarint("tag size")), "tag")
	}
}

// end is the error of what was read; bytes that nothing used are one.
func (r *reader) end() error {
	if len(r.b) > 0 {
		r.fail("%d bytes are left over", len(r.b))
	}
	return r.err
}

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// appendString writes a string of the classic form. What is longer than the form allows is
// cut: requests bound all strings that get here, long before.
func appendString(dst []byte, s string) []byte {
	s = s[:min(len(s), math.MaxInt16)]
	return append(appendInt16(dst, int16(len(s))), s...)
}

func appendNullString(dst []byte, s string, present bool) []byte {
	if !present {
		return appendInt16(dst, -1)
	}
	return appendString(dst, s)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendInt32(dst, int32(len(b))), b...)
}
