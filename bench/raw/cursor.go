package raw

import "encoding/binary"

// cursor reads a reply. Reading past its end gives zeros and sets bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) i16() int16 {
	if p := c.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (c *cursor) i32() int32 {
	if p := c.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (c *cursor) i64() int64 {
	if p := c.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// str is a string, empty when it is null.
func (c *cursor) str() []byte { return c.take(max(int(c.i16()), 0)) }

// count is the length of an array of elements of at least size bytes, 0 when it is null.
func (c *cursor) count(size int) int {
	n := int(c.i32())
	if n > len(c.b)/size {
		c.bad = true
		return 0
	}
	return max(n, 0)
}

func appendStr(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendHead begins a request: room for its size, and the header (version 1, as all
// versions spoken here have it).
func appendHead(b []byte, key, version int16, corr int32, clientID string) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(corr))
	return appendStr(b, clientID)
}
