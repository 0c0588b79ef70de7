package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// Decode reads what Encode wrote, to the end of r. The error is r's, or wraps ErrCorrupt or
// ErrUnknown. No length is believed before that many bytes were read.
func Decode(r io.Reader) (*State, error) {
	d := &snapshotReader{r: bufio.NewReaderSize(r, bufferSize)}
	s := d.state()
	if d.err != nil {
		return nil, fmt.Errorf("snapshot: %w", d.err)
	}
	return s, nil
}

func (d *snapshotReader) state() *State {
	if head := d.bytes(8); d.err == nil && string(head[:7]) != snapshotMagic {
		d.fail("it does not begin as one")
	} else if d.err == nil && head[7] != snapshotVersion {
		d.err = fmt.Errorf("version %d: %w (this one knows version %d)", head[7], ErrUnknown, snapshotVersion)
	}
	s := newEmpty()
	s.zxid, s.timeMs, s.flags, s.secret = d.int(), d.int(), Flags(d.uint32()), d.nullable()
	lists := d.lists()
	d.sessions(s)
	d.nodes(s, lists)
	digest := d.bytes(8)
	crc := d.crc
	sum := d.bytes(4)
	switch {
	case d.err != nil:
		return nil
	case binary.BigEndian.Uint32(sum) != crc:
		d.fail("CRC %08x, its bytes have %08x", binary.BigEndian.Uint32(sum), crc)
	case binary.BigEndian.Uint64(digest) != s.Digest():
		d.fail("digest %016x, its nodes have %016x", binary.BigEndian.Uint64(digest), s.Digest())
	}
	if _, err := d.r.ReadByte(); d.err == nil && err != io.EOF {
		d.fail("bytes after its end")
	}
	s.past.add(s.zxid, s.Digest())
	return s
}

// snapshotReader reads from a stream; its first error stays.
type snapshotReader struct {
	r   *bufio.Reader
	crc uint32
	err error

	eight            []byte   // of fixed
	acls             []uint32 // the state's numbers of the lists, plus one; 0: not used so far
	name, data, path []byte   // of the node that is read
}

func (d *snapshotReader) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

// short turns the end of the stream into ErrCorrupt.
func (d *snapshotReader) short(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.fail("it ends too early")
	} else if d.err == nil {
		d.err = err
	}
}

// bytes returns the next n bytes in a slice of their own.
func (d *snapshotReader) bytes(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	var b []byte
	for n > 0 {
		part := min(n, bufferSize)
		at := len(b)
		b = slices.Grow(b, int(part))[:at+int(part)]
		if _, err := io.ReadFull(d.r, b[at:]); err != nil {
			d.short(err)
			return nil
		}
		n -= part
	}
	d.crc = crc32.Update(d.crc, castagnoli(), b)
	return b
}

func (d *snapshotReader) string() string { return string(d.into(nil, d.uint())) }

// into appends the next n bytes to dst.
func (d *snapshotReader) into(dst []byte, n uint64) []byte {
	if d.err != nil || n > bufferSize/2 {
		return append(dst, d.bytes(n)...)
	}
	b, err := d.r.Peek(int(n))
	if err != nil {
		d.short(err)
		return dst
	}
	d.crc = crc32.Update(d.crc, castagnoli(), b)
	dst = append(dst, b...)
	_, _ = d.r.Discard(int(n)) // they were peeked
	return dst
}

func (d *snapshotReader) uint() uint64 {
	if d.err != nil {
		return 0
	}
	b, err := d.r.Peek(binary.MaxVarintLen64)
	if len(b) == 0 {
		d.short(err)
		return 0
	}
	n, size := binary.Uvarint(b)
	if size <= 0 {
		d.fail("a number ends too early or is too long")
		return 0
	}
	d.crc = crc32.Update(d.crc, castagnoli(), b[:size])
	_, _ = d.r.Discard(size) // they were peeked
	return n
}

func (d *snapshotReader) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *snapshotReader) int32() int32 {
	n := d.int()
	if n != int64(int32(n)) {
		d.fail("number %d does not fit 32 bits", n)
	}
	return int32(n)
}

func (d *snapshotReader) uint32() uint32 {
	n := d.uint()
	if n > math.MaxUint32 {
		d.fail("number %d does not fit 32 bits", n)
	}
	return uint32(n)
}

func (d *snapshotReader) fixed() uint64 {
	d.eight = d.into(d.eight[:0], 8)
	if d.err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(d.eight)
}

func (d *snapshotReader) nullable() []byte {
	n := d.uint()
	if n == 0 {
		return nil
	}
	return append([]byte{}, d.bytes(n-1)...)
}

func (d *snapshotReader) lists() [][]jute.ACL {
	var lists [][]jute.ACL
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		var list []jute.ACL
		for m := d.uint(); m > 0 && d.err == nil; m-- {
			list = append(list, jute.ACL{Perms: d.int32(), ID: jute.ID{Scheme: d.string(), ID: d.string()}})
		}
		lists = append(lists, list)
	}
	return lists
}

