package protocol

import (
	"encoding/binary"
	"math"
)

// reader decodes one message. The first failure sticks: later reads return zero values and
// move nothing, so that generated code checks once per array element and once at the end.
type reader struct {
	b       []byte // the input, or its start up to the end of the tag that is being read
	off     int
	version int16
	flex    bool // compact lengths and tags
	api     string
	names   Interner
	err     *DecodeError
}

func (r *reader) fail(field, reason string) {
	if r.err == nil {
		r.err = &DecodeError{API: r.api, Version: r.version, Field: field, Offset: r.off, Reason: reason}
	}
}

func (r *reader) left() int { return len(r.b) - r.off }

// finish returns the message's error; bytes that no field used are one.
func (r *reader) finish() error {
	if r.err == nil && r.left() > 0 {
		r.fail("", reasonTrailing)
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// take returns the next n bytes, n >= 0, or nil after a failure.
func (r *reader) take(n int, field string) []byte {
	if r.err != nil || n > r.left() {
		r.fail(field, reasonShort)
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) bool(field string) bool { return r.int8(field) != 0 }

func (r *reader) int8(field string) int8 {
	if b := r.take(1, field); b != nil {
		return int8(b[0])
	}
	return 0
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

func (r *reader) uint16(field string) uint16       { return uint16(r.int16(field)) }
func (r *reader) uint32(field string) uint32       { return uint32(r.int32(field)) }
func (r *reader) float64(field string) float64     { return math.Float64frombits(uint64(r.int64(field))) }
func (r *reader) errorCode(field string) ErrorCode { return ErrorCode(r.int16(field)) }

func (r *reader) uuid(field string) (id UUID) {
	copy(id[:], r.take(len(id), field))
	return id
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint(field string) uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.take(1, field)
		if b == nil {
			return 0
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if v > math.MaxUint32 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(field, reasonVarint)
	return 0
}

// length reads a length or count: -1 means null. The classic form has the given width.
func (r *reader) length(width int, field string) int {
	switch {
	case r.flex:
		return int(r.uvarint(field)) - 1
	case width == 2:
		return int(r.int16(field))
	default:
		return int(r.int32(field))
	}
}

// counted reads a length that min bytes each follow; it returns 0 after a failure, and
// -1 for null only where null is allowed.
func (r *reader) counted(width, minBytes int, null bool, field string) int {
	start := r.off
	n := r.length(width, field)
	switch {
	case r.err != nil:
		return 0
	case n == -1 && null:
		return -1
	case n < 0:
		r.off = start
		r.fail(field, reasonNull)
		return 0
	case n > r.left()/minBytes:
		r.off = start
		r.fail(field, reasonCount)
		return 0
	}
	return n
}

// array reads the count of an array whose elements take at least minBytes each.
func (r *reader) array(minBytes int, null bool, field string) int {
	return r.counted(4, minBytes, null, field)
}

func (r *reader) string(field string) string {
	return string(r.take(r.counted(2, 1, false, field), field))
}

func (r *reader) nullString(null bool, field string) NullString {
	n := r.counted(2, 1, null, field)
	if n < 0 || r.err != nil {
		return NullString{}
	}
	return Str(string(r.take(n, field)))
}

// name reads a string that the interner may know.
func (r *reader) name(field string) string {
	b := r.take(r.counted(2, 1, false, field), field)
	if r.names != nil && len(b) > 0 {
		return r.names.Intern(b)
	}
	return string(b)
}

func (r *reader) nullName(null bool, field string) NullString {
	n := r.counted(2, 1, null, field)
	if n < 0 || r.err != nil {
		return NullString{}
	}
	b := r.take(n, field)
	if r.names != nil && len(b) > 0 {
		return Str(r.names.Intern(b))
	}
	return Str(string(b))
}

// bytes returns a slice that aliases the input; nil is null.
func (r *reader) bytes(null bool, field string) []byte {
	n := r.counted(4, 1, null, field)
	if n < 0 {
		return nil
	}
	return r.take(n, field)
}

// tags reads the number of tagged fields that follow; each takes two bytes or more.
func (r *reader) tags(field string) int {
	if !r.flex {
		return 0
	}
	n := int(r.uvarint(field))
	if r.err == nil && n > r.left()/2 {
		r.fail(field, reasonCount)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// tag reads the head of a tagged field and confines the reader to its content. The caller
// gives rest back to endTag.
func (r *reader) tag(field string) (number uint32, rest []byte) {
	number = r.uvarint(field)
	size := int(r.uvarint(field))
	rest = r.b
	if r.err == nil && size > r.left() {
		r.fail(field, reasonShort)
	}
	if r.err == nil {
		r.b = r.b[:r.off+size]
	}
	return number, rest
}

// lengthMin is the smallest encoding of a string or of bytes: a length of 0, whose classic
// form has the given width.
func (r *reader) lengthMin(width int) int {
	if r.flex {
		return 1
	}
	return width
}

// present reads the marker in front of a struct that may be null.
func (r *reader) present(field string) bool {
	marker := r.int8(field)
	if r.err == nil && marker != 1 && marker != -1 {
		r.fail(field, reasonPresence)
	}
	return marker == 1
}

// skipTags passes over a tag section in which no tag is known.
func (r *reader) skipTags(field string) {
	for n := r.tags(field); n > 0 && r.err == nil; n-- {
		_, rest := r.tag(field)
		r.skipTag()
		r.endTag(rest, field)
	}
}

// skipTag passes over the content of a tag that is not known in this version.
func (r *reader) skipTag() {
	if r.err == nil {
		r.off = len(r.b)
	}
}

func (r *reader) endTag(rest []byte, field string) {
	if r.err == nil && r.left() > 0 {
		r.fail(field, reasonTagSize)
	}
	r.b = rest
}

// reuse returns s emptied, and never nil: an array of length 0 is not null.
func reuse[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s[:0]
}

// extend adds one element to s, reusing what an earlier decoding left there, when more are
// expected than there is room for. Growth follows the elements that were really read, not
// the count that the input claims.
func extend[T any](s []T, expected int) []T {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	grown := make([]T, len(s)+1, max(len(s)+1, min(expected, max(16, 2*cap(s)))))
	copy(grown, s)
	return grown
}
