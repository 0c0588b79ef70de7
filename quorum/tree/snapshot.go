package tree

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/millrace/millrace/quorum/jute"
)

// A snapshot is (docs/format/quorum-snapshot.md):
//
//	magic and version 8 bytes · counters · ACL lists · sessions · nodes · digest 8 bytes · CRC-32C 4 bytes
//
// Equal states write equal bytes: lists are numbered in the order in which the nodes use them,
// sessions are sorted, nodes come parents first in the order of Children.
const (
	snapshotMagic   = "mrqtree"
	snapshotVersion = 1
)

// bufferSize is what is written and read at once.
const bufferSize = 64 << 10

// Encode writes the whole state. The error is w's.
func (s *State) Encode(w io.Writer) error {
	out := &snapshotWriter{w: w, buf: make([]byte, 0, bufferSize+4096)}
	b := append(append(out.buf, snapshotMagic...), snapshotVersion)
	b = appendInt(appendInt(b, s.zxid), s.timeMs)
	b = appendNullable(appendUint(b, uint64(s.flags)), s.secret)
	lists, number := s.usedACLs()
	b = appendUint(b, uint64(len(lists)))
	for _, list := range lists {
		b = out.flush(appendACLs(b, list))
	}
	b = appendUint(b, uint64(len(s.sessions)))
	for id := range s.Sessions {
		b = out.flush(appendSession(b, s.sessions[id]))
	}
	b = appendUint(b, uint64(s.nodes))
	for n := range s.subtree(s.root) {
		b = out.flush(appendNode(b, n, s.kidCount(n), number[n.acl]))
	}
	b = appendFixed(b, s.Digest())
	out.write(b)
	out.write(binary.BigEndian.AppendUint32(nil, out.crc))
	return out.err
}

// usedACLs returns the lists in the order in which Walk meets them, and their new numbers.
func (s *State) usedACLs() (lists [][]jute.ACL, number []uint64) {
	number = make([]uint64, len(s.acls.entries))
	for n := range s.subtree(s.root) {
		at := n.acl
		if number[at] == 0 {
			lists = append(lists, s.acls.entries[at].list)
			number[at] = uint64(len(lists)) // plus one for now
		}
	}
	for i := range number {
		number[i]--
	}
	return lists, number
}

func appendSession(b []byte, sess *session) []byte {
	b = appendInt(appendFixed(b, uint64(sess.id)), int64(sess.timeoutMs))
	b = appendUint(appendUint(b, uint64(sess.connGen)), uint64(sess.seq))
	b = appendBool(b, sess.keep)
	return append(appendUint(b, uint64(len(sess.last))), sess.last...)
}

func appendNode(b []byte, n *node, kids int, acl uint64) []byte {
	b = appendUint(appendString(b, n.name), uint64(kids))
	if n.null {
		b = append(b, 0)
	} else {
		b = append(appendUint(b, uint64(len(n.data))+1), n.data...)
	}
	b = appendInt(appendInt(appendUint(b, acl), n.czxid), n.mzxid-n.czxid)
	b = appendInt(appendInt(b, n.ctimeMs), n.mtimeMs-n.ctimeMs)
	b = appendInt(appendInt(b, int64(n.version)), n.pzxid-n.czxid)
	b = appendInt(appendInt(b, int64(n.creates)), int64(n.aversion))
	return appendFixed(b, uint64(n.owner))
}

// snapshotWriter writes what is over bufferSize and keeps the CRC.
type snapshotWriter struct {
	w   io.Writer
	buf []byte
	crc uint32
	err error
}

func (o *snapshotWriter) flush(b []byte) []byte {
	if len(b) < bufferSize {
		return b
	}
	o.write(b)
	return b[:0]
}

func (o *snapshotWriter) write(b []byte) {
	if o.err == nil {
		o.crc = crc32.Update(o.crc, castagnoli(), b)
		_, o.err = o.w.Write(b)
	}
}
