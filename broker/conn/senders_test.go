package conn

import (
	"encoding/binary"
	"io"
	"testing"
)

// parkN sends n requests that park and returns their slots in order.
func (r *rig) parkN(n int) []*op {
	r.t.Helper()
	ops := make([]*op, n)
	for i := range ops {
		r.send(request(2, uint32(i), 0))
		ops[i] = <-r.parked
	}
	return ops
}

// A peer that does not read takes a sender as long as its socket has room, and no longer.
func TestSlowPeerHoldsUpNobody(t *testing.T) {
	shared := newSenders(1)
	share := func(o *Options) { o.Senders, o.MaxQueuedBytes = shared, 1<<30 }
	slow, quick := start(t, share), start(t, share)

	const more = 80 << 10 // 200 of them are more than two sockets hold
	for _, o := range slow.parkN(200) {
		r := slow.reply(o.corr)
		r.Buf = append(r.Buf, make([]byte, more)...)
		o.slot.FinishAsync(r)
	}
	for _, o := range quick.parkN(50) {
		o.slot.FinishAsync(quick.reply(o.corr))
		quick.want(o.corr)
	}
	// Nothing of the slow one was lost, and it is in order.
	for corr := range uint32(200) {
		head := make([]byte, 8)
		if _, err := io.ReadFull(slow.client, head); err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint32(head[4:]); got != corr {
			t.Fatalf("reply %d came where %d was due", got, corr)
		}
		if _, err := io.CopyN(io.Discard, slow.client, int64(binary.BigEndian.Uint32(head))-4); err != nil {
			t.Fatal(err)
		}
	}
}

// Small replies fill a socket in pieces: what TryWrite left is written by somebody who waits.
func TestWhatASocketDoesNotTakeAtOnceFollows(t *testing.T) {
	r := start(t, func(o *Options) { o.Senders, o.SendBufferBytes = newSenders(1), 8<<10 })
	ops := r.parkN(100)
	const more = 12 << 10 // small enough for a sender, more than the buffer
	for _, o := range ops {
		reply := r.reply(o.corr)
		reply.Buf = append(reply.Buf, make([]byte, more)...)
		o.slot.FinishAsync(reply)
	}
	for _, o := range ops {
		head := make([]byte, 8+more)
		if _, err := io.ReadFull(r.client, head); err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint32(head[4:]); got != o.corr {
			t.Fatalf("reply %d came where %d was due", got, o.corr)
		}
	}
}

// Senders come and go; testkit.Main sees to it that none is left.
func TestSendersComeAndGo(t *testing.T) {
	r := start(t, func(o *Options) { o.Senders = newSenders(2) })
	for range 3 {
		ops := r.parkN(20)
		for _, o := range ops {
			o.slot.FinishAsync(r.reply(o.corr))
		}
		for _, o := range ops {
			r.want(o.corr)
		}
	}
}

func TestSenderMeetsAClosedPeer(t *testing.T) {
	r := start(t, func(o *Options) { o.Senders = newSenders(1) })
	ops := r.parkN(2)
	r.client.Close()
	<-ops[0].canceled
	for _, o := range ops {
		if o.slot.FinishAsync(r.reply(o.corr)) {
			t.Error("a reply to a closed connection counts as taken")
		}
	}
}
