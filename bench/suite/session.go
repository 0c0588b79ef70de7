package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/result"
)

// teller is told how the suite goes on.
type teller interface {
	drive.Progress
	Plan(steps []progress.Step)
	Done(run result.Run)
	Printf(format string, args ...any)
}

// session is one run of the suite: scenarios, one after the other, each with its floor in
// turns. file holds at any time what was measured until then; save is called whenever it
// has grown.
type session struct {
	rig   rig
	tell  teller
	save  func(f *result.File) error
	file  *result.File
	flame *flame.Flags // nil: none
	full  bool

	rounds, goalRounds int // 0: one
	warmup, duration   time.Duration
	forced             bool // duration wins over the scenario's own
	selected           bool // not all scenarios were asked for: leave out goals of others

	done    []outcome
	broker  *Target // kept for the next scenario of the same dataset
	dataset string
}

// run measures all scenarios. One that fails is kept with its error and the next goes on;
// only ctx ends the session early. The error is ctx's, or that of saving.
func (s *session) run(ctx context.Context, scenarios []Scenario) error {
	s.tell.Plan(s.plan(scenarios))
	defer func() { s.release(ctx) }()
	for _, sc := range scenarios {
		if ctx.Err() != nil {
			break
		}
		o := s.scenario(ctx, sc)
		run := o.merged()
		s.done = append(s.done, o)
		s.record(o, run)
		s.tell.Done(run)
		if err := s.save(s.file); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		s.file.Interrupted = true
		return errors.Join(err, s.save(s.file))
	}
	return nil
}

// record puts an outcome into the file and judges anew.
func (s *session) record(o outcome, run result.Run) {
	f := s.file
	f.Ended = time.Now()
	f.Runs = append(f.Runs, run)
	if len(o.floors) > 0 {
		s.recordFloor(o)
	}
	f.Curves = curves(s.done)
	f.Goals = append(judge(s.done), judgeGrowth(f.Curves)...)
	if s.selected {
		f.Goals = slices.DeleteFunc(f.Goals, func(g result.Goal) bool { return g.Unknown == notRun })
	}
}

// recordFloor merges the samples that all outcomes have of one floor.
func (s *session) recordFloor(o outcome) {
	var samples []result.Floor
	for _, d := range s.done {
		if d.floorName() == o.floorName() {
			samples = append(samples, d.floors...)
		}
	}
	merged := mergedFloor(samples)
	if i := slices.IndexFunc(s.file.Floors, func(f result.Floor) bool { return f.Name == merged.Name }); i >= 0 {
		s.file.Floors[i] = merged
		return
	}
	s.file.Floors = append(s.file.Floors, merged)
}

// scenario measures one: floor, round, floor, round, floor.
func (s *session) scenario(ctx context.Context, sc Scenario) outcome {
	o := outcome{scenario: sc}
	if err := s.acquire(ctx, sc); err != nil {
		o.failed = err
		return o
	}
	load := s.aim(sc)
	hasFloor := sc.Floor.Kind != ""
	for round := range s.roundsOf(sc) {
		if hasFloor && (round == 0 || len(o.floors) > 0) {
			s.sample(ctx, sc, &o)
		}
		run, err := s.rig.Drive(ctx, load, s.tell)
		if err != nil && run.SteadyS == 0 {
			o.fail(err)
			break
		}
		o.rounds = append(o.rounds, run)
		if err != nil {
			o.fail(err)
			break
		}
	}
	if len(o.floors) > 0 && len(o.rounds) > 0 && ctx.Err() == nil {
		s.sample(ctx, sc, &o)
	}
	if sc.Dataset == "" || o.failed != nil {
		if err := s.release(ctx); err != nil && len(o.rounds) > 0 {
			o.fail(err)
		}
	}
	return o
}

func (o *outcome) fail(err error) {
	if o.failed == nil {
		o.failed = err
	}
}

// sample takes one sample of the scenario's floor. A floor that fails is a note: the
// broker's own figures are good without it.
func (s *session) sample(ctx context.Context, sc Scenario, o *outcome) {
	s.tell.Phase(sc.Name, "floor: "+sc.Floor.Name())
	f, err := s.rig.Floor(ctx, sc.Floor)
	if err == nil {
		o.floors = append(o.floors, f)
		return
	}
	if ctx.Err() != nil {
		return
	}
	note := fmt.Sprintf("The floor of %q could not be measured: %v.", sc.Name, err)
	if !slices.Contains(s.file.Notes, note) {
		s.file.Notes = append(s.file.Notes, note)
	}
}

