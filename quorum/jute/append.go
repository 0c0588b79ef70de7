package jute

import "encoding/binary"

// AppendBool appends a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendInt32 appends an int.
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendInt64 appends a long.
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendBuffer appends a buffer; nil is null, which readers tell from empty.
func AppendBuffer(dst, v []byte) []byte {
	if v == nil {
		return AppendInt32(dst, -1)
	}
	return append(AppendInt32(dst, int32(len(v))), v...)
}

// AppendString appends a string.
func AppendString(dst []byte, v string) []byte {
	return append(AppendInt32(dst, int32(len(v))), v...)
}

// appendNullable appends a string; an empty one is null.
func appendNullable(dst []byte, v string) []byte {
	if v == "" {
		return AppendInt32(dst, -1)
	}
	return AppendString(dst, v)
}

// AppendStrings appends a vector of strings; nil is an empty one, not null, which Java's
// readers do not expect.
func AppendStrings(dst []byte, v []string) []byte {
	dst = AppendInt32(dst, int32(len(v)))
	for _, s := range v {
		dst = AppendString(dst, s)
	}
	return dst
}

// AppendACLs appends a vector of ACLs; nil is an empty one.
func AppendACLs(dst []byte, v []ACL) []byte {
	dst = AppendInt32(dst, int32(len(v)))
	for _, a := range v {
		dst = AppendInt32(dst, a.Perms)
		dst = AppendString(dst, a.ID.Scheme)
		dst = AppendString(dst, a.ID.ID)
	}
	return dst
}

// StatSize is how many bytes a Stat takes.
const StatSize = 6*8 + 5*4

// AppendTo appends the record Stat.
func (s *Stat) AppendTo(dst []byte) []byte {
	dst = AppendInt64(dst, s.Czxid)
	dst = AppendInt64(dst, s.Mzxid)
	dst = AppendInt64(dst, s.CtimeMs)
	dst = AppendInt64(dst, s.MtimeMs)
	dst = AppendInt32(dst, s.Version)
	dst = AppendInt32(dst, s.Cversion)
	dst = AppendInt32(dst, s.Aversion)
	dst = AppendInt64(dst, s.EphemeralOwner)
	dst = AppendInt32(dst, s.DataLength)
	dst = AppendInt32(dst, s.NumChildren)
	return AppendInt64(dst, s.Pzxid)
}

// Decode reads the record Stat.
func (s *Stat) Decode(r *Reader) error {
	b := r.take(StatSize)
	if b == nil {
		*s = Stat{}
		return r.err
	}
	i64 := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	i32 := func(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
	*s = Stat{
		Czxid: i64(0), Mzxid: i64(8), CtimeMs: i64(16), MtimeMs: i64(24),
		Version: i32(32), Cversion: i32(36), Aversion: i32(40), EphemeralOwner: i64(44),
		DataLength: i32(52), NumChildren: i32(56), Pzxid: i64(60),
	}
	return nil
}
