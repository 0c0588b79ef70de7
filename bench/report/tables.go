package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/result"
)

// tables returns everything of f as tables, in the order of the report; tables without rows
// are left out.
func tables(f *result.File) []table {
	all := []table{
		goalTable(f),
		costTable(f),
		latencyTable(f),
		systemTable(f),
		pairTable(f),
		curveTable(f),
		floorTable(f),
		setupTable(f),
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.Rows) == 0 })
}

// withRun marks the rows of runs that failed.
func withRun(t table, runs []result.Run) table {
	for i, r := range runs {
		t.Rows[i].Failed = r.Error != ""
	}
	return t
}

func goalTable(f *result.File) table {
	type goal = result.Goal
	return tableOf("goals", "Goals", "", []field[goal]{
		text("goal", func(g goal) string { return g.Title }),
		{column{Name: "verdict"}, func(g goal) cell { return verdictCell(g) }},
		{column{Name: "measured", Help: "median of the rounds", Numeric: true}, func(g goal) cell {
			if g.Unknown != "" {
				return cell{Sort: math.NaN()}
			}
			return cell{Text: result.Significant(g.Measured), Sort: g.Measured}
		}},
		text("of", func(g goal) string { return g.Metric }),
		figure("floor", "", "what bare system calls need for the same", result.Significant, func(g goal) float64 { return g.FloorValue }),
		figure("ratio", "", "measured against the floor", ratioText, func(g goal) float64 { return g.Ratio }),
		{column{Name: "lowest", Help: "of the rounds", Numeric: true}, func(g goal) cell { return rangeCell(g, g.Low) }},
		{column{Name: "highest", Help: "of the rounds", Numeric: true}, func(g goal) cell { return rangeCell(g, g.High) }},
		{column{Name: "limit", Numeric: true}, func(g goal) cell { return cell{Text: limitText(g), Sort: g.Limit} }},
		text("run", func(g goal) string { return g.Run }),
		text("floor's name", func(g goal) string { return g.Floor }),
	}, f.Goals)
}

func verdictCell(g result.Goal) cell {
	switch {
	case g.Unknown != "":
		return cell{Text: "not measured: " + g.Unknown, Class: "unknown", Sort: math.NaN()}
	case g.Met:
		return cell{Text: "met", Class: "met", Sort: math.NaN()}
	default:
		return cell{Text: "missed", Class: "missed", Sort: math.NaN()}
	}
}

// judgedByRatio says whether the limit of g is one of its ratio to a floor.
func judgedByRatio(g result.Goal) bool { return g.Floor != "" || g.FloorValue != 0 }

// rangeCell is an end of the range over the rounds, in the unit of the limit.
func rangeCell(g result.Goal, v float64) cell {
	switch {
	case g.Low == 0 && g.High == 0:
		return cell{Sort: math.NaN()}
	case judgedByRatio(g):
		return cell{Text: ratioText(v), Sort: v}
	default:
		return cell{Text: result.Significant(v), Sort: v}
	}
}

// limitText is "≤ 1.30x" or "≥ 150,000".
func limitText(g result.Goal) string {
	sign := "≤ "
	if g.AtLeast {
		sign = "≥ "
	}
	if judgedByRatio(g) {
		return sign + ratioText(g.Limit)
	}
	return sign + result.Significant(g.Limit)
}

