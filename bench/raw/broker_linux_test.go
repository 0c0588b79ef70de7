package raw

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/launch"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
)

// BenchmarkBroker loads the broker that MILLRACE_BIN names: requests/s, MB/s, CPU of the
// broker and of the generator per request.
func BenchmarkBroker(b *testing.B) {
	bin := os.Getenv("MILLRACE_BIN")
	if bin == "" {
		b.Skip("MILLRACE_BIN=PATH names the broker to be loaded")
	}
	br, err := launch.Start(b.Context(), launch.Options{Binary: bin, TempDir: b.TempDir(), Config: map[string]string{
		"log.retention.bytes": "1073741824", "log.segment.bytes": "268435456",
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer br.Stop(context.Background())
	cl, err := kgo.NewClient(kgo.SeedBrokers(br.Address()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	for topic, n := range map[string]int32{"one": 1, "six": 6} {
		if _, err := kadm.NewClient(cl).CreateTopic(b.Context(), n, 1, nil, topic); err != nil {
			b.Fatal(err)
		}
	}
	target, err := Dial(b.Context(), br.Address(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer target.Close()
	source, err := workload.New(workload.Spec{Sizes: "1000"})
	if err != nil {
		b.Fatal(err)
	}
	common := func(topic string, conns, depth int) Common {
		parts, err := target.Partitions(b.Context(), topic, 0)
		if err != nil {
			b.Fatal(err)
		}
		return Common{Partitions: parts, Connections: conns, Depth: depth, Warmup: 300 * time.Millisecond, Duration: 2 * time.Second}
	}
	measure := func(name string, c Common, run func(Common) (Stats, error)) {
		b.Run(name, func(b *testing.B) {
			var from, to time.Duration
			c.OnSteady = func() { from, _ = observe.CPU(br.PID()) }
			c.OnEnd = func() { to, _ = observe.CPU(br.PID()) }
			st, err := run(c)
			if err != nil {
				b.Fatal(err)
			}
			n := float64(st.Requests)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(n/st.SteadyS, "req/s")
			b.ReportMetric(float64(st.Bytes)/1e6/st.SteadyS, "MB/s")
			b.ReportMetric(float64(st.Records)/st.SteadyS, "records/s")
			b.ReportMetric(st.BusyShare, "busy")
			b.ReportMetric(st.BusyShare*st.SteadyS*1e6/n, "gen-us/req")
			b.ReportMetric((to-from).Seconds()*1e6/n, "broker-us/req")
			b.ReportMetric(st.SyscallsPerRequest, "calls/req")
			b.ReportMetric(float64(st.Uncorrected.Percentile(50))/1e3, "p50us")
		})
	}
	for _, p := range []struct {
		topic                      string
		conns, depth, batch, count int
	}{{"one", 1, 5, 64 << 10, 16}, {"six", 6, 5, 64 << 10, 16}, {"six", 100, 5, 1100, 256}} {
		batches, err := source.Batches(p.count, p.batch, compress.None)
		if err != nil {
			b.Fatal(err)
		}
		measure(fmt.Sprintf("produce/%s/%dx%d/%d", p.topic, p.conns, p.depth, p.batch), common(p.topic, p.conns, p.depth),
			func(c Common) (Stats, error) {
				return Produce(b.Context(), target, ProduceSpec{Common: c, Acks: 1, Batches: batches})
			})
	}
	for _, f := range []struct {
		mode  FetchMode
		conns int
		bytes int32
	}{{Same, 1, 1 << 20}, {Replay, 1, 1 << 20}, {Same, 4, 16 << 10}, {Replay, 4, 16 << 10}} {
		measure(fmt.Sprintf("fetch/%s/%d/%d", f.mode, f.conns, f.bytes), common("one", f.conns, 1),
			func(c Common) (Stats, error) {
				return Fetch(b.Context(), target, FetchSpec{Common: c, Mode: f.mode, PartitionMaxBytes: f.bytes, Offset: -1})
			})
	}
}
