package quorum

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
)

// load drives one scenario against one side.
type load struct {
	sc               scenario
	name             string
	run              int // of all loads of this command: names of creates differ by it
	warmup, duration time.Duration
	threads          int
	congestion       string
	point            func(result.Point)
	phase            func(string)
}

// pollInterval is how often memory is looked at meanwhile.
const pollInterval = 100 * time.Millisecond

func (l *load) measure(ctx context.Context, s *side) (run result.Run, err error) {
	run = result.Run{Name: l.name, Group: "quorum", Target: strings.Join(s.addresses, ","), Client: "raw", Started: time.Now(), WarmupS: l.warmup.Seconds(), Scenario: l.parameters()}
	targets, err := s.targets(l.sc.where)
	if err != nil {
		return run, err
	}
	l.phase("set-up")
	if err := prepare(ctx, targets[0], l.sc); err != nil {
		return run, err
	}
	defer func() {
		l.phase("clean-up")
		err = errors.Join(err, cleanUp(context.WithoutCancel(ctx), targets[0]))
	}()
	watchers, err := s.watchers()
	if err != nil {
		run.Note = "what the servers spend is not known: " + err.Error()
	}
	defer func() {
		for _, w := range watchers {
			w.Close()
		}
	}()
	return run, l.drive(ctx, targets, watchers, &run)
}

func (l *load) drive(ctx context.Context, targets []string, watchers []*observe.Watcher, run *result.Run) error {
	from, to := make([]observe.Sample, len(watchers)), make([]observe.Sample, len(watchers))
	sample := func(into []observe.Sample) {
		for i, w := range watchers {
			into[i], _ = w.Sample() // a server that ended shows in the load
		}
	}
	poll, stop := context.WithCancel(ctx)
	defer stop()
	for _, w := range watchers {
		go w.Poll(poll, pollInterval)
	}
	var fail wire.Failure
	f := newFrames(l.sc, l.run, 0)
	w := wire.Load{
		AddressOf: func(conn int) string { return targets[conn%len(targets)] }, Connections: l.sc.conns, Depth: l.sc.depth, Threads: l.threads,
		Frame: f.frame, OnReply: check(&fail), Failure: &fail, HeadBytes: headBytes, Congestion: l.congestion,
		Warmup: l.warmup, Duration: l.duration, OnInterval: l.point,
		OnSteady: func() { l.phase("steady"); sample(from) }, OnEnd: func() { sample(to) },
	}
	if l.sc.every > 0 {
		w.Rate = float64(l.sc.conns) / l.sc.every.Seconds()
		w.Warmup = max(w.Warmup, l.sc.every+time.Second) // the sessions are opened in it
		w.Duration = max(w.Duration, 2*l.sc.every)
		run.WarmupS, run.TargetRate = w.Warmup.Seconds(), w.Rate
	}
	l.phase("warm-up")
	stats, err := wire.Run(ctx, w)
	run.SteadyS, run.Requests, run.Records = stats.SteadyS, stats.Requests, stats.Requests
	run.Bytes = stats.Requests * int64(l.sc.valueBytes)
	run.Uncorrected, run.GeneratorBusy, run.Series = stats.Uncorrected.Latency(), stats.BusyShare, stats.Series
	if w.Rate > 0 {
		run.Latency, run.Lateness = stats.Latency.Latency(), stats.Lateness.Latency()
	}
	if stats.SteadyS > 0 {
		run.RequestsPerS = float64(stats.Requests) / stats.SteadyS
		run.RecordsPerS, run.MBPerS = run.RequestsPerS, float64(run.Bytes)/stats.SteadyS/1e6
	}
	var costs []*result.Cost
	for i, w := range watchers {
		costs = append(costs, w.Cost(from[i], to[i], observe.Units{Requests: stats.Requests, Seconds: stats.SteadyS}))
	}
	run.Broker = total(costs, stats.Requests)
	return err
}

func (l *load) parameters() map[string]string {
	p := map[string]string{"connections": strconv.Itoa(l.sc.conns), "depth": strconv.Itoa(l.sc.depth)}
	if l.sc.valueBytes > 0 {
		p["size"] = strconv.Itoa(l.sc.valueBytes) + "B"
	}
	return p
}

// prepare makes the nodes that a load writes to, reads, or creates below.
func prepare(ctx context.Context, address string, sc scenario) error {
	if sc.op == opPing {
		return nil
	}
	s, err := openSession(ctx, address)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.deleteAll(root); err != nil {
		return err
	}
	if err := s.ensure(root, nil); err != nil {
		return err
	}
	for c := range sc.conns {
		if err := s.ensure(nodeOf(c), value(sc.valueBytes)); err != nil {
			return err
		}
	}
	return s.sync(root)
}

func cleanUp(ctx context.Context, address string) error {
	s, err := openSession(ctx, address)
	if err != nil {
		return fmt.Errorf("remove %s: %w", root, err)
	}
	defer s.close()
	return s.deleteAll(root)
}
