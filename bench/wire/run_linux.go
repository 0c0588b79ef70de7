package wire

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/result"
)

// The phases of a run, in order.
const (
	warming  int32 = iota
	steady         // figures count
	draining       // no more requests; unanswered ones are waited for
	stopped        // threads leave
)

// longestDrain is how long unanswered requests are waited for at the end.
const longestDrain = 5 * time.Second

// runner is one Run.
type runner struct {
	l       *Load
	threads []*thread
	phase   atomic.Int32
	wg      sync.WaitGroup

	paced    bool
	schedule pace.Schedule

	finite  atomic.Bool  // some connection has ended: threads look whether all have
	budget  atomic.Int64 // MaxRequests: frames of the steady phase that may still be made
	maxDone atomic.Bool
	done    chan struct{} // closed when MaxRequests are answered

	broke     chan struct{} // closed when a thread failed
	breakOnce sync.Once
	err       error

	latency, corrected, late recorders
	startNs, steadyNs, endNs int64
	warmNs                   int64 // when the warm-up was over
	cut                      bool  // it was over at its limit
	from, to                 totals
	series                   []result.Point
	last                     totals // at the last point
	lastNs                   int64
}

// recorders are two, so that a warm-up leaves nothing behind.
type recorders struct{ warm, steady *hist.Recorder }

func newRecorders() recorders {
	return recorders{warm: hist.NewRecorder(), steady: hist.NewRecorder()}
}

func (r recorders) shards() shards {
	return shards{warm: r.warm.Shard(), steady: r.steady.Shard()}
}

// totals are the figures of all threads at one time.
type totals struct {
	figures
	cpu time.Duration
}

func run(ctx context.Context, l *Load) (Stats, error) {
	r := &runner{
		l: l, paced: l.Rate > 0, done: make(chan struct{}), broke: make(chan struct{}),
		latency: newRecorders(), corrected: newRecorders(), late: newRecorders(),
	}
	r.budget.Store(l.MaxRequests)
	defer r.close()
	if err := r.connect(ctx); err != nil {
		return NoStats(), err
	}
	// The schedule begins a little later, so that the first events are not late already.
	r.startNs = pace.Now()
	r.schedule = pace.Every(r.startNs+int64(time.Millisecond), l.Rate)
	if l.Warmup <= 0 {
		r.begin()
	}
	left := make(chan struct{})
	for _, t := range r.threads {
		r.wg.Add(1)
		go func() {
			defer r.wg.Done()
			if err := t.run(); err != nil {
				r.fail(err)
			}
		}()
	}
	go func() { r.wg.Wait(); close(left) }()
	err := r.conduct(ctx, left)
	r.finish(err != nil, left)
	if r.err != nil { // a thread's own error says more
		err = r.err
	}
	return r.stats(), err
}

// connect makes the connections and hands them to the threads.
func (r *runner) connect(ctx context.Context) error {
	l := r.l
	for i := range l.Threads {
		t := &thread{
			r: r, l: l, in: make([]byte, inBytes), out: make([]byte, 0, outBytes+copyBytes),
			latency: r.latency.shards(), corrected: r.corrected.shards(), late: r.late.shards(),
		}
		if r.paced {
			gapNs := int64(1e9 / l.Rate * float64(l.Threads))
			t.spinNs = min(longestSpinNs, gapNs/spinShare)
		}
		r.threads = append(r.threads, t)
		var err error
		if t.poll, err = newPoller(); err != nil {
			return fmt.Errorf("epoll of generator thread %d: %w", i, err)
		}
	}
	for id := range l.Connections {
		t := r.threads[id%l.Threads]
		fd, err := dial(ctx, l.address(id), l.Congestion)
		c := &conn{t: t, id: id, fd: fd}
		if err != nil {
			return c.broken(err)
		}
		t.conns = append(t.conns, c)
		if err := t.poll.add(fd, int32(len(t.conns)-1)); err != nil {
			return c.broken(err)
		}
	}
	return nil
}

