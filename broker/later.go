package broker

import (
	"sync/atomic"

	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/protocol"
)

// later is a request whose answer may come after its handler has returned, from any
// goroutine: a JoinGroup that waits for others, a commit that waits for the log. It is parked
// as a slot. Who answers calls answer once; nothing is lost when the peer is gone by then.
type later struct {
	r     request
	state atomic.Int32
	hurry atomic.Bool
	m     protocol.Message
	// stop makes the answer that the client gets when the broker stops first.
	stop func() protocol.Message
}

// The states of a later.
const (
	laterServed   int32 = iota // the handler runs
	laterAnswered              // and has its answer
	laterParked                // the handler returned without one
	laterDone
)

func newLater(r *request) *later {
	l := &later{r: *r}
	l.r.body = nil
	return l
}

// answer gives the response.
func (l *later) answer(m protocol.Message) {
	l.m = m
	if l.state.CompareAndSwap(laterServed, laterAnswered) {
		return // the reader goroutine sends it
	}
	if l.state.CompareAndSwap(laterParked, laterDone) {
		l.r.slot.FinishAsync(l.reply(m))
	}
}

// returned ends the handler.
func (l *later) returned() {
	if l.state.Load() == laterAnswered {
		l.r.slot.Reply(l.reply(l.m))
		return
	}
	if !l.r.slot.Park(l) {
		l.state.Store(laterDone) // the peer is gone
		return
	}
	if !l.state.CompareAndSwap(laterServed, laterParked) {
		l.r.slot.Reply(l.reply(l.m))
		return
	}
	if l.hurry.Load() {
		l.Hurry()
	}
}

func (l *later) reply(m protocol.Message) *conn.Reply {
	out := l.r.newReply()
	out.Buf = m.Append(out.Buf, l.r.h.Version)
	l.r.b.metrics.answered(&l.r)
	return out
}

// Cancel implements conn.Parked. What the request asked for goes on: a member that joined is
// in the group until its session ends.
func (l *later) Cancel() { l.state.CompareAndSwap(laterParked, laterDone) }

// Hurry implements conn.Parked: the broker stops, and what waits for others is sent away.
func (l *later) Hurry() {
	l.hurry.Store(true)
	if l.stop != nil && l.state.CompareAndSwap(laterParked, laterDone) {
		l.r.slot.FinishAsync(l.reply(l.stop()))
	}
}
