package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/result"
)

func pairTable(f *result.File) table {
	type pair = result.Pairing
	return tableOf("pairs", "A against B",
		"Taken in turns: A B A B. The ratio is B/A of each pair; its median and its range. There is a difference only where all pairs have it on the same side of 1 and the median is off by more than 3 %.",
		[]field[pair]{
			text("scenario", func(p pair) string { return p.Scenario }),
			text("figure", func(p pair) string { return p.Metric }),
			figure("A", "", "median of A", result.Significant, func(p pair) float64 { return p.MedianA }),
			figure("B", "", "median of B", result.Significant, func(p pair) float64 { return p.MedianB }),
			{column{Name: "B/A", Help: "median of the ratios", Numeric: true}, func(p pair) cell {
				return cell{Text: ratioText(p.Ratio), Sort: p.Ratio, Class: outcomeOf(p).class()}
			}},
			figure("lowest", "", "", ratioText, func(p pair) float64 { return p.Low }),
			figure("highest", "", "", ratioText, func(p pair) float64 { return p.High }),
			figure("pairs", "", "", result.Rate, func(p pair) float64 { return float64(len(p.Ratios)) }),
			text("B is", func(p pair) string { return string(outcomeOf(p)) }),
			text("A is", func(p pair) string { return p.AName }),
			text("B", func(p pair) string { return p.BName }),
		}, f.Pairs)
}

// outcome says how B did.
type outcome string

const (
	better  outcome = "better"
	worse   outcome = "worse"
	unclear outcome = "no clear difference"
	few     outcome = "too few pairs"
)

// noticed is what a median must be off by to count, fewest how many pairs are needed; both
// as in bench/compare.
const (
	noticed = 0.03
	fewest  = 3
)

// outcomeOf is a difference only when all pairs agree on its direction and it is noticed.
func outcomeOf(p result.Pairing) outcome {
	higher := p.Low > 1 && p.Ratio > 1+noticed
	lower := p.High < 1 && p.High > 0 && p.Ratio < 1-noticed
	switch {
	case len(p.Ratios) < fewest:
		return few
	case higher && p.HigherIsBetter, lower && !p.HigherIsBetter:
		return better
	case higher, lower:
		return worse
	default:
		return unclear
	}
}

func (o outcome) class() string {
	switch o {
	case better:
		return "met"
	case worse:
		return "missed"
	default:
		return "unknown"
	}
}

func curveTable(f *result.File) table {
	type point struct {
		curve       result.Curve
		x, y, floor float64
	}
	var points []point
	for _, c := range f.Curves {
		for i := range min(len(c.X), len(c.Y)) {
			p := point{curve: c, x: c.X[i], y: c.Y[i]}
			if i < len(c.Floor) {
				p.floor = c.Floor[i]
			}
			points = append(points, p)
		}
	}
	return tableOf("curves", "How cost grows", "", []field[point]{
		text("curve", func(p point) string { return p.curve.Name }),
		{column{Name: "at", Numeric: true}, func(p point) cell { return cell{Text: result.Rate(p.x), Sort: p.x} }},
		text("of", func(p point) string { return p.curve.XLabel }),
		{column{Name: "value", Numeric: true}, func(p point) cell { return cell{Text: result.Significant(p.y), Sort: p.y} }},
		text("unit", func(p point) string { return p.curve.YLabel }),
		figure("floor", "", "", result.Significant, func(p point) float64 { return p.floor }),
		figure("ratio", "", "", ratioText, func(p point) float64 { return p.y / p.floor }),
	}, points)
}

// setupTable has the parameters of each run, one column for each that any run has.
func setupTable(f *result.File) table {
	type run = result.Run
	fields := []field[run]{
		text("run", func(r run) string { return r.Name }),
		text("group", func(r run) string { return r.Group }),
	}
	for _, key := range scenarioKeys(f.Runs) {
		fields = append(fields, text(key, func(r run) string { return r.Scenario[key] }))
	}
	fields = append(fields,
		text("target", func(r run) string { return r.Target }),
		text("server", func(r run) string { return r.Server }),
		text("client", func(r run) string { return r.Client }),
		figure("warm-up", "s", "", seconds, func(r run) float64 { return r.WarmupS }),
		text("began", func(r run) string {
			if r.Started.IsZero() {
				return ""
			}
			return r.Started.UTC().Format("15:04:05")
		}),
		text("floor", func(r run) string { return r.Floor }),
		text("note", func(r run) string { return r.Note }),
	)
	return withRun(tableOf("setup", "Set-up of the runs", "", fields, f.Runs), f.Runs)
}

