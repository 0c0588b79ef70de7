package flush

import "time"

// How long a sync waits for those who were about at the last one. Who was woken takes about
// perWaiter of the processors until it waits again: its answer is sent, and the next request
// made, received and appended.
const (
	perWaiter   = 25 * time.Microsecond
	maxPatience = 3 * time.Millisecond
)

// await waits, before a sync, for the company of those who were woken by the last one. A sync
// costs the same for twenty waiters as for a hundred, and while it runs those who were just
// late for it would make the next one small.
func (s *Syncer) await(l *Log) {
	if !l.expect() {
		return
	}
	for !l.enough() && !s.pressed(l) {
		<-s.wake
	}
	l.begin()
}

// pressed tells whether the syncer has something else to do than to wait for company.
func (s *Syncer) pressed(l *Log) bool {
	if l.failed.Load() != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	others := len(s.queue)
	if l.queued {
		others--
	}
	return others > 0 || s.closing || s.failed != nil
}

// expect tells whether to wait for company, and bounds the time.
func (l *Log) expect() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.company.Enough(len(l.waiters)) {
		l.company.Went(len(l.waiters))
		return false
	}
	l.awaited = true
	patience := min(time.Duration(l.company.About())*perWaiter, maxPatience)
	if l.timer == nil {
		l.timer = l.syncer.opts.Clock.AfterFunc(patience, l.late)
	} else {
		l.timer.Reset(patience)
	}
	return true
}

func (l *Log) late() {
	l.mu.Lock()
	if l.awaited {
		l.company.Late(len(l.waiters))
	}
	l.mu.Unlock()
	l.syncer.signal()
}

func (l *Log) enough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.company.Enough(len(l.waiters))
}

func (l *Log) begin() {
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited = false
	l.company.Went(len(l.waiters))
}
