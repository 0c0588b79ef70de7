package tree

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/quorum/jute"
)

// ErrCorrupt is what bytes are that cannot have been written by this package.
var ErrCorrupt = errors.New("corrupt")

// ErrUnknown is what a newer version wrote. A server that meets it in the log must stop: it
// cannot apply what the others do, and must not skip it.
var ErrUnknown = errors.New("written by a newer version")

// Numbers are varints (signed ones zigzag), strings and lists have their length in front,
// bytes that may be null their length plus one.

func appendUint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }
func appendInt(dst []byte, n int64) []byte   { return binary.AppendVarint(dst, n) }
func appendFixed(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, n)
}

func appendString(dst []byte, s string) []byte { return append(appendUint(dst, uint64(len(s))), s...) }

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(appendUint(dst, uint64(len(b))+1), b...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendID(dst []byte, id jute.ID) []byte {
	return appendString(appendString(dst, id.Scheme), id.ID)
}

func appendACL(dst []byte, a jute.ACL) []byte { return appendID(appendInt(dst, int64(a.Perms)), a.ID) }

func appendACLs(dst []byte, list []jute.ACL) []byte {
	dst = appendUint(dst, uint64(len(list)))
	for _, a := range list {
		dst = appendACL(dst, a)
	}
	return dst
}

func appendStat(dst []byte, st *jute.Stat) []byte {
	for _, n := range [...]int64{
		st.Czxid, st.Mzxid, st.CtimeMs, st.MtimeMs, int64(st.Version), int64(st.Cversion), int64(st.Aversion),
		st.EphemeralOwner, int64(st.DataLength), int64(st.NumChildren), st.Pzxid,
	} {
		dst = appendInt(dst, n)
	}
	return dst
}

// reader reads what the functions above wrote. Its first error stays, and everything after
// it reads as zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err, r.b = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...), nil
	}
}

func (r *reader) uint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		n := r.b[0]
		r.b = r.b[1:]
		return uint64(n)
	}
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail("a number ends too early or is too long")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *reader) int32() int32 {
	n := r.int()
	if n != int64(int32(n)) {
		r.fail("number %d does not fit 32 bits", n)
	}
	return int32(n)
}

func (r *reader) uint32() uint32 {
	n := r.uint()
	if n > 1<<32-1 {
		r.fail("number %d does not fit 32 bits", n)
	}
	return uint32(n)
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail("8 bytes wanted, %d left", len(r.b))
		return 0
	}
	n := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return n
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("a byte wanted, none left")
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail("%d is no boolean", b)
	}
	return b == 1
}

// take returns the next n bytes, a part of the input.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) string() string { return string(r.take(r.uint())) }

func (r *reader) nullable() []byte {
	n := r.uint()
	if n == 0 {
		return nil
	}
	return r.take(n - 1)
}

// count reads how many elements follow, of at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail("%d elements wanted, %d bytes left", n, len(r.b))
		return 0
	}
	return int(n)
}

func (r *reader) id() jute.ID { return jute.ID{Scheme: r.scheme(), ID: r.idString()} }

// scheme and idString make no new string for what nearly every ACL says.
func (r *reader) scheme() string {
	b := r.take(r.uint())
	switch string(b) {
	case schemeWorld:
		return schemeWorld
	case schemeDigest:
		return schemeDigest
	case schemeIP:
		return schemeIP
	case schemeAuth:
		return schemeAuth
	}
	return string(b)
}

func (r *reader) idString() string {
	b := r.take(r.uint())
	if string(b) == jute.WorldAnyone.ID {
		return jute.WorldAnyone.ID
	}
	return string(b)
}

func (r *reader) acls() []jute.ACL {
	n := r.count(3)
	if n == 0 {
		return nil
	}
	list := make([]jute.ACL, 0, n)
	for range n {
		list = append(list, jute.ACL{Perms: r.int32(), ID: r.id()})
	}
	return list
}

func (r *reader) stat() (st jute.Stat) {
	st.Czxid, st.Mzxid, st.CtimeMs, st.MtimeMs = r.int(), r.int(), r.int(), r.int()
	st.Version, st.Cversion, st.Aversion = r.int32(), r.int32(), r.int32()
	st.EphemeralOwner = r.int()
	st.DataLength, st.NumChildren = r.int32(), r.int32()
	st.Pzxid = r.int()
	return st
}

// end refuses what is left over.
func (r *reader) end() {
	if len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
}
