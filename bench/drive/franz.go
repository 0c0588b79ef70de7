package drive

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
)

// franz is a run with instances of the client library: goroutines that send and receive,
// and one, measure, that looks at what they have counted.
type franz struct {
	spec    *Spec
	meter   *meter
	cluster *cluster
	parts   []raw.Partition

	sent, got *side  // nil: the run has no such direction
	main      *side  // whose figures are the run's
	marks     *marks // nil: the warm-up ends by its time

	warm     atomic.Bool   // the warm-up goes on
	base     atomic.Int64  // records of main when it was over
	reading  atomic.Int64  // consumers that have not read everything
	stopping chan struct{} // closed when the steady phase is over
	started  int64         // pace.Now, when the load began
	finished chan struct{} // closed when Records have been sent or received
	once     sync.Once
}

// flushTimeout is how long what is under way at the end may take.
const flushTimeout = 30 * time.Second

func runFranz(ctx context.Context, s *Spec, m *meter, c *cluster, parts []raw.Partition) (outcome, error) {
	f := &franz{spec: s, meter: m, cluster: c, parts: parts, marks: s.marks(parts), stopping: make(chan struct{}), finished: make(chan struct{})}
	f.warm.Store(true)
	if s.produces() {
		f.sent = newSide()
		f.main = f.sent
	}
	if s.consumes() {
		f.got = newSide()
		if s.Kind != Both {
			f.main = f.got
		}
	}
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	consumers, err := f.consumers(ctx)
	if err != nil {
		return outcome{}, err
	}
	producers, err := f.producers()
	if err != nil {
		return outcome{}, err
	}
	var consuming, producing sync.WaitGroup
	start := func() error {
		f.started = pace.Now()
		for _, c := range consumers {
			if err := c.open(); err != nil {
				return err
			}
			consuming.Go(func() { c.run(loadCtx) })
		}
		for _, p := range producers {
			producing.Go(func() { p.run(loadCtx) })
		}
		if len(producers) > 0 {
			go func() {
				producing.Wait()
				f.finish()
			}()
		}
		return nil
	}
	o, err := f.measure(ctx, start)
	close(f.stopping)
	producing.Wait()
	if err == nil {
		f.drain(ctx, producers)
	}
	cancel()
	consuming.Wait()
	for _, p := range producers {
		p.client.Close()
	}
	closeAll(consumers)
	f.histograms(&o)
	return o, err
}

// finish ends the steady phase before its time.
func (f *franz) finish() { f.once.Do(func() { close(f.finished) }) }

// measure is the clock of the run: start, warm-up, steady phase, an interval each
// Spec.Interval.
func (f *franz) measure(ctx context.Context, start func() error) (outcome, error) {
	tick := time.NewTicker(f.spec.Interval)
	defer tick.Stop()
	w := interval{franz: f, at: pace.Now()}
	cut, err := f.warmUp(ctx, start, tick.C, &w)
	if err != nil {
		return outcome{}, err
	}
	warm := pace.Now()
	f.meter.steady()
	w.take() // what is left of the warm-up belongs to no interval
	base := map[*side]counters{}
	for _, s := range []*side{f.sent, f.got} {
		if s != nil {
			s.reset()
			base[s] = s.now()
		}
	}
	f.base.Store(base[f.main].records)
	tick.Reset(f.spec.Interval)
	f.warm.Store(false)
	began := pace.Now()
	if f.spec.Warmup == 0 {
		if err := start(); err != nil {
			return outcome{}, err
		}
		f.started, warm = began, began
	}
	var over <-chan time.Time
	if f.spec.Duration > 0 {
		over = time.After(f.spec.Duration)
	}
	err = f.until(ctx, over, nil, tick.C, &w)
	seconds := float64(pace.Now()-began) / 1e9
	o := outcome{warmup: float64(warm-f.started) / 1e9, cut: cut}
	o.flow = flow{counters: f.main.now().minus(base[f.main]), seconds: seconds, codes: f.main.errors.codes()}
	if f.sent != nil && f.got != nil {
		other, name := f.got, "consumed"
		if f.main == f.got {
			other, name = f.sent, "produced"
		}
		o.other, o.side = &flow{counters: other.now().minus(base[other]), seconds: seconds, codes: other.errors.codes()}, name
	}
	f.meter.end()
	if p, ok := w.take(); ok && p.IntervalS >= f.spec.Interval.Seconds()/2 {
		f.meter.point(p)
	}
	if err == nil && o.records == 0 && o.errors > 0 {
		err = &AllFailedError{Count: o.errors, Last: f.main.errors.lastError()}
	}
	return o, err
}