// acquire sees to it that s.broker is one for the scenario, with its data.
func (s *session) acquire(ctx context.Context, sc Scenario) error {
	if s.broker != nil && s.dataset == sc.Dataset && sc.Dataset != "" {
		return nil
	}
	if err := s.release(ctx); err != nil {
		s.tell.Printf("%v", err)
	}
	s.tell.Phase(sc.Name, "broker")
	b, err := s.rig.Broker(ctx, sc.Server)
	if err != nil {
		return err
	}
	s.broker, s.dataset = b, sc.Dataset
	if sc.KeptBytes == 0 {
		return nil
	}
	if err := s.fill(ctx, sc); err != nil {
		s.release(ctx)
		return fmt.Errorf("write %s before the run: %w", sc.Dataset, err)
	}
	return nil
}

// fill produces KeptBytes into the scenario's topic, anew.
func (s *session) fill(ctx context.Context, sc Scenario) error {
	load := produce(kib, sc.Load.Partitions, 1)
	load.Name, load.Topic, load.TopicConfig, load.Delete = sc.Name, sc.Load.Topic, sc.Load.TopicConfig, false
	load.Records = sc.KeptBytes / kib
	_, err := s.rig.Drive(ctx, s.broker.aim(load), phases{s.tell})
	return err
}

// phases shows a preparation as one phase of the run that it is for.
type phases struct{ teller }

func (p phases) Phase(run, _ string) { p.teller.Phase(run, "preload") }

// release stops the broker that is held, if any. What Scenarios of a dataset left in a
// broker that runs on is deleted by the next run that recreates its topic.
func (s *session) release(ctx context.Context) error {
	if s.broker == nil {
		return nil
	}
	b := s.broker
	s.broker, s.dataset = nil, ""
	return b.End(ctx)
}

// aim makes the scenario's load one for the broker that is held.
func (s *session) aim(sc Scenario) drive.Spec {
	load := sc.Aim(s.broker)
	load.Flame = s.flame
	if sc.Floor.Kind != "" {
		load.Floor = sc.Floor.Name()
	}
	load.Warmup, load.Duration = s.times(sc)
	return load
}

// times are the warm-up and the steady phase of a scenario.
func (s *session) times(sc Scenario) (warmup, duration time.Duration) {
	warmup, duration = sc.Load.Warmup, sc.Load.Duration
	if s.full && sc.FullDuration > 0 {
		duration = sc.FullDuration
	}
	if warmup == 0 {
		warmup = s.warmup
	}
	if duration == 0 || s.forced {
		duration = s.duration
	}
	return warmup, duration
}

func (s *session) roundsOf(sc Scenario) int {
	n := s.rounds
	if judged(sc.Name) {
		n = max(n, s.goalRounds)
	}
	if sc.Rounds > 0 {
		n = sc.Rounds
	}
	if s.flame.Enabled() {
		n = 1
	}
	return max(n, 1)
}

// What a round takes beside its load, roughly.
const (
	setUpTime   = 500 * time.Millisecond
	preloadRate = 500e6 // bytes/s
	floorTime   = 2 * time.Second
)

// SetUpTime is about how long it takes before a measurement of the scenario begins.
func (s Scenario) SetUpTime() time.Duration {
	return setUpTime + time.Duration(float64(s.Load.PreloadBytes)/preloadRate*1e9)
}

// plan tells how long all of it will take.
func (s *session) plan(scenarios []Scenario) []progress.Step {
	var steps []progress.Step
	for _, sc := range scenarios {
		warmup, duration := s.times(sc)
		rounds := time.Duration(s.roundsOf(sc))
		expect := rounds * (sc.SetUpTime() + warmup + duration)
		expect += time.Duration(float64(sc.KeptBytes) / preloadRate * 1e9)
		if sc.Floor.Kind != "" {
			expect += (rounds + 1) * floorTime
		}
		steps = append(steps, progress.Step{Run: sc.Name, Expect: expect})
	}
	return steps
}
