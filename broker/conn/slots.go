package conn

// Parked is what a slot waits for: a produce that waits for its acks, a fetch for bytes.
type Parked interface {
	// Cancel is called once, without locks held, when the connection is gone before the
	// slot was completed; completing it later is allowed and does nothing.
	Cancel()
	// Hurry is called when the broker shuts down: what can answer early (a long poll) does.
	Hurry()
}

// Slot is the place of one request in its connection's order of replies. The zero Slot
// belongs to a request that gets no reply.
type Slot struct {
	c   *Conn
	seq uint64
}

// slot is an entry of the ring c.ring[c.head:c.tail]. It is open until reply is set.
type slot struct {
	reply  *Reply
	parked Parked
}

// Open takes the next slot. Only the reader goroutine calls it, from Session.Serve, so
// the order of slots is the order of requests.
func (c *Conn) Open() Slot {
	c.mu.Lock()
	if c.tail-c.head == uint64(len(c.ring)) {
		c.growRingLocked()
	}
	seq := c.tail
	c.ring[seq&c.maskLocked()] = slot{}
	c.tail++
	c.mu.Unlock()
	return Slot{c: c, seq: seq}
}

func (c *Conn) maskLocked() uint64 { return uint64(len(c.ring) - 1) }

func (c *Conn) growRingLocked() {
	bigger := make([]slot, max(8, 2*len(c.ring)))
	for seq := c.head; seq != c.tail; seq++ {
		bigger[seq&uint64(len(bigger)-1)] = c.ring[seq&c.maskLocked()]
	}
	c.ring = bigger
}

// Valid tells whether the slot awaits a reply.
func (s Slot) Valid() bool { return s.c != nil }

// Conn is the slot's connection.
func (s Slot) Conn() *Conn { return s.c }

// Park says what the slot waits for. It reports false, and keeps no hold of p, when the
// slot is complete already or the connection is gone; in the latter case the caller
// cleans up as if it had been cancelled.
func (s Slot) Park(p Parked) bool {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !s.openLocked() {
		return false
	}
	c.ring[s.seq&c.maskLocked()].parked = p
	c.opts.Stats.Parked.Add(1)
	return true
}

func (s Slot) openLocked() bool {
	c := s.c
	return s.seq-c.head < c.tail-c.head && c.ring[s.seq&c.maskLocked()].reply == nil
}

// Reply completes the slot from Session.Serve on the reader goroutine. The reader sends
// it, with others, before it waits for anything. It reports false when the slot was not open
// any more; after true, nobody has a hold of what was parked in it, and it gets no Cancel.
// The same holds for FinishAsync.
func (s Slot) Reply(r *Reply) (completed bool) {
	s.c.visit.slow = s.c.visit.slow || r.fromFile || r.SizeBytes() > maxSwiftReplyBytes
	completed, _ = s.complete(r, false)
	return completed
}

// Finish completes the slot from a goroutine that may wait for the socket.
func (s Slot) Finish(r *Reply) {
	if _, ready := s.complete(r, false); ready {
		s.c.Flush()
	}
}

// FinishAsync completes the slot from a goroutine that must not wait (a syncer, an
// append of another connection, a timer): the sending is handed to the Senders.
func (s Slot) FinishAsync(r *Reply) (completed bool) {
	completed, ready := s.complete(r, true)
	if ready {
		s.c.opts.Senders.Add(s.c)
	}
	return completed
}

// complete stores the reply and tells whether the caller should see to the sending: the
// head of the queue is ready and nobody writes. A writer looks at the queue again, under
// the lock, before it stops, so a reply that is stored while somebody writes is seen; so
// does a goroutine that was asked to write (c.asked) and did not begin yet.
func (s Slot) complete(r *Reply, ask bool) (completed, ready bool) {
	c := s.c
	r.seal()
	c.mu.Lock()
	if c.closed || !s.openLocked() {
		c.mu.Unlock()
		r.Release()
		return false, false
	}
	e := &c.ring[s.seq&c.maskLocked()]
	if e.parked != nil {
		e.parked = nil
		c.opts.Stats.Parked.Add(-1)
		c.lastActive.Store(c.opts.Clock.Now().UnixNano()) // the reply comes long after the request did
	}
	e.reply = r
	c.queuedBytes += r.heldBytes()
	ready = c.headReadyLocked() && !c.writing && !(ask && c.asked)
	c.asked = c.asked || ready && ask
	c.mu.Unlock()
	return true, ready
}

func (c *Conn) headReadyLocked() bool {
	return c.head != c.tail && c.ring[c.head&c.maskLocked()].reply != nil
}

// takeReadyLocked moves the ready replies at the head into c.batch, as many as one
// round of writing should take.
func (c *Conn) takeReadyLocked() {
	bytes := 0
	for c.headReadyLocked() && bytes < maxRoundBytes && len(c.batch) < maxRoundReplies {
		e := &c.ring[c.head&c.maskLocked()]
		c.batch = append(c.batch, e.reply)
		bytes += e.reply.SizeBytes()
		c.queuedBytes -= e.reply.heldBytes()
		*e = slot{}
		c.head++
	}
}

// dropAllLocked empties the queue and returns what must be told and given back once the
// lock is free.
func (c *Conn) dropAllLocked() (parked []Parked, dropped []*Reply) {
	for ; c.head != c.tail; c.head++ {
		e := &c.ring[c.head&c.maskLocked()]
		if e.parked != nil {
			parked = append(parked, e.parked)
			c.opts.Stats.Parked.Add(-1)
		}
		if e.reply != nil {
			dropped = append(dropped, e.reply)
		}
		*e = slot{}
	}
	c.queuedBytes = 0
	return parked, dropped
}
