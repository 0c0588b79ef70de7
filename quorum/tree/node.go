package tree

import (
	"bytes"
	"math"
	"unsafe"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree/internal/arena"
)

// nodeID is the number of a node, for as long as it lives; 0 is none.
type nodeID = arena.ID

// fewKids is how many children a node's own record holds; more have a directory.
const fewKids = 8

// maxInline is the largest data that a node's record holds; larger data has an allocation of
// its own.
const maxInline = 2048

// node is a znode as State.load unpacks it from its record (record.go). name and data are
// parts of the record: they are good until the node is stored or deleted, and at most until
// the end of the transaction.
type node struct {
	id       nodeID
	up       nodeID // 0 for the root
	name     string // its own, not a part of a path
	data     []byte
	null     bool // the data is null
	blob     uint32
	czxid    int64
	mzxid    int64
	pzxid    int64
	ctimeMs  int64
	mtimeMs  int64
	version  int32
	creates  int32 // of children, ever: ZooKeeper's stored cversion
	aversion int32
	owner    int64 // a session, or one of the encodings below
	acl      uint32

	sum    uint64 // of data, for the digest, if summed
	summed bool

	dir  uint32 // number of its directory; 0: its children are in few
	kids uint8  // how many of few there are
	few  [fewKids]nodeID
}

// What an owner means (EphemeralType).
const (
	ownerContainer int64 = math.MinInt64
	ownerTTLMask   int64 = -1 << 40 // 0xffffff0000000000: the rest is the TTL in ms
	ownerTTLBits   int64 = -1 << 56 // 0xff00000000000000, two bytes that say TTL (0), five of the TTL
	maxTTLMs       int64 = 1<<40 - 1
)

type ownerKind uint8

const (
	ownsNothing ownerKind = iota
	ownedBySession
	isContainer
	isTTL
)

func kindOf(owner int64) ownerKind {
	switch {
	case owner == 0:
		return ownsNothing
	case owner == ownerContainer:
		return isContainer
	case owner&ownerTTLMask == ownerTTLBits:
		return isTTL
	}
	return ownedBySession
}

func (n *node) ephemeral() bool { return kindOf(n.owner) == ownedBySession }

// dataSum is the hash of the data.
func (n *node) dataSum() uint64 {
	if !n.summed {
		n.sum, n.summed = hashString(hashSeed, text(n.data)), true
	}
	return n.sum
}

// bytes is the data as readers get it: nil for null, and not to be written to.
func (n *node) bytes() []byte {
	switch {
	case n.null:
		return nil
	case len(n.data) == 0:
		return []byte{}
	}
	return n.data
}

// kept is the data as it is good after the transaction too. What is in a blob is never written
// over.
func (n *node) kept() []byte {
	if n.blob != 0 {
		return n.data
	}
	return bytes.Clone(n.bytes())
}

// text shows bytes as a string without a copy.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// load unpacks the node with a number.
func (s *State) load(id nodeID, n *node) {
	n.id = id
	s.unpack(s.recs.Get(id), n)
}

func (s *State) unpack(rec []byte, n *node) {
	n.unpack(rec)
	if n.blob != 0 {
		b := &s.blobs.list[n.blob]
		n.data, n.sum, n.summed = b.data, b.sum, true
	}
}

// store packs a node, new or changed. Its name and data are those of the record afterwards.
func (s *State) store(n *node) {
	var data int
	s.packed, data = n.pack(s.packed[:0])
	s.recs.Put(n.id, s.packed)
	rec := s.recs.Get(n.id)
	n.name, _ = nameIn(rec)
	if n.blob == 0 {
		n.data = rec[data:]
	}
	if cap(s.packed) > maxScratchBytes {
		s.packed = nil
	}
}

// maxScratchBytes is how much of the room for packing is kept.
const maxScratchBytes = 64 << 10

// at unpacks the node at a path, if there is one.
func (s *State) at(path string, n *node) bool {
	if len(path) < 2 || path[0] != '/' {
		id := s.find(path)
		if id != 0 {
			s.load(id, n)
		}
		return id != 0
	}
	id, rec := s.walk(path)
	if id == 0 {
		return false
	}
	n.id = id
	s.unpack(rec, n)
	return true
}

// kidCount counts a node's children.
func (s *State) kidCount(n *node) int {
	if n.dir != 0 {
		return len(s.dirs.list[n.dir].list)
	}
	return int(n.kids)
}

// kidIDs returns a node's children. They are not to be kept, nor written to.
func (s *State) kidIDs(n *node) []nodeID {
	if n.dir != 0 {
		return s.dirs.list[n.dir].list
	}
	return n.few[:n.kids]
}

// stat is what clients see (DataNode.copyStat).
func (s *State) stat(n *node) jute.Stat {
	kids := int32(s.kidCount(n))
	st := jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, CtimeMs: n.ctimeMs, MtimeMs: n.mtimeMs,
		Version: n.version, Cversion: n.creates*2 - kids, Aversion: n.aversion,
		DataLength: int32(len(n.data)), NumChildren: kids, Pzxid: n.pzxid,
	}
	if n.ephemeral() {
		st.EphemeralOwner = n.owner
	}
	return st
}

// setBytes gives the node other data, which store copies. Its old blob, if it has one, is let
// go.
func (s *State) setBytes(n *node, data []byte) {
	s.releaseBlob(n.blob)
	n.blob = 0
	n.data, n.null, n.summed = data, data == nil, false
	if sum := n.dataSum(); len(data) > maxInline {
		n.blob = s.blobs.add(blob{append(make([]byte, 0, len(data)), data...), sum})
		n.data = s.blobs.list[n.blob].data
	}
}

// appendPath appends the node's path; the root's is empty.
func (s *State) appendPath(dst []byte, id nodeID) []byte {
	var buf [16]nodeID
	line := buf[:0]
	for id != s.root {
		line = append(line, id)
		_, id = nameAndUp(s.recs.Get(id))
	}
	for i := len(line) - 1; i >= 0; i-- {
		name, _ := nameIn(s.recs.Get(line[i]))
		dst = append(append(dst, '/'), name...)
	}
	return dst
}

func (s *State) path(id nodeID) string {
	if id == s.root {
		return "/"
	}
	var buf [128]byte
	return string(s.appendPath(buf[:0], id))
}

// numbered is a list of things under numbers from 1. Those of what was removed are used again.
type numbered[T any] struct {
	list []T
	free []uint32
}

func (l *numbered[T]) add(v T) uint32 {
	if n := len(l.free); n > 0 {
		at := l.free[n-1]
		l.free = l.free[:n-1]
		l.list[at] = v
		return at
	}
	if len(l.list) == 0 {
		l.list = make([]T, 1)
	}
	l.list = append(l.list, v)
	return uint32(len(l.list) - 1)
}

func (l *numbered[T]) remove(at uint32) {
	var zero T
	l.list[at] = zero
	if l.free = append(l.free, at); len(l.free) == len(l.list)-1 {
		l.list, l.free = nil, nil
	}
}

// blob is data that is too large for a record.
type blob struct {
	data []byte
	sum  uint64
}

// tidy finds room again that records left behind. Between transactions only: it moves them.
func (s *State) tidy() {
	if s.recs.Untidy() {
		s.recs.Tidy(s.ownerOf)
	}
}

// ownerOf finds out which node a record is of.
func (s *State) ownerOf(rec []byte) nodeID {
	name, up := nameAndUp(rec)
	if up == 0 {
		return s.root
	}
	return s.child(up, name)
}