// conduct goes through the phases until the run has to end. The error is ctx's cause, or
// nil.
func (r *runner) conduct(ctx context.Context, left <-chan struct{}) error {
	tick := time.NewTicker(r.l.Interval)
	defer tick.Stop()
	r.lastNs = r.startNs
	var w warmUp
	var over <-chan time.Time
	if r.phase.Load() == warming {
		w = startWarmUp(r.l)
	} else {
		over = r.timer()
	}
	for {
		warm := false
		select {
		case <-w.clock:
			warm = w.clockOver(r.l)
		case <-w.warmed:
			warm = true
		case <-w.limit:
			warm, r.cut = true, true
		case <-tick.C:
			r.point()
		case <-over:
			return nil
		case <-r.done:
			return nil
		case <-left:
			return nil
		case <-r.broke:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if warm {
			w = warmUp{}
			r.point()
			r.begin()
			over = r.timer()
		}
	}
}

// timer fires when the steady phase is over; never without a Duration.
func (r *runner) timer() <-chan time.Time {
	if r.l.Duration <= 0 {
		return nil
	}
	return time.After(r.l.Duration)
}

// begin starts the steady phase.
func (r *runner) begin() {
	r.warmNs = pace.Now()
	if r.l.OnSteady != nil {
		r.l.OnSteady()
	}
	r.from = r.totals()
	r.last = r.from
	r.steadyNs = pace.Now()
	r.lastNs = r.steadyNs
	r.phase.Store(steady)
}

// finish ends the steady phase, waits for what is unanswered, and for the threads.
func (r *runner) finish(cut bool, left <-chan struct{}) {
	if r.phase.Load() == steady {
		r.to, r.endNs = r.totals(), pace.Now()
		r.phase.Store(draining)
		if r.l.OnEnd != nil {
			r.l.OnEnd()
		}
		r.pointAt(r.to, r.endNs)
	} else {
		r.phase.Store(draining)
	}
	r.wake()
	if !cut {
		drain := time.NewTimer(longestDrain)
		defer drain.Stop()
		select {
		case <-left:
		case <-r.broke:
		case <-drain.C:
		}
	}
	r.phase.Store(stopped)
	r.wake()
	<-left
}

func (r *runner) wake() {
	for _, t := range r.threads {
		t.poll.wake()
	}
}

func (r *runner) close() {
	for _, t := range r.threads {
		t.close()
	}
}

// fail notes the first error of a thread.
func (r *runner) fail(err error) {
	r.breakOnce.Do(func() {
		r.err = err
		close(r.broke)
	})
}

func (r *runner) failure() error { return r.l.Failure.Err() }

// intended is when frame seq of a connection should leave: the connections take turns.
func (r *runner) intended(conn int, seq int64) int64 {
	return r.schedule.At(seq*int64(r.l.Connections) + int64(conn))
}

// reserve takes one frame of MaxRequests; giveBack returns it when Frame made none, ended
// says for good.
func (r *runner) reserve(phase int32) bool {
	if r.l.MaxRequests <= 0 || phase != steady {
		return true
	}
	return r.budget.Add(-1) >= 0
}

func (r *runner) giveBack(phase int32, ended bool) {
	if ended {
		r.finite.Store(true)
	}
	if r.l.MaxRequests > 0 && phase == steady {
		r.budget.Add(1)
	}
}

// countMax ends the run when all of MaxRequests are answered.
func (r *runner) countMax() {
	if r.budget.Load() > 0 || r.maxDone.Load() {
		return
	}
	sum := int64(0)
	for _, t := range r.threads {
		sum += t.published.counted.Load()
	}
	if sum >= r.l.MaxRequests && r.maxDone.CompareAndSwap(false, true) {
		close(r.done)
	}
}

func (r *runner) totals() totals {
	var sum totals
	for _, t := range r.threads {
		p := &t.published
		sum.requests += p.requests.Load()
		sum.counted += p.counted.Load()
		sum.sentBytes += p.sentBytes.Load()
		sum.receivedBytes += p.receivedBytes.Load()
		sum.syscalls += p.syscalls.Load()
		sum.cpu += t.cpu()
	}
	return sum
}

// point closes an interval.
func (r *runner) point() { r.pointAt(r.totals(), pace.Now()) }

func (r *runner) pointAt(now totals, nowNs int64) {
	s := float64(nowNs-r.lastNs) / 1e9
	warm := r.phase.Load() == warming
	first := len(r.series) == 0 || r.series[len(r.series)-1].Warmup != warm // of its phase
	if s <= 0 || (s < r.l.Interval.Seconds()/10 && !first) {
		return // the rest of an interval that is too short to say anything
	}
	rec := r.latency
	if r.paced && !r.l.NoReply {
		rec = r.corrected
	}
	h := rec.steady
	if warm {
		h = rec.warm
	}
	d := h.Interval()
	bytes := now.sentBytes - r.last.sentBytes + now.receivedBytes - r.last.receivedBytes
	p := result.Point{
		AtS: float64(nowNs-r.startNs) / 1e9, IntervalS: s, Warmup: warm,
		RecordsPerS: float64(now.requests-r.last.requests) / s, MBPerS: float64(bytes) / 1e6 / s,
		MeanMs: ms(d.Mean()), P50Ms: ms(d.Percentile(50)), P99Ms: ms(d.Percentile(99)), MaxMs: ms(d.Max()),
	}
	r.last, r.lastNs = now, nowNs
	r.series = append(r.series, p)
	if r.l.OnInterval != nil {
		r.l.OnInterval(p)
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func (r *runner) stats() Stats {
	st := Stats{
		Latency: r.corrected.steady.Total(), Uncorrected: r.latency.steady.Total(), Lateness: r.late.steady.Total(),
		Series: r.series,
	}
	if r.endNs == 0 {
		return st // it never got there
	}
	st.SteadyS = float64(r.endNs-r.steadyNs) / 1e9
	st.WarmupS, st.WarmupCut = float64(r.warmNs-r.startNs)/1e9, r.cut
	st.Requests = r.to.requests - r.from.requests
	if r.l.MaxRequests > 0 {
		st.Requests = r.to.counted - r.from.counted
	}
	st.SentBytes = r.to.sentBytes - r.from.sentBytes
	st.ReceivedBytes = r.to.receivedBytes - r.from.receivedBytes
	if st.SteadyS > 0 {
		st.BusyShare = min((r.to.cpu-r.from.cpu).Seconds()/st.SteadyS/float64(len(r.threads)), 1)
	}
	if st.Requests > 0 {
		st.SyscallsPerRequest = float64(r.to.syscalls-r.from.syscalls) / float64(st.Requests)
	}
	return st
}
