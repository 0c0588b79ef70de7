package cleaner

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// SlotBytes is what one key costs: 16 bytes of hash and 8 of offset, as in Kafka's
// SkimpyOffsetMap.
const SlotBytes = 24

// OffsetMap remembers the newest offset of each key in a fixed amount of memory: a table with
// open addressing that holds 128 bits of each key's SHA-256 instead of the key.
//
// Two keys with the same 128 bits would be taken for one, and the older record would be
// lost. Among n keys the probability of that is about n*n / 2^129: with the 5.6 million that
// fit into 128 MiB, 5e-26; a disk's unrecoverable read errors, one in 1e15 bits, are more
// likely with each sector. Nobody can construct such keys either, which for the MD5 that
// Kafka uses is a matter of seconds; and where the processor has instructions for it SHA-256
// is the faster of the two (94 to 122 ns for a key of 24 bytes).
type OffsetMap struct {
	slots  []slot
	used   int
	most   int // keys that may be put
	latest int64
}

type slot struct {
	a, b   uint64
	offset int64 // of the key, plus 1; 0 in an empty slot
}

// NewOffsetMap makes an empty map of at most memoryBytes.
func NewOffsetMap(memoryBytes int64, loadFactor float64) *OffsetMap {
	m := new(OffsetMap)
	m.Reset(memoryBytes, loadFactor, int64(^uint64(0)>>1))
	return m
}

// Reset empties the map and sizes it for as many keys, within memoryBytes. The table is kept
// when it fits.
func (m *OffsetMap) Reset(memoryBytes int64, loadFactor float64, keys int64) {
	loadFactor = min(max(loadFactor, 0.01), 0.95)
	n := max(memoryBytes/SlotBytes, 2)
	if want := float64(max(keys, 1))/loadFactor + 2; want < float64(n) {
		n = int64(want)
	}
	if int64(cap(m.slots)) < n || int64(cap(m.slots)) > max(memoryBytes/SlotBytes, 2) {
		m.slots = make([]slot, n)
	} else {
		m.slots = m.slots[:n]
		clear(m.slots)
	}
	m.used, m.latest = 0, -1
	m.most = max(int(float64(n)*loadFactor), 1)
}

// Release gives the memory back.
func (m *OffsetMap) Release() { *m = OffsetMap{latest: -1} }

// MemoryBytes is what the table takes.
func (m *OffsetMap) MemoryBytes() int64 { return int64(cap(m.slots)) * SlotBytes }

// Len is the number of keys.
func (m *OffsetMap) Len() int { return m.used }

// Full tells that no further key may be put.
func (m *OffsetMap) Full() bool { return m.used >= m.most }

// Latest is the offset up to which the log was put, -1 before anything was.
func (m *OffsetMap) Latest() int64 { return m.latest }

// SetLatest notes that all records up to offset were put.
func (m *OffsetMap) SetLatest(offset int64) { m.latest = max(m.latest, offset) }

// Put notes the offset of a key, and reports false when there is no room for one more.
// Offsets come in rising order.
func (m *OffsetMap) Put(key []byte, offset int64) bool {
	a, b := hash(key)
	s := m.find(a, b)
	if s.offset == 0 {
		if m.used >= m.most {
			return false
		}
		m.used++
		s.a, s.b = a, b
	}
	s.offset = offset + 1
	return true
}

// Get returns the newest offset of a key, -1 when it was not put.
func (m *OffsetMap) Get(key []byte) int64 {
	if m.used == 0 {
		return -1
	}
	return m.find(hash(key)).offset - 1
}

func hash(key []byte) (a, b uint64) {
	sum := sha256.Sum256(key)
	return binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
}

// find returns the slot of a key, or the empty one where it belongs. There always is one:
// most is less than the number of slots.
func (m *OffsetMap) find(a, b uint64) *slot {
	n := uint64(len(m.slots))
	// The upper half of a product spreads over any number of slots, without a division.
	for i, _ := bits.Mul64(a, n); ; {
		s := &m.slots[i]
		if s.offset == 0 || s.a == a && s.b == b {
			return s
		}
		if i++; i == n {
			i = 0
		}
	}
}
