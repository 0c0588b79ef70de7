package tree

import (
	"math"
	"unsafe"

	"github.com/millrace/millrace/quorum/jute"
)

// node is one znode, in 96 bytes. What most nodes do not have (children, an owner, a changed
// ACL) lies in more, so that a leaf pays for a leaf only.
type node struct {
	name    string // its own, not a part of a path
	data    string // never written to: readers keep slices of it
	up      *node  // nil for the root
	more    *more
	czxid   int64
	mzxid   int64
	ctimeMs int64
	mtimeMs int64
	version int32
	acl     aclRef
	sum     uint64 // of data, for the digest
}

// more is the rest of a node that has or had children, an owner or an ACL that was set.
type more struct {
	kids     *children // nil: never had any
	pzxid    int64
	owner    int64 // a session, or one of the encodings below
	creates  int32 // of children, ever: ZooKeeper's stored cversion
	aversion int32
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

func (n *node) owner() int64 {
	if n.more == nil {
		return 0
	}
	return n.more.owner
}

func (n *node) kids() []*node {
	if n.more == nil || n.more.kids == nil {
		return nil
	}
	return n.more.kids.list
}

func (n *node) pzxid() int64 {
	if n.more == nil {
		return n.czxid
	}
	return n.more.pzxid
}

func (n *node) creates() int32 {
	if n.more == nil {
		return 0
	}
	return n.more.creates
}

func (n *node) aversion() int32 {
	if n.more == nil {
		return 0
	}
	return n.more.aversion
}

// extend returns n.more, which it makes if there is none.
func (n *node) extend() *more {
	if n.more == nil {
		n.more = &more{pzxid: n.czxid}
	}
	return n.more
}

func (n *node) ephemeral() bool { return kindOf(n.owner()) == ownedBySession }

// stat is what clients see (DataNode.copyStat).
func (n *node) stat() jute.Stat {
	kids := int32(len(n.kids()))
	st := jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, CtimeMs: n.ctimeMs, MtimeMs: n.mtimeMs,
		Version: n.version, Cversion: n.creates()*2 - kids, Aversion: n.aversion(),
		DataLength: int32(len(n.data)), NumChildren: kids, Pzxid: n.pzxid(),
	}
	if n.ephemeral() {
		st.EphemeralOwner = n.more.owner
	}
	return st
}

// bytes is the data as readers get it: nil for null, and not to be written to.
func (n *node) bytes() []byte {
	if n.acl.null() {
		return nil
	}
	if n.data == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(n.data), len(n.data))
}

// setBytes copies data into the node.
func (n *node) setBytes(data []byte) {
	n.data, n.acl = string(data), n.acl.withNull(data == nil)
	n.sum = hashString(hashSeed, n.data)
}

// appendPath appends the node's path; the root's is empty.
func (n *node) appendPath(dst []byte) []byte {
	if n.up == nil {
		return dst
	}
	return append(append(n.up.appendPath(dst), '/'), n.name...)
}

func (n *node) path() string {
	if n.up == nil {
		return "/"
	}
	var buf [128]byte
	return string(n.appendPath(buf[:0]))
}

// aclRef is the number of an ACL in the table, and whether the node's data is null.
type aclRef uint32

const nullData aclRef = 1 << 31

func (a aclRef) null() bool   { return a&nullData != 0 }
func (a aclRef) list() uint32 { return uint32(a &^ nullData) }

func (a aclRef) withNull(null bool) aclRef {
	if null {
		return a | nullData
	}
	return a &^ nullData
}

func (a aclRef) withList(list uint32) aclRef { return a&nullData | aclRef(list) }
