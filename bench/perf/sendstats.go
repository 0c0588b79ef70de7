package perf

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

// sampleLimit is how many latencies Kafka's tool keeps for its percentiles.
const sampleLimit = 500_000

// sendStats counts what was acknowledged, and prints the lines of Kafka's ProducerPerformance.
// All times are milliseconds as wall has them. It is safe for concurrent use: promises of
// several clients end in it.
type sendStats struct {
	mu     sync.Mutex
	out    io.Writer
	now    func() int64
	steady bool // its lines say "steady state": a warm-up was not counted
	quiet  bool // prints no windows

	startMs int64
	every   int64 // ms between windows
	records int64 // how many will come; 0: nobody knows
	sample  sampler
	early   sampler // for a run that ends before its records do
	count   int64
	bytes   int64
	total   int64 // sum of latencies, ms
	max     int64
	window  window
}

type window struct {
	startMs, count, bytes, total, max int64
}

// newSendStats starts to count now; records is how many will come, 0 when nobody knows.
func newSendStats(out io.Writer, now func() int64, records, everyMs int64) *sendStats {
	start := now()
	return &sendStats{out: out, now: now, startMs: start, every: everyMs, records: records, sample: newSampler(records), early: newSampler(0), window: window{startMs: start}}
}

// record counts n records of together bytes bytes, each acknowledged at endMs after latencyMs.
func (s *sendStats) record(latencyMs, n, bytes, endMs int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += n
	s.bytes += bytes
	s.total += latencyMs * n
	s.max = max(s.max, latencyMs)
	w := &s.window
	w.count += n
	w.bytes += bytes
	w.total += latencyMs * n
	w.max = max(w.max, latencyMs)
	for range n {
		s.sample.add(int32(min(latencyMs, math.MaxInt32)))
		if s.sample.every > 1 {
			s.early.add(int32(min(latencyMs, math.MaxInt32)))
		}
	}
	if endMs-w.startMs >= s.every {
		s.printWindow()
	}
}

// suppress ends the windows: another sendStats prints them from now on.
func (s *sendStats) suppress() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = true
}

// printWindow prints the line of the recent past and starts the next one. mu is held.
func (s *sendStats) printWindow() {
	w, now := s.window, s.now()
	s.window = window{startMs: now}
	if s.quiet {
		return
	}
	fmt.Fprintln(s.out, windowLine(w.count, s.word(), w.bytes, now-w.startMs, float64(w.total)/float64(w.count), float64(w.max)))
}

// windowLine is Kafka's line for a part of a run.
func windowLine(records int64, word string, bytes, elapsedMs int64, meanMs, maxMs float64) string {
	elapsed := float64(elapsedMs)
	return fmt.Sprintf("%d%s records sent, %s records/sec (%s MB/sec), %s ms avg latency, %s ms max latency.",
		records, word,
		fixed(1000*float64(records)/elapsed, 1),
		fixed(1000*float64(bytes)/elapsed/mib, 2),
		fixed(meanMs, 1),
		fixed(maxMs, 1))
}

// printTotal prints the last line of a run.
func (s *sendStats) printTotal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	elapsedMs := s.now() - s.startMs
	sample := &s.sample
	if s.count < s.records && sample.every > 1 {
		sample = &s.early // the planned sample would be of too few
	}
	p := sample.percentiles(0.5, 0.95, 0.99, 0.999)
	fmt.Fprintln(s.out, totalLine(s.count, s.word(), s.bytes, elapsedMs, float64(s.total)/float64(s.count), float64(s.max), p))
}

// totalLine is Kafka's last line; percentiles are the 50th, 95th, 99th and 99.9th in ms.
func totalLine(records int64, word string, bytes, elapsedMs int64, meanMs, maxMs float64, percentiles []int32) string {
	elapsed, p := float64(elapsedMs), percentiles
	return fmt.Sprintf("%d%s records sent, %s records/sec (%s MB/sec), %s ms avg latency, %s ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.",
		records, word,
		fixed(1000*float64(records)/elapsed, 1),
		fixed(1000*float64(bytes)/elapsed/mib, 2),
		fixed(meanMs, 2),
		fixed(maxMs, 2),
		p[0], p[1], p[2], p[3])
}

func (s *sendStats) word() string {
	if s.steady {
		return " steady state"
	}
	return ""
}

// sampler keeps every Nth latency: Kafka's N when the number of records is known, else one
// that doubles whenever the sample is full.
type sampler struct {
	every, seen int64
	kept        []int32
	limit       int // of kept; 0: the number of records is known, and the sample fits
}

func newSampler(records int64) sampler {
	if records <= 0 {
		return sampler{every: 1, limit: sampleLimit}
	}
	every := records / min(records, sampleLimit)
	return sampler{every: every, kept: make([]int32, 0, records/every+1)}
}

func (s *sampler) add(latencyMs int32) {
	if s.seen%s.every == 0 {
		if s.limit > 0 && len(s.kept) == s.limit {
			half := s.kept[:0]
			for i := 0; i < len(s.kept); i += 2 {
				half = append(half, s.kept[i])
			}
			s.kept, s.every = half, 2*s.every
		}
		if s.seen%s.every == 0 {
			s.kept = append(s.kept, latencyMs)
		}
	}
	s.seen++
}

// percentiles sorts the sample. As in Kafka, the value at index p*size; 0 of an empty one.
func (s *sampler) percentiles(ps ...float64) []int32 {
	slices.Sort(s.kept)
	out := make([]int32, len(ps))
	for i, p := range ps {
		if at := int(p * float64(len(s.kept))); at < len(s.kept) {
			out[i] = s.kept[at]
		}
	}
	return out
}
