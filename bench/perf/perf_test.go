package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/cli/clitest"
)

// total is the last line of kafka-producer-perf-test, as Kafka's system tests read it
// (tests/kafkatest/services/performance/producer_performance.py).
var total = regexp.MustCompile(`^(\d+)(?: steady state)? records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), [\d.]+ ms avg latency, [\d.]+ ms max latency, \d+ ms 50th, \d+ ms 95th, \d+ ms 99th, \d+ ms 99\.9th\.$`)

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func produce(t *testing.T, words string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Producer("kafka-producer-perf-test.sh"), "", strings.Fields(words)...)
}

func consume(t *testing.T, words string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), Consumer("kafka-consumer-perf-test.sh"), "", strings.Fields(words)...)
}

// ends is how many records each partition of a topic holds.
func ends(t *testing.T, at, topic string) (sum int64, partitions int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	offsets, err := kadm.NewClient(c).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	offsets.Each(func(o kadm.ListedOffset) {
		sum += o.Offset
		partitions++
	})
	return sum, partitions
}

func TestProducerThenConsumer(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(3, "load"))
	got := produce(t, "--topic load --num-records 5000 --record-size 100 --throughput -1 --producer-props bootstrap.servers="+at+" acks=1 linger.ms=0 client.id=me --print-metrics")
	if got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	lines := strings.Split(got.Out, "\n")
	if m := total.FindStringSubmatch(lines[0]); m == nil || m[1] != "5000" {
		t.Fatalf("first line %q", lines[0])
	}
	for _, metric := range []string{"Metric Name", "producer-metrics:record-send-total:{client-id=me}", "producer-topic-metrics:record-send-total:{client-id=me, topic=load}"} {
		if !strings.Contains(got.Out, metric) {
			t.Errorf("no %s in %s", metric, got.Out)
		}
	}
	if m := regexp.MustCompile(`record-send-total:\{client-id=me\} +: (\S+)\n`).FindStringSubmatch(got.Out); m == nil || m[1] != "5000.000" {
		t.Errorf("record-send-total %v", m)
	}
	if sum, _ := ends(t, at, "load"); sum != 5000 {
		t.Fatalf("the topic has %d records", sum)
	}
	for _, words := range []string{"", "--group readers", "--group any", "--consumers 2", "--consumers 5"} {
		got = consume(t, "--bootstrap-server "+at+" --topic load --messages 5000 "+words)
		lines = strings.Split(strings.TrimSpace(got.Out), "\n")
		if got.Code != 0 || len(lines) != 2 {
			t.Fatalf("%s: %+v", words, got)
		}
		f := strings.Split(lines[1], ", ")
		if len(f) != len(strings.Split(lines[0], ", ")) || f[2] != "0.4768" || f[4] != "5000" {
			t.Errorf("%s: %q", words, lines[1])
		}
	}
}

func TestConsumerEnds(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "few"))
	if got := produce(t, "--topic few --num-records 10 --record-size 1 --throughput -1 --producer-props bootstrap.servers="+at); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	const warning = "WARNING: Exiting before consuming the expected number of messages: timeout (1 ms) exceeded. You can use the --timeout option to increase the timeout.\n"
	got := consume(t, "--bootstrap-server "+at+" --topic few --messages 11 --timeout 1 --hide-header --show-detailed-stats --from-latest")
	if got.Code != 0 || got.Out != warning {
		t.Errorf("%+v", got)
	}
	got = consume(t, "--bootstrap-server "+at+" --topic nope --messages 1")
	if got.Code != 1 || !strings.Contains(got.Err, "topic nope: ") {
		t.Errorf("%+v", got)
	}
	got = consume(t, "--bootstrap-server 127.0.0.1:1 --topic few")
	if got.Code != 1 || !strings.Contains(got.Err, `Missing required argument "[messages]"`) {
		t.Errorf("%+v", got)
	}
}

