package quota

import (
	"math"
	"time"
)

// Window is what a rate is measured over: so many samples, each of so many milliseconds.
type Window struct {
	Samples  int
	SampleMs int64
}

func (w Window) totalMs() int64 { return int64(w.Samples) * w.SampleMs }

// rate is Kafka's Rate over a WindowedSum. Times are milliseconds of a clock that does not
// go back.
type rate struct {
	samples []sample
	current int
}

type sample struct {
	startMs, lastMs int64
	sum             float64
}

func (r *rate) record(w Window, value float64, nowMs int64) {
	if len(r.samples) == 0 {
		r.samples = append(r.samples, sample{startMs: nowMs, lastMs: nowMs})
	}
	s := &r.samples[r.current]
	if nowMs-s.startMs >= w.SampleMs {
		// One sample more than the window has, for the one that overlaps its beginning.
		r.current = (r.current + 1) % (w.Samples + 1)
		if r.current >= len(r.samples) {
			r.samples = append(r.samples, sample{})
		}
		s = &r.samples[r.current]
		*s = sample{startMs: nowMs}
	}
	s.sum += value
	s.lastMs = nowMs
}

// measure returns the rate by the second and the time that it was taken over.
func (r *rate) measure(w Window, nowMs int64) (perSecond float64, overMs int64) {
	sum, oldestMs := 0.0, nowMs
	for i := range r.samples {
		s := &r.samples[i]
		if nowMs-s.lastMs >= w.totalMs() {
			*s = sample{startMs: nowMs, lastMs: nowMs}
		}
		sum += s.sum
		oldestMs = min(oldestMs, s.startMs)
	}
	overMs = nowMs - oldestMs
	if lived := overMs / w.SampleMs; lived < int64(w.Samples-1) {
		overMs += (int64(w.Samples-1) - lived) * w.SampleMs
	}
	overMs = max(overMs, 1)
	return sum / (float64(overMs) / 1000), overMs
}

// throttle is how long nothing may be recorded for the rate to come down to bound.
func (r *rate) throttle(w Window, bound float64, nowMs int64) time.Duration {
	value, overMs := r.measure(w, nowMs)
	if value <= bound {
		return 0
	}
	return millis((value - bound) / bound * float64(overMs))
}

// bucket is Kafka's TokenBucket. It starts full.
type bucket struct {
	perSecond, burst float64 // as of the last refill; zero before the first
	tokens           float64
	lastMs           int64
}

func (b *bucket) refill(w Window, perSecond float64, nowMs int64) {
	burst := float64(w.Samples) * float64(w.SampleMs) / 1000 * perSecond
	if b.burst == 0 {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+perSecond*float64(nowMs-b.lastMs)/1000)
	}
	b.perSecond, b.burst, b.lastMs = perSecond, burst, nowMs
}

// full tells whether the bucket says nothing of the past.
func (b *bucket) full(nowMs int64) bool {
	return b.tokens+b.perSecond*float64(nowMs-b.lastMs)/1000 >= b.burst
}

// throttle is how long it takes until there is no debt.
func (b *bucket) throttle(perSecond float64) time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	return millis(-b.tokens / perSecond * 1000)
}

// millis rounds as Java's Math.round, and bounds to what a reply can say.
func millis(ms float64) time.Duration {
	return time.Duration(min(math.Floor(ms+0.5), math.MaxInt32)) * time.Millisecond
}
