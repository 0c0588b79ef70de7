package perf

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
)

// readRaw fetches over connections that do nothing else; what comes is counted by batch
// heads. Without --from-latest it begins again at the start when it has read everything.
func readRaw(ctx context.Context, r *readRun, stderr io.Writer) (result.Run, error) {
	spec, s := r.spec, &r.spec.settings
	run := result.Run{Target: s.bootstrap, Client: clientRaw}
	target, partitions, err := rawTopics(ctx, stderr, s.props, s.bootstrap, s.clientID, false, []string{spec.topic})
	if err != nil {
		return run, err
	}
	defer target.Close()
	mode := raw.Replay
	if spec.fromLatest {
		mode = raw.Tail
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.Duration(0)
	clamp := func(v int64) int32 { return int32(min(max(v, 1), math.MaxInt32)) }
	fetch := raw.FetchSpec{
		Common: raw.Common{
			Partitions: partitions, ClientID: s.clientID, Connections: spec.consumers, Congestion: spec.congestion,
			Warmup: spec.warmup, Duration: spec.duration, Records: spec.records, OnEnd: r.session.watch.end,
			Interval: min(time.Second, time.Duration(r.stats.every)*time.Millisecond),
			OnSteady: func() {
				r.session.watch.begin()
				if r.onset != nil {
					r.onset()
				}
			},
			OnInterval: func(p result.Point) {
				r.rawPoint(p)
				idle += time.Duration(p.IntervalS * 1e9)
				if p.RecordsPerS > 0 {
					idle = 0
				}
				if idle > time.Duration(spec.timeoutMs)*time.Millisecond {
					cancel(&idleError{spec.timeoutMs})
				}
			},
		},
		Mode: mode, Offset: -1, MaxBytes: clamp(int64(s.maxBytes)), PartitionMaxBytes: clamp(int64(s.partitionBytes)),
		MinBytes: clamp(int64(s.minBytes)), MaxWaitMs: clamp(s.maxWait.Milliseconds()),
	}
	run.Started = time.Now()
	r.startNs = pace.Now()
	r.stats.start(r.wall.ms(r.startNs))
	stats, err := raw.Fetch(ctx, target, fetch)
	r.endNs = pace.Now()
	r.endMs = r.wall.ms(r.endNs)
	rawResult(&run, &stats)
	// Kafka's line is of the whole run, ours of the steady phase: without a warm-up the same.
	r.stats.records, r.stats.bytes = stats.Records, stats.Bytes
	if spec.warmup > 0 || spec.duration > 0 {
		r.stats.startMs = r.endMs - int64(math.Round(stats.SteadyS*1000))
	}
	return run, err
}

// rawPoint counts an interval.
func (r *readRun) rawPoint(p result.Point) {
	r.mu.Lock()
	r.stats.interval(r.wall.now(), int64(math.Round(p.RecordsPerS*p.IntervalS)), int64(p.MBPerS*p.IntervalS*1e6))
	r.mu.Unlock()
	r.session.point(p)
}

// idleError is a consumer that got nothing for too long.
type idleError struct{ timeoutMs int64 }

func (e *idleError) Error() string {
	return fmt.Sprintf("no records came for %d ms: --timeout allows more", e.timeoutMs)
}
