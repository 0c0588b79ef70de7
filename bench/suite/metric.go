package suite

import (
	"slices"

	"github.com/millrace/millrace/bench/result"
)

// Metric is one figure of a run: what goals and comparisons are about.
type Metric struct {
	Name   string
	Higher bool                                  // is better
	Of     func(r *result.Run) (float64, bool)   // false: the run has no such figure
	Floor  func(f *result.Floor) (float64, bool) // of a floor; nil: floors have none
}

// The names of metrics that goals refer to.
const (
	MetricRecordsPerS    = "records/s"
	MetricMBPerS         = "MB/s"
	MetricRequestsPerS   = "requests/s"
	MetricCPUPerGB       = "broker CPU s/GB"
	MetricCPUPerMRecords = "broker CPU s/M records"
	MetricCPUPerRequest  = "broker CPU us/request"
	MetricCores          = "broker cores"
	MetricP50            = "p50 ms"
	MetricP99            = "p99 ms"
	MetricP999           = "p99.9 ms"
	MetricRSS            = "RSS anonymous MiB"
	MetricSyscalls       = "system calls/request"
	MetricAllocs         = "allocations/request"
	MetricAllocsRecord   = "allocations/record"
)

// Metrics returns all of them, most important first.
func Metrics() []Metric {
	return append([]Metric{
		{MetricRecordsPerS, true, of(func(r *result.Run) float64 { return r.RecordsPerS }), nil},
		{MetricMBPerS, true, of(func(r *result.Run) float64 { return r.MBPerS }), ofFloor(func(f *result.Floor) float64 { return f.MBPerS })},
		{MetricRequestsPerS, true, of(func(r *result.Run) float64 { return r.RequestsPerS }), ofFloor(func(f *result.Floor) float64 { return f.UnitsPerS })},
		{MetricCPUPerGB, false, ofCost(func(c *result.Cost) float64 { return c.CPUPerGB }), ofFloor(func(f *result.Floor) float64 { return f.CPUPerGB })},
		{MetricCPUPerMRecords, false, ofCost(func(c *result.Cost) float64 { return c.CPUPerMRecords }), nil},
		{MetricCPUPerRequest, false, ofCost(func(c *result.Cost) float64 { return c.CPUPerRequestUs }), ofFloor(func(f *result.Floor) float64 { return f.CPUPerUnitUs })},
		{MetricP50, false, ofLatency(func(l *result.Latency) float64 { return l.P50Ms }), nil},
		{MetricP99, false, ofLatency(func(l *result.Latency) float64 { return l.P99Ms }), nil},
		{MetricP999, false, ofLatency(func(l *result.Latency) float64 { return l.P999Ms }), nil},
		{MetricRSS, false, ofCost(func(c *result.Cost) float64 { return float64(c.RSSAnonBytes) / mib }), nil},
		{MetricCores, false, ofCost(func(c *result.Cost) float64 { return c.Cores }), nil},
		{MetricSyscalls, false, ofCost(func(c *result.Cost) float64 { return c.SyscallsPerRequest }), nil},
	}, allocationMetrics()...)
}

// allocationMetrics may well be zero, so that zero is a figure here.
func allocationMetrics() []Metric {
	known := func(f func(c *result.Cost) float64) func(r *result.Run) (float64, bool) {
		return func(r *result.Run) (float64, bool) {
			if r.Broker == nil || !r.Broker.AllocsKnown {
				return 0, false
			}
			return f(r.Broker), true
		}
	}
	return []Metric{
		{MetricAllocs, false, known(func(c *result.Cost) float64 { return c.AllocsPerRequest }), nil},
		{MetricAllocsRecord, false, known(func(c *result.Cost) float64 { return c.AllocsPerRecord }), nil},
	}
}

func of(f func(r *result.Run) float64) func(r *result.Run) (float64, bool) {
	return func(r *result.Run) (float64, bool) { v := f(r); return v, v > 0 }
}

func ofFloor(f func(f *result.Floor) float64) func(f *result.Floor) (float64, bool) {
	return func(fl *result.Floor) (float64, bool) { v := f(fl); return v, v > 0 }
}

func ofCost(f func(c *result.Cost) float64) func(r *result.Run) (float64, bool) {
	return func(r *result.Run) (float64, bool) {
		if r.Broker == nil {
			return 0, false
		}
		v := f(r.Broker)
		return v, v > 0
	}
}

// ofLatency takes the latency from the intended send time, and of a closed loop, which has
// no intended times, that from the send.
func ofLatency(f func(l *result.Latency) float64) func(r *result.Run) (float64, bool) {
	return func(r *result.Run) (float64, bool) {
		l := r.Latency
		if l == nil {
			l = r.Uncorrected
		}
		if l == nil {
			return 0, false
		}
		v := f(l)
		return v, v > 0
	}
}

func metricNamed(name string) (Metric, bool) {
	all := Metrics()
	i := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return all[i], true
}

// perUnit is the metric by which a scenario's CPU is compared with its floor's.
func (s Scenario) perUnit() Metric {
	name := MetricCPUPerGB
	if s.Per == PerRequest {
		name = MetricCPUPerRequest
	}
	m, _ := metricNamed(name)
	return m
}

// Median of a list; the mean of the two in the middle when they are even, 0 of none.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	switch n := len(s); {
	case n == 0:
		return 0
	case n%2 == 0:
		return (s[n/2-1] + s[n/2]) / 2
	default:
		return s[n/2]
	}
}
