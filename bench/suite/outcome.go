package suite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/result"
)

// outcome is what came of one scenario: its rounds, and the floor's samples between them.
type outcome struct {
	scenario Scenario
	rounds   []result.Run   // those that gave figures
	floors   []result.Floor // before each round and after the last
	failed   error          // of the first round that gave none
}

// values returns the figure of each round that has it.
func (o outcome) values(m Metric) []float64 {
	var out []float64
	for i := range o.rounds {
		if v, ok := m.Of(&o.rounds[i]); ok {
			out = append(out, v)
		}
	}
	return out
}

// ratios returns each round's figure against the mean of the floor's samples right before
// and right after it, and those means.
func (o outcome) ratios(m Metric) (ratios, floors []float64) {
	if m.Floor == nil {
		return nil, nil
	}
	for i := range o.rounds {
		v, ok := m.Of(&o.rounds[i])
		f := o.floorAround(i, m)
		if !ok || f == 0 {
			continue
		}
		ratios, floors = append(ratios, v/f), append(floors, f)
	}
	return ratios, floors
}

func (o outcome) floorAround(round int, m Metric) float64 {
	sum, n := 0.0, 0
	for _, i := range []int{round, round + 1} {
		if i >= len(o.floors) {
			continue
		}
		if v, ok := m.Floor(&o.floors[i]); ok {
			sum, n = sum+v, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

func (o outcome) floorName() string {
	if len(o.floors) == 0 {
		return ""
	}
	return o.floors[0].Name
}

// missing says why the rounds lack a figure.
func (o outcome) missing(metric string) string {
	switch {
	case len(o.rounds) == 0 && o.failed != nil:
		return "the run failed: " + o.failed.Error()
	case len(o.rounds) == 0:
		return "was interrupted"
	case o.rounds[0].Broker == nil:
		return "the broker's process cannot be seen: give --pid, or run on its machine as its user"
	case strings.HasPrefix(metric, "allocations"):
		return "the broker's admin port does not tell its allocations: give --admin"
	}
	return "the run has no such figure"
}

// merged is the outcome as one run: the round in the middle by CPU against the floor, or by
// CPU, or by throughput, with what the others gave in its note.
func (o outcome) merged() result.Run {
	if len(o.rounds) == 0 {
		text := "interrupted"
		if o.failed != nil {
			text = o.failed.Error()
		}
		return result.Run{Name: o.scenario.Name, Group: o.scenario.Group, Error: text, Note: o.scenario.Note}
	}
	m := o.scenario.perUnit()
	keys, label := o.rank(m)
	run := o.rounds[middle(keys)]
	run.Name, run.Group = o.scenario.Name, o.scenario.Group
	notes := slices.DeleteFunc([]string{o.scenario.Note, run.Note}, func(s string) bool { return s == "" })
	if ratios, _ := o.ratios(m); len(ratios) > 0 {
		run.Floor, run.FloorRatio = o.floorName(), Median(ratios)
	}
	if len(keys) > 1 {
		notes = append(notes, fmt.Sprintf("median of %d rounds by %s: %s", len(keys), label, list(keys)))
	}
	if o.failed != nil {
		notes = append(notes, "a round failed: "+o.failed.Error())
	}
	run.Note = strings.Join(notes, "; ")
	return run
}

// rank returns the figure by which the rounds are ordered: all of them have it.
func (o outcome) rank(m Metric) (keys []float64, label string) {
	if ratios, _ := o.ratios(m); len(ratios) == len(o.rounds) {
		return ratios, "CPU against the floor"
	}
	if values := o.values(m); len(values) == len(o.rounds) {
		return values, m.Name
	}
	for _, r := range o.rounds {
		keys = append(keys, r.RecordsPerS)
	}
	return keys, MetricRecordsPerS
}

// middle returns the index of the median, the lower one of two.
func middle(keys []float64) int {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case keys[a] < keys[b]:
			return -1
		case keys[a] > keys[b]:
			return 1
		}
		return 0
	})
	return order[(len(order)-1)/2]
}

func list(values []float64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = result.Significant(v)
	}
	return strings.Join(words, ", ")
}

// mergedFloor is the samples of one floor as one: medians, and how far they were apart.
func mergedFloor(samples []result.Floor) result.Floor {
	f := samples[0]
	pick := func(get func(f result.Floor) float64) []float64 {
		var v []float64
		for _, s := range samples {
			v = append(v, get(s))
		}
		return v
	}
	cpu := pick(func(f result.Floor) float64 { return f.CPUPerUnitUs })
	f.CPUPerUnitUs = Median(cpu)
	f.CPUPerGB = Median(pick(func(f result.Floor) float64 { return f.CPUPerGB }))
	f.UnitsPerS = Median(pick(func(f result.Floor) float64 { return f.UnitsPerS }))
	f.MBPerS = Median(pick(func(f result.Floor) float64 { return f.MBPerS }))
	f.Samples, f.Spread = 0, 0
	for _, s := range samples {
		f.Samples += max(s.Samples, 1)
	}
	if f.CPUPerUnitUs > 0 {
		f.Spread = (slices.Max(cpu) - slices.Min(cpu)) / f.CPUPerUnitUs
	}
	return f
}
