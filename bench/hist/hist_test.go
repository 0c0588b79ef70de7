package hist

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// durations are spread over all magnitudes from 1 us to 10 min.
func durations(t *testing.T, n int) []int64 {
	rng := testkit.Rand(t)
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(1000 * math.Pow(float64(Highest)/1000, rng.Float64()))
	}
	return values
}

func TestPercentilesAreThoseOfTheSortedValues(t *testing.T) {
	values := durations(t, 20_000)
	h, sum := New(), 0.0
	for _, v := range values {
		h.Record(v)
		sum += float64(v)
	}
	slices.Sort(values)
	for _, p := range []float64{1, 25, 50, 90, 95, 99, 99.9, 99.99, 100} {
		rank := int(p/100*float64(len(values)) + 0.5) // the nearest place, as HdrHistogram has it
		within(t, "p"+strconv.FormatFloat(p, 'g', -1, 64), float64(h.Percentile(p)), float64(values[rank-1]))
	}
	within(t, "mean", float64(h.Mean()), sum/float64(len(values)))
	within(t, "max", float64(h.Max()), float64(values[len(values)-1]))
	if h.Count() != int64(len(values)) || h.Clamped() != 0 {
		t.Errorf("count %d, clamped %d; want %d, 0", h.Count(), h.Clamped(), len(values))
	}
}

// within holds got to three significant digits of want.
func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/1000 {
		t.Errorf("%s: got %.0f ns, want %.0f within 0.1 %%", what, got, want)
	}
}

func TestLatencyIsReadByHdrHistogram(t *testing.T) {
	h, oracle := New(), hdrhistogram.New(1, Highest, 5)
	for _, v := range durations(t, 5_000) {
		h.RecordN(v, 3)
		if err := oracle.RecordValues(v, 3); err != nil {
			t.Fatal(err)
		}
	}
	l := h.Latency()
	d, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		t.Fatal(err)
	}
	if d.TotalCount() != 15_000 || l.Count != 15_000 {
		t.Errorf("decoded %d values, latency says %d; want 15000", d.TotalCount(), l.Count)
	}
	for p, ms := range map[float64]float64{50: l.P50Ms, 90: l.P90Ms, 95: l.P95Ms, 99: l.P99Ms, 99.9: l.P999Ms, 99.99: l.P9999Ms, 100: l.MaxMs} {
		within(t, "decoded", float64(d.ValueAtQuantile(p)), float64(oracle.ValueAtQuantile(p)))
		within(t, "field", ms*1e6, float64(oracle.ValueAtQuantile(p)))
	}
	within(t, "mean", l.MeanMs*1e6, oracle.Mean())
}

func TestLatencyTravelsThroughJSON(t *testing.T) {
	h := New()
	for _, v := range durations(t, 1_000) {
		h.Record(v)
	}
	text, err := json.Marshal(h.Latency())
	if err != nil {
		t.Fatal(err)
	}
	var l result.Latency
	if err := json.Unmarshal(text, &l); err != nil {
		t.Fatal(err)
	}
	back, err := FromLatency(&l)
	if err != nil {
		t.Fatal(err)
	}
	if !back.h.Equals(h.h) {
		t.Error("the histogram read back differs from the one written")
	}
}

// The text is the first line of jHiccup's log in HdrHistogram's own test data, written by the
// Java library with two digits; the log gives the maximum as 2.769 ms.
func TestReadsWhatJavaWrote(t *testing.T) {
	const text = "HISTFAAAAEV42pNpmSzMwMCgyAABTBDKT4GBgdnNYMcCBvsPEBEJISEuATEZMQ4uASkhIR4nrxg9v2lMaxhvMekILGZkKmcCAEf2CsI="
	h, err := FromLatency(&result.Latency{HDR: text})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Max().Seconds() * 1e3; math.Abs(got-2.769) > 0.028 {
		t.Errorf("max %.3f ms, want 2.769 within 1 %%", got)
	}
	if h.Count() == 0 {
		t.Error("no values were read")
	}
}

func TestFromLatencyRefuses(t *testing.T) {
	var missing *NoHistogramError
	for _, l := range []*result.Latency{nil, {}, {Count: 3, P50Ms: 1}} {
		if _, err := FromLatency(l); !errors.As(err, &missing) {
			t.Errorf("FromLatency(%v): %v, want *NoHistogramError", l, err)
		}
	}
	if _, err := FromLatency(&result.Latency{HDR: "HISTnonsense"}); err == nil || errors.As(err, &missing) {
		t.Errorf("a broken text gave %v", err)
	}
}

