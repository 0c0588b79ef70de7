package raftlog

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// latch holds the first failure.
type latch struct {
	log    *slog.Logger
	once   sync.Once
	first  atomic.Pointer[FailedError]
	failed chan struct{}
	closed atomic.Bool
}

func newLatch(log *slog.Logger) *latch { return &latch{log: log, failed: make(chan struct{})} }

// check is nil while changes are allowed.
func (l *latch) check() error {
	if err := l.first.Load(); err != nil {
		return err
	}
	if l.closed.Load() {
		return ErrClosed
	}
	return nil
}

// fail keeps err if it is the first, and returns the first.
func (l *latch) fail(op string, err error) error {
	l.once.Do(func() {
		l.first.Store(&FailedError{Op: op, Err: err})
		l.log.Error("raft storage failed: this server must stop", "op", op, "err", err)
		close(l.failed)
	})
	return l.first.Load()
}

// stall watches calls that may hang, one at a time.
type stall struct {
	clock      clock.Clock
	latch      *latch
	warn, give time.Duration

	mu    sync.Mutex
	timer clock.Timer // guarded by mu, as all that follows
	call  uint64      // number of the call that is watched, 0: none
	calls uint64
	late  bool // it was warned of
	op    string
}

// begin starts to watch a call; the result ends it.
func (s *stall) begin(op string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.call, s.op, s.late = s.calls, op, false
	if s.timer == nil {
		s.timer = s.clock.AfterFunc(s.warn, s.tick)
	} else {
		s.timer.Reset(s.warn)
	}
	return s.end
}

func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	if s.late {
		s.latch.log.Warn("the disk answers again", "op", s.op)
	}
	s.call = 0
}

// tick runs when a call has lasted for warn, and again for give. A tick that was under way
// when its call ended may find a younger call: it then comes early by less than warn, and
// only warns.
func (s *stall) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call == 0 {
		return
	}
	if !s.late {
		s.late = true
		s.latch.log.Warn("the disk does not answer", "op", s.op, "after", s.warn, "gives up after", s.give)
		s.timer.Reset(s.give - s.warn)
		return
	}
	_ = s.latch.fail(s.op, &StalledError{After: s.give}) // who waits finds it in the latch
}
