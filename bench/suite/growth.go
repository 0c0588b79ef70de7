package suite

import (
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/result"
)

// The curves.
const (
	curveConnections = "connections"
	curvePartitions  = "partitions"
	curveSmall       = "partitions, small requests"
	curveFirst       = "partitions, first appends"
	curveIdle        = "partitions, idle"
	curveKeptWrite   = "GB kept, produce"
	curveKeptRead    = "GB kept, fetch"
)

// connectionGrowth is the same work over more and more connections.
func connectionGrowth() []Scenario {
	var out []Scenario
	for _, n := range []int{1, 10, 100, 1000} {
		load := produce(kib, 6, 1)
		load.Kind, load.BatchBytes, load.Connections, load.Depth = drive.Connections, kib, n, 1
		out = append(out, Scenario{
			Name: fmt.Sprintf("connections x%d", n), Group: "growth: connections",
			Title: fmt.Sprintf("one record of 1KiB a request over %s, one in flight each", count(n, "connection")),
			Load:  load, Floor: limits.Spec{Kind: limits.Append, SizeBytes: kib, Connections: n, Depth: 1}, Per: PerRequest,
			Short: n == 1000, Rounds: 1, Curve: curveConnections, X: float64(n),
		})
	}
	return out
}

// partitionGrowth is the same work spread over more and more partitions.
func partitionGrowth() []Scenario {
	var out []Scenario
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		load := produce(kib, n, 1)
		load.Warmup = allTouched(n)
		out = append(out, Scenario{
			Name: fmt.Sprintf("partitions x%d", n), Group: "growth: partitions", Title: "batches of 64KiB in turn to " + count(n, "partition"),
			Load: load, Floor: limits.Spec{Kind: limits.Append, SizeBytes: 64 * kib, Connections: 1, Depth: 5}, Per: PerGB,
			Rounds: 1, Curve: curvePartitions, X: float64(n),
		})
	}
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		load := produce(kib, n, 1)
		load.BatchBytes, load.Warmup = kib, allTouched(n)
		out = append(out, Scenario{
			Name: fmt.Sprintf("partitions x%d batch=1KiB", n), Group: "growth: partitions", Title: "batches of 1KiB in turn to " + count(n, "partition"),
			Load: load, Floor: limits.Spec{Kind: limits.Append, SizeBytes: kib, Connections: 1, Depth: 5}, Per: PerRequest,
			Rounds: 1, Curve: curveSmall, X: float64(n),
		})
	}
	for _, n := range []int{100, 1000, 10000} {
		load := produce(kib, n, 1)
		load.BatchBytes, load.Duration, load.Records = kib, 2*time.Minute, int64(n)
		load.Warmup, load.WarmupByClock = time.Nanosecond, true
		out = append(out, Scenario{
			Name: fmt.Sprintf("first append x%d batch=1KiB", n), Group: "growth: partitions", Title: "one batch of 1KiB, its first, to each of " + count(n, "partition"),
			Load: load, Per: PerRequest, Rounds: 1, Curve: curveFirst, X: float64(n),
		})
	}
	return out
}

// allTouched is a warm-up in which each of n partitions gets its first batches: what a
// segment costs once is a curve of its own.
func allTouched(n int) time.Duration { return time.Second + time.Duration(n)*4*time.Millisecond }

// idleGrowth does nothing, which must cost nothing.
func idleGrowth() []Scenario {
	var out []Scenario
	for _, n := range []int{1, 100, 1000, 10000} {
		load := drive.Spec{Kind: drive.Idle, Topics: 1, Partitions: n, Create: true, Recreate: true, Delete: true}
		load.Warmup, load.Duration = 2*time.Second, 10*time.Second
		out = append(out, Scenario{
			Name: fmt.Sprintf("idle p%d", n), Group: "idle", Title: count(n, "partition") + " and no client",
			Load: load, Short: n == 1000, Rounds: 1, FullDuration: 20 * time.Second, Curve: curveIdle, X: float64(n),
		})
	}
	return out
}

