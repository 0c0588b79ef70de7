// Package arena keeps byte records, each under a number, in pages without pointers: for the
// garbage collector a million records are some thousand opaque pages.
//
// A number is for ever: the record behind it may be replaced by one of another size, and is
// moved without its user's doing. The table of numbers has 5 bytes for each, the address of
// its block, in units of 4 bytes.
//
// A page is filled from its beginning to its end with blocks, a record each:
//
//	size in units u13 · dead u1 · bytes unused at its end u2 · record · 0 to 3 bytes
//
// The size of a record that is replaced is kept where it lies if the new one needs as many
// units or fewer; what is left over becomes a dead block. Else the old block is marked dead
// and the new one goes to the page that is open. So a record costs its bytes, 2 for the head,
// 1.5 to round up and 5 for the number, and nothing is lost to classes of sizes.
//
// Dead blocks are found again page by page: when more than a quarter of what the pages
// hold is dead (and slackBytes beyond it), Tidy copies what lives in the page with the most
// dead bytes to the open page and gives the whole page back to the Go runtime. Why that bounds
// both room and work: as long as more than a quarter is dead in all, the worst page is dead by
// more than a quarter too. So each page that is given back costs at most three quarters of a
// page of copying and lowers what is dead by at least a quarter of a page (less the end of
// the page that is closed for it, at most MaxShared): three bytes are copied for each byte
// that dies, at worst, and after Tidy the pages are at most 4/3 of their records and
// slackBytes. Without records there are no pages, but the one that is open. The table of
// numbers gives back what it can in pieces of chunkSize numbers of which none is in use.
//
// A record above MaxShared has a page of its own, of just its size.
//
// Get returns the record itself. It is good until the next Put or Tidy (of any number), apart
// from this: what a record's block holds when it is replaced by a larger one, or deleted,
// stays readable until Tidy. An Arena has no lock: readers may share, one writer excludes
// them.
package arena

import "encoding/binary"

// ID is the number of a record, from 1.
type ID uint32

const (
	unitBytes  = 4
	offsetBits = 14 // of an address, in units; the rest is the page's number
	offsetMask = 1<<offsetBits - 1
	headBytes  = 2

	deadBit    = 1 << 2
	unitsShift = 3

	// MaxShared is the largest record that shares a page.
	MaxShared = 4 << 10

	minPageBytes = 16 << 10
	maxPageBytes = unitBytes << offsetBits

	// slackBytes may be dead in any case.
	slackBytes = 32 << 10
)

// Arena is a set of records. The zero Arena is empty.
type Arena struct {
	ids   table
	pages []page   // by number; 0 is none
	spare []uint32 // numbers of pages that were given back
	open  uint32   // the page that is being filled; 0: none
	held  int      // bytes of all pages that are shared
	dead  int      // bytes of those that no record has, the rest of the open page apart
	own   int      // bytes of the pages that a record has for itself
}

type page struct {
	b    []byte
	used int32 // bytes with blocks; 0 in a page of one record
	dead int32
}

// blockBytes is what a record takes in a shared page.
func blockBytes(size int) int { return (headBytes + size + unitBytes - 1) &^ (unitBytes - 1) }

// head is that of the block of a record.
func head(size int) uint16 {
	n := blockBytes(size)
	return uint16(n/unitBytes)<<unitsShift | uint16(n-headBytes-size)
}

// deadHead is that of n bytes without a record.
func deadHead(n int) uint16 { return uint16(n/unitBytes)<<unitsShift | deadBit }

func sizeOf(head uint16) int { return int(head>>unitsShift) * unitBytes }

// New returns a number that is free. It has no record until Put.
func (a *Arena) New() ID { return a.ids.take() }

// Has tells whether a number has a record.
func (a *Arena) Has(id ID) bool { return a.ids.get(id) != 0 }

// Get returns the record of a number that has one.
func (a *Arena) Get(id ID) []byte {
	at := a.ids.get(id)
	b, from := a.pages[at>>offsetBits].b, int(at&offsetMask)*unitBytes
	h := binary.LittleEndian.Uint16(b[from:])
	if h == 0 {
		return b[headBytes:]
	}
	end := from + sizeOf(h) - int(h&3)
	return b[from+headBytes : end : end]
}

// Put sets the record of a number. rec is copied, and must not be a part of what Get returned.
func (a *Arena) Put(id ID, rec []byte) {
	if at := a.ids.get(id); at != 0 {
		if a.replace(at, rec) {
			return
		}
		a.free(at)
	}
	a.ids.set(id, a.place(rec))
}

// replace writes rec over the record at an address, if it fits.
func (a *Arena) replace(at uint64, rec []byte) bool {
	p, from := &a.pages[at>>offsetBits], int(at&offsetMask)*unitBytes
	if p.used == 0 {
		if len(p.b) != headBytes+len(rec) {
			return false
		}
		copy(p.b[headBytes:], rec)
		return true
	}
	have, need := sizeOf(binary.LittleEndian.Uint16(p.b[from:])), blockBytes(len(rec))
	if need > have || len(rec) > MaxShared {
		return false
	}
	binary.LittleEndian.PutUint16(p.b[from:], head(len(rec)))
	copy(p.b[from+headBytes:], rec)
	if rest := have - need; rest > 0 {
		binary.LittleEndian.PutUint16(p.b[from+need:], deadHead(rest))
		p.dead += int32(rest)
		a.dead += rest
	}
	return true
}

