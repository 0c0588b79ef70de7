package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The servers of an ensemble talk on two ports. Whoever dials says first who is calling whom:
//
//	preface: "MILLQ" version(1) port(1) cluster(8) len(1) from len(1) to
//
// port is 'R' for Raft's messages, which follow (package raftnet), or 'P' for what else there is,
// in frames:
//
//	frame: length(4, of what follows) type(1) body
//
// Numbers are big endian. cluster is 0 while the caller does not know it, to is empty when
// anybody may answer. A server that hears a name other than its own hangs up: after a server
// lost its data, its old name must not be answered for.
const (
	prefaceMagic   = "MILLQ"
	prefaceVersion = 2
	portRaft       = 'R'
	portRPC        = 'P'
	maxNameBytes   = 64
)

// What a server does not accept from another.
var (
	errPreface = errors.New("not a server of a millrace quorum, or one of another version")
	errFrame   = errors.New("a frame that makes no sense")
)

type preface struct {
	port     byte
	cluster  uint64
	from, to string
}

func (p *preface) appendTo(dst []byte) []byte {
	dst = append(dst, prefaceMagic...)
	dst = append(dst, prefaceVersion, p.port)
	dst = binary.BigEndian.AppendUint64(dst, p.cluster)
	dst = append(append(dst, byte(len(p.from))), p.from...)
	return append(append(dst, byte(len(p.to))), p.to...)
}

// readPreface reads what appendTo wrote, and not a byte more.
func readPreface(r io.Reader) (preface, error) {
	var p preface
	var head [len(prefaceMagic) + 2 + 8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return p, err
	}
	if string(head[:len(prefaceMagic)]) != prefaceMagic || head[len(prefaceMagic)] != prefaceVersion {
		return p, errPreface
	}
	p.port = head[len(prefaceMagic)+1]
	p.cluster = binary.BigEndian.Uint64(head[len(prefaceMagic)+2:])
	var err error
	if p.from, err = readName(r); err != nil {
		return p, err
	}
	p.to, err = readName(r)
	return p, err
}

func readName(r io.Reader) (string, error) {
	var b [maxNameBytes]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", err
	}
	size := int(b[0])
	if size > maxNameBytes {
		return "", errPreface
	}
	_, err := io.ReadFull(r, b[:size])
	return string(b[:size]), err
}

// frameType says what a frame's body is.
type frameType uint8

const (
	// The first frame of a caller.
	frameOpen  frameType = 1 // the stream of a follower to its leader begins: empty
	frameProbe frameType = 2 // who are you?: empty
	frameJoin  frameType = 3 // I want to be a member, and live here: a line server.N

	// From a follower on its stream.
	frameTxns   frameType = 10 // an entry of package tree
	frameReport frameType = 11 // applied(8) session(8)...: how far I am, who was heard of
	frameCall   frameType = 12 // number(4) op(1) body

	// From the server that was called.
	frameWelcome frameType = 20 // term(8) applied(8): I lead, begin
	frameRefuse  frameType = 21 // error
	frameBeat    frameType = 22 // applied(8): I still lead
	frameReply   frameType = 23 // number(4) error, or 0 and body
	frameProbed  frameType = 24 // member(1) cluster(8) len(1) leader
	frameJoined  frameType = 25 // empty
)

// appendFrame begins a frame; endFrame writes its length.
func appendFrame(dst []byte, t frameType) []byte { return append(dst, 0, 0, 0, 0, byte(t)) }

// endFrame ends the frame that began at from.
func endFrame(dst []byte, from int) []byte {
	binary.BigEndian.PutUint32(dst[from:], uint32(len(dst)-from-4))
	return dst
}

// frameReader reads frames. A body is valid until the next call.
type frameReader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

// keptFrameBytes is how much of the room for a body is kept for the next one.
const keptFrameBytes = 1 << 20

func (f *frameReader) next() (frameType, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 1
	if size < 0 || size > int64(f.max) {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d are taken", errFrame, size, f.max)
	}
	if cap(f.buf) > keptFrameBytes && size <= keptFrameBytes {
		f.buf = nil
	}
	// A length is believed only as far as bytes arrive.
	f.buf = f.buf[:0]
	for int64(len(f.buf)) < size {
		step := min(size-int64(len(f.buf)), keptFrameBytes)
		from := len(f.buf)
		f.buf = append(f.buf, make([]byte, step)...)
		if _, err := io.ReadFull(f.r, f.buf[from:]); err != nil {
			return 0, nil, err
		}
	}
	return frameType(head[4]), f.buf, nil
}

// body reads the parts of a frame's body. After the first part that is not there, ok is false
// and everything reads as zero.
type body struct {
	b  []byte
	ok bool
}

func newBody(b []byte) *body { return &body{b, true} }

func (b *body) take(n int) []byte {
	if !b.ok || len(b.b) < n {
		b.ok = false
		return make([]byte, min(n, 8))
	}
	part := b.b[:n]
	b.b = b.b[n:]
	return part
}

func (b *body) uint8() uint8   { return b.take(1)[0] }
func (b *body) uint32() uint32 { return binary.BigEndian.Uint32(b.take(4)) }
func (b *body) uint64() uint64 { return binary.BigEndian.Uint64(b.take(8)) }

func (b *body) name() string {
	size := int(b.uint8())
	if size > len(b.b) {
		b.ok = false
		return ""
	}
	return string(b.take(size))
}

// rest is what is left.
func (b *body) rest() []byte {
	rest := b.b
	b.b = nil
	return rest
}

// err is what a body is refused with that was too short, or too long.
func (b *body) err() error {
	if !b.ok || len(b.b) > 0 {
		return errFrame
	}
	return nil
}
