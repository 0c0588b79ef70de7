package suite

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/tools/cli"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestEveryScenarioIsSound(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a sound Spec gets as far as the first connection
	seen := map[string]bool{}
	for _, s := range Matrix() {
		if seen[s.Name] {
			t.Errorf("two scenarios are called %q", s.Name)
		}
		seen[s.Name] = true
		if s.Group == "" || s.Title == "" {
			t.Errorf("%s: no group or no title", s.Name)
		}
		if s.Floor.Kind != "" && (!slices.Contains(limits.Kinds(), s.Floor.Kind) || s.Per == "" || s.Floor.Connections < 1 || s.Floor.Depth < 1) {
			t.Errorf("%s: floor %+v per %q", s.Name, s.Floor, s.Per)
		}
		load := s.Aim(&Target{Bootstrap: "127.0.0.1:1"})
		if load.Duration == 0 {
			load.Duration = time.Second
		}
		_, err := drive.Run(ctx, load, nil)
		var spec *drive.SpecError
		if errors.As(err, &spec) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// The demands of the issue must each be judged by a scenario that the short suite has.
func TestGoalsHaveTheirScenarios(t *testing.T) {
	all := Matrix()
	for _, g := range goals() {
		m, ok := metricNamed(g.metric)
		if !ok {
			t.Errorf("%s: no metric %q", g.title, g.metric)
		}
		if g.run == "" {
			continue
		}
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == g.run })
		switch {
		case i < 0:
			t.Errorf("%s: no scenario %q", g.title, g.run)
		case !all[i].Short:
			t.Errorf("%s: %q is not in the short suite", g.title, g.run)
		case g.floor && (all[i].Floor.Kind == "" || m.Floor == nil):
			t.Errorf("%s: %q has no floor for %s", g.title, g.run, g.metric)
		}
	}
}

func TestTheMatrixCoversWhatWasAskedFor(t *testing.T) {
	has := func(what string, match func(s Scenario) bool) {
		t.Helper()
		if !slices.ContainsFunc(Matrix(), match) {
			t.Errorf("no scenario with %s", what)
		}
	}
	for _, size := range []string{"100", "1024", "16384"} {
		for _, partitions := range []int{1, 6, 100, 1000} {
			has(size+" B records", func(s Scenario) bool {
				return s.Load.Kind == drive.Produce && s.Load.Workload.Sizes == size && s.Load.Partitions == partitions
			})
		}
	}
	for _, acks := range []int16{0, 1, -1} {
		has("acks", func(s Scenario) bool { return s.Load.Kind == drive.Produce && s.Load.Acks == acks })
	}
	for _, codec := range []string{"none", "lz4", "zstd"} {
		has(codec, func(s Scenario) bool { return s.Load.Codec.String() == codec })
	}
	for _, n := range []int{1, 10, 100, 1000} {
		has("connections", func(s Scenario) bool { return s.Load.Kind == drive.Connections && s.Load.Connections == n })
	}
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		has("partitions on a curve", func(s Scenario) bool { return s.Curve == curvePartitions && s.Load.Partitions == n })
	}
	has("a flush per batch", func(s Scenario) bool { return s.Load.TopicConfig["flush.messages"] == "1" })
	has("cold reads", func(s Scenario) bool { return s.Cold })
	has("many consumers", func(s Scenario) bool { return s.Load.Kind == drive.FanOut && s.Load.Consumers == 50 })
	has("both", func(s Scenario) bool { return s.Load.Kind == drive.Both })
	has("30 GB", func(s Scenario) bool { return s.KeptBytes == 30e9 })
}

func TestSelect(t *testing.T) {
	all := Matrix()
	short, err := Select(all, "", true)
	if err != nil || len(short) == 0 || len(short) == len(all) {
		t.Fatalf("short: %d of %d, %v", len(short), len(all), err)
	}
	group, err := Select(all, "^acks$", false)
	if err != nil || len(group) != 2 {
		t.Errorf("group acks: %d, %v", len(group), err)
	}
	for _, pattern := range []string{"no such thing", "("} {
		_, err := Select(all, pattern, false)
		var usage *cli.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: %v, want a usage error", pattern, err)
		}
	}
	if _, err := Named(all, []string{idleName, "nonsense"}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown name: %v", err)
	}
}
