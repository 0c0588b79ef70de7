package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/workload"
)

// sendSpec is what the flags of the producer come to.
type sendSpec struct {
	topics        []string
	records       int64 // of the whole run, the warm-up's too; 0: until the duration is over
	duration      time.Duration
	warmup        time.Duration
	warmupRecords int64
	rate          float64 // records/s, open loop; 0: as fast as it goes
	producers     int
	client        string
	congestion    string
	batches       int // raw: different batches made ahead
	everyMs       int64
	txnDuration   time.Duration
	settings      producerSettings
	source        *workload.Source
	progress      func(result.Point) // once a second; may be nil
}

// paced loads send in groups when records are due more often than this: a sender that slept
// and spun for each record would need a core for itself.
const group = 200 * time.Microsecond

// sendRun is a producer run under way: what all its senders share.
type sendRun struct {
	spec   *sendSpec
	wall   wall
	out    io.Writer // Kafka's lines
	stderr io.Writer
	watch  *watch
	onset  func() // the steady phase begins; may be nil

	startNs int64
	endNs   atomic.Int64 // senders stop then
	phase   atomic.Int32 // see warming, steady

	mu         sync.Mutex // afterWarm until the phase is steady, steadyNs, closed, failures
	total      *sendStats
	afterWarm  *sendStats // nil without a warm-up
	steadyNs   int64
	closed     bool
	failures   map[string]int64
	failed     atomic.Int64
	acked      atomic.Int64
	ackedBytes atomic.Int64
	overNs     int64 // everything is acknowledged or given up
	steadyRecs atomic.Int64
	steadyByte atomic.Int64

	latency, uncorrected, lateness *hist.Recorder
	series                         []result.Point
}

// phases of a run.
const (
	warming = int32(iota)
	steady
)

func newSendRun(spec *sendSpec, out, stderr io.Writer, w *watch) *sendRun {
	r := &sendRun{
		spec: spec, wall: newWall(), out: out, stderr: stderr, watch: w, failures: map[string]int64{},
		latency: hist.NewRecorder(), uncorrected: hist.NewRecorder(), lateness: hist.NewRecorder(),
	}
	r.endNs.Store(math.MaxInt64)
	return r
}

// start begins the clock; the steady phase begins at once when there is no warm-up. The
// returned function ends what start began.
func (r *sendRun) start(ctx context.Context) (finish func()) {
	r.startNs = pace.Now()
	r.total = newSendStats(r.out, r.wall.now, r.spec.records, r.spec.everyMs)
	unhook := context.AfterFunc(ctx, func() { r.endNs.Store(0) })
	stop, stopped := make(chan struct{}), make(chan struct{})
	switch {
	case r.spec.warmup > 0:
		timer := time.AfterFunc(r.spec.warmup, r.beginSteady)
		inner := unhook
		unhook = func() bool { timer.Stop(); return inner() }
	case r.spec.warmupRecords == 0:
		r.beginSteady()
	}
	go func() {
		defer close(stopped)
		r.tick(stop)
	}()
	return func() {
		r.overNs = pace.Now()
		unhook()
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		close(stop)
		<-stopped
		r.watch.end()
	}
}

// beginSteady ends the warm-up.
func (r *sendRun) beginSteady() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.steadyNs != 0 || r.closed {
		return
	}
	if r.spec.warmup > 0 || r.spec.warmupRecords > 0 {
		r.total.suppress()
		left := int64(0)
		if r.spec.records > 0 && r.spec.warmupRecords > 0 {
			left = r.spec.records - r.spec.warmupRecords
		}
		r.afterWarm = newSendStats(r.out, r.wall.now, left, r.spec.everyMs)
		r.afterWarm.steady = true
	}
	r.watch.begin()
	if r.onset != nil {
		r.onset()
	}
	r.steadyNs = pace.Now()
	if r.spec.duration > 0 && r.endNs.Load() != 0 {
		r.endNs.Store(r.steadyNs + int64(r.spec.duration))
	}
	r.phase.Store(steady)
}

