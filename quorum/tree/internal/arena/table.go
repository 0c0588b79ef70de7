package arena

import "encoding/binary"

// chunkSize is how many numbers share a piece of the table.
const chunkSize = 2048

const (
	entryBytes = 5
	chunkBytes = chunkSize * entryBytes // 10 KiB, a size that the Go runtime has
)

// table leads from numbers to addresses. The entry of a free number leads to the next free
// one of its chunk.
type table struct {
	chunks []chunk
	// avail are the chunks with free numbers, each once; those that are nil too.
	avail []uint32
}

type chunk struct {
	b    *[chunkBytes]byte // nil: all its numbers are free
	free uint16            // the first free number, plus one; 0: none
	live uint16
}

func (c *chunk) get(i uint32) uint64 {
	b := c.b[i*entryBytes : i*entryBytes+entryBytes]
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(b[4])<<32
}

func (c *chunk) set(i uint32, at uint64) {
	b := c.b[i*entryBytes : i*entryBytes+entryBytes]
	binary.LittleEndian.PutUint32(b, uint32(at))
	b[4] = byte(at >> 32)
}

// get returns the address of a number that is taken, 0 if it has none.
func (t *table) get(id ID) uint64 {
	n := uint32(id) - 1
	return t.chunks[n/chunkSize].get(n % chunkSize)
}

func (t *table) set(id ID, at uint64) {
	n := uint32(id) - 1
	t.chunks[n/chunkSize].set(n%chunkSize, at)
}

// take returns a free number.
func (t *table) take() ID {
	if len(t.avail) == 0 {
		t.avail = append(t.avail, uint32(len(t.chunks)))
		t.chunks = append(t.chunks, chunk{})
	}
	top := t.avail[len(t.avail)-1]
	c := &t.chunks[top]
	if c.b == nil {
		c.b, c.free = new([chunkBytes]byte), 1
		for i := range uint32(chunkSize - 1) {
			c.set(i, uint64(i+2))
		}
	}
	i := uint32(c.free) - 1
	c.free = uint16(c.get(i))
	c.set(i, 0)
	if c.live++; c.live == chunkSize {
		t.avail = t.avail[:len(t.avail)-1]
	}
	return ID(top*chunkSize+i) + 1
}

func (t *table) release(id ID) {
	n := uint32(id) - 1
	c, i := &t.chunks[n/chunkSize], n%chunkSize
	if c.live == chunkSize {
		t.avail = append(t.avail, n/chunkSize)
	}
	if c.live--; c.live == 0 {
		c.b = nil
		return
	}
	c.set(i, uint64(c.free))
	c.free = uint16(i) + 1
}