// A broker that serves no groups is told from one that is silent, and can still be read.
func TestBrokerWithoutGroups(t *testing.T) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.JoinGroup.Int16(), -1)
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "few"), kfake.MaxVersions(versions))
	if got := produce(t, "--topic few --num-records 3 --record-size 1 --throughput -1 --producer-props bootstrap.servers="+at); got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	got := consume(t, "--bootstrap-server "+at+" --topic few --messages 3 --group g")
	if got.Code != 1 || !strings.Contains(got.Err, "do not serve consumer groups: leave --group out") {
		t.Errorf("%+v", got)
	}
	if got = consume(t, "--bootstrap-server "+at+" --topic few --messages 3"); got.Code != 0 || strings.Contains(got.Out, "WARNING") {
		t.Errorf("%+v", got)
	}
}

// The same commands over bare connections.
func TestRawClient(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(3, "load"))
	got := produce(t, "--client raw --topic load --num-records 3000 --record-size 100 --throughput -1 --producers 2 --keys seq --producer-props bootstrap.servers="+at+" acks=1 batch.size=1000 compression.type=lz4")
	m := total.FindStringSubmatch(lastLine(got.Out))
	if got.Code != 0 || m == nil {
		t.Fatalf("%+v", got)
	}
	sum, _ := ends(t, at, "load")
	if told, _ := strconv.ParseInt(m[1], 10, 64); told < 3000 || sum < told {
		t.Fatalf("%d records told, the topic has %d", told, sum)
	}
	// They are records like any others.
	if got = consume(t, fmt.Sprintf("--bootstrap-server %s --topic load --messages %d", at, sum)); got.Code != 0 || !strings.Contains(got.Out, fmt.Sprintf(", %d, ", sum)) {
		t.Errorf("%+v", got)
	}
	// More than there are: it begins again.
	got = consume(t, fmt.Sprintf("--client raw --bootstrap-server %s --topic load --messages %d --consumers 3", at, 2*sum))
	if f := strings.Split(lastLine(got.Out), ", "); got.Code != 0 || len(f) != 10 {
		t.Errorf("%+v", got)
	} else if n, _ := strconv.ParseInt(f[4], 10, 64); n < 2*sum {
		t.Errorf("%d records were read, want %d", n, 2*sum)
	}
	for words, want := range map[string]string{
		" security.protocol=SSL":    "--client raw speaks PLAINTEXT only, not security.protocol=SSL",
		" transactional.id=x":       "--client raw has no transactions",
		" --print-metrics":          "--client raw has neither --print-metrics nor --warmup-records",
		" --record-size 0":          "--record-size should be greater than zero",
		" acks=0 --congestion none": "none",
	} {
		got = produce(t, "--client raw --topic load --num-records 3000 --record-size 100 --producer-props bootstrap.servers="+at+words)
		if got.Code != 1 || !strings.Contains(got.Err, want) {
			t.Errorf("%s: %+v, want %q", words, got, want)
		}
	}
	if got = consume(t, "--client raw --bootstrap-server "+at+" --topic nope --messages 1"); got.Code != 1 || !strings.Contains(got.Err, "topic nope: ") {
		t.Errorf("%+v", got)
	}
}

