package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
)

// The results that the tests report on: as large and as odd as real ones, made by hand.

func fixtureHead(command string) *result.File {
	return &result.File{
		Schema: result.Schema, Command: command, Version: "v0.3.0-12-gabc1234",
		Started: time.Date(2026, 11, 22, 18, 3, 0, 0, time.UTC), Ended: time.Date(2026, 11, 22, 18, 41, 0, 0, time.UTC),
		Machine: result.Machine{
			CPU: "AMD EPYC 9R14", CPUs: 2, MemoryBytes: 24 << 30, Kernel: "Linux 6.18.44", FileSystem: "ext4 rw,relatime,discard",
			CongestionControl: "bbr", GoVersion: "go1.26.8", LoadAverage: 0.21,
		},
	}
}

// distribution is log-normal with a tail, its median given.
func distribution(r *rand.Rand, medianMs, spread float64, n int) *result.Latency {
	h := hist.New()
	for range n {
		ms := medianMs * math.Exp(spread*r.NormFloat64())
		if r.IntN(500) == 0 {
			ms *= 4 + 12*r.Float64()
		}
		h.Record(int64(ms * 1e6))
	}
	return h.Latency()
}

func fixtureSeries(r *rand.Rand, mb, perMB, p99, cores float64) []result.Point {
	var out []result.Point
	for i := range 23 {
		v := mb * (0.96 + 0.08*r.Float64())
		warm := i < 3
		if warm {
			v *= 0.5 + 0.15*float64(i)
		}
		if i == 14 {
			v *= 0.7
		}
		out = append(out, result.Point{
			AtS: float64(i+1) + 0.003*r.Float64(), IntervalS: 1, RecordsPerS: v * perMB, MBPerS: v, P50Ms: p99 / 4,
			P99Ms: p99 * (0.8 + 0.5*r.Float64()), MaxMs: p99 * (2 + 3*r.Float64()), BrokerCores: cores * (0.95 + 0.1*r.Float64()), Warmup: warm,
		})
	}
	return out
}

// fixtureRun is a run of closed-loop load.
func fixtureRun(r *rand.Rand, name, group string, recordBytes int, mb, cpuPerGB float64) result.Run {
	perMB := 1e6 / float64(recordBytes)
	requests := mb * 1e6 / 65536
	run := result.Run{
		Name: name, Group: group, Target: "127.0.0.1:9092", Server: "Millrace v0.3.0", Client: "raw", Started: time.Date(2026, 11, 22, 18, 4, 0, 0, time.UTC),
		Scenario: map[string]string{"kind": "produce", "size": fmt.Sprint(recordBytes), "partitions": "1", "acks": "1", "batch": "64KiB", "depth": "5"},
		WarmupS:  3, SteadyS: 20, Records: int64(mb * perMB * 20), Bytes: int64(mb * 20e6), Requests: int64(requests * 20),
		RecordsPerS: mb * perMB, MBPerS: mb, RequestsPerS: requests, Uncorrected: distribution(r, 0.4, 0.4, 40000), GeneratorBusy: 0.62,
		Broker: &result.Cost{
			CPUSeconds: cpuPerGB * mb * 20 / 1e3, Cores: cpuPerGB * mb / 1e3, CPUPerGB: cpuPerGB, CPUPerMRecords: cpuPerGB * float64(recordBytes) / 1e3,
			CPUPerRequestUs: cpuPerGB * 65536 / 1e3, RSSAnonBytes: 21 << 20, RSSFileBytes: 160 << 20, SyscallsPerRequest: 2.06, SyscallsBy: "perf tracepoint raw_syscalls:sys_enter",
			SwitchesPerRequest: 0.31, AllocsPerRequest: 2.02, AllocsKnown: true, GCShare: 0.004,
		},
		Generator: &result.Cost{CPUSeconds: 12.2, Cores: 0.61},
	}
	run.Series = fixtureSeries(r, mb, perMB, run.Uncorrected.P99Ms, run.Broker.Cores)
	return run
}

