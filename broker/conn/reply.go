package conn

import (
	"encoding/binary"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/protocol"
)

// Reply is one response on its way out: bytes, and between them ranges of files. It is
// pooled; whoever takes one with NewReply hands it to a Slot, or calls Release.
//
// Encode by appending to Buf, which starts with room for the size prefix. Ranges are
// owned by the reply from AddRange on and are given back in Release, on every path.
type Reply struct {
	Buf        []byte
	cuts       []cut
	rangeBytes int
	// framed is a reply that was laid out elsewhere, size prefix included; Buf is unused.
	framed      []protocol.Section
	framedBytes int
	// fromFile says that a file was or will be read for it.
	fromFile bool
	// then, if set, is called by the writer after the reply was sent or dropped.
	then func(sent bool)
	home *sync.Pool
}

// cut is a range that is sent after Buf[:at].
type cut struct {
	at  int
	rng vfs.Range
}

// keepReplyBytes is the largest encode buffer that is kept for the next reply.
const keepReplyBytes = 128 << 10

// NewReply takes an empty reply: Buf holds the four bytes of the size prefix.
func (c *Conn) NewReply() *Reply {
	home := &c.opts.Memory.replies
	r, ok := home.Get().(*Reply)
	if !ok {
		r = &Reply{Buf: make([]byte, 0, 512)}
	}
	r.home = home
	r.Buf = append(r.Buf[:0], 0, 0, 0, 0)
	return r
}

// AddRangeOrCopy places a range after what Buf holds now: the bytes themselves when they
// are few (one write for all is then cheaper than a system call of their own), else the
// range. The range belongs to the reply, or is given back, also after an error.
func (r *Reply) AddRangeOrCopy(rng vfs.Range, thresholdBytes int) error {
	if rng.LenBytes >= thresholdBytes {
		r.AddRange(rng)
		return nil
	}
	at := len(r.Buf)
	r.Buf = append(r.Buf, make([]byte, rng.LenBytes)...)
	err := rng.CopyTo(r.Buf[at:])
	rng.Release()
	return err
}

// AddRange places a range after what Buf holds now.
func (r *Reply) AddRange(rng vfs.Range) {
	r.cuts = append(r.cuts, cut{at: len(r.Buf), rng: rng})
	r.rangeBytes += rng.LenBytes
}

// SetFramed makes the reply send sections that already are a whole frame of so many bytes.
// Their ranges belong to the reply from now on; their memory must stay as it is until the
// function given to Then is called.
func (r *Reply) SetFramed(sections []protocol.Section, totalBytes int) {
	r.framed, r.framedBytes = sections, totalBytes
}

// FromFile notes that a file was read for the reply, or will be: others should not wait with
// this connection for the next such.
func (r *Reply) FromFile() { r.fromFile = true }

// Then registers a function for the moment at which the reply is sent or dropped.
func (r *Reply) Then(f func(sent bool)) { r.then = f }

// SizeBytes is what the reply takes on the wire, prefix included.
func (r *Reply) SizeBytes() int {
	if r.framed != nil {
		return r.framedBytes
	}
	return len(r.Buf) + r.rangeBytes
}

// heldBytes is the memory that the reply holds.
func (r *Reply) heldBytes() int {
	n := len(r.Buf)
	for i := range r.framed {
		n += len(r.framed[i].Bytes)
	}
	return n
}

// seal writes the size prefix.
func (r *Reply) seal() {
	if r.framed != nil {
		return
	}
	binary.BigEndian.PutUint32(r.Buf, uint32(r.SizeBytes()-sizeBytes))
}

// Release gives the ranges and the buffer back. The reply must not be used after it.
func (r *Reply) Release() { r.finish(false) }

func (r *Reply) finish(sent bool) {
	for i := range r.cuts {
		r.cuts[i].rng.Release()
	}
	for i := range r.framed {
		r.framed[i].Range.Release()
	}
	if f := r.then; f != nil {
		f(sent)
	}
	if cap(r.Buf) > keepReplyBytes {
		return
	}
	home := r.home
	*r = Reply{Buf: r.Buf[:0], cuts: r.cuts[:0]}
	home.Put(r)
}
