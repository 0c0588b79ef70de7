package node

import (
	"slices"
	"time"
)

// tracker knows when each session is due. Only the leader has one. It is pure: whoever calls
// it says what time it is. Sessions lie in buckets of one tick, as in ZooKeeper: one that is
// not touched ends between its timeout and a tick more after the last touch.
type tracker struct {
	tick     time.Duration
	sessions map[int64]*tracked
	buckets  map[int64]map[int64]*tracked // by the bucket's number, then by session
	checked  int64                        // all buckets up to this one were emptied
}

type tracked struct {
	timeout time.Duration
	bucket  int64
	closing bool // its end is proposed: no touch saves it
}

func newTracker(tick time.Duration, now time.Time) *tracker {
	return &tracker{
		tick: tick, sessions: map[int64]*tracked{}, buckets: map[int64]map[int64]*tracked{},
		checked: now.UnixNano() / int64(tick),
	}
}

// bucketOf is the first bucket that ends after t.
func (t *tracker) bucketOf(at time.Time) int64 { return at.UnixNano()/int64(t.tick) + 1 }

// add starts a session's time anew, whatever was known of it.
func (t *tracker) add(id int64, timeout time.Duration, now time.Time) {
	t.remove(id)
	s := &tracked{timeout: timeout}
	t.sessions[id] = s
	t.place(id, s, now)
}

func (t *tracker) place(id int64, s *tracked, now time.Time) {
	// A clock that went back must not put a session where nobody looks any more.
	s.bucket = max(t.bucketOf(now.Add(s.timeout)), t.checked+1)
	b := t.buckets[s.bucket]
	if b == nil {
		b = map[int64]*tracked{}
		t.buckets[s.bucket] = b
	}
	b[id] = s
}

func (t *tracker) unplace(id int64, s *tracked) {
	b := t.buckets[s.bucket]
	delete(b, id)
	if len(b) == 0 {
		delete(t.buckets, s.bucket)
	}
}

// touch renews a session and tells whether it is alive.
func (t *tracker) touch(id int64, now time.Time) bool {
	s := t.sessions[id]
	if s == nil || s.closing {
		return false
	}
	if bucket := t.bucketOf(now.Add(s.timeout)); bucket > s.bucket {
		t.unplace(id, s)
		t.place(id, s, now)
	}
	return true
}

func (t *tracker) remove(id int64) {
	s := t.sessions[id]
	if s == nil {
		return
	}
	t.unplace(id, s)
	delete(t.sessions, id)
}

// due returns the sessions whose time is over, sorted, each once; they stay in the tracker as
// closing until they are removed.
func (t *tracker) due(now time.Time) []int64 {
	last := now.UnixNano() / int64(t.tick)
	var ids []int64
	take := func(bucket int64) {
		for id, s := range t.buckets[bucket] {
			s.closing = true
			ids = append(ids, id)
		}
		delete(t.buckets, bucket)
	}
	if span := last - t.checked; span > int64(len(t.buckets)) {
		for bucket := range t.buckets {
			if bucket <= last {
				take(bucket)
			}
		}
	} else {
		for bucket := t.checked + 1; bucket <= last; bucket++ {
			take(bucket)
		}
	}
	t.checked = max(t.checked, last)
	slices.Sort(ids)
	return ids
}

// next is the time until the next bucket ends.
func (t *tracker) next(now time.Time) time.Duration {
	return t.tick - time.Duration(now.UnixNano()%int64(t.tick))
}
