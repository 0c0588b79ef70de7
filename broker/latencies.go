package broker

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/protocol"
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

// byVersion has the latencies of one API, apart for each version that was ever asked for.
type byVersion [maxVersions]atomic.Pointer[latencies]

// maxVersions is more than the versions of any API.
const maxVersions = 32

// of is the histogram of a version; versions that are served are all below maxVersions.
func (v *byVersion) of(version int16) *latencies {
	p := &v[uint16(version)%maxVersions]
	if l := p.Load(); l != nil {
		return l
	}
	p.CompareAndSwap(nil, new(latencies))
	return p.Load()
}

// latencies reports an API's requests and how long they took, by version; of one that was
// never asked for only that there were none.
func (s scrape) latencies(v *byVersion, api protocol.API) {
	asked := false
	for i := range v {
		l := v[i].Load()
		if l == nil {
			continue
		}
		asked = true
		version := strconv.Itoa(i)
		count, sumS, upTo := l.snapshot()
		s.count(figures.requests, int64(count), api.Name, version)
		s.ch <- prometheus.MustNewConstHistogram(figures.latency, count, sumS, upTo, api.Name, version)
	}
	if !asked {
		s.count(figures.requests, 0, api.Name, strconv.Itoa(int(api.Max)))
	}
}
