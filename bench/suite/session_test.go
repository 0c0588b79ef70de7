package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/result"
)

// fakeRig notes what is asked of it and answers from lists.
type fakeRig struct {
	calls  []string
	cpu    map[string][]float64 // CPU per GB of the rounds of a scenario, in turn
	floors []float64            // CPU per GB of the samples, in turn
	fail   map[string]error     // by scenario
	during func(name string)
}

func (r *fakeRig) Broker(context.Context, map[string]string) (*Target, error) {
	r.calls = append(r.calls, "start")
	return &Target{Bootstrap: "fake", Stop: func(context.Context) error {
		r.calls = append(r.calls, "stop")
		return nil
	}}, nil
}

func (r *fakeRig) Drive(ctx context.Context, s drive.Spec, _ drive.Progress) (result.Run, error) {
	call := "run " + s.Name
	if s.Records > 0 {
		call = fmt.Sprintf("fill %d", s.Records)
	}
	r.calls = append(r.calls, call)
	if r.during != nil {
		r.during(s.Name)
	}
	if err := r.fail[s.Name]; err != nil {
		return result.Run{Name: s.Name, Error: err.Error()}, err
	}
	run := result.Run{Name: s.Name, SteadyS: 1, RecordsPerS: 1000, Records: 1000}
	if list := r.cpu[s.Name]; len(list) > 0 {
		run.Broker = &result.Cost{CPUPerGB: list[0], Cores: list[0], AllocsKnown: true, AllocsPerRequest: 3}
		r.cpu[s.Name] = list[1:]
	}
	return run, ctx.Err()
}

func (r *fakeRig) Floor(_ context.Context, s limits.Spec) (result.Floor, error) {
	r.calls = append(r.calls, "floor")
	if len(r.floors) == 0 {
		return result.Floor{}, errors.New("no more floors")
	}
	f := result.Floor{Name: s.Name(), Kind: s.Kind, CPUPerGB: r.floors[0], CPUPerUnitUs: r.floors[0], Samples: 1}
	r.floors = r.floors[1:]
	return f, nil
}

// silent is a teller that only counts what was done.
type silent struct {
	drive.Quiet
	done int
}

func (*silent) Plan([]progress.Step)  {}
func (s *silent) Done(result.Run)     { s.done++ }
func (*silent) Printf(string, ...any) {}

func newSession(r *fakeRig) (*session, *int) {
	saved := new(int)
	return &session{
		rig: r, tell: &silent{}, file: &result.File{}, rounds: 1, goalRounds: 3, duration: time.Second,
		save: func(*result.File) error { *saved++; return nil },
	}, saved
}

func withFloor(name string) Scenario {
	return Scenario{Name: name, Group: "g", Per: PerGB, Floor: limits.Spec{Kind: limits.Append, SizeBytes: kib, Connections: 1, Depth: 1}}
}

