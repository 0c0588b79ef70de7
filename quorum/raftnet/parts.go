package raftnet

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/hashicorp/raft"
)

// parts reads the parts of a body. After one that is not there, bad is set and all read as zero.
type parts struct {
	b   []byte
	bad bool
}

func (p *parts) take(n int) []byte {
	if n < 0 || n > len(p.b) {
		p.b, p.bad = nil, true
		return nil
	}
	part := p.b[:n:n]
	p.b = p.b[n:]
	return part
}

func (p *parts) uint8() uint8 {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parts) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parts) uint64() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bool takes no byte but 0 and 1, so that a message has one form only.
func (p *parts) bool() bool {
	b := p.uint8()
	if b > 1 {
		p.bad = true
	}
	return b == 1
}

func (p *parts) name() []byte { return p.take(int(p.uint8())) }

// blob is a copy: what it is for is kept.
func (p *parts) blob() []byte {
	if n := p.uint32(); int64(n) <= int64(len(p.b)) {
		return bytes.Clone(p.take(int(n)))
	}
	p.take(-1)
	return nil
}

// err is what a body is refused with that was too short, or too long, or made no sense.
func (p *parts) err() error {
	if p.bad || len(p.b) > 0 {
		return ErrMalformed
	}
	return nil
}

// names are those that came with the last message of a connection. They are the same in nearly
// all of them, so that they are not made anew: nobody changes them.
type names struct{ id, addr, leader []byte }

func (n *names) header(p *parts) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(p.uint8()), ID: keep(&n.id, p.name()), Addr: keep(&n.addr, p.name())}
}

// keep returns what equals b and outlives it.
func keep(last *[]byte, b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if !bytes.Equal(*last, b) {
		*last = bytes.Clone(b)
	}
	return *last
}

// writer appends the parts of a body.
type writer struct {
	b   []byte
	bad bool
}

func (w *writer) uint8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) uint32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) uint64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *writer) bool(v bool) {
	if v {
		w.uint8(1)
	} else {
		w.uint8(0)
	}
}

func (w *writer) name(b []byte) {
	if len(b) > math.MaxUint8 {
		w.bad = true
		return
	}
	w.b = append(append(w.b, byte(len(b))), b...)
}

func (w *writer) blob(b []byte) {
	if len(b) > math.MaxInt32 {
		w.bad = true
		return
	}
	w.uint32(uint32(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) header(h *raft.RPCHeader) {
	if h.ProtocolVersion < 0 || h.ProtocolVersion > math.MaxUint8 {
		w.bad = true
	}
	w.uint8(uint8(h.ProtocolVersion))
	w.name(h.ID)
	w.name(h.Addr)
}

func (w *writer) err() error {
	if w.bad {
		return ErrUnencodable
	}
	return nil
}
