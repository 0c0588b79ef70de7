package suite

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/bench/drive"
	"github.com/millrace/millrace/bench/result"
)

// goal is one demand on the speed, as data.
type goal struct {
	title   string
	run     string // name of the scenario; empty: the worst of all
	metric  string
	floor   bool    // limit is of the ratio to the scenario's floor
	limit   float64 // highest that is good, or lowest when atLeast
	atLeast bool
}

// goals returns what this project demands of itself. The limits of the last group are the
// figures of Apache Kafka 2.4.1 (a third of its produce CPU at one partition, two thirds at
// six, half of it on fetch, a tenth of its memory) and of NATS JetStream 2.15 (latency),
// measured on a quiet machine with two cores: they hold for a machine like that one.
func goals() []goal {
	p1, p6 := produceName(kib, 1, 1, 64*kib), produceName(kib, 6, 1, 64*kib)
	small := produceName(kib, 6, 1, kib) + " 100x5"
	return []goal{
		{"produce of 64 KiB batches to 1 partition: CPU per GB at most 1.3x receive + CRC + append", p1, MetricCPUPerGB, true, 1.3, false},
		{"the same to 6 partitions", p6, MetricCPUPerGB, true, 1.3, false},
		{"produce of 1 KiB batches, 100 connections, 5 in flight: CPU per request at most 2x receive + append + answer", small, MetricCPUPerRequest, true, 2, false},
		{"the same: at least 150,000 requests/s", small, MetricRequestsPerS, false, 150e3, true},
		{"fetch of 1 MiB an answer: CPU per GB at most 1.25x a bare sendfile server", "fetch 1MiB p1 hot", MetricCPUPerGB, true, 1.25, false},
		{"tail reads of 16 KiB: CPU per request at most 1.5x an answer from one buffer", "fetch 16KiB tail", MetricCPUPerRequest, true, 1.5, false},
		{"50 consumers on one partition, 1 MiB an answer: at most 1.25x", "fan-out 1MiB x50", MetricCPUPerGB, true, 1.25, false},
		{"50 consumers on one partition, 16 KiB an answer: at most 1.5x", "fan-out 16KiB x50", MetricCPUPerRequest, true, 1.5, false},
		{"flush.messages=1 with 100 producers: at least 0.8x the rate of append + group commit + answer", flushName, MetricRequestsPerS, true, 0.8, true},
		{"heartbeats of 100 connections: CPU per request at most 1.5x an echo", heartbeatName, MetricCPUPerRequest, true, 1.5, false},
		{"latency at 2,000 records/s: p50 under 0.3 ms", latencyName, MetricP50, false, 0.3, false},
		{"the same: p99 under 1 ms", latencyName, MetricP99, false, 1, false},
		{"the same: p99.9 under 5 ms", latencyName, MetricP999, false, 5, false},
		{"at most 6 allocations per request, in every run", "", MetricAllocs, false, 6, false},
		{"no allocation per record (640 records a request may share the 6)", produceName(100, 1, 1, 64*kib), MetricAllocsRecord, false, 0.01, false},
		{"anonymous RSS under 60 MiB, in every run", "", MetricRSS, false, 60, false},
		{"idle with 1,000 partitions: under 0.5 % of a core", idleName, MetricCores, false, 0.005, false},
		{"1 partition: a third of Kafka's 2.8 CPU s/M records", p1, MetricCPUPerMRecords, false, 2.8 / 3, false},
		{"6 partitions: less than two thirds of Kafka's 1.7 CPU s/M records", p6, MetricCPUPerMRecords, false, 1.7 * 2 / 3, false},
		{"fetch: half of Kafka's 0.6 CPU s/GB", "fetch 1MiB p1 hot", MetricCPUPerGB, false, 0.3, false},
		{"memory: a tenth of Kafka's 900 MB, in every run", "", MetricRSS, false, 90e6 / mib, false},
		{"latency p50 under that of JetStream, 0.21 ms", latencyName, MetricP50, false, 0.21, false},
		{"latency p99 under that of JetStream, 0.49 ms", latencyName, MetricP99, false, 0.49, false},
		{"latency p99.9 under that of JetStream, 1.65 ms", latencyName, MetricP999, false, 1.65, false},
	}
}

// notRun is why a goal is unknown whose scenario was not selected.
const notRun = "was not run"

// judged says whether a goal sets the scenario of this name against its floor.
func judged(scenario string) bool {
	return slices.ContainsFunc(goals(), func(g goal) bool { return g.floor && g.run == scenario })
}

// judge sets each goal beside what was measured. done holds the scenarios that ran, by name.
func judge(done []outcome) []result.Goal {
	var out []result.Goal
	for _, g := range goals() {
		if g.run == "" {
			out = append(out, g.worst(done))
			continue
		}
		i := slices.IndexFunc(done, func(o outcome) bool { return o.scenario.Name == g.run })
		if i < 0 {
			r := g.blank()
			r.Unknown = notRun
			out = append(out, r)
			continue
		}
		out = append(out, g.of(done[i]))
	}
	return out
}

func (g goal) blank() result.Goal {
	return result.Goal{Title: g.title, Run: g.run, Metric: g.metric, Limit: g.limit, AtLeast: g.atLeast}
}

// of judges one scenario by the median of its rounds.
func (g goal) of(o outcome) result.Goal {
	r := g.blank()
	m, ok := metricNamed(g.metric)
	if !ok {
		r.Unknown = fmt.Sprintf("no such figure: %s", g.metric)
		return r
	}
	values := o.values(m)
	if len(values) == 0 {
		r.Unknown = o.missing(g.metric)
		return r
	}
	r.Measured = Median(values)
	if !g.floor {
		r.Met = g.met(r.Measured)
		return r
	}
	ratios, floors := o.ratios(m)
	if len(ratios) == 0 {
		r.Unknown = "its floor was not measured"
		return r
	}
	r.Floor, r.FloorValue, r.Ratio = o.floorName(), Median(floors), Median(ratios)
	r.Low, r.High = slices.Min(ratios), slices.Max(ratios)
	r.Met = g.met(r.Ratio)
	return r
}

func (g goal) met(v float64) bool {
	if g.atLeast {
		return v >= g.limit
	}
	return v <= g.limit
}

// worst judges all runs by the one that is furthest off. Only requests of the raw client
// are counted one by one, so only its runs have a figure per request.
func (g goal) worst(done []outcome) result.Goal {
	r := g.blank()
	m, _ := metricNamed(g.metric)
	found := false
	for _, o := range done {
		values := o.values(m)
		if len(values) == 0 || o.scenario.Load.Kind == drive.Idle && g.metric != MetricRSS {
			continue
		}
		v := Median(values)
		if !found || (v > r.Measured) != g.atLeast {
			r.Measured, r.Run = v, o.scenario.Name
		}
		found = true
	}
	if !found {
		r.Unknown = "no run has it: the broker's process (and for allocations its admin port) must be seen"
		return r
	}
	r.Met = g.met(r.Measured)
	return r
}
