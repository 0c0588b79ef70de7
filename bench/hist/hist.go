// Package hist measures durations: HdrHistogram with nanoseconds in and three significant
// digits from 1 us to 10 min, and a Recorder that many goroutines fill while one reads.
//
// Invariants:
//   - A value is never lost: below 0 it counts as 0, above Highest as Highest, and Clamped
//     says how often that was.
//   - All histograms have one geometry, so that any two merge without loss; one that was
//     read from another program's text is moved into it.
//   - Record takes no memory.
//
// The drivers of bench record here and hand Latency to bench/result; bench/report reads it
// back with FromLatency. The counting, the coding and the text form are those of
// github.com/HdrHistogram/hdrhistogram-go.
package hist

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/bench/result"
)

// Highest is the largest duration that is told apart: 10 minutes, in nanoseconds.
const Highest = int64(10 * time.Minute)

// lowest is 1 ns: with 2048 steps to a bucket every value up to 2 us is then exact, and
// three digits hold from there up.
const (
	lowest = 1
	digits = 3
)

// Histogram is a distribution of durations. It is not safe for concurrent use.
type Histogram struct {
	h       *hdrhistogram.Histogram
	clamped int64
}

// New returns an empty histogram; it takes 256 KiB.
func New() *Histogram { return &Histogram{h: hdrhistogram.New(lowest, Highest, digits)} }

// Record counts one duration in nanoseconds.
func (h *Histogram) Record(ns int64) { h.RecordN(ns, 1) }

// RecordN counts n equal durations in nanoseconds; n below 1 counts nothing.
func (h *Histogram) RecordN(ns, n int64) {
	if n <= 0 {
		return
	}
	if ns < 0 || ns > Highest {
		ns = min(max(ns, 0), Highest)
		h.clamped += n
	}
	// The value is in range; what is left is a total above 2^63, some thousand years of load.
	_ = h.h.RecordValues(ns, n)
}

// Merge adds what o holds; o stays as it is.
func (h *Histogram) Merge(o *Histogram) {
	h.h.Merge(o.h)
	h.clamped += o.clamped
}

// Reset empties h.
func (h *Histogram) Reset() {
	h.h.Reset()
	h.clamped = 0
}

// Count is how many durations were recorded.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Clamped is how many of them were outside 0..Highest and count as the nearer end. It does
// not travel in a Latency.
func (h *Histogram) Clamped() int64 { return h.clamped }

// Percentile is the duration that p percent (0..100) of the values do not exceed; 0 when h
// is empty.
func (h *Histogram) Percentile(p float64) time.Duration {
	return time.Duration(h.h.ValueAtQuantile(p))
}

// Mean is the average; 0 when h is empty.
func (h *Histogram) Mean() time.Duration { return time.Duration(h.h.Mean()) }

// Max is the largest value, rounded up within its three digits; 0 when h is empty.
func (h *Histogram) Max() time.Duration { return time.Duration(h.h.Max()) }

// Latency is h as a result, with all of it in HDR; nil when h is empty.
func (h *Histogram) Latency() *result.Latency {
	if h == nil || h.Count() == 0 {
		return nil
	}
	l := &result.Latency{
		Count:   h.Count(),
		MeanMs:  h.h.Mean() / 1e6,
		P50Ms:   h.ms(50),
		P90Ms:   h.ms(90),
		P95Ms:   h.ms(95),
		P99Ms:   h.ms(99),
		P999Ms:  h.ms(99.9),
		P9999Ms: h.ms(99.99),
		MaxMs:   float64(h.h.Max()) / 1e6,
	}
	// The encoder fails only for versions it does not have.
	if text, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.HDR = string(text)
	}
	return l
}

func (h *Histogram) ms(p float64) float64 { return float64(h.h.ValueAtQuantile(p)) / 1e6 }

// FromLatency reads a distribution back; one without HDR, or nil, is a *NoHistogramError.
// Histograms of other geometry (another program's) are brought into this one.
func FromLatency(l *result.Latency) (*Histogram, error) {
	if l == nil || l.HDR == "" {
		return nil, &NoHistogramError{}
	}
	d, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		return nil, fmt.Errorf("read histogram: %w", err)
	}
	h := New()
	for _, bar := range d.Distribution() {
		h.RecordN(min(bar.To, Highest), bar.Count)
	}
	return h, nil
}

// WriteHGRM writes the percentile distribution as text, in milliseconds, as HdrHistogram's
// plotters read it (.hgrm).
func (h *Histogram) WriteHGRM(w io.Writer) error {
	_, err := h.h.PercentilesPrint(w, ticksPerHalf, 1e6)
	return err
}

// ticksPerHalf is how many lines each halving of the distance to 100 % gets: what
// HdrHistogram's own tools use.
const ticksPerHalf = 5

// NoHistogramError is a result that has figures but not the distribution behind them.
type NoHistogramError struct{}

func (*NoHistogramError) Error() string {
	return "the result holds no histogram (field hdr): only its percentiles can be shown"
}
