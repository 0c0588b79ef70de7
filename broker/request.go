package broker

import (
	"time"

	"github.com/millrace/millrace/broker/conn"
	"github.com/millrace/millrace/protocol"
)

// request is one request on its way through a handler. It is a value: what is parked
// takes a copy. body is valid until the handler returns.
type request struct {
	s        *session
	b        *Broker
	h        protocol.RequestHeader
	body     []byte
	caller   *Caller
	received time.Time
	slot     conn.Slot
	// autoCreated counts the partitions of topics that the request created in passing.
	autoCreated int
}

// open takes the request's place in the order of replies.
func (r *request) open() { r.slot = r.s.c.Open() }

// newReply starts the frame of the reply: the header is there, the body is to be appended.
func (r *request) newReply() *conn.Reply {
	out := r.s.c.NewReply()
	out.Buf = protocol.AppendResponseHeader(out.Buf, r.h.Key, r.h.Version, r.h.CorrelationID)
	return out
}

// charge tells the quota what the request cost, and silences the connection for the time
// that the client is told.
func (r *request) charge(bytes int) (throttleMs int32) {
	return r.throttle(r.b.quota.Charge(r.caller, Cost{Key: r.h.Key, Bytes: bytes}))
}

// throttle silences the connection.
func (r *request) throttle(d time.Duration) (throttleMs int32) {
	if d <= 0 {
		return 0
	}
	r.s.c.Mute(d)
	return int32(d.Milliseconds())
}

// respond answers a request whose response is a plain message, from the reader goroutine.
func (r *request) respond(m protocol.Message) {
	r.respondIn(m, r.h.Version)
}

func (r *request) respondIn(m protocol.Message, version int16) {
	out := r.newReply()
	out.Buf = m.Append(out.Buf, version)
	r.b.metrics.answered(r)
	r.slot.Reply(out)
}