func (d *snapshotReader) sessions(s *State) {
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		sess := &session{id: int64(d.fixed()), timeoutMs: d.int32(), connGen: d.uint32(), seq: d.uint32(), keep: d.uint() == 1}
		sess.last = d.bytes(d.uint())
		if d.err == nil && s.sessions[sess.id] != nil {
			d.fail("session %#x twice", sess.id)
		}
		check := reader{b: sess.last}
		if len(sess.last) > 0 {
			readResult(&check)
			check.end()
		}
		if check.err != nil {
			d.fail("the last result of session %#x: %v", sess.id, check.err)
		}
		s.sessions[sess.id] = sess
		s.digest += sess.digest()
	}
}

// open is a node whose children are still to come.
type open struct {
	node nodeID
	size int    // of its path; the root's is empty
	kids uint64 // how many children it has
	left uint64
}

func (d *snapshotReader) nodes(s *State, lists [][]jute.ACL) {
	d.acls = make([]uint32, len(lists))
	stack := []open{{left: 1}}
	for total := d.uint(); total > 0 && d.err == nil; total-- {
		for len(stack) > 0 && stack[len(stack)-1].left == 0 {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 {
			d.fail("more nodes than their parents have")
			return
		}
		above := &stack[len(stack)-1]
		n, kids := d.node(s, lists)
		if d.err != nil || !d.place(s, above, &n, kids) {
			return
		}
		above.left--
		s.nodes++
		s.bytes += int64(len(n.data))
		s.register(n.id, n.owner)
		if n.name == limitsName {
			if at, ok := quotaFor(string(d.path)); ok {
				s.quotas[at] = struct{}{}
			}
		}
		stack = append(stack, open{n.id, len(d.path), kids, kids})
	}
	for _, o := range stack {
		if o.left > 0 {
			d.fail("fewer nodes than their parents have")
		}
	}
	if d.err == nil && s.root == 0 {
		d.fail("no root")
	}
}

// node reads one node and how many children it has. Its name and data are d's own, until the
// next one.
func (d *snapshotReader) node(s *State, lists [][]jute.ACL) (n node, kids uint64) {
	d.name = d.into(d.name[:0], d.uint())
	n.name = text(d.name)
	kids = d.uint()
	if size := d.uint(); size > 0 {
		d.data = d.into(d.data[:0], size-1)
		n.data = d.data
		if n.data == nil {
			n.data = []byte{}
		}
	}
	acl := d.uint()
	n.czxid = d.int()
	n.mzxid = n.czxid + d.int()
	n.ctimeMs = d.int()
	n.mtimeMs = n.ctimeMs + d.int()
	n.version = d.int32()
	n.pzxid = n.czxid + d.int()
	n.creates, n.aversion = d.int32(), d.int32()
	n.owner = int64(d.fixed())
	if d.err == nil && acl >= uint64(len(lists)) {
		d.fail("ACL %d of %d", acl, len(lists))
	}
	if d.err != nil {
		return n, 0
	}
	n.acl = d.list(s, lists, acl)
	if cap(d.data) > maxScratchBytes {
		d.data = nil
	}
	return n, kids
}

// list counts one more user of the list that has a number in the snapshot, and returns the
// number in the state.
func (d *snapshotReader) list(s *State, lists [][]jute.ACL, number uint64) uint32 {
	if at := d.acls[number]; at != 0 {
		s.acls.entries[at-1].refs++
		return at - 1
	}
	at := s.acls.acquire(lists[number])
	d.acls[number] = at + 1
	return at
}

// place stores n with room for so many children, puts it below its parent and leaves its path
// in d.path.
func (d *snapshotReader) place(s *State, above *open, n *node, kids uint64) bool {
	root := above.node == 0
	switch {
	case root && n.name != "":
		d.fail("a root with the name %q", n.name)
		return false
	case root:
		s.bytes++
	case n.name == "" || strings.ContainsAny(n.name, "/\x00") || s.child(above.node, n.name) != 0:
		d.fail("a child of %q with the name %q, which is bad or there already", s.path(above.node), n.name)
		return false
	default:
		d.path = append(append(d.path[:above.size], '/'), n.name...)
		s.bytes += int64(len(d.path))
	}
	n.id, n.up = s.recs.New(), above.node
	switch {
	case kids > fewKids:
		n.dir = s.dirs.add(&directory{})
		s.rehash(s.dirs.list[n.dir], 0)
	default:
		n.kids = uint8(kids) // their numbers follow with them
	}
	s.setBytes(n, n.data)
	s.store(n)
	s.digest += s.nodeDigest(hashPath(text(d.path)), n)
	switch {
	case root:
		s.root = n.id
	case above.kids > fewKids:
		var parent node
		s.load(above.node, &parent)
		s.add(s.dirs.list[parent.dir], n.id)
	default:
		setKid(s.recs.Get(above.node), int(above.kids-above.left), n.id)
	}
	return true
}

// sumUp makes the nodes' part of the digest.
func (s *State) sumUp() {
	var path []byte
	for n := range s.subtree(s.root) {
		path = s.appendPath(path[:0], n.id)
		s.digest += s.nodeDigest(hashPath(string(path)), n)
	}
}
