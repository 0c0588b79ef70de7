package tree

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// children is a set of nodes by name, in about 16 bytes for each. Its list is in the order of
// creation, except that the last one takes the place of one that is removed: an order that
// depends on the history alone, so it is the same on every server. Above smallSet a table of
// hashes leads to the positions. The hash has a seed that differs in each process (nobody can
// choose names that collide), and nothing that is visible depends on it.
type children struct {
	list []*node
	// slots has a power of two of positions+1 (0: free), found by linear probing. A position
	// needs log2(len(slots)) bits; the bits above it are a part of the hash, so that most
	// nodes that are not meant need not be touched.
	slots []uint32
}

// smallSet is how many children are searched one by one.
const smallSet = 8

func (c *children) get(seed maphash.Seed, name string) *node {
	if c == nil {
		return nil
	}
	if c.slots == nil {
		for _, n := range c.list {
			if n.name == name {
				return n
			}
		}
		return nil
	}
	if _, at := c.lookup(seed, name); at >= 0 {
		return c.list[at]
	}
	return nil
}

// lookup returns the slot and the position of name, or the free slot that ends the search
// and -1.
func (c *children) lookup(seed maphash.Seed, name string) (slot uint32, at int) {
	h := maphash.String(seed, name)
	mask := uint32(len(c.slots) - 1)
	tag := c.tag(h)
	for slot = uint32(h) & mask; ; slot = (slot + 1) & mask {
		v := c.slots[slot]
		if v == 0 {
			return slot, -1
		}
		if v&^mask == tag {
			if at := int(v&mask) - 1; c.list[at].name == name {
				return slot, at
			}
		}
	}
}

// tag is the part of a slot above the position.
func (c *children) tag(h uint64) uint32 { return uint32(h>>32) &^ uint32(len(c.slots)-1) }

// position returns where n stands. It must be in the set.
func (c *children) position(seed maphash.Seed, n *node) int {
	if c.slots == nil {
		return slices.Index(c.list, n)
	}
	_, at := c.lookup(seed, n.name)
	return at
}

// add appends n, whose name is not in the set.
func (c *children) add(seed maphash.Seed, n *node) {
	c.list = append(c.list, n)
	switch {
	case c.slots == nil && len(c.list) <= smallSet:
	case len(c.list) > len(c.slots)*3/4:
		c.rehash(seed)
	default:
		slot, _ := c.lookup(seed, n.name)
		c.fill(slot, maphash.String(seed, n.name), len(c.list)-1)
	}
}

func (c *children) fill(slot uint32, h uint64, at int) { c.slots[slot] = c.tag(h) | uint32(at+1) }

// rehash makes the table anew, for the children there are.
func (c *children) rehash(seed maphash.Seed) {
	if len(c.list) <= smallSet {
		c.slots = nil
		return
	}
	c.slots = make([]uint32, 1<<bits.Len(uint(len(c.list)*4/3)))
	mask := uint32(len(c.slots) - 1)
	for at, n := range c.list {
		h := maphash.String(seed, n.name)
		slot := uint32(h) & mask
		for c.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		c.fill(slot, h, at)
	}
}

// remove takes the child at position at out; the last one takes its place.
func (c *children) remove(seed maphash.Seed, at int) {
	last := len(c.list) - 1
	if c.slots != nil {
		c.unslot(seed, c.list[at].name)
		if at != last {
			slot, _ := c.lookup(seed, c.list[last].name)
			c.slots[slot] = c.slots[slot]&^uint32(len(c.slots)-1) | uint32(at+1)
		}
	}
	c.list[at], c.list[last] = c.list[last], nil
	c.list = c.list[:last]
	c.shrink(seed)
}

// insert is the inverse of remove: n goes back to position at.
func (c *children) insert(seed maphash.Seed, n *node, at int) {
	c.add(seed, n)
	last := len(c.list) - 1
	if at == last {
		return
	}
	if c.slots != nil {
		mask := uint32(len(c.slots) - 1)
		there, _ := c.lookup(seed, c.list[at].name)
		here, _ := c.lookup(seed, n.name)
		c.slots[there] = c.slots[there]&^mask | uint32(last+1)
		c.slots[here] = c.slots[here]&^mask | uint32(at+1)
	}
	c.list[at], c.list[last] = c.list[last], c.list[at]
}

// unslot frees the slot of name and closes the gap in the chains that ran over it.
func (c *children) unslot(seed maphash.Seed, name string) {
	mask := uint32(len(c.slots) - 1)
	gap, _ := c.lookup(seed, name)
	for next := (gap + 1) & mask; c.slots[next] != 0; next = (next + 1) & mask {
		home := uint32(maphash.String(seed, c.list[int(c.slots[next]&mask)-1].name)) & mask
		if (next-home)&mask >= (next-gap)&mask {
			c.slots[gap] = c.slots[next]
			gap = next
		}
	}
	c.slots[gap] = 0
}

// shrink gives memory back when most children are gone.
func (c *children) shrink(seed maphash.Seed) {
	if cap(c.list) > 64 && len(c.list) < cap(c.list)/4 {
		c.list = append(make([]*node, 0, len(c.list)*2), c.list...)
	}
	if len(c.slots) > 64 && len(c.list) < len(c.slots)/8 {
		c.rehash(seed)
	}
}
