package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/suite"
)

// side is one of the two brokers.
type side struct {
	name string
	open func(ctx context.Context, settings map[string]string) (*suite.Target, error)
}

// teller is told how the comparison goes on.
type teller interface {
	drive.Progress
	Plan(steps []progress.Step)
	Done(run result.Run)
	Printf(format string, args ...any)
}

// comparison is one command's work.
type comparison struct {
	a, b             side
	pairs            int
	warmup, duration time.Duration // 0: the scenario's own, else a second and three
	tell             teller
	drive            func(ctx context.Context, s drive.Spec, p drive.Progress) (result.Run, error)
	file             *result.File
	save             func(f *result.File) error
}

// run compares the scenarios one after the other. One that fails is kept with its error;
// only the end of ctx, or a file that cannot be written, ends the rest.
func (c *comparison) run(ctx context.Context, scenarios []suite.Scenario) error {
	c.plan(scenarios)
	var failed []error
	for _, sc := range scenarios {
		if ctx.Err() != nil {
			break
		}
		if err := c.scenario(ctx, sc); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", sc.Name, err))
			c.tell.Printf("%s: %v", sc.Name, err)
		}
		c.file.Ended = time.Now()
		if err := c.save(c.file); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		c.file.Interrupted = true
		return errors.Join(err, c.save(c.file))
	}
	return errors.Join(failed...)
}

// scenario takes the pairs of one scenario. Those that were whole count, also when a later
// one failed or was interrupted.
func (c *comparison) scenario(ctx context.Context, sc suite.Scenario) (err error) {
	var targets [2]*suite.Target
	for i, s := range []side{c.a, c.b} {
		if targets[i], err = s.open(ctx, sc.Server); err != nil {
			return fmt.Errorf("broker %s: %w", s.name, err)
		}
		defer func(t *suite.Target) { err = errors.Join(err, t.End(ctx)) }(targets[i])
	}
	var pairs []Pair
	defer func() {
		c.file.Pairs = append(c.file.Pairs, Pairings(sc.Name, c.a.name, c.b.name, pairs)...)
	}()
	for n := range c.pairs {
		var p Pair
		for i, run := range []*result.Run{&p.A, &p.B} {
			*run, err = c.measure(ctx, sc, targets[i], n, i)
			if err != nil {
				return err
			}
		}
		pairs = append(pairs, p)
	}
	return nil
}

// measure takes one run of one side, and puts it into the file under a name of its own.
func (c *comparison) measure(ctx context.Context, sc suite.Scenario, t *suite.Target, n, which int) (result.Run, error) {
	load := sc.Aim(t)
	load.Name = c.runName(sc, n, which)
	load.Warmup, load.Duration = c.times(sc)
	run, err := c.drive(ctx, load, c.tell)
	if err != nil && run.SteadyS == 0 {
		return run, err
	}
	c.file.Runs = append(c.file.Runs, run)
	c.tell.Done(run)
	return run, err
}

func (c *comparison) runName(sc suite.Scenario, n, which int) string {
	return fmt.Sprintf("%s, pair %d, %s", sc.Name, n+1, [2]string{"A", "B"}[which])
}

// Times without flags that say otherwise.
const (
	defaultWarmup   = time.Second
	defaultDuration = 3 * time.Second
)

func (c *comparison) times(sc suite.Scenario) (warmup, duration time.Duration) {
	pick := func(values ...time.Duration) time.Duration {
		for _, v := range values {
			if v > 0 {
				return v
			}
		}
		return 0
	}
	return pick(c.warmup, sc.Load.Warmup, defaultWarmup), pick(c.duration, sc.Load.Duration, defaultDuration)
}

// plan tells how long all of it will take.
func (c *comparison) plan(scenarios []suite.Scenario) {
	var steps []progress.Step
	for _, sc := range scenarios {
		warmup, duration := c.times(sc)
		for n := range c.pairs {
			for which := range 2 {
				steps = append(steps, progress.Step{Run: c.runName(sc, n, which), Expect: warmup + duration + sc.SetUpTime()})
			}
		}
	}
	c.tell.Plan(steps)
}
