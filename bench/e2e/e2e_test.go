package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/cli/clitest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// limited ends a test that hangs.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	return ctx
}

// totals are the last two lines of EndToEndLatency, by its format strings
// "Avg latency: %.4f ms%n" and "Percentiles: 50th = %d, 99th = %d, 99.9th = %d%n".
const totals = `Avg latency: \d+\.\d{4} ms\nPercentiles: 50th = \d+, 99th = \d+, 99\.9th = \d+\n$`

// progressLine is System.out.println(i + "\t" + elapsed / 1000.0 / 1000.0).
const progressLine = `\t\d+\.\d+(E-\d+)?\n`

func TestScriptPrintsWhatKafkaPrints(t *testing.T) {
	_, addr := clitest.Cluster(t)
	created := `^Topic "clicks" does not exist\. Will create topic with 1 partition\(s\) and replication factor = 1\n`
	lines := "0" + progressLine + "1000" + progressLine + totals
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{addr, "clicks", "1001", "1", "10"}, created + lines},
		{[]string{addr, "clicks", "1001", "all", "0", ""}, "^" + lines},
		{[]string{"--bootstrap-server", addr, "--topic", "clicks", "--num-records", "1001", "--producer-acks", "1", "--record-size", "100"}, "^" + lines},
	} {
		r := clitest.Run(limited(t), Script("kafka-e2e-latency.sh"), "", c.words...)
		if r.Code != 0 || !regexp.MustCompile(c.want).MatchString(r.Out) {
			t.Errorf("%v: code %d, output %q, want %s\n%s", c.words, r.Code, r.Out, c.want, r.Err)
		}
	}
}

