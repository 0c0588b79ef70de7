package conn

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/millrace/millrace/internal/netx"
)

// A connection whose requests are small and never make their reader wait is served by a lane
// (netx.Lanes) instead of a goroutine of its own. The reader's goroutine, which lends its role,
// sleeps meanwhile; whatever might wait sends the connection back to it, with the request
// that has not begun still in the buffer.
const (
	// maxSwiftBytes bounds a request in a lane, with its size prefix.
	maxSwiftBytes = 16 << 10
	// A connection whose replies are longer than maxSwiftReplyBytes leaves. What waits for a peer
	// that does not read is copied, so a round in a lane is at most maxRoundNowBytes.
	maxSwiftReplyBytes = 64 << 10
	maxRoundNowBytes   = 256 << 10
)

// visit is what a connection knows of its stays in a lane. It belongs to the reader.
type visit struct {
	netx.Visits
	slow bool // the request that is served read a file, or has a long reply
	err  error
}

// count notes a request that the reader's own goroutine served.
func (v *visit) count(swift bool) {
	v.Count(swift && !v.slow)
	v.slow = false
}

func (c *Conn) swiftRun() int {
	if n := c.opts.SwiftRun; n > 0 {
		return n
	}
	return netx.SwiftRun
}

// mayStay lends the reader's role to a lane when it is time. After a stay there may be requests
// in the buffer.
func (c *Conn) mayStay() (stayed bool, err error) {
	v := &c.visit
	if !v.Due(c.swiftRun()) || !c.opts.Lanes.Takes(c.nc) || !c.holdWriting() {
		return false, nil
	}
	c.in.shrink()
	err = c.opts.Lanes.Stay(c.nc, c)
	c.takeBack()
	v.Over(c.swiftRun())
	if errors.Is(err, netx.ErrNoLane) {
		return false, nil
	}
	if err == nil {
		err = v.err
	}
	return true, err
}

// holdWriting makes the caller the only writer, with nothing to write yet.
func (c *Conn) holdWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.draining.Load() || c.writing {
		return false
	}
	c.writing = true
	return true
}

// Enter implements netx.Guest: from now on no write waits.
func (c *Conn) Enter() {
	c.mu.Lock()
	c.inLane = true
	c.mu.Unlock()
	if c.endRound(nil) {
		c.writeNow()
	}
}

// Leave implements netx.Guest: it returns when nobody uses the socket. The right to write goes to
// the reader's goroutine, with what is left of a round.
func (c *Conn) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing && !c.handed {
		c.changed.Wait() // for a write that does not wait
	}
	c.inLane, c.writing = false, true
}

// takeBack goes on with what the lane could not send.
func (c *Conn) takeBack() {
	var err error
	if handed := c.handed; handed {
		c.handed = false
		if len(c.rest) > 0 {
			_, err = c.nc.Write(c.rest)
			c.rest = nil
		} else {
			err = c.sendBatch()
		}
	}
	if c.endRound(err) {
		c.writeRounds()
	}
}

// Ready implements netx.Guest: one read, and the requests that it completes.
func (c *Conn) Ready() (stay bool) {
	in := &c.in
	if !in.hasRoom() {
		return false
	}
	n, wait, err := c.nc.ReadNow(in.Lend())
	switch {
	case wait:
		stay = true
	case err == nil && n > 0:
		in.took(n)
		stay = c.serveSwift()
	} // else the reader's goroutine will find the same
	in.shrink()
	return stay
}

// Send implements netx.Guest.
func (c *Conn) Send() { c.Flush() }

// serveSwift serves the requests in the buffer as long as they are swift.
func (c *Conn) serveSwift() (stay bool) {
	for {
		swift, complete := c.in.swift()
		if !swift || !complete {
			return swift
		}
		if c.draining.Load() || c.mutedUntil.Load() != 0 || c.full() {
			return false
		}
		frame, err := c.in.next()
		if err == nil {
			err = c.serveOne(frame)
		}
		if err != nil {
			c.visit.err = err
			return false
		}
		c.visit.Serve()
		if c.visit.slow {
			return false // the next may well do the same, and wait for a disk or the peer
		}
	}
}

