package drive

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

// flow is one direction of the steady phase.
type flow struct {
	counters
	seconds                        float64
	latency, uncorrected, lateness *hist.Histogram // nil: none
	codes                          map[string]int64
}

// outcome is what an engine measured.
type outcome struct {
	flow
	warmup float64
	cut    string // why the warm-up ended before its end; "": it did not
	busy   float64
	other  *flow  // of a run that goes both ways
	side   string // what other did: "produced" or "consumed"
}

// fill writes o into run.
func (o *outcome) fill(run *result.Run) {
	run.WarmupS, run.SteadyS = o.warmup, o.seconds
	run.Records, run.Bytes, run.PayloadBytes = o.records, o.bytes, o.payload
	run.Requests, run.Errors, run.GeneratorBusy = o.requests, o.errors, o.busy
	run.RecordsPerS = perSecond(o.records, o.seconds)
	run.MBPerS = perSecond(o.bytes, o.seconds) / 1e6
	run.RequestsPerS = perSecond(o.requests, o.seconds)
	run.Latency, run.Uncorrected, run.Lateness = latencyOf(o.latency), latencyOf(o.uncorrected), latencyOf(o.lateness)
	run.WarmupCut = o.cut != ""
	addNote(run, o.cut)
	addNote(run, codesText(o.codes))
	if f := o.other; f != nil {
		run.Other = &result.Flow{
			Direction: o.side, Records: f.records, Bytes: f.bytes, Requests: f.requests, Errors: f.errors,
			RecordsPerS: perSecond(f.records, f.seconds), MBPerS: perSecond(f.bytes, f.seconds) / 1e6,
		}
		if run.Other.Latency = latencyOf(f.latency); run.Other.Latency == nil {
			run.Other.Latency = latencyOf(f.uncorrected)
		}
		if text := codesText(f.codes); text != "" {
			addNote(run, o.side+": "+text)
		}
	}
}

func latencyOf(h *hist.Histogram) *result.Latency {
	if h == nil {
		return nil
	}
	return h.Latency()
}

func perSecond(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

func addNote(run *result.Run, text string) {
	switch {
	case text == "":
	case run.Note == "":
		run.Note = text
	default:
		run.Note += "; " + text
	}
}

// codesText tells which errors came, the most frequent first.
func codesText(codes map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(codes), func(a, b string) int {
		if codes[a] != codes[b] {
			return int(codes[b] - codes[a])
		}
		return strings.Compare(a, b)
	})
	var words []string
	for _, n := range names {
		words = append(words, fmt.Sprintf("%d x %s", codes[n], n))
	}
	if len(words) == 0 {
		return ""
	}
	return "errors: " + strings.Join(words, ", ")
}

// errorCounts counts failures by their names.
type errorCounts struct {
	total  atomic.Int64
	mu     sync.Mutex
	byName map[string]int64
	last   error
}

func (e *errorCounts) add(err error) {
	e.total.Add(1)
	name := err.Error()
	var k *kerr.Error
	if errors.As(err, &k) {
		name = k.Message
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byName == nil {
		e.byName = map[string]int64{}
	}
	if _, known := e.byName[name]; known || len(e.byName) < 16 { // texts may be all different
		e.byName[name]++
	}
	e.last = err
}

func (e *errorCounts) codes() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.byName)
}

func (e *errorCounts) lastError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// AllFailedError is a run in which nothing succeeded.
type AllFailedError struct {
	Count int64
	Last  error
}

func (e *AllFailedError) Error() string {
	return fmt.Sprintf("all %d requests or records failed, the last with: %v", e.Count, e.Last)
}

// Unwrap gives the last failure.
func (e *AllFailedError) Unwrap() error { return e.Last }
