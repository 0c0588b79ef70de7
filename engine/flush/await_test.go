package flush

import (
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

// crowd is a log with n waiters that a sync has just woken, on a clock that stands still.
type crowd struct {
	*Log
	t     *testing.T
	s     *Syncer
	d     *disk
	clock *testkit.Clock
	next  int64
}

func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	clock := testkit.NewClock(time.UnixMilli(0))
	d := &disk{hold: make(chan struct{}), started: make(chan struct{}, 10)}
	s := newSyncer(t, Options{Clock: clock})
	c := &crowd{Log: s.NewLog(d), t: t, s: s, d: d, clock: clock}
	first := c.add(1)
	<-d.started
	rest := c.add(n - 1) // they have to share the next one
	d.hold <- struct{}{}
	c.expect(first, 1)
	<-d.started
	d.hold <- struct{}{}
	c.expect(rest, n-1)
	return c
}

func (c *crowd) add(n int) result {
	told := make(result, n)
	for range n {
		c.next++
		c.d.end.Store(c.next)
		c.WhenSynced(c.next, told)
	}
	return told
}

func (c *crowd) expect(told result, n int) {
	c.t.Helper()
	for range n {
		if err := <-told; err != nil {
			c.t.Error(err)
		}
	}
}

// waits returns once the syncer waits for company, or begins a sync, and tells which.
func (c *crowd) waits() bool {
	c.t.Helper()
	waits := false
	testkit.WaitFor(c.t, "the syncer's decision", func() bool {
		c.mu.Lock()
		waits = c.awaited
		c.mu.Unlock()
		return waits || len(c.d.started) > 0
	})
	return waits
}

// finish lets the one sync that begins end, and expects all to be told: they must have been
// there when it began.
func (c *crowd) finish(told result) {
	c.t.Helper()
	<-c.d.started
	c.d.hold <- struct{}{}
	c.expect(told, cap(told))
}

func TestASyncWaitsForThoseWhoWereAbout(t *testing.T) {
	c := newCrowd(t, 64)
	first := c.add(40)
	if !c.waits() {
		t.Fatal("the sync does not wait for the others")
	}
	rest := c.add(16) // seven eighths of 63 are there with the last of these
	<-c.d.started
	c.d.hold <- struct{}{}
	c.expect(first, 40)
	c.expect(rest, 16)
	if n := c.d.syncs.Load(); n != 3 {
		t.Errorf("%d syncs, want 3", n)
	}
}

func TestASyncWaitsForABoundedTime(t *testing.T) {
	c := newCrowd(t, 1000)
	told := c.add(5)
	if !c.waits() {
		t.Fatal("the sync does not wait for the others")
	}
	c.clock.Advance(maxPatience)
	c.finish(told)
	told = c.add(1)
	if c.waits() {
		t.Error("who did not come back is waited for again")
	}
	c.finish(told)
}

func TestFewAreNotWaitedFor(t *testing.T) {
	c := newCrowd(t, 5)
	told := c.add(1)
	if c.waits() {
		t.Error("the sync waits for four others")
	}
	c.finish(told)
}

// TestWhoElseNeedsTheSyncerEndsTheWait: another log, the log's own failure, the end.
func TestWhoElseNeedsTheSyncerEndsTheWait(t *testing.T) {
	t.Run("another log", func(t *testing.T) {
		c := newCrowd(t, 64)
		told := c.add(5)
		if !c.waits() {
			t.Fatal("the sync does not wait")
		}
		other := &disk{}
		other.end.Store(1)
		done := make(result, 1)
		c.s.NewLog(other).WhenSynced(1, done)
		c.finish(told)
		c.expect(done, 1)
	})
	t.Run("failure", func(t *testing.T) {
		c := newCrowd(t, 64)
		told := c.add(5)
		if !c.waits() {
			t.Fatal("the sync does not wait")
		}
		c.Fail(ErrClosed)
		for range 5 {
			if err := <-told; err != ErrClosed {
				t.Error(err)
			}
		}
	})
	t.Run("close", func(t *testing.T) {
		c := newCrowd(t, 64)
		told := c.add(5)
		if !c.waits() {
			t.Fatal("the sync does not wait")
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			c.s.Close()
		}()
		c.finish(told)
		<-closed
	})
}
