package flush

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/company"
)

// Log is one partition's queue of waiters.
type Log struct {
	syncer *Syncer
	target Target
	failed atomic.Pointer[error] // this log's own failure

	queued    bool        // in syncer.queue; guarded by syncer.mu
	retrying  bool        // a deadline is there for a sync that could not begin; by syncer.mu
	armed     atomic.Bool // has a deadline
	requested atomic.Bool // a sync is wanted whether or not somebody waits
	// sealed is the offset below which segments are complete and to be synced; 0: none are.
	sealed atomic.Int64

	mu      sync.Mutex
	waiters []waiting // by offset
	spare   []waiting // an empty one for when all waiters are taken
	company company.Company
	awaited bool        // the syncer waits until there are enough
	timer   clock.Timer // for how long it does; nil before the first time
}

type waiting struct {
	offset int64
	w      Waiter
}

// NewLog makes the queue of one partition.
func (s *Syncer) NewLog(t Target) *Log { return &Log{syncer: s, target: t} }

// WhenSynced calls w.Synced(nil) when everything below offset is durable, which may be at
// once, or w.Synced(err) when that cannot be reached any more.
func (l *Log) WhenSynced(offset int64, w Waiter) {
	if l.target.SyncedOffset() >= offset {
		w.Synced(nil)
		return
	}
	l.mu.Lock()
	if n := len(l.waiters); n == 0 || l.waiters[n-1].offset <= offset {
		l.waiters = append(l.waiters, waiting{offset, w})
	} else {
		i := sort.Search(n, func(i int) bool { return l.waiters[i].offset > offset })
		l.waiters = slices.Insert(l.waiters, i, waiting{offset, w})
	}
	last := l.awaited && l.company.Enough(len(l.waiters))
	l.mu.Unlock()
	l.enqueue()
	if last {
		l.syncer.signal()
	}
}

func (l *Log) enqueue() {
	err := l.syncer.enqueue(l)
	if p := l.failed.Load(); p != nil {
		err = *p
	}
	if err != nil {
		l.failAll(err)
	}
}

// Request asks for a sync that nobody waits for.
func (l *Log) Request() {
	l.requested.Store(true)
	l.syncer.enqueue(l)
}

// RequestSealed asks for a sync, that nobody waits for, of the segments that were complete
// before an offset.
func (l *Log) RequestSealed(below int64) {
	l.sealed.Store(below)
	l.syncer.enqueue(l)
}

// Within asks for a sync at the latest after d (flush.ms). While such a deadline is
// pending, further calls cost one load and change nothing.
func (l *Log) Within(d time.Duration) {
	if !l.armed.Load() && l.armed.CompareAndSwap(false, true) {
		l.syncer.schedule(l, d)
	}
}

// wantsSync tells whether a sync would serve somebody, and takes the request.
func (l *Log) wantsSync() bool {
	requested := l.requested.Swap(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.waiters); n > 0 && l.waiters[n-1].offset > l.target.SyncedOffset() {
		return true
	}
	return requested
}

func (l *Log) wakeBelow(upTo int64) {
	l.mu.Lock()
	n := sort.Search(len(l.waiters), func(i int) bool { return l.waiters[i].offset > upTo })
	ready := l.take(n)
	left := len(l.waiters) > 0
	if n > 0 {
		l.company.Answered(n + len(l.waiters))
	}
	l.mu.Unlock()
	for _, r := range ready {
		r.w.Synced(nil)
	}
	if left {
		l.enqueue()
		return
	}
	// The slice serves again: with many waiters a sync, a new one would grow each time.
	clear(ready)
	if cap(ready) <= keepWaiters {
		l.mu.Lock()
		l.spare = ready[:0]
		l.mu.Unlock()
	}
}

// keepWaiters is the longest slice that a log keeps for its next waiters.
const keepWaiters = 1024

func (l *Log) wakeAll() {
	l.mu.Lock()
	ready := l.take(len(l.waiters))
	l.mu.Unlock()
	for _, r := range ready {
		r.w.Synced(nil)
	}
}

func (l *Log) failAll(err error) {
	l.mu.Lock()
	ready := l.take(len(l.waiters))
	l.mu.Unlock()
	for _, r := range ready {
		r.w.Synced(err)
	}
}

// take cuts the first n waiters off. When all go, so does the slice: the waiters may be
// called without a lock while new ones queue up.
func (l *Log) take(n int) []waiting {
	ready := l.waiters[:n]
	if n == len(l.waiters) {
		l.waiters, l.spare = l.spare, nil
	} else {
		l.waiters = append([]waiting(nil), l.waiters[n:]...)
	}
	return ready
}

// Fail takes this log out of service: everybody who waits, or will, gets err. The waiters are
// called from the syncer goroutine, so that the caller may hold locks.
func (l *Log) Fail(err error) {
	l.failed.CompareAndSwap(nil, &err)
	s := l.syncer
	s.mu.Lock()
	late := s.closing
	if !late {
		s.queueLocked(l)
	}
	s.mu.Unlock()
	if late {
		l.failAll(err)
		return
	}
	s.signal()
}

func (l *Log) failure() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return l.syncer.failure()
}