func TestFloorAndRoundsTakeTurns(t *testing.T) {
	name := produceName(kib, 1, 1, 64*kib) // a goal judges it: three rounds
	r := &fakeRig{cpu: map[string][]float64{name: {2, 9, 4}}, floors: []float64{1, 1, 2, 6}}
	s, saved := newSession(r)
	if err := s.run(t.Context(), []Scenario{withFloor(name)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"start", "floor", "run " + name, "floor", "run " + name, "floor", "run " + name, "floor", "stop"}
	if !slices.Equal(r.calls, want) {
		t.Errorf("calls %v, want %v", r.calls, want)
	}
	run := s.file.Runs[0]
	// Floors around the rounds: (1+1)/2, (1+2)/2, (2+6)/2; ratios 2, 6, 1: the median is 2.
	if run.FloorRatio != 2 || run.Broker.CPUPerGB != 2 || run.Floor != "append 1KiB 1x1" {
		t.Errorf("ratio %v, CPU %v, floor %q", run.FloorRatio, run.Broker.CPUPerGB, run.Floor)
	}
	if !strings.Contains(run.Note, "2.00, 6.00, 1.00") {
		t.Errorf("note %q does not tell the rounds", run.Note)
	}
	if f := s.file.Floors[0]; f.CPUPerGB != 1.5 || f.Samples != 4 || math.Abs(f.Spread-5/1.5) > 1e-9 {
		t.Errorf("floor %+v", f)
	}
	g := s.file.Goals[0]
	if g.Run != name || g.Met || g.Ratio != 2 || g.Low != 1 || g.High != 6 || g.Limit != 1.3 {
		t.Errorf("goal %+v", g)
	}
	if *saved != 1 {
		t.Errorf("saved %d times", *saved)
	}
}

func TestAFailedScenarioDoesNotEndTheSuite(t *testing.T) {
	r := &fakeRig{fail: map[string]error{"bad": errors.New("out of luck")}, cpu: map[string][]float64{"good": {1}}}
	s, saved := newSession(r)
	if err := s.run(t.Context(), []Scenario{{Name: "bad"}, {Name: "good"}}); err != nil {
		t.Fatal(err)
	}
	if len(s.file.Runs) != 2 || s.file.Runs[0].Error != "out of luck" || s.file.Runs[1].Error != "" || *saved != 2 {
		t.Errorf("%d runs, saved %d: %+v", len(s.file.Runs), *saved, s.file.Runs)
	}
	if got := strings.Count(strings.Join(r.calls, " "), "stop"); got != 2 {
		t.Errorf("%d brokers were stopped, want 2: %v", got, r.calls)
	}
}

func TestAFloorThatFailsIsANote(t *testing.T) {
	r := &fakeRig{cpu: map[string][]float64{"x": {1}}}
	s, _ := newSession(r)
	if err := s.run(t.Context(), []Scenario{withFloor("x")}); err != nil {
		t.Fatal(err)
	}
	if run := s.file.Runs[0]; run.Error != "" || run.FloorRatio != 0 {
		t.Errorf("run %+v", run)
	}
	if len(s.file.Notes) != 1 || !strings.Contains(s.file.Notes[0], "no more floors") {
		t.Errorf("notes %q", s.file.Notes)
	}
}

func TestAnInterruptKeepsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &fakeRig{cpu: map[string][]float64{"one": {1}, "two": {1}, "three": {1}}}
	r.during = func(name string) {
		if name == "two" {
			cancel()
		}
	}
	s, saved := newSession(r)
	err := s.run(ctx, []Scenario{{Name: "one"}, {Name: "two"}, {Name: "three"}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
	if !s.file.Interrupted || len(s.file.Runs) != 2 || s.file.Runs[0].Records != 1000 || s.file.Runs[1].Records != 1000 {
		t.Errorf("interrupted %v, runs %+v", s.file.Interrupted, s.file.Runs)
	}
	if *saved < 2 || r.calls[len(r.calls)-1] != "stop" {
		t.Errorf("saved %d times, calls %v", *saved, r.calls)
	}
}

func TestScenariosOfOneDatasetShareABroker(t *testing.T) {
	r := &fakeRig{}
	s, _ := newSession(r)
	a := Scenario{Name: "a", Dataset: "1 GB", KeptBytes: 1 << 30, Load: drive.Spec{Partitions: 1}}
	b, c := a, a
	b.Name, c.Name, c.Dataset = "b", "c", "2 GB"
	if err := s.run(t.Context(), []Scenario{a, b, c}); err != nil {
		t.Fatal(err)
	}
	fill := "fill 1048576"
	want := []string{"start", fill, "run a", "run b", "stop", "start", fill, "run c", "stop"}
	if !slices.Equal(r.calls, want) {
		t.Errorf("calls %v, want %v", r.calls, want)
	}
}

func TestGoalsThatCannotBeJudgedSayWhy(t *testing.T) {
	name := produceName(kib, 1, 1, 64*kib)
	s, _ := newSession(&fakeRig{floors: []float64{1, 1, 1, 1}}) // no CPU: the process is not seen
	if err := s.run(t.Context(), []Scenario{withFloor(name)}); err != nil {
		t.Fatal(err)
	}
	for _, g := range s.file.Goals {
		if g.Met || g.Unknown == "" {
			t.Errorf("%s: met %v, unknown %q", g.Title, g.Met, g.Unknown)
		}
		if g.Run == name && !strings.Contains(g.Unknown, "--pid") {
			t.Errorf("%s: %q does not say what to do", g.Title, g.Unknown)
		}
	}
	err := verdict(s.file)
	if err == nil || !strings.Contains(err.Error(), "not measured") {
		t.Errorf("--check takes what it cannot see for good: %v", err)
	}
}

func TestWorstOfAllRuns(t *testing.T) {
	run := func(name string, anon int64) outcome {
		return outcome{scenario: Scenario{Name: name}, rounds: []result.Run{{Broker: &result.Cost{RSSAnonBytes: anon, AllocsKnown: true}}}}
	}
	g := goal{metric: MetricRSS, limit: 60}
	got := g.worst([]outcome{run("a", 10*mib), run("b", 70*mib), run("c", 20*mib)})
	if got.Met || got.Run != "b" || got.Measured != 70 {
		t.Errorf("%+v", got)
	}
	// No allocation at all is a figure, and a good one.
	g = goal{metric: MetricAllocs, limit: 6}
	if got := g.worst([]outcome{run("a", 1)}); !got.Met || got.Unknown != "" {
		t.Errorf("%+v", got)
	}
}

func TestCurves(t *testing.T) {
	point := func(x, rss float64) outcome {
		return outcome{scenario: Scenario{Name: fmt.Sprint(x), Curve: "c", X: x, Per: PerGB}, rounds: []result.Run{{Broker: &result.Cost{RSSAnonBytes: int64(rss * mib), CPUPerGB: 1}}}}
	}
	all := curves([]outcome{point(100, 40), point(1, 1), point(10, 20)})
	i := slices.IndexFunc(all, func(c result.Curve) bool { return c.YLabel == MetricRSS })
	if i < 0 || !slices.Equal(all[i].X, []float64{1, 10, 100}) || !slices.Equal(all[i].Y, []float64{1, 20, 40}) {
		t.Fatalf("%+v", all)
	}
	if !strings.Contains(all[i].Note, "from 1 to 10: 20.0x for 10.0x") {
		t.Errorf("note %q", all[i].Note)
	}
	goals := judgeGrowth(all)
	if len(goals) != 2 { // CPU is flat, memory grows 20x where 10x is linear
		t.Fatalf("%d goals: %+v", len(goals), goals)
	}
	for _, g := range goals {
		steep := strings.HasPrefix(g.Run, MetricRSS)
		if g.Met == steep || steep && g.Measured != 2 {
			t.Errorf("%+v", g)
		}
	}
	if got := curves([]outcome{point(1, 1)}); len(got) != 0 {
		t.Errorf("one point is a curve: %+v", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := Median(c.in); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
