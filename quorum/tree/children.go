package tree

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
)

// The children of a node are in the order of creation, except that the last one takes the
// place of one that is removed: an order that depends on the history alone, so it is the same
// on every server. Up to fewKids are numbers in the node's record and searched one by one;
// beyond that they have a directory.

// directory is a list of nodes and a table of hashes that leads to positions in it, in 9 to
// 10 bytes for each child. The hash has a seed that differs in each process (nobody can choose
// names that collide), and nothing that is visible depends on it.
type directory struct {
	list []nodeID
	// slots holds size slots of width bytes (little endian) with a position+1 each, found by
	// linear probing. 0 is free; a position of ones only was removed, and searches go on over
	// it. The bits above those of a position are a part of the hash, so that most nodes that
	// are not meant need not be touched.
	slots  []byte
	size   uint32
	filled uint32 // slots that are not 0
	width  uint8
	bits   uint8 // of a position
}

// minSlots is the size of the smallest table. At most four fifths of one are filled. One that
// is made anew for that is larger if three fifths would be taken: so a fifth of its slots is
// filled before the next time, and removing costs no more than adding.
const minSlots = 12

// place is the slot at which the search for a hash begins, tag what a slot keeps of it.
func (d *directory) place(h uint64) uint32 { return uint32(uint64(uint32(h)) * uint64(d.size) >> 32) }

func (d *directory) tag(h uint64) uint32 {
	return uint32(h>>32) << d.bits & (1<<(8*uint(d.width)) - 1)
}

func (d *directory) next(slot uint32) uint32 {
	if slot++; slot == d.size {
		return 0
	}
	return slot
}

func (d *directory) slot(i uint32) uint32 {
	v := binary.LittleEndian.Uint32(d.slots[i*uint32(d.width):])
	return v & (1<<(8*uint(d.width)) - 1)
}

func (d *directory) setSlot(i, v uint32) {
	b := d.slots[i*uint32(d.width):]
	b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16)
	if d.width == 4 {
		b[3] = byte(v >> 24)
	}
}

// at is the position that a slot's value leads to.
func (d *directory) at(v uint32) int { return int(v&(1<<d.bits-1)) - 1 }

func (d *directory) fill(slot uint32, h uint64, at int) { d.setSlot(slot, d.tag(h)|uint32(at+1)) }

func (s *State) nameOf(id nodeID) string {
	name, _ := nameIn(s.recs.Get(id))
	return name
}

// child returns the child of a node by name, or 0.
func (s *State) child(parent nodeID, name string) nodeID {
	id, _ := s.childIn(s.recs.Get(parent), name)
	return id
}

// childIn returns the child, by name, of the node with a record, and the child's record.
func (s *State) childIn(rec []byte, name string) (nodeID, []byte) {
	if rec[0]&hasKids == 0 {
		return 0, nil
	}
	_, from := nameIn(rec)
	count := rec[from]
	kids := rec[from+1:]
	if count == inDirectory {
		d := s.dirs.list[binary.LittleEndian.Uint32(kids)]
		_, at, kid := s.lookup(d, name)
		if at < 0 {
			return 0, nil
		}
		return d.list[at], kid
	}
	for ; count > 0; count, kids = count-1, kids[4:] {
		id := nodeID(binary.LittleEndian.Uint32(kids))
		if id == 0 {
			continue
		}
		kid := s.recs.Get(id)
		if have, _ := nameIn(kid); have == name {
			return id, kid
		}
	}
	return 0, nil
}

// lookup returns the slot, the position and the record of name; or the slot that it may be put
// into, and -1.
func (s *State) lookup(d *directory, name string) (slot uint32, at int, rec []byte) {
	h := maphash.String(s.seed, name)
	tag, last := d.tag(h)>>d.bits, uint32(1)<<d.bits-1
	free := d.size
	for slot = d.place(h); ; slot = d.next(slot) {
		v := d.slot(slot)
		switch {
		case v == 0:
			if free < d.size {
				slot = free
			}
			return slot, -1, nil
		case v&last == last: // gone
			if free == d.size {
				free = slot
			}
		case v>>d.bits == tag:
			at = d.at(v)
			rec = s.recs.Get(d.list[at])
			if have, _ := nameIn(rec); have == name {
				return slot, at, rec
			}
		}
	}
}