// What stands in the files agrees with the lines.
func TestFiles(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "a", "b"))
	dir := t.TempDir()
	name := func(file string) string { return filepath.Join(dir, file) }
	got := clitest.Run(t.Context(), Producer("producer"), "", strings.Fields(fmt.Sprintf(
		"--bootstrap-server %s --topic a,b --num-records 600 --record-sizes 10..20 --keys uniform:7 --headers 2 --throughput 20000 --producers 3 --warmup-records 100 --json %s --html %s --hgrm %s --name mine",
		at, name("run.json"), name("run.html"), name("run")))...)
	if got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	if m := total.FindStringSubmatch(lastLine(got.Out)); m == nil || m[1] == "600" || !strings.Contains(lastLine(got.Out), "steady state records") {
		t.Errorf("%s", got.Out)
	}
	in, err := os.Open(name("run.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f, err := result.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	run := f.Runs[0]
	steady, _ := strconv.ParseInt(strings.Fields(lastLine(got.Out))[0], 10, 64)
	if run.Name != "mine" || run.Client != "franz-go" || run.TargetRate != 20000 || run.Records != steady || f.Interrupted || run.Errors != 0 {
		t.Errorf("%+v", run)
	}
	// The generator sleeps and spins through the groups of a paced load, so each of these has
	// one value for each record of the steady phase.
	for _, l := range []*result.Latency{run.Latency, run.Uncorrected, run.Lateness} {
		if l == nil || l.Count != steady || l.HDR == "" {
			t.Errorf("latency %+v, want %d values", l, steady)
		}
	}
	for _, file := range []string{"run.html", "run.hgrm", "run.uncorrected.hgrm"} {
		if text, err := os.ReadFile(name(file)); err != nil || len(text) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, topic := range []string{"a", "b"} {
		if sum, _ := ends(t, at, topic); sum != 300 {
			t.Errorf("topic %s has %d records", topic, sum)
		}
	}
	if !strings.Contains(got.Err, "from the intended send time") || !strings.Contains(got.Err, "generator: franz-go") {
		t.Errorf("details: %s", got.Err)
	}
}

func TestPayloads(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "lines", "numbers"))
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte("Hello;Kafka;;"), 0o600); err != nil {
		t.Fatal(err)
	}
	props := " --throughput -1 --producer-props bootstrap.servers=" + at
	got := produce(t, "--topic lines --num-records 20 --payload-delimiter ; --payload-file "+file+props)
	if want := "Reading payloads from: " + file + "\nNumber of messages read: 2\n20 records sent, "; got.Code != 0 || !strings.HasPrefix(got.Out, want) {
		t.Errorf("%+v, want %q", got, want)
	}
	if got = produce(t, "--topic numbers --num-records 12 --payload-monotonic"+props); got.Code != 0 {
		t.Errorf("%+v", got)
	}
	for topic, check := range map[string]func(i int, v string) bool{
		"lines":   func(_ int, v string) bool { return v == "Hello" || v == "Kafka" },
		"numbers": func(i int, v string) bool { return v == strconv.Itoa(i) },
	} {
		c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends(t, at, topic)
		for i := 0; i < int(end); {
			for _, rec := range c.PollFetches(t.Context()).Records() {
				if !check(i, string(rec.Value)) {
					t.Errorf("%s %d: %q", topic, i, rec.Value)
				}
				i++
			}
		}
		c.Close()
	}
}

func TestTransactions(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "tx"))
	got := produce(t, "--topic tx --num-records 50 --record-size 10 --throughput -1 --transaction-duration-ms 1 --transactional-id mine --producers 2 --producer-props bootstrap.servers="+at)
	if m := total.FindStringSubmatch(lastLine(got.Out)); got.Code != 0 || m == nil || m[1] != "50" {
		t.Fatalf("%+v", got)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...), kgo.ConsumeTopics("tx"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for seen := 0; seen < 50; {
		seen += c.PollFetches(t.Context()).NumRecords() // hangs until the test's deadline when one is not committed
	}
}

