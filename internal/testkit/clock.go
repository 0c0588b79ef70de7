package testkit

import (
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// Clock is a clock.Clock that moves only in Advance and Set. The zero value is not
// ready; NewClock makes one.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	seq    int64
	timers []*fakeTimer // pending, in no order
}

var _ clock.Clock = (*Clock)(nil)

// NewClock starts at the given time.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now implements clock.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements clock.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &fakeTimer{clock: c, f: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.armLocked(d)
	return t
}

// Advance moves the clock by d. What becomes due runs in its own goroutine, one after
// the other in order of time, with the clock at the time that it was due; Advance
// returns when all of it has returned. So f must not wait for a later Advance.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	until := c.now.Add(d)
	c.mu.Unlock()
	for {
		t := c.next(until)
		if t == nil {
			break
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			t.f()
		}()
		<-done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = until
}

// Set steps the clock, backwards too, without running anything.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Pending counts the armed timers.
func (c *Clock) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// next takes the first timer that is due until the given time and moves the clock to it.
func (c *Clock) next(until time.Time) *fakeTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *fakeTimer
	for _, t := range c.timers {
		if t.due.After(until) {
			continue
		}
		if first == nil || t.due.Before(first.due) || t.due.Equal(first.due) && t.seq < first.seq {
			first = t
		}
	}
	if first == nil {
		return nil
	}
	first.disarmLocked()
	if first.due.After(c.now) {
		c.now = first.due
	}
	return first
}

type fakeTimer struct {
	clock *Clock
	f     func()
	due   time.Time // guarded by clock.mu, as seq
	seq   int64     // order among timers that are due at once
}

func (t *fakeTimer) armLocked(d time.Duration) {
	t.clock.seq++
	t.due, t.seq = t.clock.now.Add(max(d, 0)), t.clock.seq
	t.clock.timers = append(t.clock.timers, t)
}

func (t *fakeTimer) disarmLocked() bool {
	i := slices.Index(t.clock.timers, t)
	if i < 0 {
		return false
	}
	t.clock.timers = slices.Delete(t.clock.timers, i, i+1)
	return true
}

// Stop implements clock.Timer.
func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.disarmLocked()
}

// Reset implements clock.Timer.
func (t *fakeTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.disarmLocked()
	t.armLocked(d)
	return was
}