// ack counts n records that were sent at sentNs in phase: values is the bytes that Kafka's
// lines count, bytes those with keys and headers.
func (r *sendRun) ack(phase int32, sentNs, nowNs, n, values, bytes int64) {
	endMs := r.wall.ms(nowNs)
	latencyMs := endMs - r.wall.ms(sentNs)
	r.total.record(latencyMs, n, values, endMs)
	r.acked.Add(n)
	r.ackedBytes.Add(bytes)
	if phase != steady {
		return
	}
	if r.afterWarm != nil {
		r.afterWarm.record(latencyMs, n, values, endMs)
	}
	r.steadyRecs.Add(n)
	r.steadyByte.Add(bytes)
}

// fail counts a record that was not written. Each kind of error is told once.
func (r *sendRun) fail(err error) {
	if errors.Is(err, context.Canceled) || r.endNs.Load() == 0 {
		return // the user's wish: what was on its way then has no outcome
	}
	r.failed.Add(1)
	text := err.Error()
	r.mu.Lock()
	r.failures[text]++
	first := r.failures[text] == 1 && len(r.failures) <= 10
	r.mu.Unlock()
	if first {
		fmt.Fprintf(r.stderr, "ERROR %s\n", text)
	}
}

// tick makes a point of each second.
func (r *sendRun) tick(stop chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last, records, bytes := r.startNs, int64(0), int64(0)
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		now, n, b := pace.Now(), r.acked.Load(), r.ackedBytes.Load()
		seconds := float64(now-last) / 1e9
		p := result.Point{
			AtS: float64(now-r.startNs) / 1e9, IntervalS: seconds, Warmup: r.phase.Load() == warming,
			RecordsPerS: float64(n-records) / seconds, MBPerS: float64(b-bytes) / seconds / 1e6,
		}
		corrected, plain := r.latency.Interval(), r.uncorrected.Interval()
		if corrected.Count() == 0 {
			corrected = plain
		}
		if corrected.Count() > 0 {
			p.MeanMs, p.P50Ms, p.P99Ms, p.MaxMs = ms(corrected.Mean()), ms(corrected.Percentile(50)), ms(corrected.Percentile(99)), ms(corrected.Max())
		}
		r.series = append(r.series, p)
		if r.spec.progress != nil {
			r.spec.progress(p)
		}
		last, records, bytes = now, n, b
	}
}

// printTotals prints Kafka's last lines: the whole run, and the steady phase when there was
// a warm-up.
func (r *sendRun) printTotals() {
	r.total.printTotal()
	r.mu.Lock()
	after := r.afterWarm
	r.mu.Unlock()
	if after != nil {
		after.printTotal()
	}
}

// result is the steady phase in the form of bench/result.
func (r *sendRun) result(target string) result.Run {
	r.mu.Lock()
	begun := r.steadyNs
	r.mu.Unlock()
	run := result.Run{
		Target: target, Client: r.spec.client, Started: time.UnixMilli(r.wall.ms(r.startNs)),
		Records: r.steadyRecs.Load(), Bytes: r.steadyByte.Load(), Errors: r.failed.Load(), TargetRate: r.spec.rate, Series: r.series,
	}
	if begun == 0 {
		run.Error = "it ended before the warm-up did"
		return run
	}
	run.WarmupS = float64(begun-r.startNs) / 1e9
	if r.overNs > begun {
		run.SteadyS = float64(r.overNs-begun) / 1e9
		run.RecordsPerS = float64(run.Records) / run.SteadyS
		run.MBPerS = float64(run.Bytes) / run.SteadyS / 1e6
	}
	run.Latency, run.Uncorrected, run.Lateness = r.latency.Total().Latency(), r.uncorrected.Total().Latency(), r.lateness.Total().Latency()
	return run
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
