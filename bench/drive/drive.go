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
	"fmt"

	"github.com/millrace/millrace/bench/result"
)

// Progress is told how a run goes; from several goroutines, one call at a time.
type Progress interface {
	// Point is one interval of the run of that name.
	Point(run string, p result.Point)
	// Phase is what the run does now: "topics", "preload", "warm-up", "steady", "clean-up".
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
func Run(ctx context.Context, s Spec, p Progress) (result.Run, error) {
	s = s.withDefaults()
	if p == nil {
		p = Quiet{}
	}
	run := result.Run{Name: s.Name, Group: s.Group, Scenario: s.scenario(), Target: s.Bootstrap, Client: s.Client, Floor: s.Floor, TargetRate: s.Rate}
	if err := s.check(); err != nil {
		run.Error = err.Error()
		return run, err
	}
	return run, nil
}
