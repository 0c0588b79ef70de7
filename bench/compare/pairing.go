package compare

import (
	"slices"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/suite"
)

// Pair is one run of each side, one right after the other.
type Pair struct{ A, B result.Run }

// Pairings compares what the pairs of one scenario gave: medians of both sides, and the
// ratio B/A pair by pair, so that what drifts on the machine from one pair to the next
// cancels out. Only whole pairs count.
func Pairings(scenario, aName, bName string, pairs []Pair) []result.Pairing {
	var out []result.Pairing
	for _, m := range suite.Metrics() {
		p := result.Pairing{Scenario: scenario, Metric: m.Name, HigherIsBetter: m.Higher, AName: aName, BName: bName}
		for i := range pairs {
			a, okA := m.Of(&pairs[i].A)
			b, okB := m.Of(&pairs[i].B)
			if !okA || !okB {
				continue
			}
			if a == 0 { // allocations may be none
				continue
			}
			p.A, p.B, p.Ratios = append(p.A, a), append(p.B, b), append(p.Ratios, b/a)
		}
		if len(p.Ratios) == 0 {
			continue
		}
		p.MedianA, p.MedianB, p.Ratio = suite.Median(p.A), suite.Median(p.B), suite.Median(p.Ratios)
		p.Low, p.High = slices.Min(p.Ratios), slices.Max(p.Ratios)
		out = append(out, p)
	}
	return out
}

// verdict says in a word what the pairs show: a difference only counts when every pair
// has it on the same side and the median is off by more than 3 %.
func verdict(p result.Pairing) string {
	switch better := p.HigherIsBetter; {
	case len(p.Ratios) < 3:
		return "too few pairs"
	case p.Low > 1 && p.Ratio > 1.03:
		return word(better)
	case p.High < 1 && p.Ratio < 0.97:
		return word(!better)
	}
	return "no clear difference"
}

func word(better bool) string {
	if better {
		return "B is better"
	}
	return "B is worse"
}
