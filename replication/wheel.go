package replication

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

const (
	wheelTickMs = 10
	wheelSlots  = 1024 // one turn is about ten seconds; longer waits take several
)

// wheel ends parked produces that wait too long. It has one timer for all of them: adding
// and removing cost a few pointers, and nothing runs while nothing waits. Deadlines are
// rounded up to the tick.
type wheel struct {
	clock clock.Clock

	mu     sync.Mutex
	slots  [wheelSlots]*parked
	count  int
	last   int64 // the tick up to which slots were looked at
	armed  int64 // the tick that the timer is set for, 0 when it is not
	timer  clock.Timer
	start  time.Time
	closed bool
}

func newWheel(c clock.Clock) *wheel { return &wheel{clock: c, start: c.Now()} }

func (w *wheel) nowTick() int64 {
	return int64(w.clock.Now().Sub(w.start) / (wheelTickMs * time.Millisecond))
}

// add ends e after timeoutMs.
func (w *wheel) add(e *parked, timeoutMs int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	now := w.nowTick()
	if w.count == 0 {
		w.last = now
	}
	e.dueTick = now + 1 + (int64(max(timeoutMs, 0))+wheelTickMs-1)/wheelTickMs
	slot := e.dueTick % wheelSlots
	e.next, e.prev = w.slots[slot], nil
	if e.next != nil {
		e.next.prev = e
	}
	w.slots[slot] = e
	e.inWheel = true
	w.count++
	w.armLocked(e.dueTick, now)
}

// remove forgets e if it is there.
func (w *wheel) remove(e *parked) {
	w.mu.Lock()
	w.removeLocked(e)
	w.mu.Unlock()
}

func (w *wheel) removeLocked(e *parked) {
	if !e.inWheel {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		w.slots[e.dueTick%wheelSlots] = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.next, e.prev, e.inWheel = nil, nil, false
	w.count--
}

func (w *wheel) armLocked(tick, now int64) {
	if w.armed != 0 && w.armed <= tick {
		return
	}
	w.armed = tick
	d := time.Duration(max(tick-now, 1)) * wheelTickMs * time.Millisecond
	if w.timer == nil {
		w.timer = w.clock.AfterFunc(d, w.fire)
		return
	}
	w.timer.Reset(d)
}

// fire ends what is due and sets the timer for what comes next.
func (w *wheel) fire() {
	for _, e := range w.takeDue() {
		e.partition.expire(e.entry, e.generation)
	}
}

// dueEntry names an entry as it was when it was due: it may be used for another produce,
// even of another partition, by the time it is ended.
type dueEntry struct {
	partition  *Partition
	entry      *parked
	generation uint64
}

func (w *wheel) takeDue() []dueEntry {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = 0
	if w.closed {
		return nil
	}
	now := w.nowTick()
	var due []dueEntry
	for tick := max(w.last, now-wheelSlots) + 1; tick <= now; tick++ {
		for e := w.slots[tick%wheelSlots]; e != nil; {
			next := e.next
			if e.dueTick <= now {
				w.removeLocked(e)
				due = append(due, dueEntry{e.partition, e, e.generation})
			}
			e = next
		}
	}
	w.last = now
	if w.count > 0 {
		w.armLocked(w.nextLocked(now), now)
	}
	return due
}

// nextLocked is the first tick after now with something in its slot. It may be there for a
// later turn; then the timer fires once in vain.
func (w *wheel) nextLocked(now int64) int64 {
	for tick := now + 1; tick < now+wheelSlots; tick++ {
		if w.slots[tick%wheelSlots] != nil {
			return tick
		}
	}
	return now + wheelSlots
}

// close stops the timer; what is parked is ended by its partition.
func (w *wheel) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