func scenarioKeys(runs []result.Run) []string {
	keys := map[string]bool{}
	for _, r := range runs {
		for k := range r.Scenario {
			keys[k] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// machineLine describes a machine in one line.
func machineLine(m result.Machine) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, fact := range machineFacts(m) {
		if fact.Name != "load average" {
			add(fact.Value)
		}
	}
	return strings.Join(parts, ", ")
}

// fact is one line about the machine or the measurement.
type fact struct{ Name, Value string }

func machineFacts(m result.Machine) []fact {
	var out []fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, value})
		}
	}
	add("processor", m.CPU)
	if m.CPUs > 0 {
		add("processors", result.Rate(float64(m.CPUs))+" CPUs")
	}
	if m.MemoryBytes > 0 {
		add("memory", bytesText(m.MemoryBytes))
	}
	add("kernel", m.Kernel)
	add("file system", m.FileSystem)
	add("congestion control", m.CongestionControl)
	add("Go", m.GoVersion)
	if !math.IsNaN(m.LoadAverage) {
		add("load average", fixed(m.LoadAverage, 2))
	}
	return out
}

func floorTable(f *result.File) table {
	type floor = result.Floor
	latency := func(of func(*result.Latency) float64) func(floor) float64 {
		return func(fl floor) float64 {
			if fl.Latency == nil {
				return 0
			}
			return of(fl.Latency)
		}
	}
	return tableOf("floors", "Floors of this machine",
		"Bare system calls without any of the broker's code, in a process of their own, under the same load generator. Medians of samples taken in turns.",
		[]field[floor]{
			text("floor", func(fl floor) string { return fl.Name }),
			text("what is done", func(fl floor) string { return fl.Title }),
			text("congestion", func(fl floor) string { return fl.Congestion }),
			{column{Name: "unit", Numeric: true}, func(fl floor) cell {
				if fl.UnitBytes == 0 {
					return cell{Sort: math.NaN()}
				}
				return cell{Text: bytesText(fl.UnitBytes), Sort: float64(fl.UnitBytes)}
			}},
			{column{Name: "load", Help: "connections x requests in flight on each"}, func(fl floor) cell {
				if fl.Connections == 0 {
					return cell{Sort: math.NaN()}
				}
				return cell{Text: fmt.Sprintf("%dx%d", fl.Connections, max(fl.Depth, 1)), Sort: math.NaN()}
			}},
			figure("CPU", "us/unit", "CPU microseconds of the serving process per unit", result.Significant, func(fl floor) float64 { return fl.CPUPerUnitUs }),
			figure("CPU", "s/GB", "", result.Significant, func(fl floor) float64 { return fl.CPUPerGB }),
			figure("units/s", "", "", result.Rate, func(fl floor) float64 { return fl.UnitsPerS }),
			figure("MB/s", "", "", result.Rate, func(fl floor) float64 { return fl.MBPerS }),
			figure("p50", "ms", "", result.Significant, latency(func(l *result.Latency) float64 { return l.P50Ms })),
			figure("p99", "ms", "", result.Significant, latency(func(l *result.Latency) float64 { return l.P99Ms })),
			figure("highest", "ms", "", result.Significant, latency(func(l *result.Latency) float64 { return l.MaxMs })),
			figure("spread", "", "(highest - lowest) / median of the samples", percent, func(fl floor) float64 { return fl.Spread }),
			figure("samples", "", "", result.Rate, func(fl floor) float64 { return float64(fl.Samples) }),
			text("note", func(fl floor) string { return fl.Note }),
		}, f.Floors)
}