// keptGrowth writes to and reads from logs that are longer and longer.
func keptGrowth() []Scenario {
	var out []Scenario
	for _, gb := range []int64{1, 3, 10, 30} {
		read := fetch(mib)
		read.Recreate, read.Delete, read.PreloadBytes, read.FetchMode = false, false, 0, drive.Same
		write := produce(kib, 1, 1)
		write.Recreate, write.Records = false, 1e6
		dataset := fmt.Sprintf("%d GB", gb)
		out = append(out, Scenario{
			Name: fmt.Sprintf("kept %d GB: fetch", gb), Group: "growth: log kept", Title: "1 MiB an answer, always the first of " + dataset,
			Load: read, Floor: limits.Spec{Kind: limits.Sendfile, SizeBytes: mib, Connections: 1, Depth: 1}, Per: PerGB,
			Rounds: 1, Dataset: dataset, KeptBytes: gb * 1e9, Curve: curveKeptRead, X: float64(gb),
		}, Scenario{
			Name: fmt.Sprintf("kept %d GB: produce", gb), Group: "growth: log kept", Title: "another GB in batches of 64KiB after " + dataset + " in one partition",
			Load: write, Floor: limits.Spec{Kind: limits.Append, SizeBytes: 64 * kib, Connections: 1, Depth: 5}, Per: PerGB,
			Rounds: 1, Dataset: dataset, KeptBytes: gb * 1e9, Curve: curveKeptWrite, X: float64(gb),
		})
	}
	return out
}

// curves draws what the scenarios of each curve gave, a figure at a time; a curve with
// fewer than two points is none.
func curves(done []outcome) []result.Curve {
	var names []string
	for _, o := range done {
		if o.scenario.Curve != "" && !slices.Contains(names, o.scenario.Curve) {
			names = append(names, o.scenario.Curve)
		}
	}
	var out []result.Curve
	for _, name := range names {
		points := slices.DeleteFunc(slices.Clone(done), func(o outcome) bool { return o.scenario.Curve != name })
		slices.SortStableFunc(points, func(a, b outcome) int { return int(a.scenario.X - b.scenario.X) })
		metrics := []string{points[0].scenario.perUnit().Name, MetricRSS, MetricRecordsPerS}
		if points[0].scenario.Load.Kind == drive.Idle {
			metrics = []string{MetricCores, MetricRSS}
		}
		for _, m := range metrics {
			if c, ok := curve(name, m, points); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

// curve is one figure of the points.
func curve(name, metric string, points []outcome) (result.Curve, bool) {
	m, _ := metricNamed(metric)
	c := result.Curve{Name: metric + " by " + name, XLabel: name, YLabel: metric}
	floors := true
	for _, o := range points {
		values := o.values(m)
		if len(values) == 0 {
			continue
		}
		c.X, c.Y = append(c.X, o.scenario.X), append(c.Y, Median(values))
		_, f := o.ratios(m)
		if floors = floors && len(f) > 0; floors {
			c.Floor = append(c.Floor, Median(f))
		}
	}
	if !floors {
		c.Floor = nil
	}
	if len(c.X) < 2 {
		return c, false
	}
	if !m.Higher {
		c.Note = steps(c)
	}
	return c, true
}

// steps says how the figure grows in the worst step and over all.
func steps(c result.Curve) string {
	worst, at := stepFactor(c)
	if worst == 0 {
		return ""
	}
	n := len(c.X) - 1
	return fmt.Sprintf("from %g to %g: %sx; steepest from %g to %g: %sx for %sx", c.X[0], c.X[n], result.Significant(c.Y[n]/c.Y[0]),
		c.X[at], c.X[at+1], result.Significant(c.Y[at+1]/c.Y[at]), result.Significant(c.X[at+1]/c.X[at]))
}

// stepFactor returns the steepest step of a curve: how much the figure grew for each time
// that X did (above 1: worse than linear), and where it begins.
func stepFactor(c result.Curve) (factor float64, at int) {
	for i := range len(c.X) - 1 {
		if c.X[i] <= 0 || c.Y[i] <= 0 {
			continue
		}
		if f := (c.Y[i+1] / c.Y[i]) / (c.X[i+1] / c.X[i]); f > factor {
			factor, at = f, i
		}
	}
	return factor, at
}

// judgeGrowth holds each curve of a cost to linear growth.
func judgeGrowth(all []result.Curve) []result.Goal {
	var out []result.Goal
	for _, c := range all {
		if m, ok := metricNamed(c.YLabel); !ok || m.Higher {
			continue
		}
		worst, _ := stepFactor(c)
		out = append(out, result.Goal{
			Title: "no step worse than linear: " + c.Name, Run: c.Name, Metric: "growth of the figure for the growth of " + c.XLabel + ", steepest step",
			Measured: worst, Limit: 1, Met: worst <= 1,
		})
	}
	return out
}
