package segment

import "sync/atomic"

// hints remember where recent reads of a segment began and ended, so that a consumer that
// goes on where it stopped, and fifty that read the same, cost no search: not in the index,
// which is a system call in a sealed segment, and not over batch headers.
//
// A hint is one word, so that it is read and written whole without a lock; a table is of two
// small arrays in which newer hints take the place of older ones. A hint is used when its
// batch lies below the end that the reader sees, and is true there for as long as the files
// are: where batches begin below a segment's end never changes, a cut segment is opened anew
// before it grows again (shorten), and a compacted one is another segment.
type hints struct {
	starts [hintSlots]atomic.Uint64 // offset within the segment + 1, position
	ends   [hintSlots]atomic.Uint64 // position + 1, position of the end
}

const (
	hintBits  = 4
	hintSlots = 1 << hintBits
)

// slot spreads keys by Fibonacci hashing.
func slot(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> (64 - hintBits) }

// fits tells whether two values can share a word; Kafka bounds both within a segment to an int32.
func fits(a, b int64) bool { return a >= 0 && a < 1<<32-1 && b >= 0 && b < 1<<32 }

// start is the position of the batch that a read at this offset of the segment begins with.
func (t *hints) start(rel int64) (pos int64, ok bool) {
	if !fits(rel, 0) {
		return 0, false
	}
	w := t.starts[slot(uint64(rel))].Load()
	return int64(w & 0xffffffff), w>>32 == uint64(rel)+1
}

func (t *hints) noteStart(rel, pos int64) {
	if fits(rel, pos) {
		t.starts[slot(uint64(rel))].Store((uint64(rel)+1)<<32 | uint64(pos))
	}
}

// end is where whole batches of at most maxBytes from pos on ended for an earlier read. It
// may be one with another bound: then fewer batches come than there are, but never half.
func (t *hints) end(pos, maxBytes int64) (end int64, ok bool) {
	if !fits(pos, 0) {
		return 0, false
	}
	w := t.ends[slot(uint64(pos)^uint64(maxBytes)<<20)].Load()
	end = int64(w & 0xffffffff)
	return end, w>>32 == uint64(pos)+1 && end-pos <= maxBytes && end-pos > maxBytes/2
}

func (t *hints) noteEnd(pos, maxBytes, end int64) {
	if fits(pos, end) {
		t.ends[slot(uint64(pos)^uint64(maxBytes)<<20)].Store((uint64(pos)+1)<<32 | uint64(end))
	}
}
