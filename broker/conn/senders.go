package conn

import (
	"runtime"

	"github.com/millrace/millrace/internal/crew"
)

// Senders send the replies that become ready together, when a sync ends or an append is
// acknowledged. None of them waits for a socket: what one does not take at once is left to a
// goroutine of its own, so that a slow peer holds up nobody.
type Senders struct{ *crew.Crew[*Conn] }

// NewSenders makes as many as processors: where a sync answers everybody at once, nobody else has
// work until the first answers are out.
func NewSenders() *Senders { return newSenders(runtime.GOMAXPROCS(0)) }

func newSenders(most int) *Senders { return &Senders{crew.New(most, (*Conn).flushAtOnce)} }

// flushAtOnce is Flush for a goroutine that must not wait: it sends itself what the socket
// takes at once, and leaves the rest to another one.
func (c *Conn) flushAtOnce() {
	if !c.beginWriting() {
		return
	}
	if c.inLane {
		c.writeNow()
		return
	}
	for {
		if len(c.batch) > 1 || !c.onlyBytes() || len(c.batch[0].Buf) > coalesceBytes {
			go c.writeRounds()
			return
		}
		p := c.batch[0].Buf
		n, err := c.nc.TryWrite(p)
		if err == nil && n < len(p) {
			go c.writeRest(p[n:])
			return
		}
		if !c.endRound(c.sentOnly(err)) {
			return
		}
	}
}

// writeRest goes on where a write that did not wait stopped.
func (c *Conn) writeRest(rest []byte) {
	_, err := c.nc.Write(rest)
	if c.endRound(c.sentOnly(err)) {
		c.writeRounds()
	}
}

// sentOnly releases the one reply of a round.
func (c *Conn) sentOnly(err error) error {
	r := c.batch[0]
	c.opts.Stats.Writes.Add(1)
	c.opts.Stats.BytesOut.Add(int64(len(r.Buf)))
	c.batch[0] = nil
	r.finish(err == nil)
	return err
}