// suiteFixture is what `bench suite --growth` leaves: floors, groups of runs, goals, curves.
func suiteFixture() *result.File {
	r := rand.New(rand.NewPCG(1, 2))
	f := fixtureHead("millrace bench suite --growth --json suite.json --html suite.html")
	f.Notes = []string{"The broker and the load generator share the two processors.", "The suite started the broker itself, on a data directory of its own."}
	for _, congestion := range []string{"bbr", "reno"} {
		for _, size := range []int64{1 << 10, 16 << 10, 64 << 10} {
			f.Floors = append(f.Floors, result.Floor{
				Name: fmt.Sprintf("append %s 1x5 %s", bytesText(size), congestion), Kind: "append", Title: "receive, CRC, append to a fresh segment, answer",
				Congestion: congestion, UnitBytes: size, Connections: 1, Depth: 5, Samples: 7, CPUPerUnitUs: 3 + float64(size)/4000, CPUPerGB: 0.25 + 3000/float64(size),
				UnitsPerS: 4e9 / float64(size+20000), MBPerS: 2600 * float64(size) / float64(size+20000), Spread: 0.11,
			})
		}
	}
	f.Floors = append(f.Floors, result.Floor{
		Name: "fdatasync 4KiB", Kind: "fdatasync", Title: "pwrite of 4 KiB and fdatasync, alone", UnitBytes: 4096, Samples: 300, CPUPerUnitUs: 31, UnitsPerS: 3600,
		MBPerS: 14.7, Spread: 0.71, Latency: distribution(r, 0.27, 0.3, 3000), Note: "write-back cache of the device",
	})
	floor := f.Floors[2]
	add := func(group, name string, size int, mb, cpu, ratio float64) *result.Run {
		run := fixtureRun(r, name, group, size, mb, cpu)
		if ratio > 0 {
			run.Floor, run.FloorRatio = floor.Name, ratio
		}
		f.Runs = append(f.Runs, run)
		return &f.Runs[len(f.Runs)-1]
	}
	for i, size := range []int{100, 1024, 16384} {
		for j, partitions := range []int{1, 6, 100, 1000} {
			name := fmt.Sprintf("produce %s p%d acks=1 batch=64KiB", []string{"100B", "1KiB", "16KiB"}[i], partitions)
			add("produce", name, size, 1500-150*float64(j)-80*float64(2-i), 0.31+0.03*float64(j)+0.05*float64(2-i), 1.07+0.1*float64(j)+0.12*float64(2-i))
		}
	}
	for i, c := range []string{"1x1", "1x5", "10x5", "100x1", "100x5"} {
		run := add("small requests", "produce 1KiB p6 acks=1 batch=1KiB "+c, 1024, 80+30*float64(i), 4.1-0.4*float64(i), 2.4-0.2*float64(i))
		run.RequestsPerS = run.RecordsPerS
	}
	add("codecs", "produce 1KiB p1 acks=1 batch=64KiB lz4", 1024, 610, 0.92, 0).Note = "no floor: the floor's server does not look into batches"
	add("codecs", "produce 1KiB p1 acks=1 batch=64KiB zstd", 1024, 402, 1.71, 0)
	for i, name := range []string{"fetch 1MiB p1 hot", "fetch 1MiB p6 hot", "fetch 16KiB tail"} {
		add("fetch", name, 1024, 5800-1500*float64(i), 0.11+0.04*float64(i), 1.04+0.09*float64(i))
	}
	cold := result.Run{Name: "fetch 1MiB p1 cold", Group: "fetch", Target: "127.0.0.1:9092", Client: "raw", Error: "preload: broker answered NOT_LEADER_OR_FOLLOWER for bench-7 partition 0: the topic was deleted meanwhile"}
	f.Runs = append(f.Runs, cold)
	both := add("together", "produce and consume 1KiB p6", 1024, 900, 0.55, 0)
	both.Other = &result.Flow{Direction: "consumed", Records: 17e6, Bytes: 18e9, RecordsPerS: 877e3, MBPerS: 898, Latency: distribution(r, 1.1, 0.5, 5000)}
	paced(r, add("latency", "latency 2000/s 1KiB p1 acks=1", 1024, 2.048, 21, 0))
	f.Goals = suiteGoals(f)
	f.Curves = []result.Curve{
		{Name: "CPU by connections", XLabel: "connections", YLabel: "broker CPU, us/request", X: []float64{1, 3, 10, 30, 100, 300, 1000}, Y: []float64{9.1, 7.9, 6.6, 6.2, 6.0, 6.3, 7.4}, Floor: []float64{7.2, 6.1, 4.8, 4.4, 4.2, 4.3, 4.9}},
		{Name: "Memory by partitions", XLabel: "partitions", YLabel: "RSS anonymous, MiB", X: []float64{1, 10, 100, 1000, 10000}, Y: []float64{14, 14.4, 17, 31, 420}, Note: "from 1 to 10000: 30.0x; steepest from 1000 to 10000: 13.5x for 10.0x"},
		{Name: "Fetch by log kept", XLabel: "GB of log", YLabel: "broker CPU, s/GB", X: []float64{1, 3, 10, 30}, Y: []float64{0.11, 0.11, 0.12, 0.12}},
	}
	return f
}

// paced makes run one of open-loop load.
func paced(r *rand.Rand, run *result.Run) {
	run.TargetRate, run.RecordsPerS = 2000, 2000
	run.Latency, run.Uncorrected, run.Lateness = distribution(r, 0.19, 0.25, 40000), distribution(r, 0.17, 0.2, 40000), distribution(r, 0.006, 0.5, 40000)
	run.Broker.Cores = 0.043
}

