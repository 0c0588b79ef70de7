package perf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
)

// sendRaw runs the load with batches that are built ahead, over connections that do nothing
// else. Kafka's lines then count requests' latencies, one for each record of a request.
func sendRaw(ctx context.Context, r *sendRun) (result.Run, error) {
	spec, s := r.spec, &r.spec.settings
	run := result.Run{Target: s.bootstrap, Client: clientRaw, TargetRate: spec.rate}
	target, partitions, err := rawTopics(ctx, r.stderr, s.props, s.bootstrap, s.clientID, true, spec.topics)
	if err != nil {
		return run, err
	}
	defer target.Close()
	packing, err := codecOf(s.codec)
	if err != nil {
		return run, err
	}
	batches, err := spec.source.Batches(spec.batches, s.batchBytes, packing.own)
	if err != nil {
		return run, err
	}
	values, records := int64(0), 0
	for _, b := range batches {
		values += b.PayloadBytes
		records += b.Records
	}
	perRecord := float64(values) / float64(records)
	word := ""
	if spec.warmup > 0 {
		word = " steady state"
	}
	windows := &lines{every: time.Duration(spec.everyMs) * time.Millisecond, print: func(w rawWindow) {
		at := word
		if w.warmup {
			at = ""
		}
		fmt.Fprintln(r.out, windowLine(int64(math.Round(w.records)), at, int64(w.records*perRecord), int64(math.Round(w.seconds*1000)), w.latencySum/w.records, w.maxMs))
	}}
	run.Started = time.Now()
	stats, err := raw.Produce(ctx, target, raw.ProduceSpec{
		Common: raw.Common{
			Partitions: partitions, ClientID: s.clientID, Connections: spec.producers, Depth: s.inFlight, Congestion: spec.congestion,
			Warmup: spec.warmup, Duration: spec.duration, Records: spec.records,
			OnSteady: r.rawSteady, OnEnd: r.watch.end, Interval: windows.interval(),
			OnInterval: func(p result.Point) {
				windows.add(p.RecordsPerS*p.IntervalS, p.MBPerS*p.IntervalS*1e6, p.IntervalS, p.MeanMs, p.MaxMs, p.Warmup)
				if spec.progress != nil {
					spec.progress(p)
				}
			},
		},
		Acks: s.acks, TimeoutMs: int32(min(s.requestTimeout.Milliseconds(), math.MaxInt32)), Batches: batches, Rate: spec.rate,
	})
	rawResult(&run, &stats)
	if stats.SteadyS > 0 {
		fmt.Fprintln(r.out, rawTotal(&stats, word, perRecord))
	}
	return run, err
}

// rawSteady is the start of the steady phase of a raw run.
func (r *sendRun) rawSteady() {
	r.watch.begin()
	if r.onset != nil {
		r.onset()
	}
}

// rawTotal is Kafka's last line from the histogram of a run.
func rawTotal(stats *raw.Stats, word string, perRecord float64) string {
	h := stats.Uncorrected
	if h == nil {
		h = hist.New() // acks=0
	}
	p := make([]int32, 0, 4)
	for _, q := range []float64{50, 95, 99, 99.9} {
		p = append(p, int32(h.Percentile(q)/time.Millisecond))
	}
	return totalLine(stats.Records, word, int64(float64(stats.Records)*perRecord), int64(math.Round(stats.SteadyS*1000)), ms(h.Mean()), ms(h.Max()), p)
}

// rawResult fills in what a raw run measured.
func rawResult(run *result.Run, stats *raw.Stats) {
	run.SteadyS, run.Records, run.Bytes, run.Requests, run.Errors = stats.SteadyS, stats.Records, stats.Bytes, stats.Requests, stats.Errors
	run.Series = stats.Series
	if stats.SteadyS > 0 {
		run.RecordsPerS = float64(stats.Records) / stats.SteadyS
		run.MBPerS = float64(stats.Bytes) / stats.SteadyS / 1e6
		run.RequestsPerS = float64(stats.Requests) / stats.SteadyS
	}
	of := func(h *hist.Histogram) *result.Latency {
		if h == nil {
			return nil
		}
		return h.Latency()
	}
	run.Latency, run.Uncorrected, run.Lateness = of(stats.Latency), of(stats.Uncorrected), of(stats.Lateness)
	run.Note = fmt.Sprintf("Latency is that of requests; the generator's threads were busy %.0f %% of the time.", 100*stats.BusyShare)
	if len(stats.ErrorCodes) > 0 {
		run.Note += " Errors: " + errorCodes(stats.ErrorCodes) + "."
	}
}

// errorCodes names the errors of a run, the commonest first.
func errorCodes(codes map[int16]int64) string {
	keys := make([]int16, 0, len(codes))
	for k := range codes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b int16) int {
		if codes[a] != codes[b] {
			return int(min(max(codes[b]-codes[a], -1), 1))
		}
		return int(a) - int(b)
	})
	var words []string
	for _, k := range keys {
		name := fmt.Sprint(k)
		var e *kerr.Error
		if errors.As(kerr.ErrorForCode(k), &e) {
			name = e.Message
		}
		words = append(words, fmt.Sprintf("%d x %s", codes[k], name))
	}
	return strings.Join(words, ", ")
}

// retriable says whether an error of the broker may heal.
func retriable(err error) bool {
	var k *kerr.Error
	return errors.As(err, &k) && (k.Retriable || k == kerr.UnknownTopicOrPartition)
}
