package tree

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/millrace/millrace/quorum/jute"
)

// An entry is (docs/format/quorum-entry.md):
//
//	version 1 byte · CRC-32C of all that follows 4 bytes · time varint · { length varint · transaction }*
//
// The transactions are packed as they came from AppendTxn, so a leader need not read what
// another server sent it.
const (
	entryVersion = 1
	entryHead    = 5
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// AppendEntry appends e's bytes to dst.
func AppendEntry(dst []byte, e *Entry) []byte {
	start := len(dst)
	dst = BeginEntry(dst, e.TimeMs)
	var buf []byte
	for i := range e.Txns {
		buf = AppendTxn(buf[:0], &e.Txns[i])
		dst = PackTxn(dst, buf)
	}
	SealEntry(dst[start:])
	return dst
}

// BeginEntry appends the head of an entry: PackTxn adds to it and SealEntry ends it.
func BeginEntry(dst []byte, timeMs int64) []byte {
	return appendInt(append(dst, entryVersion, 0, 0, 0, 0), timeMs)
}

// PackTxn appends a transaction that AppendTxn wrote to an entry.
func PackTxn(dst, txn []byte) []byte { return append(appendUint(dst, uint64(len(txn))), txn...) }

// SealEntry writes the CRC of an entry: entry begins where BeginEntry did.
func SealEntry(entry []byte) {
	binary.BigEndian.PutUint32(entry[1:], crc32.Checksum(entry[entryHead:], castagnoli()))
}

// AppendTxn appends t's bytes to dst.
func AppendTxn(dst []byte, t *Txn) []byte {
	dst = appendFixed(dst, t.Origin)
	dst = appendUint(dst, t.Req)
	dst = appendFixed(dst, uint64(t.Session))
	dst = appendUint(dst, uint64(t.ConnGen))
	dst = appendUint(dst, uint64(t.Seq))
	dst = appendUint(dst, uint64(len(t.Auth)))
	for _, id := range t.Auth {
		dst = appendID(dst, id)
	}
	return appendOp(dst, &t.Op)
}

func appendOp(dst []byte, op *Op) []byte {
	dst = append(dst, byte(op.Kind))
	switch op.Kind {
	case Create:
		dst = appendACLs(appendNullable(appendString(dst, op.Path), op.Data), op.ACL)
		return appendInt(appendInt(dst, int64(op.Mode)), op.TTLMs)
	case Delete, Check:
		return appendInt(appendString(dst, op.Path), int64(op.Version))
	case SetData:
		return appendInt(appendNullable(appendString(dst, op.Path), op.Data), int64(op.Version))
	case SetACL:
		return appendInt(appendACLs(appendString(dst, op.Path), op.ACL), int64(op.Version))
	case Multi:
		dst = appendUint(dst, uint64(len(op.Ops)))
		for i := range op.Ops {
			dst = appendOp(dst, &op.Ops[i])
		}
		return dst
	case CreateSession:
		return appendBool(appendInt(dst, int64(op.TimeoutMs)), op.KeepResult)
	case DeleteContainer:
		return appendInt(appendString(dst, op.Path), op.TTLMs)
	case InitCluster, SetConfig:
		return appendNullable(dst, op.Data)
	case DigestCheck:
		return appendFixed(appendInt(dst, op.Zxid), op.Digest)
	case SetFlags:
		return appendUint(dst, uint64(op.Flags))
	}
	return dst
}

// Valid tells whether the log may hold t: a server that meets another one there stops
// (ErrUnknown). Everything else that is wrong with a transaction is an outcome of Apply.
func (t *Txn) Valid() error {
	if t.Op.Kind > SetFlags {
		return fmt.Errorf("%w: operation of kind %d", ErrUnknown, t.Op.Kind)
	}
	if t.Op.Kind != Multi {
		return nil
	}
	for i := range t.Op.Ops {
		if kind := t.Op.Ops[i].Kind; !inMulti(kind) {
			return fmt.Errorf("%w: operation of kind %d in a multi", ErrUnknown, kind)
		}
	}
	return nil
}

// inMulti tells which operations a multi may hold.
func inMulti(k Kind) bool { return k >= Create && k <= Check }

// DecodeEntry reads an entry; its Data are parts of b, which must not change. The error wraps
// ErrCorrupt or ErrUnknown; a server that meets either in its log must stop.
func DecodeEntry(b []byte) (*Entry, error) {
	if len(b) < entryHead {
		return nil, fmt.Errorf("entry of %d bytes: %w: shorter than its head", len(b), ErrCorrupt)
	}
	if b[0] != entryVersion {
		return nil, fmt.Errorf("entry of version %d: %w (this one knows version %d)", b[0], ErrUnknown, entryVersion)
	}
	want, have := binary.BigEndian.Uint32(b[1:]), crc32.Checksum(b[entryHead:], castagnoli())
	if want != have {
		return nil, fmt.Errorf("entry: %w: CRC %08x, its bytes have %08x", ErrCorrupt, want, have)
	}
	d := decoder{reader: reader{b: b[entryHead:]}}
	e := &Entry{TimeMs: d.int(), Txns: make([]Txn, 0, countTxns(d.b))}
	for len(d.b) > 0 {
		rest := d.take(d.uint())
		after := d.b
		d.b = rest
		var t Txn
		d.txn(&t)
		d.end()
		if d.err != nil {
			break
		}
		e.Txns = append(e.Txns, t)
		d.b = after
	}
	if d.err != nil {
		return nil, fmt.Errorf("entry, transaction %d: %w", len(e.Txns), d.err)
	}
	return e, nil
}

// countTxns counts the lengths in b, as far as they are good.
func countTxns(b []byte) int {
	r, n := reader{b: b}, 0
	for len(r.b) > 0 {
		if len(r.take(r.uint())) < minTxn {
			break
		}
		n++
	}
	return n
}

// minTxn is the size of the smallest transaction: a head of ids and counts, and a kind.
const minTxn = 8 + 1 + 8 + 1 + 1 + 1 + 1

// DecodeTxn reads a transaction that AppendTxn wrote; its Data are parts of b, which must not
// change. The error wraps ErrCorrupt or ErrUnknown.
func DecodeTxn(b []byte) (*Txn, error) {
	d := decoder{reader: reader{b: b}}
	t := &Txn{}
	d.txn(t)
	d.end()
	if d.err != nil {
		return nil, fmt.Errorf("transaction: %w", d.err)
	}
	return t, nil
}

// decoder reads transactions. Equal lists of identities, which follow each other in an entry
// most of the time, are read once and shared.
type decoder struct {
	reader
	authRaw []byte
	auth    []jute.ID
	aclRaw  []byte
	acl     []jute.ACL
}

func (d *decoder) txn(t *Txn) {
	t.Origin, t.Req, t.Session = d.fixed(), d.uint(), int64(d.fixed())
	t.ConnGen, t.Seq = d.uint32(), d.uint32()
	t.Auth = d.auths()
	d.op(&t.Op, false)
}

func (d *decoder) auths() []jute.ID {
	if len(d.authRaw) > 0 && bytes.HasPrefix(d.b, d.authRaw) {
		d.b = d.b[len(d.authRaw):]
		return d.auth
	}
	from := d.b
	n := d.count(2)
	var list []jute.ID
	if n > 0 {
		list = make([]jute.ID, 0, n)
	}
	for range n {
		list = append(list, d.id())
	}
	if d.err == nil {
		d.authRaw, d.auth = from[:len(from)-len(d.b)], list
	}
	return list
}

func (d *decoder) sharedACLs() []jute.ACL {
	if len(d.aclRaw) > 0 && bytes.HasPrefix(d.b, d.aclRaw) {
		d.b = d.b[len(d.aclRaw):]
		return d.acl
	}
	from := d.b
	list := d.acls()
	if d.err == nil {
		d.aclRaw, d.acl = from[:len(from)-len(d.b)], list
	}
	return list
}

func (d *decoder) op(op *Op, nested bool) {
	op.Kind = Kind(d.byte())
	if d.err == nil && (op.Kind > SetFlags || nested && !inMulti(op.Kind)) {
		d.err = fmt.Errorf("%w: operation of kind %d", ErrUnknown, op.Kind)
		return
	}
	switch op.Kind {
	case Create:
		op.Path, op.Data, op.ACL = d.string(), d.nullable(), d.sharedACLs()
		op.Mode, op.TTLMs = jute.CreateMode(d.int32()), d.int()
	case Delete, Check:
		op.Path, op.Version = d.string(), d.int32()
	case SetData:
		op.Path, op.Data, op.Version = d.string(), d.nullable(), d.int32()
	case SetACL:
		op.Path, op.ACL, op.Version = d.string(), d.sharedACLs(), d.int32()
	case Multi:
		n := d.count(1)
		op.Ops = make([]Op, 0, min(n, maxScratch)) // an Op is many times its smallest form
		for i := 0; i < n && d.err == nil; i++ {
			op.Ops = append(op.Ops, Op{})
			d.op(&op.Ops[i], true)
		}
	case CreateSession:
		op.TimeoutMs, op.KeepResult = d.int32(), d.bool()
	case DeleteContainer:
		op.Path, op.TTLMs = d.string(), d.int()
	case InitCluster, SetConfig:
		op.Data = d.nullable()
	case DigestCheck:
		op.Zxid, op.Digest = d.int(), d.fixed()
	case SetFlags:
		op.Flags = Flags(d.uint32())
	}
}
