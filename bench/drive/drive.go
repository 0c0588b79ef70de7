// Package drive runs one load against one Kafka broker and measures it: it makes the
// topics, preloads what is to be read, warms up, and takes the figures of the steady phase,
// with what the broker and the generator spent in it.
//
// Two generators stand behind one Spec. Raw (bench/raw over bench/wire) sends batches that
// were built beforehand over connections of its own, so that it costs little beside the
// broker; Franz is franz-go, a client as users have it. Both measure latency from the
// intended send time when a rate is given.
//
// The broker may be any: topics are made and deleted through its admin API. What only
// Millrace has (an admin port, for allocations and profiles) is used when the Spec names
// it. The broker's CPU is known when its process can be found on this machine.
//
// Callers are bench/perf, bench/suite and bench/compare.
package drive

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
)

// Progress is told how a run goes; from several goroutines, one call at a time.
type Progress interface {
	// Point is one interval of the run of that name.
	Point(run string, p result.Point)
	// Phase is what the run does now: "topics", "preload", "warm-up", "steady", "clean-up".
	// The points of a preload count as warm-up.
	Phase(run, phase string)
}

// SpecError is a Spec that makes no sense.
type SpecError struct {
	Field, Value, Want string
}

func (e *SpecError) Error() string { return fmt.Sprintf("%s %s: %s", e.Field, e.Value, e.Want) }

// Quiet is a Progress that says nothing.
type Quiet struct{}

// Point implements Progress.
func (Quiet) Point(string, result.Point) {}

// Phase implements Progress.
func (Quiet) Phase(string, string) {}

// Run does what s says and returns its figures. A run that ctx ended, or that failed after
// it had begun to measure, returns what it has beside the error, with Run.Error set.
// Errors: *SpecError, *TopicError, *PartitionsError, *EmptyError, *NoGroupsError,
// *AllFailedError, *IdleError, those of workload.New and of the engines, ctx's cause.
func Run(ctx context.Context, s Spec, p Progress) (result.Run, error) {
	s = s.withDefaults()
	if p == nil {
		p = Quiet{}
	}
	run := result.Run{
		Name: s.Name, Group: s.Group, Scenario: s.scenario(), Target: s.Bootstrap, Client: s.Client,
		Floor: s.Floor, TargetRate: s.Rate, Started: time.Now(),
	}
	err := s.check()
	if err == nil {
		err = measure(ctx, &s, p, &run)
	}
	if err != nil {
		run.Error = err.Error()
	}
	return run, err
}

// measure is Run with the Spec's defaults filled in.
func measure(ctx context.Context, s *Spec, p Progress, run *result.Run) (err error) {
	p.Phase(s.Name, "topics")
	c, err := openCluster(ctx, s)
	if err != nil {
		return err
	}
	defer c.close()
	run.Server = c.server(ctx)
	defer func() {
		p.Phase(s.Name, "clean-up")
		err = errors.Join(err, c.cleanUp(ctx))
	}()
	parts, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	if s.PreloadBytes > 0 {
		p.Phase(s.Name, "preload")
		if err := preload(ctx, s, c, parts, p); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	if s.Cold != nil {
		if err := s.Cold(); err != nil {
			return fmt.Errorf("empty the page cache: %w", err)
		}
	}
	addNote(run, scope(s, parts))
	m := newMeter(ctx, s, parts[0].Address, p)
	defer m.close()
	p.Phase(s.Name, "warm-up")
	o, err := engine(s)(ctx, s, m, c, parts)
	m.end()
	o.fill(run)
	m.fill(run)
	return err
}

// scope says what the broker's cost is of, where that is not plain.
func scope(s *Spec, parts []raw.Partition) string {
	var notes []string
	switch {
	case s.Kind == Both:
		notes = append(notes, "cost is per record produced, and holds that of consuming it")
	case s.Kind == FanOut && s.produces():
		notes = append(notes, "cost is per record consumed, and holds that of producing it once")
	}
	leaders := map[string]bool{}
	for _, p := range parts {
		leaders[p.Address] = true
	}
	if len(leaders) > 1 {
		notes = append(notes, fmt.Sprintf("%d brokers lead the partitions, and the cost is that of one of them", len(leaders)))
	}
	return strings.Join(notes, "; ")
}

// engine is what makes the load.
func engine(s *Spec) func(context.Context, *Spec, *meter, *cluster, []raw.Partition) (outcome, error) {
	switch {
	case s.Kind == Idle:
		return runIdle
	case s.Client == Franz:
		return runFranz
	default:
		return runRaw
	}
}