func TestOutOfRangeIsClampedAndCounted(t *testing.T) {
	h := New()
	h.Record(Highest + 1)
	h.RecordN(math.MaxInt64, 2)
	h.Record(-5)
	h.RecordN(7, 0)
	h.RecordN(7, -1)
	if h.Count() != 4 || h.Clamped() != 4 {
		t.Errorf("count %d, clamped %d; want 4, 4", h.Count(), h.Clamped())
	}
	within(t, "max", float64(h.Max()), float64(Highest))
	o := New()
	o.Merge(h)
	if o.Clamped() != 4 || o.Count() != 4 {
		t.Errorf("merged: count %d, clamped %d; want 4, 4", o.Count(), o.Clamped())
	}
	o.Reset()
	if o.Clamped() != 0 || o.Count() != 0 || o.Latency() != nil || o.Percentile(99) != 0 || o.Max() != 0 {
		t.Error("Reset left something")
	}
}

// What the plotters of HdrHistogram read: four columns apart by blanks, value and
// 1/(1-percentile) in the outer ones, comments with '#'.
func TestHGRMIsWhatPlottersRead(t *testing.T) {
	h := New()
	for i := range int64(10_000) {
		h.Record((i + 1) * int64(time.Microsecond)) // 1 us to 10 ms, even
	}
	var out bytes.Buffer
	if err := h.WriteHGRM(&out); err != nil {
		t.Fatal(err)
	}
	points, total := 0, ""
	for s := bufio.NewScanner(&out); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "#") {
			if _, after, ok := strings.Cut(line, "Total count    ="); ok {
				total = strings.Trim(after, " ]")
			}
			continue
		}
		columns := strings.Fields(line)
		if len(columns) != 4 {
			continue
		}
		ms, err1 := strconv.ParseFloat(columns[0], 64)
		inverse, err2 := strconv.ParseFloat(columns[3], 64)
		if err1 != nil || err2 != nil || math.IsInf(inverse, 0) {
			continue
		}
		points++
		// Of even values up to 10 ms the share below x is x/10.
		if want := 10 * (1 - 1/inverse); math.Abs(ms-want) > 0.02+want/500 {
			t.Errorf("%q: %.3f ms, want about %.3f", line, ms, want)
		}
	}
	if points < 20 || total != "10000" {
		t.Errorf("%d points, total %q; want at least 20 and 10000", points, total)
	}
}

func TestRecorderIntervalsMakeTheTotal(t *testing.T) {
	const writers, each = 8, 20_000
	r := NewRecorder()
	var wg sync.WaitGroup
	for w := range writers {
		s := r.Shard()
		wg.Go(func() {
			for i := range int64(each) {
				s.Record(1000 + i + int64(w))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	sum := New()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		sum.Merge(r.Interval())
		r.Total()
	}
	if sum.Count() != writers*each {
		t.Errorf("intervals hold %d values, want %d", sum.Count(), writers*each)
	}
	if !r.Total().h.Equals(sum.h) {
		t.Error("the total differs from the sum of its intervals")
	}
	r.Shard().Record(5)
	if got := r.Total().Count(); got != writers*each+1 {
		t.Errorf("a total between intervals has %d values, want %d", got, writers*each+1)
	}
	if got := r.Interval().Count(); got != 1 {
		t.Errorf("the next interval has %d values, want 1", got)
	}
	r.Shard().Record(5)
	r.Reset()
	if a, b := r.Interval().Count(), r.Total().Count(); a != 0 || b != 0 {
		t.Errorf("after Reset: interval %d, total %d; want 0, 0", a, b)
	}
}

func TestRecordTakesNoMemory(t *testing.T) {
	s, v := NewRecorder().Shard(), int64(1)
	if n := testing.AllocsPerRun(1000, func() { s.Record(v); v = v*3%Highest + 1 }); n != 0 {
		t.Errorf("%v allocations per Record, want 0", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	s := NewRecorder().Shard()
	for i := range b.N {
		s.Record(100_000 + int64(i&0xfffff))
	}
}
