package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

// millis counts latencies by whole milliseconds, rounded down: what Kafka's tool keeps of
// each. It is exact, where a histogram has three digits.
type millis struct {
	counts []int64
	total  int64
}

// maxMillis bounds the memory: what took longer than ten minutes counts as ten.
const maxMillis = 600_000

func (m *millis) add(ns int64) {
	i := int(min(max(ns/1e6, 0), maxMillis))
	if i >= len(m.counts) {
		m.counts = append(m.counts, make([]int64, i+1-len(m.counts))...)
	}
	m.counts[i]++
	m.total++
}

// percentile is the latency at place share*total of the sorted ones, as Kafka picks it.
func (m *millis) percentile(share float64) int {
	place := int64(float64(m.total) * share)
	for i, n := range m.counts {
		if place -= n; place < 0 {
			return i
		}
	}
	return max(len(m.counts)-1, 0)
}

// printTotals is the end of Kafka's output.
func (s *session) printTotals() {
	fmt.Fprintf(s.out, "Avg latency: %.4f ms\n", s.sumNs/float64(s.counted)/1000/1000)
	fmt.Fprintf(s.out, "Percentiles: 50th = %d, 99th = %d, 99.9th = %d\n",
		s.millis.percentile(0.5), s.millis.percentile(0.99), s.millis.percentile(0.999))
}

// printDetails tells standard error what Kafka's lines leave out.
func (s *session) printDetails(ended time.Time) {
	run := s.runs(ended, nil)[0]
	fmt.Fprintf(s.err, "%s records in %.1f s, %s/s; client: franz-go\n", result.Rate(float64(run.Records)), run.SteadyS, result.Rate(run.RecordsPerS))
	if s.o.open() {
		s.printLine("to consumer, from intended send", s.records)
		s.printLine("to consumer, from actual send", s.uncorrected)
		s.printLine("acknowledged, from intended send", s.acks)
		s.printLine("generator late by", s.late)
	} else {
		s.printLine("to consumer", s.records)
		s.printLine("acknowledged", s.acks)
	}
	if s.strangers > 0 {
		fmt.Fprintf(s.err, "%d records of other producers were passed over\n", s.strangers)
	}
	for _, side := range []struct {
		name string
		cost *result.Cost
	}{{"broker", run.Broker}, {"clients", run.Generator}} {
		if side.cost != nil {
			fmt.Fprintf(s.err, "%-34s%s cores, %s MiB anonymous memory\n", side.name,
				result.Significant(side.cost.Cores), result.Significant(float64(side.cost.RSSAnonBytes)/(1<<20)))
		}
	}
	if s.costs.why != "" {
		fmt.Fprintf(s.err, "the broker's process was not seen: %s\n", s.costs.why)
	}
}

func (s *session) printLine(name string, r *hist.Recorder) {
	l := r.Total().Latency()
	if l == nil {
		return
	}
	fmt.Fprintf(s.err, "%-34sp50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", name, result.Milliseconds(l.P50Ms),
		result.Milliseconds(l.P90Ms), result.Milliseconds(l.P99Ms), result.Milliseconds(l.P999Ms), result.Milliseconds(l.MaxMs))
}

// javaDouble writes v as Java's Double.toString does, which Kafka's progress lines have.
func javaDouble(v float64) string {
	if v != 0 && (v < 1e-3 || v >= 1e7) {
		text := strings.ToUpper(strconv.FormatFloat(v, 'e', -1, 64))
		digits, exponent, _ := strings.Cut(text, "E")
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		n, _ := strconv.Atoi(exponent) // strconv wrote it
		return digits + "E" + strconv.Itoa(n)
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