func TestRecordsAreAsAskedFor(t *testing.T) {
	_, addr := clitest.Cluster(t)
	config := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(config, []byte("compression.type=lz4\nfoo=bar\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := clitest.Run(limited(t), Command("bench e2e"), "", "--bootstrap-server", addr, "--topic", "shape", "--num-records", "20",
		"--record-size", "77", "--record-key-size", "9", "--num-headers", "2", "--record-header-key-size", "3", "--record-header-size", "-1",
		"--producer-acks", "all", "--partitions", "3", "--command-config", config)
	if r.Code != 0 || !strings.Contains(r.Err, "WARN: the setting 'foo' has no effect") || strings.Contains(r.Err, "compression.type") {
		t.Fatalf("%+v", r)
	}
	records := consume(t, addr, "shape", 20)
	partitions := map[int32]bool{}
	for _, rec := range records {
		partitions[rec.Partition] = true
		if len(rec.Value) != 77 || len(rec.Key) != 9 || len(rec.Headers) != 2 || !regexp.MustCompile(`^[A-Z]+$`).Match(rec.Value) {
			t.Fatalf("record with key %q, value %q, headers %v", rec.Key, rec.Value, rec.Headers)
		}
		if h := rec.Headers[0]; len(h.Key) != 3 || h.Value != nil {
			t.Errorf("header %q: %v, want three letters and null", h.Key, h.Value)
		}
		if rec.Attrs.CompressionType() != 3 && len(rec.Value) > 1000 {
			t.Errorf("compression %d, want lz4", rec.Attrs.CompressionType())
		}
	}
	if len(partitions) < 2 {
		t.Errorf("20 keys went to partitions %v", partitions)
	}
}

func consume(t *testing.T, addr, topic string, n int) []*kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(addr, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := c.PollFetches(limited(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	if len(records) != n {
		t.Fatalf("%d records, want %d", len(records), n)
	}
	return records
}

func TestFilesHoldTheWholeDistribution(t *testing.T) {
	_, addr := clitest.Cluster(t)
	for _, c := range []struct {
		name string
		more []string
		open bool
	}{
		{"closed", nil, false},
		{"open", []string{"--throughput", "3000"}, true},
	} {
		dir := t.TempDir()
		path := func(ext string) string { return filepath.Join(dir, "r."+ext) }
		words := append([]string{"--bootstrap-server", addr, "--topic", c.name, "--num-records", "300", "--warmup", "20ms",
			"--json", path("json"), "--html", path("html"), "--hgrm", path("hgrm")}, c.more...)
		r := clitest.Run(limited(t), Command("bench e2e"), "", words...)
		if r.Code != 0 {
			t.Fatalf("%s: %+v", c.name, r)
		}
		f := read(t, path("json"))
		if len(f.Runs) != 2 || f.Interrupted || f.Machine.CPUs == 0 {
			t.Fatalf("%s: %+v", c.name, f)
		}
		run, ack := f.Runs[0], f.Runs[1]
		counted, acked := run.Uncorrected, ack.Uncorrected
		if c.open {
			counted, acked = run.Latency, ack.Latency
			for what, l := range map[string]*result.Latency{"uncorrected": run.Uncorrected, "lateness": run.Lateness} {
				if l == nil || l.Count != 300 {
					t.Errorf("%s: %s %+v, want 300 values", c.name, what, l)
				}
			}
		} else if run.Latency != nil || run.Lateness != nil {
			t.Errorf("%s: a closed loop has no intended times, but %+v", c.name, run)
		}
		if run.Records != 300 || run.Bytes != 300*1024 || counted == nil || counted.Count != 300 || acked == nil || acked.Count != 300 {
			t.Errorf("%s: %+v", c.name, run)
		}
		if h, err := hist.FromLatency(counted); err != nil || h.Count() != 300 {
			t.Errorf("%s: histogram: %v", c.name, err)
		}
		if text, err := os.ReadFile(path("hgrm")); err != nil || !regexp.MustCompile(`Total count    = +300\]`).Match(text) {
			t.Errorf("%s: hgrm %v: %s", c.name, err, text)
		}
		if text, err := os.ReadFile(path("html")); err != nil || !bytes.Contains(text, []byte("</html>")) {
			t.Errorf("%s: html %v", c.name, err)
		}
	}
}

func read(t *testing.T, path string) *result.File {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f, err := result.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// lineWriter calls f with each write.
type lineWriter struct {
	mu  sync.Mutex
	all bytes.Buffer
	f   func(string)
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.f(string(b))
	return w.all.Write(b)
}

func TestInterruptedRunKeepsWhatItHas(t *testing.T) {
	_, addr := clitest.Cluster(t)
	for _, more := range [][]string{nil, {"--throughput", "2000"}} {
		ctx, cancel := context.WithCancel(limited(t))
		defer cancel()
		path := filepath.Join(t.TempDir(), "r.json")
		cmd, stderr := Command("bench e2e"), &bytes.Buffer{}
		out := &lineWriter{f: func(line string) {
			if strings.HasPrefix(line, "1000\t") {
				cancel() // as Ctrl-C does
			}
		}}
		cmd.SetOut(out)
		cmd.SetErr(stderr)
		cmd.SetArgs(append([]string{"--bootstrap-server", addr, "--topic", "t", "--duration", "50s", "--json", path}, more...))
		if code := cli.Report(cmd, cmd.ExecuteContext(ctx)); code != cli.Interrupted {
			t.Fatalf("code %d, want %d: %s", code, cli.Interrupted, stderr)
		}
		f := read(t, path)
		if !f.Interrupted || f.Runs[0].Records < 1001 || f.Runs[0].Uncorrected == nil {
			t.Errorf("%v: interrupted %v, %d records", more, f.Interrupted, f.Runs[0].Records)
		}
		if !regexp.MustCompile(totals).MatchString(out.all.String()) {
			t.Errorf("%v: no totals in %q", more, out.all.String())
		}
	}
}

func TestCommandLinesThatMakeNoSense(t *testing.T) {
	script := func() *cobra.Command { return Script("kafka-e2e-latency.sh") }
	command := func() *cobra.Command { return Command("bench e2e") }
	at := []string{"--bootstrap-server", "127.0.0.1:1", "--topic", "t"}
	for _, c := range []struct {
		make  func() *cobra.Command
		words []string
		want  string
	}{
		{script, []string{"a", "b"}, "Invalid number of arguments. Expected 5 or 6 positional arguments, but got 2."},
		{script, []string{"127.0.0.1:1", "t", "ten", "1", "1"}, `"ten" is no number of records`},
		{script, []string{"127.0.0.1:1", "t", "10", "1", "big"}, `"big" is no record size`},
		{script, []string{"127.0.0.1:1", "t", "10", "0", "1"}, "Latency testing requires synchronous acknowledgement. Please use '1' or 'all'."},
		{script, []string{"127.0.0.1:1", "t", "0", "1", "1"}, "Value for --num-records must be a positive integer."},
		{script, append(at, "--num-records", "1", "--producer-acks", "1", "--record-size", "-1"), "Value for --record-size must be a non-negative integer."},
		{script, []string{"--topic", "t", "more"}, `unexpected argument "more"`},
		{script, []string{"--topic", "t"}, `Missing required argument "[bootstrap-server]"`},
		{script, append(at, "--num-records", "1", "--producer-acks", "1"), `Missing required argument "[record-size]"`},
		{command, []string{"--topic", "t"}, `Missing required argument "[bootstrap-server]"`},
		{command, []string{"--bootstrap-server", "127.0.0.1:1"}, `Missing required argument "[topic]"`},
		{command, append(at, "words"), `unexpected argument "words"`},
		{command, append(at, "--record-key-size", "-2"), "Value for --record-key-size must be a non-negative integer."},
		{command, append(at, "--record-header-size", "-2"), "Value for --record-header-size must be a non-negative integer or -1 for null header value."},
		{command, append(at, "--throughput", "10", "--record-size", "10"), "records need 24 bytes with --throughput"},
		{command, append(at, "--throughput", "1e12"), "up to 100 million"},
		{command, append(at, "--partitions", "0"), "Value for --partitions must be a positive integer."},
		{command, append(at, "--warmup", "-1s"), "must not be negative"},
		{command, append(at, "--flame", "f.svg"), "need --admin"},
		{command, append(at, "--command-property", "compression.type=brotli"), "Invalid value brotli for configuration compression.type"},
		{command, append(at, "--command-config", "/does/not/exist"), "/does/not/exist"},
		{command, []string{"--bootstrap-server", "nowhere", "--topic", "t"}, "Please provide valid host:port"},
	} {
		r := clitest.Run(limited(t), c.make(), "", c.words...)
		if r.Code != 1 || !strings.Contains(r.Err, c.want) || r.Out != "" {
			t.Errorf("%v: code %d, %q, want %q\n%s", c.words, r.Code, r.Err, c.want, r.Out)
		}
	}
}

func TestMillisArePickedAsKafkaPicksThem(t *testing.T) {
	rng := testkit.Rand(t)
	for range 50 {
		var m millis
		var naive []int64
		for range 1 + rng.IntN(3000) {
			ns := int64(math.Exp(rng.Float64()*16)) * 1000 // 1 us to 9 s
			m.add(ns)
			naive = append(naive, ns/1000/1000)
		}
		slices.Sort(naive)
		for _, share := range []float64{0.5, 0.99, 0.999} {
			if got, want := m.percentile(share), naive[int(float64(len(naive))*share)]; int64(got) != want {
				t.Fatalf("%d values, share %v: %d, want %d", len(naive), share, got, want)
			}
		}
	}
	var m millis
	m.add(-1)
	m.add(math.MaxInt64)
	if got := m.percentile(0.99); got != maxMillis {
		t.Errorf("a latency without end counts as %d ms, want %d", got, maxMillis)
	}
}

// The texts are those of Double.toString in its documentation and of its shortest form.
func TestJavaDouble(t *testing.T) {
	ns := 72648.0 // not a constant, which Go would divide exactly
	for v, want := range map[float64]string{
		0: "0.0", 1: "1.0", 0.001: "0.001", 0.0009: "9.0E-4", 12.345: "12.345", 9999999: "9999999.0", 1e7: "1.0E7",
		123456789: "1.23456789E8", 0.00012345: "1.2345E-4", ns / 1000.0 / 1000.0: "0.07264799999999999",
	} {
		if got := javaDouble(v); got != want {
			t.Errorf("%s is written %q, want %q", strconv.FormatFloat(v, 'g', -1, 64), got, want)
		}
	}
}

func ExampleCommand() {
	cmd := Command("bench e2e")
	words, _ := cmd.GetFlagCompletionFunc("producer-acks")
	values, _ := words(cmd, nil, "")
	fmt.Println(values)
	// Output: [1 all]
}
