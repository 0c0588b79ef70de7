package report

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

// plots is what assets/report.js draws, as JSON in the page.
type plots struct {
	Groups []plotGroup `json:"groups"`
	Curves []plotCurve `json:"curves"`
}

// plotGroup is the runs that share two plots: over time, and by percentile.
type plotGroup struct {
	ID    string    `json:"id"`
	Title string    `json:"title"`
	Words string    `json:"words,omitempty"` // what the names of all its runs have in common
	Runs  []plotRun `json:"runs"`
}

// plotRun is the lines of one run. Numbers that are not known are null.
type plotRun struct {
	Name    string               `json:"name"`
	Time    []float64            `json:"time,omitempty"`   // s since the run began
	Warmup  float64              `json:"warmup,omitempty"` // s
	Over    map[string][]*number `json:"over,omitempty"`   // by the keys of metrics in report.js
	Latency []plotLine           `json:"latency,omitempty"`
}

// plotLine is a distribution: X is the number of nines of a percentile (1 for 90 %, 2 for
// 99 %), Y milliseconds.
type plotLine struct {
	Kind string    `json:"kind"` // "intended", "actual", "late", "other"
	X    []float64 `json:"x"`
	Y    []float64 `json:"y"`
}

type plotCurve struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	XLabel string    `json:"xLabel"`
	YLabel string    `json:"yLabel"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
	Floor  []float64 `json:"floor,omitempty"`
}

// number is a float that JSON can hold, with no more digits than a plot shows.
type number float64

func (n number) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprintf("%.5g", float64(n))), nil }

func plotsOf(f *result.File) plots {
	p := plots{Groups: []plotGroup{}, Curves: []plotCurve{}}
	for i, g := range groups(f) {
		pg := plotGroup{ID: fmt.Sprintf("group%d", i), Title: g.Name, Runs: []plotRun{}}
		for _, r := range g.Runs {
			if pr, any := plotOf(r); any {
				pg.Runs = append(pg.Runs, pr)
			}
		}
		names := make([]string, len(pg.Runs))
		for i, r := range pg.Runs {
			names[i] = r.Name
		}
		names, pg.Words = shorten(names, g.Name)
		for i := range pg.Runs {
			pg.Runs[i].Name = names[i]
		}
		if len(pg.Runs) > 0 {
			p.Groups = append(p.Groups, pg)
		}
	}
	for i, c := range f.Curves {
		p.Curves = append(p.Curves, drawnCurve(fmt.Sprintf("curve%d", i), c))
	}
	return p
}

// drawnCurve is c without the places that JSON and a plot have no number for.
func drawnCurve(id string, c result.Curve) plotCurve {
	out := plotCurve{ID: id, Name: c.Name, XLabel: c.XLabel, YLabel: c.YLabel, X: []float64{}, Y: []float64{}}
	floors := len(c.Floor) >= len(c.Y)
	for i := range min(len(c.X), len(c.Y)) {
		if !finite(c.X[i]) || !finite(c.Y[i]) || floors && !finite(c.Floor[i]) {
			continue
		}
		out.X, out.Y = append(out.X, c.X[i]), append(out.Y, c.Y[i])
		if floors {
			out.Floor = append(out.Floor, c.Floor[i])
		}
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// group is the runs of one Group, in the order of the file.
type group struct {
	Name string
	Runs []result.Run
}

func groups(f *result.File) []group {
	var out []group
	at := map[string]int{}
	for _, r := range f.Runs {
		i, known := at[r.Group]
		if !known {
			i, at[r.Group] = len(out), len(out)
			name := r.Group
			if name == "" {
				name = "runs"
			}
			out = append(out, group{Name: name})
		}
		out[i].Runs = append(out[i].Runs, r)
	}
	return out
}

// overTime are the figures of a Point that can be drawn over time.
func overTime() map[string]func(result.Point) float64 {
	return map[string]func(result.Point) float64{
		"mb":      func(p result.Point) float64 { return p.MBPerS },
		"records": func(p result.Point) float64 { return p.RecordsPerS },
		"p50":     func(p result.Point) float64 { return p.P50Ms },
		"p99":     func(p result.Point) float64 { return p.P99Ms },
		"max":     func(p result.Point) float64 { return p.MaxMs },
		"cores":   func(p result.Point) float64 { return p.BrokerCores },
	}
}

// plotOf is what there is to draw of a run; any is false when there is nothing.
func plotOf(r result.Run) (p plotRun, any bool) {
	p = plotRun{Name: r.Name, Over: map[string][]*number{}}
	for _, pt := range r.Series {
		// Intervals end a few milliseconds late; rounded, those of several runs share
		// their places and a cursor can stand on all of them.
		p.Time = append(p.Time, math.Round(pt.AtS*10)/10)
		if pt.Warmup {
			p.Warmup = p.Time[len(p.Time)-1]
		}
	}
	for key, of := range overTime() {
		values, known := make([]*number, len(r.Series)), false
		for i, pt := range r.Series {
			if v := of(pt); v != 0 && finite(v) {
				n := number(v)
				values[i], known = &n, true
			}
		}
		if known {
			p.Over[key] = values
		}
	}
	for _, l := range []struct {
		kind string
		*result.Latency
	}{{"intended", r.Latency}, {"actual", r.Uncorrected}, {"late", r.Lateness}} {
		if l.Latency != nil && l.MaxMs > 0 {
			x, y := percentiles(l.Latency)
			p.Latency = append(p.Latency, plotLine{l.kind, x, y})
		}
	}
	if r.Other != nil && r.Other.Latency != nil && r.Other.Latency.MaxMs > 0 {
		x, y := percentiles(r.Other.Latency)
		p.Latency = append(p.Latency, plotLine{"other", x, y})
	}
	return p, len(p.Over) > 0 || len(p.Latency) > 0
}

// stepsPerNine is how many places a percentile curve has between 90 % and 99 %, and so on.
// The curve begins at p20: what the fastest few reach says little and would stretch the axis.
const (
	stepsPerNine = 20
	firstStep    = 2
)

// percentiles returns a curve: nines of the percentile, and milliseconds. It comes from the
// whole histogram, or from the few percentiles that stand beside it when there is none.
func percentiles(l *result.Latency) (x, y []float64) {
	add := func(nines, ms float64) {
		if ms > 0 { // a logarithmic axis has no zero
			x, y = append(x, math.Round(nines*1e3)/1e3), append(y, math.Round(ms*1e5)/1e5)
		}
	}
	top := math.Log10(math.Max(float64(l.Count), 10))
	h, err := hist.FromLatency(l)
	if err != nil {
		known := []struct{ nines, ms float64 }{{math.Log10(2), l.P50Ms}, {1, l.P90Ms}, {math.Log10(20), l.P95Ms}, {2, l.P99Ms}, {3, l.P999Ms}, {4, l.P9999Ms}}
		for _, k := range known {
			if k.nines < top {
				add(k.nines, k.ms)
			}
		}
		add(top, l.MaxMs)
		return x, y
	}
	for i := firstStep; float64(i)/stepsPerNine < top; i++ {
		nines := float64(i) / stepsPerNine
		add(nines, float64(h.Percentile(100*(1-math.Pow(10, -nines))))/1e6)
	}
	add(top, float64(h.Max())/1e6)
	return x, y
}
