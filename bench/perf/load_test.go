package perf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/pace"
	"github.com/millrace/millrace/bench/raw"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

// A paced load keeps its rate whatever the size of its groups, and several producers take
// turns instead of sending all at once.
func TestDue(t *testing.T) {
	const second = int64(time.Second)
	for _, rate := range []float64{0.5, 1, 2000, 4999, 5001, 7000, 20_000, 123_456.7, 1e6} {
		at := due(7, rate, 0)
		n := int64(rate * 10)
		if off := at(n) - 7 - 10*second; off < -int64(group)-second/int64(max(rate, 1)) || off > second/int64(max(rate, 1)) {
			t.Errorf("rate %v: record %d is due %d ns off", rate, n, off)
		}
		together := int64(1)
		for at(together) == at(0) {
			together++
		}
		if alone := rate*group.Seconds() <= 1; alone != (together == 1) || float64(together) > rate*group.Seconds()+1 {
			t.Errorf("rate %v: groups of %d", rate, together)
		}
	}
	if a, b := due(0, 100, 0.25)(0), due(0, 100, 0.25)(4); a != second/400 || b != second/400+4*second/100 {
		t.Errorf("a producer that starts a quarter later: %d %d", a, b)
	}
}

func TestShare(t *testing.T) {
	for _, total := range []int64{0, 1, 7, 1000} {
		sum := int64(0)
		for i := range int64(3) {
			sum += share(total, 3, i)
		}
		if sum != total {
			t.Errorf("%d was shared out as %d", total, sum)
		}
	}
}

// The gate never holds more than its limit (but for one that is larger alone), and whoever
// waits gets in.
func TestGate(t *testing.T) {
	g := newGate(100)
	var in, worst atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				n := int64(1 + i%40)
				g.enter(n)
				now := in.Add(n)
				for w := worst.Load(); now > w && !worst.CompareAndSwap(w, now); w = worst.Load() {
				}
				in.Add(-n)
				g.leave(n)
			}
		})
	}
	wg.Wait()
	if worst.Load() > 100 || g.in != 0 {
		t.Errorf("%d were in at once, %d still are", worst.Load(), g.in)
	}
	g.enter(1000) // alone: passes
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.enter(1)
	}()
	g.unlock()
	<-done
}

// Latency counts from the intended time: a record that was sent 5 s late is 5 s slower than
// the latency from its send says.
func TestLatencyIsFromTheIntendedTime(t *testing.T) {
	spec := &sendSpec{rate: 100, everyMs: 5000, client: clientFranz, settings: producerSettings{}}
	r := newSendRun(spec, io.Discard, io.Discard, &watch{})
	r.startNs = pace.Now()
	r.total = newSendStats(r.out, r.wall.now, 0, 5000)
	r.beginSteady()
	defer r.watch.end()
	s := &franzSender{
		run: r, gate: newGate(100), rate: 100,
		latency: r.latency.Shard(), uncorrected: r.uncorrected.Shard(), lateness: r.lateness.Shard(),
	}
	now := pace.Now()
	it := &item{s: s, val: []byte("v"), size: 1, intended: now - int64(5*time.Second), sent: now, phase: steady}
	s.gate.enter(1 + recordOverhead)
	it.finished(&it.rec, nil)
	late, plain := r.latency.Total(), r.uncorrected.Total()
	if diff := late.Max() - plain.Max(); late.Count() != 1 || plain.Count() != 1 || diff < 4990*time.Millisecond || diff > 5010*time.Millisecond {
		t.Errorf("corrected %v, uncorrected %v", late.Max(), plain.Max())
	}
	// One of the warm-up and one that failed count nowhere.
	for _, err := range []error{nil, errors.New("no")} {
		it := &item{s: s, size: 1, phase: map[bool]int32{true: warming, false: steady}[err == nil]}
		s.gate.enter(1 + recordOverhead)
		it.finished(&it.rec, err)
	}
	if r.latency.Total().Count() != 1 || r.steadyRecs.Load() != 1 || r.failed.Load() != 1 || s.gate.in != 0 {
		t.Errorf("%d %d %d %d", r.latency.Total().Count(), r.steadyRecs.Load(), r.failed.Load(), s.gate.in)
	}
}