func costTable(f *result.File) table {
	type run = result.Run
	rate := result.Rate
	broker := func(of func(*result.Cost) float64) func(run) float64 { return costOf(brokerCost, of) }
	return withRun(tableOf("cost", "Throughput and cost",
		"MB and GB are 10^6 and 10^9 bytes of records before compression. CPU is user and system time of the broker's process; the floor is what bare system calls need for the same work.",
		[]field[run]{
			text("run", func(r run) string { return r.Name }),
			figure("records/s", "", "", rate, func(r run) float64 { return r.RecordsPerS }),
			figure("asked", "records/s", "the rate that was asked for", rate, func(r run) float64 { return r.TargetRate }),
			figure("MB/s", "", "", rate, func(r run) float64 { return r.MBPerS }),
			figure("requests/s", "", "", rate, func(r run) float64 { return r.RequestsPerS }),
			figure("CPU", "s/GB", "broker CPU seconds per GB of records", result.Significant, broker(func(c *result.Cost) float64 { return c.CPUPerGB })),
			figure("floor", "s/GB", "CPU seconds per GB of bare system calls", result.Significant, impliedFloor),
			{column{Name: "ratio", Help: "broker CPU against the floor", Numeric: true}, func(r run) cell { return ratioCell(f, r) }},
			figure("CPU", "s/M records", "broker CPU seconds per million records", result.Significant, broker(func(c *result.Cost) float64 { return c.CPUPerMRecords })),
			figure("CPU", "us/request", "broker CPU microseconds per request", result.Significant, broker(func(c *result.Cost) float64 { return c.CPUPerRequestUs })),
			figure("broker", "cores", "CPU seconds per second of the broker", result.Significant, broker(func(c *result.Cost) float64 { return c.Cores })),
			figure("generator", "cores", "CPU seconds per second of the load generator", result.Significant, costOf(generatorCost, func(c *result.Cost) float64 { return c.Cores })),
			figure("generator", "busy", "CPU time of the sending threads by their wall time: near 100 % the generator is the bottleneck", percent, func(r run) float64 { return r.GeneratorBusy }),
			text("client", func(r run) string { return r.Client }),
			text("meanwhile", otherWay),
			figure("records", "", "", rate, func(r run) float64 { return float64(r.Records) }),
			figure("steady", "s", "length of the steady phase", seconds, func(r run) float64 { return r.SteadyS }),
			figure("errors", "", "", rate, func(r run) float64 { return float64(r.Errors) }),
			{column{Name: "failed"}, func(r run) cell { return cell{Text: r.Error, Class: "missed", Sort: math.NaN()} }},
		}, f.Runs), f.Runs)
}

// otherWay is what went the other way in a run that produces and consumes.
func otherWay(r result.Run) string {
	if r.Other == nil {
		return ""
	}
	return fmt.Sprintf("%s %s MB/s, %s records/s", r.Other.Direction, result.Rate(r.Other.MBPerS), result.Rate(r.Other.RecordsPerS))
}

func brokerCost(r result.Run) *result.Cost    { return r.Broker }
func generatorCost(r result.Run) *result.Cost { return r.Generator }

// costOf reads a figure of a cost that may not be known.
func costOf(cost func(result.Run) *result.Cost, of func(*result.Cost) float64) func(result.Run) float64 {
	return func(r result.Run) float64 {
		if c := cost(r); c != nil {
			return of(c)
		}
		return 0
	}
}

// impliedFloor is the floor of r in CPU seconds per GB: the ratio may have been taken per
// request, and holds for every unit of the same work.
func impliedFloor(r result.Run) float64 {
	if r.FloorRatio <= 0 || r.Broker == nil {
		return 0
	}
	return r.Broker.CPUPerGB / r.FloorRatio
}

// ratioCell is the ratio of r to its floor in the colour of the goal that judges it.
func ratioCell(f *result.File, r result.Run) cell {
	if r.FloorRatio <= 0 {
		return cell{Sort: math.NaN()}
	}
	c := cell{Text: ratioText(r.FloorRatio), Sort: r.FloorRatio}
	if g, ok := floorGoal(f, r); ok {
		c.Class = verdictCell(g).Class
	}
	return c
}

// floorGoal is the goal that judges the CPU of r against its floor.
func floorGoal(f *result.File, r result.Run) (result.Goal, bool) {
	for _, g := range f.Goals {
		if g.Run == r.Name && g.Unknown == "" && g.Floor != "" && strings.Contains(strings.ToLower(g.Metric), "cpu") {
			return g, true
		}
	}
	return result.Goal{}, false
}

