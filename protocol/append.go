package protocol

import (
	"encoding/binary"
	"math"
	"math/bits"
)

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendInt8(dst []byte, v int8) []byte   { return append(dst, byte(v)) }
func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func appendFloat64(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendErrorCode(dst []byte, v ErrorCode) []byte { return appendInt16(dst, int16(v)) }

func appendUUID(dst []byte, v UUID) []byte { return append(dst, v[:]...) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// uvarintSize returns the encoded size of v, 1 to 5.
func uvarintSize(v uint32) int { return (bits.Len32(v|1) + 6) / 7 }

// appendLength appends a length or count; -1 means null.
func appendLength(dst []byte, n, width int, flex bool) []byte {
	switch {
	case flex:
		return appendUvarint(dst, uint32(n+1))
	case width == 2:
		return appendInt16(dst, int16(n))
	default:
		return appendInt32(dst, int32(n))
	}
}

// appendCount appends the count of an array.
func appendCount(dst []byte, n int, isNull, flex bool) []byte {
	if isNull {
		n = -1
	}
	return appendLength(dst, n, 4, flex)
}

func appendString(dst []byte, s string, flex bool) []byte {
	if !flex && len(s) > math.MaxInt16 {
		s = s[:math.MaxInt16] // only our own messages are ever that long: a cut one beats a broken frame
	}
	dst = appendLength(dst, len(s), 2, flex)
	return append(dst, s...)
}

// appendNullString writes null as the empty string in a version that has no null.
func appendNullString(dst []byte, s NullString, null, flex bool) []byte {
	if !s.Valid && null {
		return appendLength(dst, -1, 2, flex)
	}
	return appendString(dst, s.Value, flex)
}

func appendBytes(dst, b []byte, null, flex bool) []byte {
	if b == nil && null {
		return appendLength(dst, -1, 4, flex)
	}
	dst = appendLength(dst, len(b), 4, flex)
	return append(dst, b...)
}

// appendPresent appends the marker in front of a struct that may be null.
func appendPresent(dst []byte, present bool) []byte {
	if present {
		return append(dst, 1)
	}
	return append(dst, 0xff)
}

// endTag puts the size of a tag's content, which starts at start, in front of it.
func endTag(dst []byte, start int) []byte {
	size := len(dst) - start
	var head [5]byte
	n := binary.PutUvarint(head[:], uint64(size))
	dst = append(dst, head[:n]...)
	copy(dst[start+n:], dst[start:start+size])
	copy(dst[start:], head[:n])
	return dst
}