// A bare load prints Kafka's lines too: windows from points, the end from histograms.
func TestRawLines(t *testing.T) {
	var got []rawWindow
	l := &lines{every: 2 * time.Second, print: func(w rawWindow) { got = append(got, w) }}
	for i, p := range []result.Point{
		{IntervalS: 1, RecordsPerS: 5, MeanMs: 1, MaxMs: 1, Warmup: true},
		{IntervalS: 1, RecordsPerS: 10, MeanMs: 1, MaxMs: 3},
		{IntervalS: 1, RecordsPerS: 30, MeanMs: 5, MaxMs: 2},
		{IntervalS: 1, RecordsPerS: 99},
	} {
		if l.add(p.RecordsPerS*p.IntervalS, 0, p.IntervalS, p.MeanMs, p.MaxMs, p.Warmup); i < 2 && len(got) > 0 {
			t.Fatal("a line before its time")
		}
	}
	if len(got) != 1 || got[0].records != 40 || got[0].latencySum != 160 || got[0].maxMs != 3 {
		t.Errorf("%+v", got)
	}
	stats := raw.Stats{Records: 2000}
	stats.SteadyS = 4
	if line := rawTotal(&stats, "", 1024*1024/1000.0); line != "2000 records sent, 500.0 records/sec (0.50 MB/sec), 0.00 ms avg latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th." {
		t.Error(line)
	}
	if text := errorCodes(map[int16]int64{3: 1, 87: 20}); text != "20 x INVALID_RECORD, 1 x UNKNOWN_TOPIC_OR_PARTITION" {
		t.Error(text)
	}
}

func TestMetricsTable(t *testing.T) {
	m := newClientMetrics("consumer", "c")
	m.OnFetchBatchRead(kgo.BrokerMetadata{}, "t", 0, kgo.FetchBatchMetrics{NumRecords: 3, UncompressedBytes: 30, CompressedBytes: 10})
	var out bytes.Buffer
	m.print(&out)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if lines[0] != "" || !strings.HasPrefix(lines[1], "Metric Name ") || !strings.HasSuffix(lines[1], "   Value") {
		t.Errorf("%q", lines[:2])
	}
	at := strings.Index(lines[1], "Value")
	for i, line := range lines[2:] {
		if strings.Index(line, " : ")+3 != at || i > 0 && strings.Fields(line)[0] < strings.Fields(lines[i+1])[0] {
			t.Errorf("%q does not stand in the table", line)
		}
	}
	if !strings.Contains(out.String(), "consumer-fetch-manager-metrics:records-consumed-total:{client-id=c, topic=t} : 3.000") {
		t.Error(out.String())
	}
}

// Settings that Kafka's producer would refuse or change are refused or changed.
func TestIdempotence(t *testing.T) {
	for _, c := range []struct {
		props      cli.Props
		idempotent bool
		ok         bool
	}{
		{cli.Props{}, true, true},
		{cli.Props{"acks": "1"}, false, true},
		{cli.Props{"enable.idempotence": "false"}, false, true},
		{cli.Props{"max.in.flight.requests.per.connection": "6"}, false, true},
		{cli.Props{"max.in.flight.requests.per.connection": "6", "enable.idempotence": "true"}, true, false},
		{cli.Props{"max.in.flight.requests.per.connection": "0"}, true, false},
		{cli.Props{"acks": "1", "enable.idempotence": "TRUE"}, true, false},
		{cli.Props{"acks": "1", "transactional.id": "x"}, true, false},
		{cli.Props{"transactional.id": "x"}, true, true},
	} {
		s, err := readProducerSettings(c.props)
		if (err == nil) != c.ok || err == nil && s.idempotent != c.idempotent {
			t.Errorf("%v: %t %v", c.props, s.idempotent, err)
		}
	}
}

// Rounding half up of the decimals that one sees, with carries over all digits.
func TestFixedCarries(t *testing.T) {
	for v, want := range map[float64]string{0.95: "1.0", 9.95: "10.0", 99.96: "100.0", 0.04: "0.0", 12345.05: "12345.1"} {
		if got := fixed(v, 1); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for hundredths := range 100_000 {
		v := float64(hundredths) / 100
		tenths := (hundredths + 5) / 10
		if got, want := fixed(v, 1), fmt.Sprintf("%d.%d", tenths/10, tenths%10); got != want {
			t.Fatalf("%v: %s, want %s", v, got, want)
		}
	}
}
