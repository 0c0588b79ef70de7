package flush

import (
	"container/heap"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/seededbug"
)

// Syncer is the group commit of one log directory.
type Syncer struct {
	opts Options

	mu        sync.Mutex
	queue     []*Log // logs that want a sync, each at most once
	deadlines deadlineHeap
	timer     clock.Timer
	failed    error // set once
	closing   bool

	wake chan struct{} // capacity 1
	done chan struct{}

	syncs atomic.Int64
}

// New starts a syncer. Close must be called.
func New(o Options) *Syncer {
	s := &Syncer{opts: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// Syncs counts the syncs done so far, for metrics and tests.
func (s *Syncer) Syncs() int64 { return s.syncs.Load() }

// Fail takes the syncer out of service: every waiter, present and future, gets err.
func (s *Syncer) Fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.mu.Unlock()
	s.signal()
}

// Close serves what is queued, then stops the goroutine. Waiters that come later get
// ErrClosed.
func (s *Syncer) Close() {
	s.mu.Lock()
	s.closing = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, d := range s.deadlines {
		if d.log.retrying {
			s.queueLocked(d.log)
		}
	}
	s.mu.Unlock()
	s.signal()
	<-s.done
}

func (s *Syncer) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Syncer) run() {
	defer close(s.done)
	for {
		l := s.next()
		if l == nil {
			if s.idle() {
				return
			}
			<-s.wake
			continue
		}
		s.await(l)
		s.serve(l)
	}
}

// next takes the log that has waited longest; nil when none wants a sync.
func (s *Syncer) next() *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireDeadlinesLocked()
	if len(s.queue) == 0 {
		return nil
	}
	l := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	l.queued = false
	return l
}

// idle tells, with nothing queued, whether the goroutine may end.
func (s *Syncer) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && len(s.queue) == 0
}

func (s *Syncer) serve(l *Log) {
	if err := l.failure(); err != nil {
		l.failAll(err)
		return
	}
	sealed := l.sealed.Swap(0)
	all := l.wantsSync()
	if !all && sealed == 0 {
		l.wakeBelow(l.target.SyncedOffset())
		return
	}
	if seededbug.On(seededbug.AckBeforeSync) {
		l.wakeAll()
	}
	var upTo int64
	var err error
	if all {
		upTo, err = l.target.SyncLog()
	} else {
		upTo, err = l.target.SyncSealed(sealed)
	}
	s.syncs.Add(1)
	if later, ok := errors.AsType[*LaterError](err); ok {
		s.retry(l, later.Err)
		return
	}
	if err != nil {
		s.fail(l, err)
		return
	}
	l.wakeBelow(upTo)
}

func (s *Syncer) fail(l *Log, err error) {
	var own *LogError
	if errors.As(err, &own) {
		l.Fail(own.Err)
		return
	}
	if s.opts.OnFailure != nil && s.failure() == nil {
		err = s.opts.OnFailure(err)
	}
	s.Fail(err)
	l.failAll(s.failure())
}

// retryAfter is when a sync is tried again that could not be begun.
const retryAfter = 50 * time.Millisecond

// retry serves l once more after a while. Who waits goes on waiting, unless this is the end.
func (s *Syncer) retry(l *Log, err error) {
	now := s.opts.Clock.Now()
	s.mu.Lock()
	closing := s.closing
	if !closing && !l.retrying {
		l.retrying = true
		s.pushLocked(deadline{at: now.Add(retryAfter), log: l}, now)
	}
	s.mu.Unlock()
	if closing {
		l.failAll(err)
	}
}

func (s *Syncer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// enqueue asks for a sync of l. It reports why it cannot be.
func (s *Syncer) enqueue(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return s.failed
	case s.closing:
		return ErrClosed
	}
	if !l.queued {
		s.queueLocked(l)
		s.signal()
	}
	return nil
}

func (s *Syncer) queueLocked(l *Log) {
	if !l.queued {
		l.queued = true
		s.queue = append(s.queue, l)
	}
}

// schedule asks for a sync of l at the latest after d. A log has one deadline at a time.
func (s *Syncer) schedule(l *Log, d time.Duration) {
	now := s.opts.Clock.Now()
	at := now.Add(d)
	if tick := s.opts.DeadlineTick; tick > 0 {
		if rest := at.UnixNano() % int64(tick); rest != 0 {
			at = at.Add(tick - time.Duration(rest))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.failed != nil {
		return
	}
	s.pushLocked(deadline{at: at, log: l}, now)
}

func (s *Syncer) pushLocked(d deadline, now time.Time) {
	heap.Push(&s.deadlines, d)
	if s.deadlines[0] == d {
		s.armLocked(d.at.Sub(now))
	}
}

func (s *Syncer) armLocked(d time.Duration) {
	if s.timer == nil {
		s.timer = s.opts.Clock.AfterFunc(d, s.signal)
		return
	}
	s.timer.Reset(d)
}

// expireDeadlinesLocked queues the logs whose time has come.
func (s *Syncer) expireDeadlinesLocked() {
	if len(s.deadlines) == 0 || s.closing {
		return
	}
	now := s.opts.Clock.Now()
	for len(s.deadlines) > 0 && !s.deadlines[0].at.After(now) {
		l := heap.Pop(&s.deadlines).(deadline).log
		l.armed.Store(false)
		l.requested.Store(true)
		l.retrying = false
		s.queueLocked(l)
	}
	if len(s.deadlines) > 0 {
		s.armLocked(s.deadlines[0].at.Sub(now))
	}
}

type deadline struct {
	at  time.Time
	log *Log
}

type deadlineHeap []deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlineHeap) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlineHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = deadline{}
	*h = old[:len(old)-1]
	return last
}
