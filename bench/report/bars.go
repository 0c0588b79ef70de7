package report

import (
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/bench/result"
)

// The plots that need no script: bars and dots set by percent of their track, so that they
// are as wide as the window and can be read and printed without one.

// barGroup is the broker's CPU of the runs of a group, on one scale.
type barGroup struct {
	Title string
	Words string // what the names of all its runs have in common
	Bars  []bar
	Ticks []tick
}

func (g barGroup) hasFloor() bool {
	return slices.ContainsFunc(g.Bars, func(b bar) bool { return b.Floor > 0 })
}

// bar is one run: all lengths in percent of the track.
type bar struct {
	Name      string
	Value     string  // "0.31 s/GB"
	Length    float64 // of the broker
	Floor     float64 // where the floor is; 0: none
	FloorText string
	Goal      float64 // where the goal's limit is; 0: none
	Ratio     string
	Class     string
	Limit     string // "≤ 1.30x"
}

// tick is a number on a scale, in percent.
type tick struct {
	At   float64
	Text string
}

// barGroups returns the CPU per GB of all runs that have it.
func barGroups(f *result.File) []barGroup {
	var out []barGroup
	for _, g := range groups(f) {
		bg, top := barGroup{Title: g.Name}, 0.0
		var runs []result.Run
		for _, r := range g.Runs {
			if r.Error == "" && r.Broker != nil && r.Broker.CPUPerGB > 0 {
				runs = append(runs, r)
				top = max(top, r.Broker.CPUPerGB, impliedFloor(r))
			}
		}
		if len(runs) == 0 {
			continue
		}
		end := niceEnd(top)
		names := make([]string, len(runs))
		for i, r := range runs {
			bg.Bars = append(bg.Bars, barOf(f, r, end))
			names[i] = r.Name
		}
		names, bg.Words = shorten(names, g.Name)
		for i := range bg.Bars {
			bg.Bars[i].Name = names[i]
		}
		for i := range 5 {
			bg.Ticks = append(bg.Ticks, tick{float64(i) * 25, plain(end * float64(i) / 4)})
		}
		out = append(out, bg)
	}
	return out
}

func barOf(f *result.File, r result.Run, end float64) bar {
	c := ratioCell(f, r)
	b := bar{Name: r.Name, Value: result.Significant(r.Broker.CPUPerGB), Length: share(r.Broker.CPUPerGB, end), Ratio: c.Text, Class: c.Class}
	if floor := impliedFloor(r); floor > 0 {
		b.Floor, b.FloorText = share(floor, end), result.Significant(floor)
		if g, ok := floorGoal(f, r); ok {
			b.Limit = limitText(g)
			if at := floor * g.Limit; at <= end {
				b.Goal = share(at, end)
			}
		}
	}
	return b
}

// share is v in percent of end, for a style sheet.
func share(v, end float64) float64 { return math.Round(min(max(v/end, 0), 1)*1e4) / 100 }

// niceEnd is the end of a scale from 0 that holds v and divides by four: 1, 1.2, 1.6, 2, 2.4,
// 3.2, 4, 5, 6, 8 times a power of ten.
func niceEnd(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8} {
		if v <= m*power*1.0001 {
			return m * power
		}
	}
	return 10 * power
}

// gauge is one goal: how much of its limit was used.
type gauge struct {
	Title, Run, Detail string
	Measured, Limit    string
	Class              string
	Length, At         float64 // percent of the track: what was measured, where the limit is
	Low, High          float64 // the range over the rounds; both 0: none
	AtLeast            bool
}

// gaugeSpan is how many times the limit the track of a gauge holds.
const gaugeSpan = 1.6

func gauges(f *result.File) []gauge {
	var out []gauge
	for _, g := range f.Goals {
		x := gauge{Title: g.Title, Run: g.Run, Class: verdictCell(g).Class, Limit: limitText(g), AtLeast: g.AtLeast}
		if g.Unknown != "" {
			x.Detail = "not measured: " + g.Unknown
			out = append(out, x)
			continue
		}
		value := g.Measured
		x.Measured, x.Detail = result.Significant(g.Measured), g.Metric
		if judgedByRatio(g) {
			value, x.Measured = g.Ratio, ratioText(g.Ratio)
			x.Detail = result.Significant(g.Measured) + " against " + result.Significant(g.FloorValue) + ", " + g.Metric
		}
		span := g.Limit * gaugeSpan
		if span > 0 {
			x.Length, x.At = share(value, span), share(g.Limit, span)
			if g.High > g.Low {
				x.Low, x.High = share(g.Low, span), share(g.High, span)
			}
		}
		out = append(out, x)
	}
	return out
}

// duel is A against B for one scenario.
type duel struct {
	Scenario     string
	AName, BName string
	Rows         []duelRow
	Ticks        []tick
	One          float64 // where no difference is
}

// duelRow is one figure: places in percent of a logarithmic track.
type duelRow struct {
	Metric, A, B, Ratio, Range string
	Class, Word                string
	Median, Low, High          float64
	Dots                       []float64
	Better                     string // "higher is better"
}

// duels returns the pairings by scenario; all tracks of the page have one scale.
func duels(f *result.File) []duel {
	reach := 1.25
	for _, p := range f.Pairs {
		for _, r := range append([]float64{p.Ratio, p.Low, p.High}, p.Ratios...) {
			if r > 0 && !math.IsInf(r, 0) {
				reach = max(reach, r, 1/r)
			}
		}
	}
	reach = min(reach*1.1, 150)
	place := func(r float64) float64 {
		if r <= 0 {
			return 0
		}
		return math.Round(min(max((math.Log(r)/math.Log(reach)+1)/2, 0), 1)*1e4) / 100
	}
	var out []duel
	at := map[string]int{}
	for _, p := range f.Pairs {
		i, known := at[p.Scenario]
		if !known {
			i, at[p.Scenario] = len(out), len(out)
			out = append(out, duel{Scenario: p.Scenario, AName: sideName(p.AName, "A"), BName: sideName(p.BName, "B"), One: 50, Ticks: duelTicks(reach, place)})
		}
		o := outcomeOf(p)
		row := duelRow{
			Metric: p.Metric, A: result.Significant(p.MedianA), B: result.Significant(p.MedianB), Ratio: ratioText(p.Ratio),
			Range: ratioText(p.Low) + " to " + ratioText(p.High), Class: o.class(), Word: string(o), Better: "lower is better",
			Median: place(p.Ratio), Low: place(p.Low), High: place(p.High),
		}
		if p.HigherIsBetter {
			row.Better = "higher is better"
		}
		for _, r := range p.Ratios {
			row.Dots = append(row.Dots, place(r))
		}
		out[i].Rows = append(out[i].Rows, row)
	}
	return out
}

// duelTicks are round ratios with room between them, 1x in the middle.
func duelTicks(reach float64, place func(float64) float64) []tick {
	const room = 13.0 // percent of the narrowest track that a label takes
	out, last := []tick{{place(1), "1x"}}, place(1)
	for _, r := range []float64{1.1, 1.25, 1.5, 2, 3, 5, 10, 30, 100} {
		if at := place(r); r <= reach && at-last >= room && at <= 97 {
			last = at
			out = append(out, tick{at, plain(r) + "x"}, tick{place(1 / r), inverse(r)})
		}
	}
	return out
}

// inverse writes 1/r in as little room as there is for it: "0.5x", "1/30".
func inverse(r float64) string {
	if r >= 3 {
		return "1/" + plain(r)
	}
	return plain(1/r) + "x"
}

// plain writes a round number without zeros at its end.
func plain(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
