package tree

import (
	"encoding/binary"
	"math/bits"
)

// A node's record is packed: numbers are varints (what may be negative zigzag), what lies
// close to another number is a difference to it, and what most nodes do not have is there only
// if its flag is set. A leaf that nobody changed takes 17 bytes besides its name and data, in
// place of the 68 that its Stat has.
//
//	flags 1 B · length of the name · name
//	[hasKids]    count 1 B · numbers 4 B each, or 255 · number of the directory 4 B
//	parent (0: it is the root) · czxid · ctime
//	[wasSet]     mzxid - czxid · mtime - ctime · version
//	[hadKids]    pzxid - czxid · creates · aversion
//	[hasOwner]   owner 8 B
//	[hasACL]     number of the list (without: the open one, 0)
//	[inBlob]     number of the blob 4 B; else
//	[hasSum]     hash of the data 8 B
//	             data, to the end
//
// Name and children come first because a search reads these only.
const (
	hasKids uint8 = 1 << iota
	wasSet
	hadKids
	hasOwner
	hasACL
	isNull
	inBlob
	hasSum
)

// inDirectory in place of a count says that the children are in a directory.
const inDirectory = 255

// minSummed is the size from which data has its hash along: above it, hashing it anew would
// cost more than eight bytes are worth.
const minSummed = 256

func (n *node) flags() (f uint8) {
	if n.kids > 0 || n.dir != 0 {
		f |= hasKids
	}
	if n.mzxid != n.czxid || n.mtimeMs != n.ctimeMs || n.version != 0 {
		f |= wasSet
	}
	if n.pzxid != n.czxid || n.creates != 0 || n.aversion != 0 {
		f |= hadKids
	}
	if n.owner != 0 {
		f |= hasOwner
	}
	if n.acl != 0 {
		f |= hasACL
	}
	if n.null {
		f |= isNull
	}
	if n.blob != 0 {
		f |= inBlob
	} else if len(n.data) >= minSummed {
		f |= hasSum
	}
	return f
}

// pack appends the record to b, which is empty, and returns where its data begins.
func (n *node) pack(b []byte) (rec []byte, data int) {
	f := n.flags()
	b = appendString(append(b, f), n.name)
	if f&hasKids != 0 {
		if n.dir != 0 {
			b = binary.LittleEndian.AppendUint32(append(b, inDirectory), n.dir)
		} else {
			b = append(b, n.kids)
			for _, kid := range n.few[:n.kids] {
				b = binary.LittleEndian.AppendUint32(b, uint32(kid))
			}
		}
	}
	b = appendInt(appendInt(appendUint(b, uint64(n.up)), n.czxid), n.ctimeMs)
	if f&wasSet != 0 {
		b = appendInt(appendInt(appendInt(b, n.mzxid-n.czxid), n.mtimeMs-n.ctimeMs), int64(n.version))
	}
	if f&hadKids != 0 {
		b = appendInt(appendInt(appendInt(b, n.pzxid-n.czxid), int64(n.creates)), int64(n.aversion))
	}
	if f&hasOwner != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(n.owner))
	}
	if f&hasACL != 0 {
		b = appendUint(b, uint64(n.acl))
	}
	if f&inBlob != 0 {
		return binary.LittleEndian.AppendUint32(b, n.blob), 0
	}
	if f&hasSum != 0 {
		b = binary.LittleEndian.AppendUint64(b, n.dataSum())
	}
	return append(b, n.data...), len(b)
}

// unpack reads a record that pack made. Of a node in a blob, data is still to be set.
func (n *node) unpack(rec []byte) {
	f := rec[0]
	var from int
	n.name, from = nameIn(rec)
	n.dir, n.kids = 0, 0
	if f&hasKids != 0 {
		from = n.unpackKids(rec, from)
	}
	c := cursor{rec, from}
	n.up = nodeID(c.uint())
	n.czxid, n.ctimeMs = c.int(), c.int()
	n.mzxid, n.mtimeMs, n.version = n.czxid, n.ctimeMs, 0
	if f&wasSet != 0 {
		n.mzxid += c.int()
		n.mtimeMs += c.int()
		n.version = int32(c.int())
	}
	n.pzxid, n.creates, n.aversion = n.czxid, 0, 0
	if f&hadKids != 0 {
		n.pzxid += c.int()
		n.creates, n.aversion = int32(c.int()), int32(c.int())
	}
	n.owner, n.acl = 0, 0
	if f&hasOwner != 0 {
		n.owner = int64(c.fixed64())
	}
	if f&hasACL != 0 {
		n.acl = uint32(c.uint())
	}
	n.null, n.blob, n.summed = f&isNull != 0, 0, f&hasSum != 0
	if f&inBlob != 0 {
		n.blob = binary.LittleEndian.Uint32(rec[c.at:])
		return
	}
	if n.summed {
		n.sum = c.fixed64()
	}
	n.data = rec[c.at:]
}

func (n *node) unpackKids(rec []byte, from int) int {
	count := rec[from]
	from++
	if count == inDirectory {
		n.dir = binary.LittleEndian.Uint32(rec[from:])
		return from + 4
	}
	n.kids = count
	for i := range n.few[:count] {
		n.few[i] = nodeID(binary.LittleEndian.Uint32(rec[from:]))
		from += 4
	}
	return from
}

// nameIn returns the name in a record, a part of it, and where what follows it begins.
func nameIn(rec []byte) (name string, end int) {
	size, from := int(rec[1]), 2
	if size >= 0x80 {
		n, width := binary.Uvarint(rec[1:])
		size, from = int(n), 1+width
	}
	return text(rec[from : from+size]), from + size
}

// setKid writes the number of a child at a position that a record has room for.
func setKid(rec []byte, at int, id nodeID) {
	_, from := nameIn(rec)
	binary.LittleEndian.PutUint32(rec[from+1+4*at:], uint32(id))
}

// nameAndUp returns a record's name and its parent's number.
func nameAndUp(rec []byte) (name string, up nodeID) {
	name, from := nameIn(rec)
	if rec[0]&hasKids != 0 {
		if rec[from] == inDirectory {
			from += 5
		} else {
			from += 1 + 4*int(rec[from])
		}
	}
	c := cursor{rec, from}
	return name, nodeID(c.uint())
}

// cursor reads the numbers of a record.
type cursor struct {
	b  []byte
	at int
}

func (c *cursor) uint() uint64 {
	if b := c.b[c.at]; b < 0x80 {
		c.at++
		return uint64(b)
	}
	return c.long()
}

// long reads a number of several bytes. Up to eight are taken at once, and their groups of
// seven bits moved together.
func (c *cursor) long() (n uint64) {
	if len(c.b)-c.at >= 8 {
		v := binary.LittleEndian.Uint64(c.b[c.at:])
		if ends := ^v & 0x8080808080808080; ends != 0 {
			size := bits.TrailingZeros64(ends) + 1 // of the number, in bits
			c.at += size / 8
			v &= 0x7f7f7f7f7f7f7f7f & (1<<size - 1)
			v = v&0x007f007f007f007f | v&0x7f007f007f007f00>>1
			v = v&0x00003fff00003fff | v&0x3fff00003fff0000>>2
			return v&0x000000000fffffff | v&0x0fffffff00000000>>4
		}
	}
	for shift, b := range c.b[c.at:] {
		n |= uint64(b&0x7f) << (7 * shift)
		if b < 0x80 {
			c.at += shift + 1
			break
		}
	}
	return n
}

func (c *cursor) int() int64 {
	n := c.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (c *cursor) fixed64() uint64 {
	c.at += 8
	return binary.LittleEndian.Uint64(c.b[c.at-8:])
}
