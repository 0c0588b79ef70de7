package memfs

import (
	"bytes"
	"fmt"
	"slices"
	"syscall"
)

// content is what a file holds, guarded by node.mu. Bytes [0, len(buf)) lie in buf, the
// rest in tail. While the file is mapped buf neither moves nor grows, because mappings
// are slices of it; tail takes what is appended behind.
//
// Invariants: bytes of buf past sizeBytes are zero unless somebody stored there without
// right; len(synced) <= sizeBytes; outside [dirtyLo, dirtyHi), and outside of writable
// mappings, synced and the content are equal up to len(synced), and zero beyond.
type content struct {
	buf       []byte
	tail      []byte
	sizeBytes int64
	blocks    bitmap // blocks that have space on the disk; the others are holes

	maps         int // open mappings
	writableMaps int

	synced           []byte // the image that a power cut leaves
	beforeTruncate   []byte // the synced image before the first unsynced shrinking Truncate
	shrunk           bool   // beforeTruncate is set
	dirtyLo, dirtyHi int64
}

// pieces returns [off, off+length) as at most two slices. The range must lie below
// sizeBytes.
func (c *content) pieces(off, length int64) (a, b []byte) {
	split := int64(len(c.buf))
	switch end := off + length; {
	case end <= split:
		return c.buf[off:end], nil
	case off >= split:
		return c.tail[off-split : end-split], nil
	default:
		return c.buf[off:], c.tail[:end-split]
	}
}

// growLocked makes the file sizeBytes long, with zeros. It says what was stored past
// the old end, which the kernel would have answered with a signal or thrown away.
func (n *node) growLocked(sizeBytes int64) (violation string) {
	if sizeBytes <= n.sizeBytes {
		return ""
	}
	violation = n.pastEndLocked(sizeBytes)
	if n.maps > 0 {
		if need := sizeBytes - int64(len(n.buf)); need > int64(len(n.tail)) {
			n.tail = extend(n.tail, need)
		}
	} else {
		n.joinLocked(sizeBytes)
	}
	n.sizeBytes = sizeBytes
	return violation
}

// joinLocked brings all bytes into buf and gives it at least lengthBytes. The file must
// not be mapped.
func (n *node) joinLocked(lengthBytes int64) {
	if len(n.tail) > 0 {
		n.buf = append(n.buf, n.tail...)
		n.tail = nil
	}
	if lengthBytes > int64(len(n.buf)) {
		n.buf = extend(n.buf, lengthBytes)
	}
}

// extend lengthens b with zeros, doubling its room.
func extend(b []byte, length int64) []byte {
	if length > int64(cap(b)) {
		bigger := make([]byte, length, max(length, 2*int64(cap(b))))
		copy(bigger, b)
		return bigger
	}
	old := len(b)
	b = b[:length]
	clear(b[old:])
	return b
}

// pastEndLocked looks for stores in buf between the end of the file and limit, wipes
// them and describes the first.
func (n *node) pastEndLocked(limit int64) string {
	limit = min(limit, int64(len(n.buf)))
	if n.maps == 0 || limit <= n.sizeBytes {
		return ""
	}
	beyond := n.buf[n.sizeBytes:limit]
	at := quietNonZero(beyond)
	if at < 0 {
		return ""
	}
	clear(beyond)
	return fmt.Sprintf("a mapping was stored to at %d, past the end at %d", n.sizeBytes+int64(at), n.sizeBytes)
}

// inspectLocked looks for stores past the end and into holes.
func (n *node) inspectLocked() string {
	if what := n.pastEndLocked(int64(len(n.buf))); what != "" {
		return what
	}
	for off := int64(0); off < min(n.sizeBytes, int64(len(n.buf))); off += BlockBytes {
		if n.blocks.has(off / BlockBytes) {
			continue
		}
		block := n.buf[off:min(off+BlockBytes, n.sizeBytes, int64(len(n.buf)))]
		if at := quietNonZero(block); at >= 0 {
			return fmt.Sprintf("a mapping was stored to at %d, in a hole", off+int64(at))
		}
	}
	return ""
}