// attach puts a node below parent, as the last. Its record is there, its name is new to
// parent, and parent is still to be stored.
func (s *State) attach(parent *node, id nodeID) {
	switch {
	case parent.dir != 0:
		s.add(s.dirs.list[parent.dir], id)
	case parent.kids < fewKids:
		parent.few[parent.kids] = id
		parent.kids++
	default:
		d := &directory{list: make([]nodeID, 0, 2*fewKids)}
		d.list = append(d.list, parent.few[:]...)
		s.add(d, id)
		parent.kids, parent.dir = 0, s.dirs.add(d)
	}
}

// detach takes a child away from parent and returns the position it had. parent is still to
// be stored.
func (s *State) detach(parent *node, id nodeID, name string) (at int) {
	if parent.dir == 0 {
		at = slices.Index(parent.few[:parent.kids], id)
		parent.kids--
		parent.few[at] = parent.few[parent.kids]
		return at
	}
	d := s.dirs.list[parent.dir]
	_, at, _ = s.lookup(d, name)
	s.removeAt(d, at)
	if len(d.list) <= fewKids/2 {
		s.undirect(parent)
	}
	return at
}

// undirect takes the last children out of a node's directory and gives that back. It stays
// while the step may have to be taken back, of which the notes are positions.
func (s *State) undirect(n *node) {
	if s.step.recording {
		s.step.fewLeft = append(s.step.fewLeft, n.id)
		return
	}
	n.kids = uint8(copy(n.few[:], s.dirs.list[n.dir].list))
	s.dirs.remove(n.dir)
	n.dir = 0
}

// add appends a node whose name is not in the directory.
func (s *State) add(d *directory, id nodeID) {
	if len(d.list) == cap(d.list) {
		d.list = append(make([]nodeID, 0, len(d.list)+len(d.list)/8+4), d.list...)
	}
	d.list = append(d.list, id)
	if uint64(d.filled+1)*5 > uint64(d.size)*4 {
		size := d.size
		if uint64(len(d.list))*5 > uint64(size)*3 {
			size += size / 2
		}
		s.rehash(d, size)
		return
	}
	name := s.nameOf(id)
	slot, _, _ := s.lookup(d, name)
	if d.slot(slot) == 0 {
		d.filled++
	}
	d.fill(slot, maphash.String(s.seed, name), len(d.list)-1)
}

// rehash makes the table anew, with so many slots.
func (s *State) rehash(d *directory, size uint32) {
	d.size, d.filled = max(size, minSlots), uint32(len(d.list))
	d.bits, d.width = uint8(bits.Len32(d.size)), 3
	if d.bits > 18 {
		d.width = 4
	}
	d.slots = make([]byte, d.size*uint32(d.width)+1) // one is read along
	for at, id := range d.list {
		h := maphash.String(s.seed, s.nameOf(id))
		slot := d.place(h)
		for d.slot(slot) != 0 {
			slot = d.next(slot)
		}
		d.fill(slot, h, at)
	}
}

// removeAt takes the child at a position out; the last one takes its place.
func (s *State) removeAt(d *directory, at int) {
	last := len(d.list) - 1
	slot, _, _ := s.lookup(d, s.nameOf(d.list[at]))
	if d.slot(d.next(slot)) == 0 { // no search goes over it
		d.setSlot(slot, 0)
		d.filled--
	} else {
		d.setSlot(slot, 1<<d.bits-1)
	}
	if at != last {
		slot, _, _ := s.lookup(d, s.nameOf(d.list[last]))
		d.repoint(slot, at)
	}
	d.list[at] = d.list[last]
	d.list = d.list[:last]
	if cap(d.list) > 64 && len(d.list) < cap(d.list)/2 {
		d.list = append(make([]nodeID, 0, len(d.list)*5/4), d.list...)
	}
	if d.size > 64 && uint32(len(d.list)) < d.size/4 {
		s.rehash(d, d.size/2)
	}
}

// insertAt is the inverse of removeAt.
func (s *State) insertAt(d *directory, id nodeID, at int) {
	s.add(d, id)
	last := len(d.list) - 1
	if at == last {
		return
	}
	there, _, _ := s.lookup(d, s.nameOf(d.list[at]))
	here, _, _ := s.lookup(d, s.nameOf(id))
	d.repoint(there, last)
	d.repoint(here, at)
	d.list[at], d.list[last] = d.list[last], d.list[at]
}

// repoint makes a slot lead to another position of the same name.
func (d *directory) repoint(slot uint32, at int) {
	d.setSlot(slot, d.slot(slot)>>d.bits<<d.bits|uint32(at+1))
}
