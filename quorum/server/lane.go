package server

import (
	"encoding/binary"
	"errors"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/quorum/jute"
)

// A connection whose requests are small and never make their reader wait is served by a lane
// (netx.Lanes) instead of a goroutine of its own, which sleeps meanwhile. Whatever might wait sends
// the connection back to it, with the requests that have not begun still in the buffer.
const (
	// maxSwiftBytes bounds a request in a lane, with its length: it fits into a buffer of the pool.
	maxSwiftBytes = chunkBytes
	headerBytes   = 8 // of a request: xid and operation
)

// visit is what a connection knows of its stays in a lane. It belongs to the reader.
type visit struct {
	netx.Visits
	over bool // nothing more is read
}

// isSwift tells whether an operation is served without waiting, and while its request is small in
// little time. What is rare or ends the connection is left to its goroutine.
func isSwift(op jute.OpCode) bool {
	switch op {
	case jute.OpPing, jute.OpExists, jute.OpGetData, jute.OpGetACL, jute.OpGetChildren, jute.OpGetChildren2,
		jute.OpMultiRead, jute.OpWhoAmI, jute.OpAddWatch, jute.OpCheckWatches, jute.OpRemoveWatches,
		jute.OpSetData, jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer, jute.OpDelete,
		jute.OpSetACL, jute.OpSync, jute.OpCheck, jute.OpMulti:
		return true
	}
	return false
}

// opOf is the operation of a packet; 0, which is not swift, if it is too short to have one.
func opOf(frame []byte) jute.OpCode {
	if len(frame) < headerBytes {
		return 0
	}
	return jute.OpCode(binary.BigEndian.Uint32(frame[4:]))
}

// isSwiftFrame is isSwift of a packet that is there.
func isSwiftFrame(frame []byte) bool {
	return len(frame)+4 <= maxSwiftBytes && isSwift(opOf(frame))
}

// stay lends the reader's role to a lane when it is time. After a stay there may be requests in
// the buffer. goOn false: the connection is over.
func (c *conn) stay() (stayed, goOn bool) {
	v := &c.visit
	if !v.Due(c.srv.swiftRun) || !c.srv.lanes.Takes(c.x) || !c.holdWriting() {
		return false, true
	}
	c.in.Sleep()
	err := c.srv.lanes.Stay(c.x, c)
	c.takeBack()
	v.Over(c.srv.swiftRun)
	switch {
	case errors.Is(err, netx.ErrNoLane):
		return false, true
	case err != nil:
		c.kill("out of a lane: " + err.Error())
		return true, false
	case v.over:
		c.linger()
		return true, false
	}
	c.throttle() // if it is over the next read tells
	return true, true
}

// holdWriting makes the caller the only one that sends, with nothing to send yet.
func (c *conn) holdWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.closing || c.writing {
		return false
	}
	c.writing = true
	return true
}

// Enter implements netx.Guest: from now on nobody who sends waits.
func (c *conn) Enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inLane = true
	c.drainNowLocked()
}

// Leave implements netx.Guest: it returns when nobody uses the socket. The right to send goes to
// the reader's goroutine, with what is left of a queue.
func (c *conn) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing && c.rest == nil {
		c.changed.Wait() // for a write that does not wait
	}
	c.inLane, c.writing = false, true
}

// takeBack goes on with what the lane could not send.
func (c *conn) takeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if out := c.rest; out != nil {
		c.rest = nil
		c.mu.Unlock()
		err := c.x.WriteShort(out.b[c.restAt:])
		c.srv.chunks.put(out)
		c.mu.Lock()
		c.sentLocked(err)
	}
	c.drainLocked()
}

// Ready implements netx.Guest: one read, and the requests that it completes.
func (c *conn) Ready() (stay bool) {
	n, wait, err := c.x.ReadNow(c.in.Lend())
	switch {
	case wait:
		stay = true
	case err == nil && n > 0:
		c.in.got(n)
		stay = c.serveSwift()
	} // else the reader's goroutine will find the same
	c.in.Sleep()
	return stay
}

// Send implements netx.Guest.
func (c *conn) Send() { c.flush() }

// serveSwift serves the requests in the buffer as long as they are swift.
func (c *conn) serveSwift() (stay bool) {
	for {
		swift, complete := c.in.swift()
		if !swift || !complete {
			return swift
		}
		if c.mayWait() {
			return false
		}
		frame, err := c.nextFrame()
		if err != nil {
			return false // the reader's goroutine will find the same
		}
		if !c.serveOne(frame) {
			c.visit.over = true
			return false
		}
		c.visit.Serve()
	}
}

// mayWait tells whether the reader would have to wait before the next request.
func (c *conn) mayWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.overLocked() || c.queueBytesLocked() > holdBytes
}

// swift tells whether the next request, as far as it is there, may be served in a lane, and
// whether it is complete.
func (in *input) swift() (swift, complete bool) {
	n, ok := in.head()
	if !ok {
		return true, false
	}
	have := in.buf.b[in.off+4 : in.end]
	if n < headerBytes || int64(n)+4 > maxSwiftBytes || int(n) > in.max {
		return false, false
	}
	if len(have) < headerBytes {
		return true, false
	}
	return isSwift(opOf(have)), len(have) >= int(n)
}