func suiteGoals(f *result.File) []result.Goal {
	goal := func(title, run, metric string, measured, floor, limit float64, met bool) result.Goal {
		g := result.Goal{Title: title, Run: run, Metric: metric, Measured: measured, Limit: limit, Met: met, Low: measured * 0.94, High: measured * 1.09}
		if floor > 0 {
			g.Floor, g.FloorValue, g.Ratio = f.Floors[2].Name, floor, measured/floor
			g.Low, g.High = g.Ratio*0.94, g.Ratio*1.09
		}
		return g
	}
	rate := goal("the same: at least 150,000 requests/s", "produce 1KiB p6 acks=1 batch=1KiB 100x5", "requests/s", 195312, 0, 150e3, true)
	rate.AtLeast = true
	flush := result.Goal{
		Title: "flush.messages=1 with 100 producers: at least 0.8x the rate of append + group commit + answer", Run: "produce 1KiB p1 acks=1 batch=1KiB flush=1 100x1",
		Metric: "requests/s", Limit: 0.8, AtLeast: true, Unknown: "the run was interrupted",
	}
	return []result.Goal{
		goal("produce of 64 KiB batches to 1 partition: CPU per GB at most 1.3x receive + CRC + append", "produce 1KiB p1 acks=1 batch=64KiB", "broker CPU s/GB", 0.36, 0.303, 1.3, true),
		goal("the same to 6 partitions", "produce 1KiB p6 acks=1 batch=64KiB", "broker CPU s/GB", 0.42, 0.303, 1.3, false),
		goal("produce of 1 KiB batches, 100 connections, 5 in flight: CPU per request at most 2x receive + append + answer", "produce 1KiB p6 acks=1 batch=1KiB 100x5", "broker CPU us/request", 8.1, 5.06, 2, true),
		rate, flush,
		goal("latency at 2,000 records/s: p99 under 1 ms", "latency 2000/s 1KiB p1 acks=1", "p99 ms", 0.362, 0, 1, true),
		goal("no allocation per record", "produce 100B p1 acks=1 batch=64KiB", "allocations/record", 0, 0, 0.01, true),
		goal("no step worse than linear: Memory by partitions", "Memory by partitions", "growth of the figure for the growth of partitions, steepest step", 1.355, 0, 1, false),
		goal("anonymous RSS under 60 MiB, in every run", "produce 100B p1000 acks=1 batch=64KiB", "RSS anonymous MiB", 21, 0, 60, true),
	}
}

// compareFixture is what `bench compare` leaves.
func compareFixture() *result.File {
	r := rand.New(rand.NewPCG(3, 4))
	f := fixtureHead("millrace bench compare --a 127.0.0.1:9092 --b 127.0.0.1:9093 produce latency")
	for _, scenario := range []string{"produce 1KiB p1 acks=1 batch=64KiB", "latency 2000/s 1KiB p1 acks=1"} {
		for i, m := range []struct {
			name   string
			higher bool
			a, by  float64
		}{{"records/s", true, 197412, 2.9}, {"broker CPU s/GB", false, 2.7, 0.14}, {"p50 ms", false, 0.41, 0.97}, {"p99 ms", false, 6.3, 0.11}, {"RSS anonymous MB", false, 912, 0.02}, {"syscalls/request", false, 4.2, 1.18}} {
			p := result.Pairing{Scenario: scenario, Metric: m.name, HigherIsBetter: m.higher, AName: "Apache Kafka 2.4.1", BName: "Millrace v0.3.0", Low: math.Inf(1)}
			for range 5 {
				a, ratio := m.a*(0.95+0.1*r.Float64()), m.by*(0.93+0.14*r.Float64())
				p.A, p.B, p.Ratios = append(p.A, a), append(p.B, a*ratio), append(p.Ratios, ratio)
				p.Low, p.High = min(p.Low, ratio), max(p.High, ratio)
			}
			p.MedianA, p.MedianB, p.Ratio = m.a, m.a*m.by, p.Ratios[2]
			f.Pairs = append(f.Pairs, p)
			if i == 0 {
				for j := range 2 {
					run := fixtureRun(r, fmt.Sprintf("%s: %c", scenario, 'A'+j), scenario, 1024, 200+380*float64(j), 2.7-2.3*float64(j))
					run.Server = p.AName
					f.Runs = append(f.Runs, run)
				}
			}
		}
	}
	return f
}

// producerFixture is what `bench producer --throughput 2000` leaves: one run and no group.
func producerFixture() *result.File {
	r := rand.New(rand.NewPCG(5, 6))
	f := fixtureHead("millrace bench producer --topic t --num-records 40000 --record-size 1024 --throughput 2000")
	f.Machine.LoadAverage = 3.4
	run := fixtureRun(r, "producer t", "", 1024, 2.048, 21)
	paced(r, &run)
	run.Client = "franz-go"
	run.Lateness = distribution(r, 0.1, 0.5, 40000)
	f.Runs = []result.Run{run}
	return f
}