func latencyTable(f *result.File) table {
	type line struct {
		run, of string
		*result.Latency
	}
	var lines []line
	for _, r := range f.Runs {
		own := []line{{r.Name, "intended send time", r.Latency}, {r.Name, "actual send", r.Uncorrected}, {r.Name, "lateness of the generator", r.Lateness}}
		if r.Other != nil {
			own = append(own, line{r.Name, r.Other.Direction + " meanwhile", r.Other.Latency})
		}
		for _, l := range own {
			if l.Latency != nil {
				lines = append(lines, l)
			}
		}
	}
	ms := func(name string, of func(*result.Latency) float64) field[line] {
		return figure(name, "ms", "", result.Significant, func(l line) float64 { return of(l.Latency) })
	}
	return tableOf("latency", "Latency",
		"From the intended send time there is no coordinated omission: what waited for a slow reply counts. From the actual send is what the wire alone saw. A closed loop has only the latter.",
		[]field[line]{
			text("run", func(l line) string { return l.run }),
			text("from", func(l line) string { return l.of }),
			ms("p50", func(l *result.Latency) float64 { return l.P50Ms }),
			ms("p90", func(l *result.Latency) float64 { return l.P90Ms }),
			ms("p95", func(l *result.Latency) float64 { return l.P95Ms }),
			ms("p99", func(l *result.Latency) float64 { return l.P99Ms }),
			ms("p99.9", func(l *result.Latency) float64 { return l.P999Ms }),
			ms("p99.99", func(l *result.Latency) float64 { return l.P9999Ms }),
			ms("highest", func(l *result.Latency) float64 { return l.MaxMs }),
			ms("mean", func(l *result.Latency) float64 { return l.MeanMs }),
			figure("values", "", "", result.Rate, func(l line) float64 { return float64(l.Count) }),
		}, lines)
}

func systemTable(f *result.File) table {
	type run = result.Run
	broker := func(of func(*result.Cost) float64) func(run) float64 { return costOf(brokerCost, of) }
	// What the runtime tells may well be zero, so that zero is a figure here.
	known := func(format func(float64) string, of func(*result.Cost) float64) func(run) cell {
		return func(r run) cell {
			if r.Broker == nil || !r.Broker.AllocsKnown {
				return cell{Sort: math.NaN()}
			}
			v := of(r.Broker)
			return cell{Text: format(v), Sort: v}
		}
	}
	var runs []run
	for _, r := range f.Runs {
		if r.Broker != nil {
			runs = append(runs, r)
		}
	}
	return tableOf("system", "Memory and system of the broker",
		"Memory is the highest resident set seen: anonymous is the process's own, file is page cache that it has mapped and that the kernel may take back.",
		[]field[run]{
			text("run", func(r run) string { return r.Name }),
			figure("anonymous", "MiB", "resident memory of its own", mebibytes, broker(func(c *result.Cost) float64 { return float64(c.RSSAnonBytes) })),
			figure("file", "MiB", "page cache mapped", mebibytes, broker(func(c *result.Cost) float64 { return float64(c.RSSFileBytes) })),
			figure("system calls", "/request", "", result.Significant, broker(func(c *result.Cost) float64 { return c.SyscallsPerRequest })),
			figure("switches", "/request", "context switches of all its threads", result.Significant, broker(func(c *result.Cost) float64 { return c.SwitchesPerRequest })),
			{column{Name: "allocations", Unit: "/request", Numeric: true}, known(result.Significant, func(c *result.Cost) float64 { return c.AllocsPerRequest })},
			{column{Name: "allocations", Unit: "/record", Numeric: true}, known(result.Significant, func(c *result.Cost) float64 { return c.AllocsPerRecord })},
			{column{Name: "GC", Unit: "of CPU", Help: "share of the garbage collector in the broker's CPU time", Numeric: true}, known(percent, func(c *result.Cost) float64 { return c.GCShare })},
			figure("CPU", "s", "CPU seconds in the steady phase", result.Significant, broker(func(c *result.Cost) float64 { return c.CPUSeconds })),
			text("system calls counted by", func(r run) string { return r.Broker.SyscallsBy }),
		}, runs)
}
