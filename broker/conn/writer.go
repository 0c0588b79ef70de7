package conn

import (
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/protocol"
)

const (
	// One round of writing takes so much before it looks at the queue again.
	maxRoundBytes   = 1 << 20
	maxRoundReplies = 64
	// coalesceBytes: replies up to this size are copied together into one write.
	coalesceBytes = 16 << 10
	outBytes      = 64 << 10
	// keepPieces bounds the room that a connection keeps for the pieces of a reply.
	keepPieces = 64
)

// Flush sends the ready replies at the head of the queue, unless another goroutine is
// doing so (it will see them). It may wait for a slow socket.
//
// The flag c.writing makes its holder the only writer; it is taken and given up under
// c.mu, and given up only when no reply at the head is ready.
func (c *Conn) Flush() {
	if !c.beginWriting() {
		return
	}
	if c.inLane { // as long as somebody writes this does not change
		c.writeNow()
		return
	}
	c.writeRounds()
}

// beginWriting makes the caller the only writer and takes the first round into c.batch,
// unless there is nothing to send or somebody to do it.
func (c *Conn) beginWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = false
	if c.writing || c.closed || !c.headReadyLocked() {
		return false
	}
	c.writing = true
	c.takeReadyLocked()
	return true
}

func (c *Conn) writeRounds() {
	for c.endRound(c.sendBatch()) {
	}
}

// endRound ends a round of writing and takes the next one. False: there is none, and the
// caller is not the writer any more.
func (c *Conn) endRound(err error) bool {
	c.mu.Lock()
	c.sentLocked()
	if err == nil {
		c.takeReadyLocked()
		if len(c.batch) > 0 {
			c.mu.Unlock()
			return true
		}
	} else {
		c.failLocked(err)
	}
	c.writing = false
	c.changed.Broadcast()
	c.mu.Unlock()
	if err != nil {
		_ = c.nc.Close() // wakes the reader, which ends the connection
	}
	return false
}

// sentLocked ends a round: replies and slots of it are free.
func (c *Conn) sentLocked() {
	c.batch = c.batch[:0]
	c.changed.Broadcast()
}

// sendBatch writes c.batch and releases every reply of it, also after an error.
func (c *Conn) sendBatch() (err error) {
	o := outbound{c: c}
	for i, r := range c.batch {
		if err == nil {
			err = o.reply(r, i == len(c.batch)-1)
		}
		r.finish(err == nil)
		c.batch[i] = nil
	}
	o.release()
	return err
}

// outbound is the state of one round: bytes that are collected for the next write.
type outbound struct {
	c   *Conn
	buf []byte // from the memory pool, taken when first needed
}

func (o *outbound) reply(r *Reply, final bool) error {
	if r.framed != nil {
		return o.framed(r.framed, final)
	}
	from := 0
	for i := range r.cuts {
		cut := &r.cuts[i]
		if err := o.bytes(r.Buf[from:cut.at], false); err != nil {
			return err
		}
		from = cut.at
		ends := final && i == len(r.cuts)-1 && from == len(r.Buf)
		if err := o.rangeOf(cut.rng); err != nil || ends {
			return err
		}
	}
	return o.bytes(r.Buf[from:], final)
}

func (o *outbound) framed(sections []protocol.Section, final bool) error {
	if o.c.nc.CanSendfile() && inMemory(sections) {
		return o.vector(sections)
	}
	last := lastRange(sections)
	for i := range sections {
		s := &sections[i]
		if i == last && final && i < len(sections)-1 {
			// The few bytes behind the records leave with the last of them.
			o.c.nc.Cork(true)
			defer o.c.nc.Cork(false)
		}
		var err error
		if s.Range.LenBytes > 0 {
			err = o.rangeOf(s.Range)
		} else {
			err = o.bytes(s.Bytes, final && i == len(sections)-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inMemory tells whether every range can be sent from a mapping.
func inMemory(sections []protocol.Section) bool {
	for i := range sections {
		if r := &sections[i].Range; r.LenBytes > 0 && r.Mem == nil {
			return false
		}
	}
	return true
}

// vector writes a reply whose ranges lie in memory at once, without a copy of ours.
func (o *outbound) vector(sections []protocol.Section) error {
	if err := o.drain(false); err != nil {
		return err
	}
	c, total := o.c, 0
	c.pieces = appendPieces(c.pieces[:0], sections)
	for _, p := range c.pieces {
		total += len(p)
	}
	c.opts.Stats.BytesOut.Add(int64(total))
	c.opts.Stats.Writes.Add(1)
	err := c.nc.WritePieces(c.pieces)
	c.dropPieces()
	return err
}

// appendPieces appends sections that are in memory.
func appendPieces(v netx.Pieces, sections []protocol.Section) netx.Pieces {
	for i := range sections {
		p := sections[i].Bytes
		if sections[i].Range.LenBytes > 0 {
			p = sections[i].Range.Mem
		}
		v = append(v, p)
	}
	return v
}

// dropPieces forgets what c.pieces points at.
func (c *Conn) dropPieces() {
	clear(c.pieces)
	if cap(c.pieces) > keepPieces {
		c.pieces = nil
	}
}

// lastRange is the index of the last section that is sent from a file, -1 without one.
func lastRange(sections []protocol.Section) int {
	for i := len(sections) - 1; i >= 0; i-- {
		if sections[i].Range.LenBytes > 0 {
			return i
		}
	}
	return -1
}

// bytes collects small pieces and writes large ones; final means that nothing follows,
// so that everything collected leaves now.
func (o *outbound) bytes(p []byte, final bool) error {
	if final && len(o.buf) == 0 {
		return o.write(p, true)
	}
	if len(p) <= coalesceBytes {
		if len(o.buf)+len(p) > outBytes {
			if err := o.drain(false); err != nil {
				return err
			}
		}
		o.buf = append(o.room(), p...)
		if final {
			return o.drain(true)
		}
		return nil
	}
	if err := o.drain(false); err != nil {
		return err
	}
	return o.write(p, final)
}

func (o *outbound) rangeOf(rng vfs.Range) error {
	if err := o.drain(false); err != nil {
		return err
	}
	c := o.c
	before := c.nc.SendfileCalls()
	var scratch []byte
	if _, ok := rng.File.Fd(); !ok || !c.nc.CanSendfile() {
		scratch = o.room()[:outBytes]
	}
	n, err := c.nc.SendRange(rng, scratch)
	c.opts.Stats.SendfileCalls.Add(c.nc.SendfileCalls() - before)
	c.opts.Stats.SendfileBytes.Add(int64(n))
	c.opts.Stats.BytesOut.Add(int64(rng.LenBytes))
	return err
}

func (o *outbound) drain(final bool) error {
	if len(o.buf) == 0 {
		return nil
	}
	err := o.write(o.buf, final)
	o.buf = o.buf[:0]
	return err
}

func (o *outbound) write(p []byte, final bool) error {
	if len(p) == 0 {
		return nil
	}
	s := o.c.opts.Stats
	s.BytesOut.Add(int64(len(p)))
	s.Writes.Add(1)
	if !final {
		return o.c.nc.WriteMore(p)
	}
	return o.c.nc.WriteShort(p)
}

// room is the collecting buffer; it is forced from the budget because it frees memory.
func (o *outbound) room() []byte {
	if o.buf == nil {
		o.buf = o.c.opts.Memory.force(outBytes)[:0]
	}
	return o.buf
}

func (o *outbound) release() {
	if o.buf != nil {
		o.c.opts.Memory.give(o.buf[:outBytes])
	}
}
