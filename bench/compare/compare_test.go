package compare

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/progress"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/suite"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// silent is a teller that says nothing.
type silent struct{ drive.Quiet }

func (silent) Plan([]progress.Step)  {}
func (silent) Done(result.Run)       {}
func (silent) Printf(string, ...any) {}

// fake is two brokers that answer from lists, and the calls they got.
type fake struct {
	calls []string
	rates map[string][]float64 // by address
	fail  string               // address that refuses
	after func()
}

func (f *fake) side(name, address string) side {
	return side{name: name, open: func(context.Context, map[string]string) (*suite.Target, error) {
		return &suite.Target{Bootstrap: address, Stop: func(context.Context) error {
			f.calls = append(f.calls, "stop "+address)
			return nil
		}}, nil
	}}
}

func (f *fake) drive(ctx context.Context, s drive.Spec, _ drive.Progress) (result.Run, error) {
	f.calls = append(f.calls, s.Bootstrap)
	if s.Bootstrap == f.fail {
		return result.Run{}, errors.New("refused")
	}
	rates := f.rates[s.Bootstrap]
	f.rates[s.Bootstrap] = rates[1:]
	run := result.Run{Name: s.Name, SteadyS: 1, RecordsPerS: rates[0], Latency: &result.Latency{P99Ms: 1e3 / rates[0]}}
	if f.after != nil {
		f.after()
	}
	return run, ctx.Err()
}

func newComparison(f *fake, pairs int) *comparison {
	return &comparison{
		a: f.side("A (one)", "one"), b: f.side("B (two)", "two"), pairs: pairs, tell: silent{}, drive: f.drive,
		file: &result.File{}, save: func(*result.File) error { return nil },
	}
}

func TestBothSidesTakeTurns(t *testing.T) {
	f := &fake{rates: map[string][]float64{"one": {100, 200, 100}, "two": {150, 220, 300}}}
	c := newComparison(f, 3)
	if err := c.run(t.Context(), []suite.Scenario{{Name: "s"}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", "one", "two", "one", "two"}
	if !slices.Equal(f.calls[:6], want) || len(f.calls) != 8 {
		t.Errorf("calls %v", f.calls)
	}
	if len(c.file.Pairs) != 2 || len(c.file.Runs) != 6 {
		t.Fatalf("%d figures, %d runs", len(c.file.Pairs), len(c.file.Runs))
	}
	p := c.file.Pairs[0]
	// Ratios 1.5, 1.1, 3: their median is not the ratio of the medians (220/100).
	if p.Metric != suite.MetricRecordsPerS || p.MedianA != 100 || p.MedianB != 220 || p.Ratio != 1.5 || p.Low != 1.1 || p.High != 3 {
		t.Errorf("%+v", p)
	}
	if v := verdict(p); v != "B is better" {
		t.Errorf("verdict %q", v)
	}
	if p := c.file.Pairs[1]; p.HigherIsBetter || verdict(p) != "B is better" {
		t.Errorf("a lower latency is better: %+v, %q", p, verdict(p))
	}
	names := map[string]bool{}
	for _, r := range c.file.Runs {
		names[r.Name] = true
	}
	if len(names) != 6 {
		t.Errorf("names of runs are not unique: %v", names)
	}
}

func TestOnlyWholePairsCount(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{rates: map[string][]float64{"one": {100, 100}, "two": {200, 200}}}
	c := newComparison(f, 5)
	f.after = func() {
		if len(c.file.Runs) == 2 { // the third run, A of the second pair
			cancel()
		}
	}
	err := c.run(ctx, []suite.Scenario{{Name: "s"}, {Name: "never"}})
	if !errors.Is(err, context.Canceled) || !c.file.Interrupted {
		t.Fatalf("error %v, interrupted %v", err, c.file.Interrupted)
	}
	if len(c.file.Pairs) == 0 || len(c.file.Pairs[0].Ratios) != 1 || len(c.file.Runs) != 3 {
		t.Errorf("pairs %+v, %d runs", c.file.Pairs, len(c.file.Runs))
	}
	if stops := strings.Count(strings.Join(f.calls, " "), "stop"); stops != 2 {
		t.Errorf("%d brokers were stopped: %v", stops, f.calls)
	}
}

func TestAScenarioThatFailsDoesNotEndTheRest(t *testing.T) {
	f := &fake{fail: "two", rates: map[string][]float64{"one": {1, 1}}}
	c := newComparison(f, 1)
	err := c.run(t.Context(), []suite.Scenario{{Name: "s"}, {Name: "next"}})
	if err == nil || !strings.Contains(err.Error(), "next: refused") {
		t.Errorf("error %v", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		ratios []float64
		higher bool
		want   string
	}{
		{[]float64{1.1, 1.2}, true, "too few pairs"},
		{[]float64{1.1, 1.2, 1.3}, true, "B is better"},
		{[]float64{1.1, 1.2, 1.3}, false, "B is worse"},
		{[]float64{0.7, 0.8, 0.9}, true, "B is worse"},
		{[]float64{0.9, 1.2, 1.3}, true, "no clear difference"},
		{[]float64{1.01, 1.02, 1.02}, true, "no clear difference"},
	} {
		p := result.Pairing{HigherIsBetter: c.higher, Ratios: c.ratios, Ratio: suite.Median(c.ratios), Low: slices.Min(c.ratios), High: slices.Max(c.ratios)}
		if got := verdict(p); got != c.want {
			t.Errorf("%v, higher is better %v: %q, want %q", c.ratios, c.higher, got, c.want)
		}
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		args, want string
	}{
		{"", "which scenario"},
		{"nonsense --a x --b y", `no scenario "nonsense"`},
		{"--run ^kept --a x --b y", "selects none"},
		{"--short --a x", "where is B"},
		{"--short --a x --b y --b-binary z", "one of them"},
		{"--short --a-binary x --a-pid 1 --b y", "--a-pid"},
		{"--short --a x --b y --pairs 0", "--pairs 0"},
		{"--short --a x --b y --override z", "KEY=VALUE"},
		{"something --run x --a x --b y", "unexpected argument"},
	} {
		cmd := Command("compare")
		cmd.SetArgs(strings.Fields(c.args))
		err := cmd.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
}
