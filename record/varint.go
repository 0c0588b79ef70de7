package record

// AppendVarint appends v in zigzag base-128 form, as Kafka writes int32 fields of a record.
func AppendVarint(dst []byte, v int32) []byte {
	u := uint32(v)<<1 ^ uint32(v>>31)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// AppendVarlong appends v in zigzag base-128 form, as Kafka writes int64 fields of a record.
func AppendVarlong(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// VarintBytes is the size of v as AppendVarint writes it.
func VarintBytes(v int32) int { return VarlongBytes(int64(v)) }

// VarlongBytes is the size of v as AppendVarlong writes it.
func VarlongBytes(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// varint reads an int32 at pos and returns the position after it, or -1 when there is no
// valid one: the bytes end, or they hold more than 32 bits. A negative pos gives -1.
// The one-byte case is here so that it is inlined.
func varint(buf []byte, pos int) (int32, int) {
	if uint(pos) < uint(len(buf)) && buf[pos] < 0x80 {
		u := uint32(buf[pos])
		return int32(u>>1) ^ -int32(u&1), pos + 1
	}
	return varintSlow(buf, pos)
}

func varintSlow(buf []byte, pos int) (int32, int) {
	if pos < 0 {
		return 0, -1
	}
	if pos+1 < len(buf) && buf[pos+1] < 0x80 { // two bytes: most lengths
		u := uint32(buf[pos]&0x7f) | uint32(buf[pos+1])<<7
		return int32(u>>1) ^ -int32(u&1), pos + 2
	}
	var u uint32
	for shift := 0; pos < len(buf); shift += 7 {
		c := buf[pos]
		pos++
		if shift == 28 && c > 0x0f {
			return 0, -1
		}
		u |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return int32(u>>1) ^ -int32(u&1), pos
		}
	}
	return 0, -1
}

// varlong is varint for 64 bits.
func varlong(buf []byte, pos int) (int64, int) {
	if uint(pos) < uint(len(buf)) && buf[pos] < 0x80 {
		u := uint64(buf[pos])
		return int64(u>>1) ^ -int64(u&1), pos + 1
	}
	return varlongSlow(buf, pos)
}

func varlongSlow(buf []byte, pos int) (int64, int) {
	if pos < 0 {
		return 0, -1
	}
	if pos+1 < len(buf) && buf[pos+1] < 0x80 {
		u := uint64(buf[pos]&0x7f) | uint64(buf[pos+1])<<7
		return int64(u>>1) ^ -int64(u&1), pos + 2
	}
	var u uint64
	for shift := 0; pos < len(buf); shift += 7 {
		c := buf[pos]
		pos++
		if shift == 63 && c > 1 {
			return 0, -1
		}
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), pos
		}
	}
	return 0, -1
}