// warmUp starts the load and returns when the warm-up's time is over and all partitions were
// written to, or when its limit has come: cut says so.
func (f *franz) warmUp(ctx context.Context, start func() error, tick <-chan time.Time, w *interval) (cut string, err error) {
	if f.spec.Warmup <= 0 {
		return "", nil
	}
	if err := start(); err != nil {
		return "", err
	}
	err = f.until(ctx, time.After(f.spec.Warmup), nil, tick, w)
	if err != nil || f.marks == nil {
		return "", err
	}
	err = f.until(ctx, time.After(f.spec.WarmupLimit-f.spec.Warmup), f.marks.Done(), tick, w)
	if left := f.marks.Left(); left > 0 {
		cut = cutText(left, len(f.parts))
	}
	return cut, err
}

// until returns at over, when done is closed, when the load has finished, or with ctx's
// error, and reports intervals meanwhile.
func (f *franz) until(ctx context.Context, over <-chan time.Time, done <-chan struct{}, tick <-chan time.Time, w *interval) error {
	for {
		select {
		case <-over:
			return nil
		case <-done:
			return nil
		case <-f.finished:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick:
			if p, ok := w.take(); ok {
				f.meter.point(p)
			}
			if limit := f.spec.IdleTimeout; f.main == f.got && limit > 0 && w.idle >= limit {
				return &IdleError{After: limit}
			}
		}
	}
}

// drain waits for the answers to what was sent: they belong to the latencies.
func (f *franz) drain(ctx context.Context, producers []*producer) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for _, p := range producers {
		if err := p.client.Flush(ctx); err != nil && !errors.Is(err, context.Canceled) {
			f.sent.errors.add(err)
		}
	}
}

// histograms adds the latencies, once nothing records any more.
func (f *franz) histograms(o *outcome) {
	of := func(s *side, to *flow) {
		if s == f.got || s.uncorrected.Total().Count() == 0 {
			to.uncorrected = s.request.Total()
		} else {
			to.uncorrected = s.uncorrected.Total()
		}
		if s == f.sent && f.spec.Rate > 0 {
			to.latency, to.lateness = s.latency.Total(), s.lateness.Total()
		}
	}
	of(f.main, &o.flow)
	if o.other != nil {
		other := f.sent
		if f.main == f.sent {
			other = f.got
		}
		of(other, o.other)
	}
}

// interval makes points of what was counted since the last one.
type interval struct {
	franz *franz
	last  counters
	at    int64
	idle  time.Duration // since something came
}

func (w *interval) take() (result.Point, bool) {
	f := w.franz
	now, at := f.main.now(), pace.Now()
	d, seconds := now.minus(w.last), float64(at-w.at)/1e9
	w.last, w.at = now, at
	w.idle += time.Duration(seconds * 1e9)
	if d.records > 0 {
		w.idle = 0
	}
	recorder := f.main.request
	switch {
	case f.main == f.got:
	case f.spec.Rate > 0:
		recorder = f.main.latency
	default:
		recorder = f.main.uncorrected
	}
	if seconds <= 0 {
		return result.Point{}, false
	}
	p := result.Point{
		AtS: float64(at-f.started) / 1e9, IntervalS: seconds,
		RecordsPerS: float64(d.records) / seconds, MBPerS: float64(d.bytes) / seconds / 1e6,
	}
	addLatency(&p, recorder.Interval())
	return p, true
}

func addLatency(p *result.Point, h *hist.Histogram) {
	if h.Count() == 0 {
		return
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	p.MeanMs, p.P50Ms, p.P99Ms, p.MaxMs = ms(h.Mean()), ms(h.Percentile(50)), ms(h.Percentile(99)), ms(h.Max())
}
