package hist

import "sync"

// Recorder collects from many goroutines without making them wait for each other: each
// records into a Shard of its own. One goroutine at a time reads.
type Recorder struct {
	mu     sync.Mutex // shards, total, spare: one reader, and shards that come later
	shards []*Shard
	total  *Histogram
	spare  *Histogram // empty, to be handed to a shard in exchange for its full one
}

// NewRecorder returns a Recorder without shards.
func NewRecorder() *Recorder { return &Recorder{total: New(), spare: New()} }

// Shard returns a new place to record, for one goroutine. What it holds stays with the
// Recorder also when its goroutine has ended.
func (r *Recorder) Shard() *Shard {
	s := &Shard{h: New()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shards = append(r.shards, s)
	return s
}

// Interval returns what was recorded since the last call, or since Reset. The result
// belongs to the caller.
func (r *Recorder) Interval() *Histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.interval()
}

// Total returns everything recorded so far, or since Reset. The result belongs to the
// caller; the next Interval has the same as without this call.
func (r *Recorder) Total() *Histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := New()
	t.Merge(r.total)
	for _, s := range r.shards {
		s.mu.Lock()
		t.Merge(s.h)
		s.mu.Unlock()
	}
	return t
}

// Reset forgets everything, as at the end of a warm-up.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interval()
	r.total.Reset()
}

func (r *Recorder) interval() *Histogram {
	out := New()
	for _, s := range r.shards {
		full := s.swap(r.spare)
		if full == nil {
			continue
		}
		out.Merge(full)
		full.Reset()
		r.spare = full
	}
	r.total.Merge(out)
	return out
}

// Shard is one goroutine's part of a Recorder. Its lock is taken by others only to exchange
// a pointer or to copy it, so that recording costs about 20 ns.
type Shard struct {
	mu sync.Mutex
	h  *Histogram
	_  [64]byte // keeps shards of different goroutines on different cache lines
}

// Record counts one duration in nanoseconds.
func (s *Shard) Record(ns int64) { s.RecordN(ns, 1) }

// RecordN counts n equal durations in nanoseconds.
func (s *Shard) RecordN(ns, n int64) {
	s.mu.Lock()
	s.h.RecordN(ns, n)
	s.mu.Unlock()
}

// swap gives the shard h and returns what it had; nil, and no exchange, when that is empty.
func (s *Shard) swap(h *Histogram) *Histogram {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.h
	if full.Count() == 0 {
		return nil
	}
	s.h = h
	return full
}
