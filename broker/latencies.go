package broker

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// latencies is a histogram of durations for the hot path: an observation is two atomic
// additions, which prometheus' own, with its exemplars and its sum of floats, is not.
type latencies struct {
	counts [len(latencyBounds) + 1]atomic.Int64
	sumNs  atomic.Int64
}

// latencyBounds are the upper ends of the buckets; what is longer goes to one more.
var latencyBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// observe counts d; most requests take the first bucket or two.
func (l *latencies) observe(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.counts[i].Add(1)
	l.sumNs.Add(int64(d))
}

// snapshot is what was observed: how many in all, the sum in seconds, and how many were not
// longer than each bound in seconds.
func (l *latencies) snapshot() (count uint64, sumS float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(latencyBounds))
	for i := range l.counts {
		count += uint64(l.counts[i].Load())
		if i < len(latencyBounds) {
			upTo[latencyBounds[i].Seconds()] = count
		}
	}
	return count, float64(l.sumNs.Load()) / 1e9, upTo
}

// latencies reports an API's requests and how long they took; of one that was never asked for
// only the number.
func (s scrape) latencies(l *latencies, api string) {
	count, sumS, upTo := l.snapshot()
	s.count(figures.requests, int64(count), api)
	if count > 0 {
		s.ch <- prometheus.MustNewConstHistogram(figures.latency, count, sumS, upTo, api)
	}
}
