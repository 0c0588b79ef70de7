package broker

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/protocol"
)

// TestLatenciesAgainstPrometheus holds the histogram against prometheus' own, with durations
// on, below and above each bound.
func TestLatenciesAgainstPrometheus(t *testing.T) {
	r := testkit.Rand(t)
	var bounds []float64
	for _, b := range latencyBounds {
		bounds = append(bounds, b.Seconds())
	}
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "theirs", Buckets: bounds})
	var ours latencies
	for range 1000 {
		d := latencyBounds[r.IntN(len(latencyBounds))] + time.Duration(r.IntN(3)-1)
		ours.observe(d)
		theirs.Observe(d.Seconds())
	}
	for _, d := range []time.Duration{0, -time.Millisecond, time.Hour} {
		ours.observe(d)
		theirs.Observe(d.Seconds())
	}
	var want dto.Metric
	if err := theirs.Write(&want); err != nil {
		t.Fatal(err)
	}
	count, sumS, upTo := ours.snapshot()
	if count != want.Histogram.GetSampleCount() {
		t.Errorf("%d observations, want %d", count, want.Histogram.GetSampleCount())
	}
	if w := want.Histogram.GetSampleSum(); sumS < w-1e-6 || sumS > w+1e-6 {
		t.Errorf("sum %v s, want %v", sumS, w)
	}
	for _, b := range want.Histogram.Bucket {
		if got := upTo[b.GetUpperBound()]; got != b.GetCumulativeCount() {
			t.Errorf("%d up to %v s, want %d", got, b.GetUpperBound(), b.GetCumulativeCount())
		}
	}
}

// TestVersionsFit: each version that can be asked for has a histogram of its own.
func TestVersionsFit(t *testing.T) {
	for a := range protocol.APIs() {
		if a.Max >= maxVersions {
			t.Errorf("%s has version %d", a.Name, a.Max)
		}
	}
	var v byVersion
	v.of(3).observe(time.Second)
	v.of(4).observe(time.Second)
	v.of(3).observe(time.Second)
	if count, _, _ := v.of(3).snapshot(); count != 2 || v.of(-1) == nil {
		t.Errorf("%d requests of version 3, want 2", count)
	}
}