func (n *node) dirtyLocked(lo, hi int64) {
	if n.dirtyHi == n.dirtyLo {
		n.dirtyLo, n.dirtyHi = lo, hi
		return
	}
	n.dirtyLo, n.dirtyHi = min(n.dirtyLo, lo), max(n.dirtyHi, hi)
}

// unsyncedLocked returns the range that may differ from the synced image.
func (n *node) unsyncedLocked() (lo, hi int64) {
	lo, hi = n.dirtyLo, n.dirtyHi
	if n.writableMaps > 0 {
		lo, hi = 0, max(hi, int64(len(n.buf)))
	}
	return min(lo, n.sizeBytes), min(hi, n.sizeBytes)
}

// syncLocked makes the whole file durable.
func (n *node) syncLocked() {
	n.syncRangeLocked(n.unsyncedLocked())
	n.synced = extend(n.synced, n.sizeBytes)
	n.dirtyLo, n.dirtyHi = 0, 0
	n.beforeTruncate, n.shrunk = nil, false
}

// syncRangeLocked makes [lo, hi) durable, and the size as far as it is needed for that.
// An unsynced truncation becomes durable with it: the size is one datum.
func (n *node) syncRangeLocked(lo, hi int64) {
	if hi <= lo {
		return
	}
	if hi > int64(len(n.synced)) {
		n.synced = extend(n.synced, hi)
	}
	a, b := n.pieces(lo, hi-lo)
	quietCopy(n.synced[lo:], a)
	quietCopy(n.synced[lo+int64(len(a)):], b)
	n.beforeTruncate, n.shrunk = nil, false
}

// truncate sets the size. Growing leaves a hole, as on a machine.
func (n *node) truncate(m *FS, sizeBytes int64) (violation string, err error) {
	if sizeBytes < 0 {
		return "", syscall.EINVAL
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modTime = m.opts.Now()
	if sizeBytes >= n.sizeBytes {
		return n.growLocked(sizeBytes), nil
	}
	n.shrinkLocked(sizeBytes)
	freed := n.blocks.cut((sizeBytes + BlockBytes - 1) / BlockBytes)
	return "", m.reserve(-freed)
}

func (n *node) shrinkLocked(sizeBytes int64) {
	if split := int64(len(n.buf)); sizeBytes < split {
		clear(n.buf[sizeBytes:min(n.sizeBytes, split)])
		n.tail = n.tail[:0]
	} else {
		n.tail = n.tail[:sizeBytes-split]
	}
	n.sizeBytes = sizeBytes
	n.dirtyLo, n.dirtyHi = min(n.dirtyLo, sizeBytes), min(n.dirtyHi, sizeBytes)
	if int64(len(n.synced)) > sizeBytes {
		if !n.shrunk {
			n.beforeTruncate, n.shrunk = n.synced, true
		}
		n.synced = bytes.Clone(n.synced[:sizeBytes])
	}
}

// bitmap is a set of block numbers.
type bitmap struct {
	words []uint64
	count int64
}

func (b *bitmap) has(i int64) bool {
	return i>>6 < int64(len(b.words)) && b.words[i>>6]&(1<<(i&63)) != 0
}

// missing counts the blocks of [from, to) that are not in the set.
func (b *bitmap) missing(from, to int64) int64 {
	var out int64
	for i := from; i < to; i++ {
		if !b.has(i) {
			out++
		}
	}
	return out
}

func (b *bitmap) add(from, to int64) {
	if need := int((to + 63) >> 6); need > len(b.words) {
		b.words = append(b.words, make([]uint64, need-len(b.words))...)
	}
	for i := from; i < to; i++ {
		if !b.has(i) {
			b.words[i>>6] |= 1 << (i & 63)
			b.count++
		}
	}
}

// cut removes all blocks from the given one on and returns how many there were.
func (b *bitmap) cut(from int64) int64 {
	var freed int64
	for i := from; i < int64(len(b.words))<<6; i++ {
		if b.has(i) {
			b.words[i>>6] &^= 1 << (i & 63)
			freed++
		}
	}
	b.count -= freed
	b.words = slices.Clip(b.words)
	return freed
}
