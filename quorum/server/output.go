package server

import (
	"encoding/binary"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// holdBytes is how much may be queued before the reader sends it, and waits until it is
// taken, though it has further requests.
const holdBytes = 64 << 10

// roomLocked returns the queue to append a packet to, nil when there is nobody to send to.
func (c *conn) roomLocked() []byte {
	if c.closed {
		return nil
	}
	if c.out == nil {
		c.out = c.srv.chunks.get()
		c.out.b = c.out.b[:0]
	}
	return c.out.b
}

// queuedLocked notes that the queue is now b. A queue that was too long already means that the
// client does not read: nothing may be left out, so the connection ends. What is queued to an
// empty queue may be of any size.
func (c *conn) queuedLocked(b []byte) {
	waiting := len(c.out.b) + c.inflight
	c.out.b = b
	if waiting > c.srv.cfg.OutputBytes {
		c.srv.stats.overflows.Add(1)
		c.killLocked("it does not read its replies")
	}
}

// Notify implements watch.Receiver: it is called under the state's write lock and the watch
// table's. Who may not read a node does not hear of it (as in ZooKeeper since CVE-2024-23944:
// a recursive watch would tell the names of what is hidden).
func (c *conn) Notify(e *watch.Event) {
	if !c.mayHear(e) {
		return
	}
	if e.Frame == nil {
		e.Frame = appendEvent(nil, e.Type, e.Path)
	}
	c.mu.Lock()
	if b := c.roomLocked(); b != nil {
		c.sent++
		c.queuedLocked(append(b, e.Frame...))
		c.dirtyLocked()
	}
	c.mu.Unlock()
	c.srv.stats.watchBytes.Add(int64(len(e.Frame)))
	c.srv.stats.packetsSent.Add(1)
}

func (c *conn) mayHear(e *watch.Event) bool {
	if c.srv.sink.state.Flags()&tree.SkipACL != 0 {
		return true
	}
	var auth []jute.ID
	if p := c.identity.Load(); p != nil {
		auth = *p
	}
	return tree.Allows(e.ACL, jute.PermRead, auth)
}

// appendEvent appends the packet of an event.
func appendEvent(b []byte, typ jute.EventType, path string) []byte {
	start := len(b)
	b = jute.BeginFrame(b)
	b = appendReplyHeader(b, jute.XidNotification, -1, jute.OK)
	e := jute.WatcherEvent{Type: typ, State: jute.StateSyncConnected, Path: path}
	b = e.AppendTo(b)
	jute.EndFrame(b, start)
	return b
}

func appendReplyHeader(b []byte, xid int32, zxid int64, code jute.Code) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(xid))
	b = binary.BigEndian.AppendUint64(b, uint64(zxid))
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

// dirtyLocked makes sure that Published looks at the connection. It is called by the goroutine
// that applies only, which alone touches the list.
func (c *conn) dirtyLocked() {
	if !c.dirty {
		c.dirty = true
		c.srv.sink.dirty = append(c.srv.sink.dirty, c)
	}
}

// wake has what is queued sent by the server's senders.
func (c *conn) wake() {
	c.mu.Lock()
	c.dirty = false
	start := !c.writing && !c.closed && (c.queueBytesLocked() > 0 || c.closing)
	if start {
		c.writing = true
		c.srv.running.Add(1)
	}
	c.mu.Unlock()
	if start {
		c.srv.senders.Add(c)
	}
}

// flush sends what is queued in the calling goroutine, which is the reader. Is another one at
// it, only a queue that is long makes the reader wait.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing && !c.closed && !c.inLane && c.queueBytesLocked() > holdBytes {
		c.changed.Wait()
	}
	if c.writing || c.closed || c.queueBytesLocked() == 0 && !c.closing {
		return
	}
	c.writing = true
	if c.inLane { // as long as somebody sends this does not change
		c.drainNowLocked()
		return
	}
	c.drainLocked()
}

func (c *conn) queueBytesLocked() int {
	n := c.inflight
	if c.out != nil {
		n += len(c.out.b)
	}
	return n
}

// drainLocked sends until nothing is queued; the caller has set writing. The lock is given up
// while it sends.
func (c *conn) drainLocked() {
	for out := c.nextLocked(); out != nil; out = c.nextLocked() {
		c.mu.Unlock()
		err := c.x.WriteShort(out.b)
		c.srv.chunks.put(out)
		c.mu.Lock()
		c.sentLocked(err)
	}
	c.drainedLocked()
}

// drainAtOnce is drainLocked for the senders, who must not wait: what the socket does not take at
// once is left to another goroutine.
func (c *conn) drainAtOnce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if out, n := c.drainNowLocked(); out != nil {
		go c.drainRest(out, n)
		return
	}
	c.srv.running.Done()
}

// drainNowLocked sends until nothing is queued, or the socket takes no more. It returns what is
// left then, and how much of that is sent; in a lane it leaves that to the reader's goroutine
// itself.
func (c *conn) drainNowLocked() (left *chunk, n int) {
	for out := c.nextLocked(); out != nil; out = c.nextLocked() {
		n, err := c.sendNow(out.b)
		if err == nil && n < len(out.b) {
			if !c.inLane {
				return out, n
			}
			c.rest, c.restAt = out, n
			c.changed.Broadcast()
			c.x.EndStay()
			return nil, 0
		}
		c.srv.chunks.put(out)
		c.sentLocked(err)
	}
	c.drainedLocked()
	return nil, 0
}

// sendNow writes what the socket takes at once. It is called with the lock, which it gives up
// meanwhile.
func (c *conn) sendNow(b []byte) (n int, err error) {
	inLane := c.inLane
	c.mu.Unlock()
	defer c.mu.Lock()
	if !inLane {
		return c.x.TryWrite(b)
	}
	if len(b) > holdBytes {
		return 0, nil // so much takes its time
	}
	return c.x.WriteNow(b)
}

// drainRest goes on where drainAtOnce had to wait: behind the first n bytes of out.
func (c *conn) drainRest(out *chunk, n int) {
	defer c.srv.running.Done()
	err := c.x.WriteShort(out.b[n:])
	c.srv.chunks.put(out)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sentLocked(err)
	c.drainLocked()
}

// nextLocked takes what is queued, nil if nothing is to be sent.
func (c *conn) nextLocked() *chunk {
	if c.closed || c.out == nil || len(c.out.b) == 0 {
		return nil
	}
	out := c.out
	c.out = nil
	c.inflight = len(out.b)
	return out
}

// sentLocked notes that what nextLocked took is sent, or never will be.
func (c *conn) sentLocked(err error) {
	c.inflight = 0
	if err != nil {
		c.killLocked("write: " + err.Error())
	}
	c.changed.Broadcast()
}

// drainedLocked ends the sending.
func (c *conn) drainedLocked() {
	if c.out != nil && len(c.out.b) == 0 {
		c.srv.chunks.put(c.out)
		c.out = nil
	}
	c.writing = false
	if c.closing {
		c.killLocked("")
	}
	c.changed.Broadcast()
}
