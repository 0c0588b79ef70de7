package broker

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// fetchWait is a parked fetch. It is not pooled: a late wake-up finds it, and finds it
// finished, while op serves another request.
//
// One goroutine at a time looks at the partitions: the one that set running. What happens
// meanwhile sets again, so that it looks once more; hence no wake-up is lost between a
// look that found too little and the end of running.
type fetchWait struct {
	waiter replication.FetchWaiter
	parts  []*replication.Partition
	timer  clock.Timer

	mu       sync.Mutex
	op       *fetchOp // nil once finished
	running  bool
	again    bool
	expired  bool // answer with what is there
	canceled bool // nobody waits for the answer
}

// parkFetch runs on the reader goroutine.
func parkFetch(op *fetchOp) {
	w := &fetchWait{op: op, running: true}
	b := op.r.b
	if !op.r.slot.Park(w) {
		op.free()
		return
	}
	w.waiter.Init(w.wake)
	for i := range op.wants {
		if p, err := op.partition(&op.wants[i]); err == nil {
			p.AddFetchWaiter(&w.waiter)
			w.parts = append(w.parts, p)
		}
	}
	w.timer = b.clock.AfterFunc(time.Duration(op.q.MaxWaitMs)*time.Millisecond, w.expire)
	w.look()
}

// wake is called by replication when a partition moved, from any goroutine.
func (w *fetchWait) wake() {
	if w.claim(false) {
		go w.look()
	}
}

// expire is the timer's and Hurry's.
func (w *fetchWait) expire() {
	if w.claim(true) {
		w.look()
	}
}

// Hurry implements conn.Parked.
func (w *fetchWait) Hurry() { w.expire() }

// Cancel implements conn.Parked.
func (w *fetchWait) Cancel() {
	w.mu.Lock()
	w.canceled = true
	w.mu.Unlock()
	if w.claim(true) {
		w.look()
	}
}

// claim asks for a look, and reports whether the caller is to take it.
func (w *fetchWait) claim(expired bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = w.expired || expired
	if w.op == nil || w.running {
		w.again = true
		return false
	}
	w.running = true
	return true
}

// look reads until it has an answer or nothing moved since it read.
func (w *fetchWait) look() {
	for {
		w.mu.Lock()
		op, canceled, expired := w.op, w.canceled, w.expired
		w.again = false
		w.mu.Unlock()
		if canceled {
			w.end()
			op.free()
			return
		}
		if op.read() || expired {
			w.end()
			slot := op.r.slot
			slot.Finish(op.reply(protocol.CodeNone))
			return
		}
		op.giveBack()
		w.mu.Lock()
		if !w.again {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// end makes later wake-ups find nothing. running stays set.
func (w *fetchWait) end() {
	w.mu.Lock()
	w.op = nil
	w.mu.Unlock()
	w.timer.Stop()
	for _, p := range w.parts {
		p.RemoveFetchWaiter(&w.waiter)
	}
}