func (c *Conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.fullLocked()
}

// swift tells whether the next request, as far as it is there, may be served in a lane, and
// whether it is complete.
func (in *input) swift() (swift, complete bool) {
	have := in.w - in.r
	if have < prefixBytes {
		return true, false
	}
	b := in.buf[in.r:]
	size := sizeBytes + int64(binary.BigEndian.Uint32(b))
	if size > maxSwiftBytes || !in.c.session.Swift(int16(binary.BigEndian.Uint16(b[sizeBytes:]))) {
		return false, false
	}
	return true, int64(have) >= size
}

// hasRoom sees to room for a request in a lane, without waiting for memory.
func (in *input) hasRoom() bool {
	if in.buf == nil || len(in.buf)-in.w >= maxSwiftBytes {
		return true
	}
	m := in.c.opts.Memory
	buf := m.tryTake(normalBufferBytes)
	if buf == nil {
		return false
	}
	in.w = copy(buf, in.buf[in.r:in.w])
	m.give(in.buf)
	in.buf, in.r = buf, 0
	return true
}

// writeNow is writeRounds in a lane, for whoever writes there: it sends what the socket takes at
// once. The rest, and what is to be read from files, is left to the reader's goroutine, with the
// right to write.
func (c *Conn) writeNow() {
	for {
		size, ok := c.inMemory()
		if !ok {
			c.hand(nil)
			return
		}
		rest, err := c.sendNow(size)
		if err == nil && len(rest) > 0 {
			c.hand(rest)
			return
		}
		if !c.endRound(err) {
			return
		}
	}
}

// inMemory is the size of the round in c.batch, if it is not too long and nothing of it has to be
// read from a file.
func (c *Conn) inMemory() (size int, ok bool) {
	for _, r := range c.batch {
		if len(r.cuts) > 0 || !inMemory(r.framed) {
			return 0, false
		}
		size += r.SizeBytes()
	}
	return size, size <= maxRoundNowBytes
}

// sendNow writes c.batch as far as the socket takes it.
func (c *Conn) sendNow(size int) (rest []byte, err error) {
	if c.onlyBytes() {
		rest, err = c.bytesNow(size)
	} else {
		rest, err = c.piecesNow()
	}
	c.opts.Stats.Writes.Add(1)
	c.opts.Stats.BytesOut.Add(int64(size))
	for i, r := range c.batch {
		r.finish(err == nil)
		c.batch[i] = nil
	}
	return rest, err
}

// onlyBytes tells whether the round in c.batch is of buffers that one write takes together.
func (c *Conn) onlyBytes() bool {
	bytes := 0
	for _, r := range c.batch {
		if r.framed != nil || len(r.cuts) > 0 {
			return false
		}
		bytes += len(r.Buf)
	}
	return bytes <= outBytes
}

func (c *Conn) bytesNow(size int) (rest []byte, err error) {
	o := outbound{c: c}
	defer o.release()
	p := c.batch[0].Buf
	if len(c.batch) > 1 {
		for _, r := range c.batch {
			o.buf = append(o.room(), r.Buf...)
		}
		p = o.buf
	}
	n, err := c.nc.WriteNow(p)
	if n < size {
		rest = bytes.Clone(p[n:])
	}
	return rest, err
}

func (c *Conn) piecesNow() (rest []byte, err error) {
	c.pieces = c.pieces[:0]
	for _, r := range c.batch {
		if r.framed == nil {
			c.pieces = append(c.pieces, r.Buf)
		} else {
			c.pieces = appendPieces(c.pieces, r.framed)
		}
	}
	left, err := c.nc.WritePiecesNow(c.pieces)
	for _, p := range left {
		rest = append(rest, p...)
	}
	c.dropPieces()
	return rest, err
}

// hand leaves the right to write, and the rest of a round or all of it, to the reader's goroutine.
func (c *Conn) hand(rest []byte) {
	c.mu.Lock()
	c.rest, c.handed = rest, true
	c.changed.Broadcast()
	c.mu.Unlock()
	c.nc.EndStay()
}
