package engine

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// tasks are a store's periodic jobs. Each runs on the clock's goroutine and is armed again
// when it is done, so that it never runs twice at once.
type tasks struct {
	mu      sync.Mutex
	stopped bool
	timers  map[int]clock.Timer
	last    int
	running sync.WaitGroup
}

func (t *tasks) every(c clock.Clock, d time.Duration, f func()) { t.arm(c, d, d, f) }

// once runs f after d, unless the store stops before.
func (t *tasks) once(c clock.Clock, d time.Duration, f func()) { t.arm(c, d, 0, f) }

func (t *tasks) arm(c clock.Clock, first, again time.Duration, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	if t.timers == nil {
		t.timers = make(map[int]clock.Timer)
	}
	t.last++
	id := t.last
	t.timers[id] = c.AfterFunc(first, func() { t.run(id, again, f) })
}

func (t *tasks) run(id int, again time.Duration, f func()) {
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		return
	}
	t.running.Add(1)
	t.mu.Unlock()
	defer t.running.Done()
	f()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
	case again > 0:
		t.timers[id].Reset(again)
	default:
		delete(t.timers, id)
	}
}

// stop waits for jobs that run, and lets none start.
func (t *tasks) stop() {
	t.mu.Lock()
	t.stopped = true
	for _, timer := range t.timers {
		timer.Stop()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// startTasks arms the periodic jobs.
func (s *Store) startTasks() {
	s.every(s.o.CheckpointMs, func() { s.eachDir((*logDir).saveRecoveryPoints) })
	s.every(s.o.StartOffsetCheckpointMs, func() { s.eachDir((*logDir).saveLogStarts) })
	s.every(s.o.HighWatermarkMs, func() { s.eachDir((*logDir).saveHighWatermarks) })
	s.every(s.o.RetentionCheckMs, func() { s.EnforceRetention() })
	s.every(s.o.ProducerExpiryCheckMs, func() {
		for l := range s.Logs() {
			l.expireProducers()
		}
	})
	s.every(s.o.IdleAfterMs/2, s.goIdle)
	s.every(sealedSyncMs, func() {
		for l := range s.Logs() {
			l.syncSealed()
		}
	})
}

// eachDir writes a checkpoint of each directory. A full disk is warned of: the checkpoint
// stays behind, which costs time at the next start and nothing else.
func (s *Store) eachDir(save func(*logDir) error) {
	for _, d := range s.dirs {
		if d.failure() == nil {
			d.bestEffort("checkpoint not written", save(d))
		}
	}
}

// EnforceRetention applies retention to all logs and removes the files and partitions whose
// delay is over. It returns the number of segments that went.
func (s *Store) EnforceRetention() (deleted int) {
	now := s.o.Clock.Now()
	for l := range s.Logs() {
		n, err := l.EnforceRetention(now)
		deleted += n
		if err != nil && l.Failure() == nil {
			s.o.Log.Warn("retention", "partition", l.tp.String(), "error", err)
		}
	}
	for _, d := range s.dirs {
		if d.failure() == nil {
			d.removeDeleted(now)
		}
	}
	return deleted
}

// goIdle lets untouched logs give their files back.
func (s *Store) goIdle() {
	tick := s.tick.Add(1)
	for l := range s.Logs() {
		if err := l.goIdle(tick); err != nil && l.Failure() == nil {
			s.o.Log.Warn("closing an idle log", "partition", l.tp.String(), "error", err)
		}
	}
}
