package flush

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// disk is a Target whose syncs a test holds up and fails.
type disk struct {
	end, synced atomic.Int64
	hold        chan struct{} // a sync takes one from it, when set
	started     chan struct{} // gets one for each sync, when set
	err         atomic.Pointer[error]
	syncs       atomic.Int64
}

func (d *disk) SyncedOffset() int64 { return d.synced.Load() }

func (d *disk) SyncLog() (int64, error) {
	upTo := d.end.Load()
	d.syncs.Add(1)
	if d.started != nil {
		d.started <- struct{}{}
	}
	if d.hold != nil {
		<-d.hold
	}
	if p := d.err.Load(); p != nil {
		return d.synced.Load(), *p
	}
	d.synced.Store(upTo)
	return upTo, nil
}

// SyncSealed implements Target: it syncs what is asked for and no more.
func (d *disk) SyncSealed(below int64) (int64, error) {
	d.syncs.Add(1)
	d.synced.Store(max(d.synced.Load(), below))
	return below, nil
}

type result chan error

func (r result) Synced(err error) { r <- err }

func newSyncer(t *testing.T, o Options) *Syncer {
	if o.Clock == nil {
		o.Clock = testkit.NewClock(time.UnixMilli(0))
	}
	s := New(o)
	t.Cleanup(s.Close)
	return s
}

func TestWaitersShareASync(t *testing.T) {
	d := &disk{hold: make(chan struct{}), started: make(chan struct{}, 10)}
	l := newSyncer(t, Options{}).NewLog(d)
	d.end.Store(1)
	first := make(result, 1)
	l.WhenSynced(1, first)
	<-d.started // the first sync runs; all that come now share the next
	const waiters = 1000
	rest := make(result, waiters)
	for i := range int64(waiters) {
		d.end.Store(2 + i)
		l.WhenSynced(2+i, rest)
	}
	d.hold <- struct{}{}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if len(rest) > 0 {
		t.Fatal("a waiter was told before its sync")
	}
	<-d.started
	d.hold <- struct{}{}
	for range waiters {
		if err := <-rest; err != nil {
			t.Fatal(err)
		}
	}
	if n := d.syncs.Load(); n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
	done := make(result, 1)
	if l.WhenSynced(500, done); len(done) != 1 {
		t.Error("what is durable already had to wait")
	}
}

func TestAWaiterIsNotToldBeforeTheSync(t *testing.T) {
	d := &disk{hold: make(chan struct{}), started: make(chan struct{}, 10)}
	l := newSyncer(t, Options{}).NewLog(d)
	d.end.Store(1)
	done := make(result, 1)
	l.WhenSynced(1, done)
	<-d.started
	if len(done) > 0 {
		t.Error("told before the sync was done")
	}
	d.hold <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAFailedSyncIsFinal(t *testing.T) {
	broken, wrapped := errors.New("broken"), errors.New("offline")
	told := 0
	d, other := &disk{}, &disk{}
	s := newSyncer(t, Options{OnFailure: func(err error) error {
		if err != broken {
			t.Error(err)
		}
		told++
		return wrapped
	}})
	l, l2 := s.NewLog(d), s.NewLog(other)
	d.end.Store(5)
	other.end.Store(5)
	d.err.Store(&broken)
	done := make(result, 3)
	l.WhenSynced(5, done)
	if err := <-done; err != wrapped {
		t.Error(err)
	}
	l.WhenSynced(5, done)
	l2.WhenSynced(5, done)
	for range 2 {
		if err := <-done; err != wrapped {
			t.Error(err)
		}
	}
	if d.syncs.Load() != 1 || other.syncs.Load() != 0 || told != 1 {
		t.Errorf("%d and %d syncs, told %d times", d.syncs.Load(), other.syncs.Load(), told)
	}
}

func TestALogsOwnFailureSparesTheOthers(t *testing.T) {
	var own error = &LogError{Err: errors.New("deleted")}
	d, other := &disk{}, &disk{}
	s := newSyncer(t, Options{OnFailure: func(err error) error { t.Error(err); return err }})
	l, l2 := s.NewLog(d), s.NewLog(other)
	d.end.Store(1)
	other.end.Store(1)
	d.err.Store(&own)
	done := make(result, 1)
	l.WhenSynced(1, done)
	if err := <-done; err == nil || err.Error() != "deleted" {
		t.Error(err)
	}
	l.WhenSynced(1, done)
	if err := <-done; err == nil || err.Error() != "deleted" {
		t.Error(err)
	}
	l2.WhenSynced(1, done)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeadlines(t *testing.T) {
	c := testkit.NewClock(time.UnixMilli(1000))
	d := &disk{started: make(chan struct{}, 10)}
	l := newSyncer(t, Options{Clock: c, DeadlineTick: time.Second}).NewLog(d)
	d.end.Store(1)
	l.Within(100 * time.Millisecond)
	l.Within(time.Millisecond) // one is pending already
	c.Advance(999 * time.Millisecond)
	if d.syncs.Load() != 0 {
		t.Fatal("synced before the tick")
	}
	c.Advance(time.Millisecond)
	<-d.started
	d.end.Store(2)
	l.Within(100 * time.Millisecond)
	c.Advance(time.Second)
	<-d.started
	testkit.WaitFor(t, "the second sync", func() bool { return d.synced.Load() == 2 })
}

func TestCloseServesWhoWaits(t *testing.T) {
	d := &disk{}
	s := New(Options{Clock: testkit.NewClock(time.UnixMilli(0))})
	l := s.NewLog(d)
	d.end.Store(3)
	done := make(result, 2)
	l.WhenSynced(3, done)
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.WhenSynced(4, done)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestEveryWaiterIsToldOnce appends and waits from many goroutines, in no order.
func TestEveryWaiterIsToldOnce(t *testing.T) {
	d := &disk{}
	l := newSyncer(t, Options{}).NewLog(d)
	rng := testkit.Rand(t)
	var wg sync.WaitGroup
	for range 8 {
		back := rng.Int64N(20)
		wg.Go(func() {
			for range 500 {
				offset := max(d.end.Add(1)-back, 1)
				done := make(result, 2)
				l.WhenSynced(offset, done)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if d.synced.Load() < offset || len(done) > 0 {
					t.Error("told too early, or twice")
				}
			}
		})
	}
	wg.Wait()
}

// TestSealedSegmentsAreSyncedApart: a sync of what is sealed tells those that it covers, and
// leaves the rest to a sync of its own.
func TestSealedSegmentsAreSyncedApart(t *testing.T) {
	d := &disk{}
	l := newSyncer(t, Options{}).NewLog(d)
	d.end.Store(9)
	l.RequestSealed(4)
	testkit.WaitFor(t, "the sync of sealed segments", func() bool { return d.synced.Load() > 0 })
	if got := d.synced.Load(); got != 4 {
		t.Errorf("synced below %d, want 4", got)
	}
	done := make(result, 1)
	l.WhenSynced(9, done)
	if err := <-done; err != nil || d.synced.Load() != 9 {
		t.Errorf("synced below %d, %v; want 9", d.synced.Load(), err)
	}
}
