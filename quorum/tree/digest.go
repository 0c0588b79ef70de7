package tree

import "math/bits"

// The digest of a state is the sum, modulo 2^64, of one number for each node and each session
// and of some for its counters. So a change costs the difference of two numbers, and the order in which the
// parts were made does not show. It finds divergence, not forgery.

// Constants of the mixing; any odd numbers with well spread bits do. hashSeed starts strings.
const (
	hashSeed uint64 = 0x9e3779b97f4a7c15
	hashA    uint64 = 0xd6e8feb86659fd93
	hashB    uint64 = 0xa0761d6478bd642f
	hashC    uint64 = 0xe7037ed1a0b428db
)

// mix folds the 128-bit product of its arguments.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// hashString is the same on every machine and in every version: it is part of the format of
// snapshots and of what servers compare.
func hashString(seed uint64, s string) uint64 {
	h, size := seed, uint64(len(s))
	for ; len(s) >= 16; s = s[16:] {
		h = mix(load64(s)^hashA, load64(s[8:])^h)
	}
	if len(s) >= 8 {
		h = mix(load64(s)^hashB, h^hashA)
		s = s[8:]
	}
	var rest uint64
	for i := range len(s) {
		rest |= uint64(s[i]) << (8 * i)
	}
	return mix(h^size^hashC, rest^hashB)
}

// hashNumbers continues h over numbers.
func hashNumbers(h uint64, numbers ...uint64) uint64 {
	for _, n := range numbers {
		h = mix(h^hashA, n^hashB)
	}
	return h
}

// hashPath is the part of a node's number that its path makes.
func hashPath(path string) uint64 {
	if path == "" {
		path = "/"
	}
	return hashString(hashA, path)
}

// nodeDigest is the number of the node at a path with this hash.
func (s *State) nodeDigest(path uint64, n *node) uint64 {
	h := mix(path^hashB, n.dataSum()^hashA)
	h = mix(h^uint64(n.czxid), uint64(n.mzxid)^hashC)
	h = mix(h^uint64(n.ctimeMs), uint64(n.mtimeMs)^hashB)
	h = mix(h^uint64(n.pzxid), uint64(n.owner)^hashA)
	h = mix(h^uint64(uint32(n.version))^uint64(uint32(n.creates))<<32, uint64(uint32(n.aversion))^hashC)
	null := uint64(0)
	if n.null {
		null = 1
	}
	return mix(h^null, s.acls.entries[n.acl].hash^hashB)
}

// history remembers the digests after the last zxids, for DigestCheck.
type history struct {
	ring []zxidDigest // grows to historySize
	next int
}

type zxidDigest struct {
	zxid   int64
	digest uint64
}

// historySize is how far back a DigestCheck finds what it compares with: more than all the
// transactions that can be on their way.
const historySize = 8192

func (h *history) add(zxid int64, digest uint64) {
	if len(h.ring) < historySize {
		h.ring = append(h.ring, zxidDigest{zxid, digest})
		return
	}
	h.ring[h.next] = zxidDigest{zxid, digest}
	h.next = (h.next + 1) % historySize
}

// at returns the digest as of zxid, if it is remembered.
func (h *history) at(zxid int64) (uint64, bool) {
	low, high := 0, len(h.ring)
	for low < high {
		mid := (low + high) / 2
		if h.ring[(h.next+mid)%len(h.ring)].zxid < zxid {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(h.ring) {
		return 0, false
	}
	e := h.ring[(h.next+low)%len(h.ring)]
	return e.digest, e.zxid == zxid
}