// Words of Kafka's ProducerPerformanceTest and ConsumerPerformanceTest, and some more.
func TestUsage(t *testing.T) {
	const base = "--topic t --num-records 5 --throughput 100 --record-size 100 --producer-props bootstrap.servers=localhost:9000 "
	for words, want := range map[string]string{
		"--topic t --num-records 5 --throughput 100 --record-size 100 --payload-monotonic --producer-props bootstrap.servers=h:1": "argument --payload-monotonic: not allowed with argument --record-size",
		"--topic t --num-records 5 --throughput 100 --payload-file a --payload-monotonic --producer-props bootstrap.servers=h:1":  "argument --payload-monotonic: not allowed with argument --payload-file",
		"--topic t --num-records 5 --throughput 100 --record-size 100":                                                            "Either --producer-props or --producer.config must be specified.",
		base + "--transaction-duration-ms 0":    "--transaction-duration-ms should be greater than zero",
		base + "--num-records -5":               "--num-records should be greater than zero",
		base + "--record-size -100":             "--record-size should be greater than zero",
		base + "--test test":                    "unknown flag: --test",
		base + "acks":                           "unrecognized arguments: 'acks'",
		base + "acks=2":                         "Invalid value 2 for configuration acks",
		base + "acks=1 enable.idempotence=true": "Must set acks to all",
		base + "compression.type=lzo":           "Invalid value lzo for configuration compression.type",
		base + "batch.size=big":                 "Invalid value big for configuration batch.size",
		base + "--throughput 0":                 "--throughput 0",
		base + "--client java":                  "--client java: franz-go or raw",
		base + "--flame x.svg":                  "--flame",
		"--topic t --num-records 5 --payload-file /nowhere --producer-props bootstrap.servers=h:1": "File does not exist or empty file provided.",
		base + "--date":      "unknown flag: --date",
		base + "--keys some": "keys",
		"--topic t --num-records 5 --producer-props a=b":                 "one of the arguments --record-size --payload-file --payload-monotonic is required",
		"--topic t --record-size 5 --producer-props a=b":                 "argument --num-records is required",
		"--num-records 5 --record-size 5 --producer-props a=b":           "argument --topic is required",
		"--topic t --num-records 5 --record-size 5 --bootstrap-server h": "Please provide valid host:port",
	} {
		if got := produce(t, words); got.Code != 1 || !strings.Contains(got.Err, want) {
			t.Errorf("%s: %+v, want %q", words, got, want)
		}
	}
	const read = "--bootstrap-server localhost:1 --topic t --messages 5 "
	for words, want := range map[string]string{
		read + "--date-format b":                      `--date-format "b"`,
		read + "--reporting-interval 0":               "Reporting interval must be greater than 0.",
		read + "--client raw --group g":               "--client raw joins no groups",
		read + "--command-property x":                 "Invalid property: x",
		"--bootstrap-server localhost:1 --messages 5": `Missing required argument "[topic]"`,
		"--topic t --messages 5":                      `Missing required argument "[bootstrap-server]"`,
	} {
		if got := consume(t, words); got.Code != 1 || !strings.Contains(got.Err, want) {
			t.Errorf("%s: %+v, want %q", words, got, want)
		}
	}
}

// Records that cannot be written are told once each and fail the command.
func TestFailures(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "load"))
	got := produce(t, "--topic load --num-records 5 --record-size 5000000 --throughput -1 --producer-props bootstrap.servers="+at)
	if got.Code != 1 || strings.Count(got.Err, "ERROR ") != 1 || !strings.Contains(got.Err, "5 of 5 records were not written") {
		t.Errorf("%+v", got)
	}
	if !strings.HasPrefix(got.Out, "0 records sent, 0.0 records/sec (0.00 MB/sec), NaN ms avg latency, 0.00 ms max latency, 0 ms 50th,") {
		t.Errorf("%q", got.Out)
	}
}

// Ctrl-C leaves what there is: Kafka's line, and the file marked as interrupted.
func TestInterrupted(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.SeedTopics(1, "load"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(t.TempDir(), "run.json")
	cmd := Producer("producer")
	out := &onWrite{f: cancel} // the first line of a window ends it
	cmd.SetOut(out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(cli.Normalize(cmd.Flags(), strings.Fields("--bootstrap-server "+at+" --topic load --num-records 1000000000 --record-size 10 --throughput 5000 --reporting-interval 1 --json "+file)))
	if err := cmd.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if !total.MatchString(lastLine(out.text.String())) {
		t.Errorf("%q", out.text.String())
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if f, err := result.Read(in); err != nil || !f.Interrupted || len(f.Runs) != 1 || f.Runs[0].Records == 0 {
		t.Errorf("%v %+v", err, f)
	}
}

// onWrite is a writer that calls f when something is written. Its lines come one at a time.
type onWrite struct {
	text strings.Builder
	f    func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	w.f()
	return w.text.Write(p)
}
