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

func (d *snapshotReader) string() string { return d.sized(d.uint()) }

// sized returns the next n bytes as a string, made in one step if the buffer holds them.
func (d *snapshotReader) sized(n uint64) string {
	if d.err != nil || n > bufferSize/2 {
		return string(d.bytes(n))
	}
	b, err := d.r.Peek(int(n))
	if err != nil {
		d.short(err)
		return ""
	}
	d.crc = crc32.Update(d.crc, castagnoli(), b)
	s := string(b)
	_, _ = d.r.Discard(int(n)) // they were peeked
	return s
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
	b := d.bytes(8)
	if d.err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
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
	node *node
	size int // of its path; the root's is empty
	left uint64
}

func (d *snapshotReader) nodes(s *State, lists [][]jute.ACL) {
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
		above.left--
		n, kids := d.node(s, lists)
		if d.err != nil {
			return
		}
		size := d.place(s, above, n)
		if d.err != nil {
			return
		}
		s.nodes++
		s.bytes += int64(len(n.data))
		s.register(n)
		if n.name == limitsName {
			if at, ok := quotaFor(n.path()); ok {
				s.quotas[at] = struct{}{}
			}
		}
		stack = append(stack, open{n, size, kids})
	}
	for _, o := range stack {
		if o.left > 0 {
			d.fail("fewer nodes than their parents have")
		}
	}
	if d.err == nil && s.root == nil {
		d.fail("no root")
		return
	}
	if d.err == nil {
		s.sumUp()
	}
}

// node reads one node and how many children it has.
func (d *snapshotReader) node(s *State, lists [][]jute.ACL) (*node, uint64) {
	n := &node{name: d.string()}
	kids := d.uint()
	size := d.uint()
	if size > 0 {
		n.data = d.sized(size - 1)
	}
	n.sum = hashString(hashSeed, n.data)
	acl := d.uint()
	if acl >= uint64(len(lists)) {
		d.fail("ACL %d of %d", acl, len(lists))
		return nil, 0
	}
	n.acl = aclRef(s.acls.acquire(lists[acl])).withNull(size == 0)
	n.czxid = d.int()
	n.mzxid = n.czxid + d.int()
	n.ctimeMs = d.int()
	n.mtimeMs = n.ctimeMs + d.int()
	n.version = d.int32()
	m := more{pzxid: n.czxid + d.int(), creates: d.int32(), aversion: d.int32(), owner: int64(d.fixed())}
	if m.pzxid != n.czxid || m.creates != 0 || m.aversion != 0 || m.owner != 0 {
		n.more = &m
	}
	return n, kids
}

// place puts n below its parent and returns the length of its path.
func (d *snapshotReader) place(s *State, above *open, n *node) int {
	if above.node == nil {
		if n.name != "" {
			d.fail("a root with the name %q", n.name)
		}
		s.root = n
		s.bytes++
		return 0
	}
	if n.name == "" || strings.ContainsAny(n.name, "/\x00") || s.child(above.node, n.name) != nil {
		d.fail("a child of %q with the name %q, which is bad or there already", above.node.path(), n.name)
		return 0
	}
	s.attach(above.node, n)
	size := above.size + 1 + len(n.name)
	s.bytes += int64(size)
	return size
}

// sumUp makes the nodes' part of the digest.
func (s *State) sumUp() {
	var path []byte
	for n := range s.root.subtree {
		path = n.appendPath(path[:0])
		s.digest += s.nodeDigest(hashPath(string(path)), n)
	}
}