// place puts rec into the open page, or one of its own, and returns its address.
func (a *Arena) place(rec []byte) uint64 {
	if len(rec) > MaxShared {
		n := a.add(page{b: make([]byte, headBytes+len(rec))})
		copy(a.pages[n].b[headBytes:], rec)
		a.own += headBytes + len(rec)
		return uint64(n) << offsetBits
	}
	size := blockBytes(len(rec))
	if a.open == 0 || len(a.pages[a.open].b)-int(a.pages[a.open].used) < size {
		a.openNext()
	}
	p := &a.pages[a.open]
	from := int(p.used)
	binary.LittleEndian.PutUint16(p.b[from:], head(len(rec)))
	copy(p.b[from+headBytes:], rec)
	p.used += int32(size)
	return uint64(a.open)<<offsetBits | uint64(from/unitBytes)
}

// openNext begins a page. Those of a small arena are small.
func (a *Arena) openNext() {
	a.closeOpen()
	size := minPageBytes
	for size < maxPageBytes && size < a.held/4 {
		size *= 2
	}
	a.open = a.add(page{b: make([]byte, size)})
	a.held += size
}

// closeOpen ends the filling of the open page; what is left of it counts as dead.
func (a *Arena) closeOpen() {
	n := a.open
	if n == 0 {
		return
	}
	p := &a.pages[n]
	rest := len(p.b) - int(p.used)
	p.dead += int32(rest)
	a.dead += rest
	a.open = 0
	a.dropIfDead(n)
}

func (a *Arena) add(p page) uint32 {
	if n := len(a.spare); n > 0 {
		at := a.spare[n-1]
		a.spare = a.spare[:n-1]
		a.pages[at] = p
		return at
	}
	if len(a.pages) == 0 {
		a.pages = append(a.pages, page{})
	}
	a.pages = append(a.pages, p)
	return uint32(len(a.pages) - 1)
}

// Delete takes the record of a number away. The number stays taken until Release.
func (a *Arena) Delete(id ID) {
	a.free(a.ids.get(id))
	a.ids.set(id, 0)
}

// Release makes a number free that has no record.
func (a *Arena) Release(id ID) { a.ids.release(id) }

// free marks the block at an address dead.
func (a *Arena) free(at uint64) {
	n, from := uint32(at>>offsetBits), int(at&offsetMask)*unitBytes
	p := &a.pages[n]
	if p.used == 0 {
		a.own -= len(p.b)
		a.drop(n)
		return
	}
	h := binary.LittleEndian.Uint16(p.b[from:])
	binary.LittleEndian.PutUint16(p.b[from:], h|deadBit)
	p.dead += int32(sizeOf(h))
	a.dead += sizeOf(h)
	a.dropIfDead(n)
}

// dropIfDead gives a page back that nothing lives in and nothing will be put into.
func (a *Arena) dropIfDead(n uint32) {
	if p := &a.pages[n]; n != a.open && int(p.dead) == len(p.b) {
		a.held -= len(p.b)
		a.dead -= len(p.b)
		a.drop(n)
	}
}

// drop forgets a page. Who still holds a record of it holds it a little longer.
func (a *Arena) drop(n uint32) {
	a.pages[n] = page{}
	a.spare = append(a.spare, n)
	if len(a.spare) == len(a.pages)-1 {
		a.pages, a.spare = nil, nil
	}
}

// Untidy tells whether there is something for Tidy to do.
func (a *Arena) Untidy() bool { return 4*a.dead > a.held+4*slackBytes }

// Tidy finds dead room again until it is within its bounds. owner returns the number of a
// record of this arena; all records must be whole. No record is in its old place afterwards.
func (a *Arena) Tidy(owner func(rec []byte) ID) {
	for range len(a.pages) {
		if !a.Untidy() {
			return
		}
		a.evacuate(a.worst(), owner)
	}
}

// worst returns the page of which the largest part is dead.
func (a *Arena) worst() uint32 {
	worst := 0
	for n := range a.pages {
		p, w := &a.pages[n], &a.pages[worst]
		if p.dead > 0 && (w.dead == 0 || int(p.dead)*len(w.b) > int(w.dead)*len(p.b)) {
			worst = n
		}
	}
	return uint32(worst)
}

// evacuate moves what lives in a page to the open one, and gives the page back.
func (a *Arena) evacuate(n uint32, owner func(rec []byte) ID) {
	if n == a.open {
		if a.closeOpen(); len(a.pages) == 0 || a.pages[n].b == nil {
			return // nothing lived in it
		}
	}
	p := a.pages[n] // a.pages grows meanwhile
	for from := 0; from < int(p.used); {
		h := binary.LittleEndian.Uint16(p.b[from:])
		if h&deadBit == 0 {
			rec := p.b[from+headBytes : from+sizeOf(h)-int(h&3)]
			id := owner(rec)
			if a.ids.get(id) != uint64(n)<<offsetBits|uint64(from/unitBytes) {
				panic("arena: the owner of a record has another one")
			}
			a.ids.set(id, a.place(rec))
		}
		from += sizeOf(h)
	}
	a.held -= len(p.b)
	a.dead -= int(p.dead)
	a.drop(n)
}

// Usage tells how many bytes the pages hold, and how many of them no record has (the rest of
// the open page apart).
func (a *Arena) Usage() (held, dead int) { return a.held + a.own, a.dead }
