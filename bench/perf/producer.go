package perf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/tools/cli"
)

const producerExamples = `  # as fast as it goes: a million records of 1 KiB
  {{.}} --topic load --num-records 1000000 --record-size 1024 --throughput -1 \
      --producer-props bootstrap.servers=127.0.0.1:9092 acks=1 batch.size=65536

  # latency at a steady rate for 30 s after 5 s of warm-up, counted from the intended send time
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --record-size 1024 --throughput 2000 \
      --duration 30s --warmup 5s --producer-props acks=1 linger.ms=0 --json run.json --html run.html --hgrm run

  # lines of a file as records, four producers, lz4
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --num-records 500000 --payload-file access.log \
      --throughput -1 --producers 4 --producer-props compression.type=lz4

  # what the broker can take: pre-built batches over bare connections
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --record-size 1024 --duration 10s --client raw \
      --producers 2 --producer-props acks=1 batch.size=65536`

const producerLong = `This tool is used to verify the producer performance. It prints what kafka-producer-perf-test prints: a line every five
seconds and one at the end, with latencies in milliseconds from the call of send.`

type producerOptions struct {
	script                                     bool // called as Kafka's script
	topic                                      string
	records, recordSize                        int64
	payloadFile, payloadDelimiter, recordSizes string
	payloadMonotonic                           bool
	throughput                                 float64
	props, commandProps                        []string
	config, bootstrap                          string
	printMetrics                               bool
	transactionalID                            string
	transactionMs, warmupRecords, reportEvery  int64
	keys                                       string
	compressibility                            float64
	headers, producers, batches                int
	seed                                       uint64
	client, congestion                         string
	duration, warmup                           time.Duration
	common                                     commonOptions
}

// Producer returns kafka-producer-perf-test.sh; name is what the user calls it by.
func Producer(name string) *cobra.Command {
	o := &producerOptions{script: strings.HasPrefix(name, "kafka-")}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Produce load and measure it (kafka-producer-perf-test.sh)",
		Long:    producerLong,
		Example: strings.ReplaceAll(producerExamples, "{{.}}", called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	// The values of --producer-props stand apart: "--producer-props a=b c=d". The first
	// belongs to the flag, the rest comes here.
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		for _, a := range args {
			if !strings.Contains(a, "=") || !cmd.Flags().Changed("producer-props") {
				return cli.Usagef("unrecognized arguments: '%s'", a)
			}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.props = append(o.props, args...)
		return o.run(cmd)
	}
	return cmd
}

// called is how a user types the tool.
func called(name string) string {
	if strings.HasPrefix(name, "kafka-") {
		return name
	}
	return "millrace bench " + name
}

func (o *producerOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.topic, "topic", "", "REQUIRED: produce messages to this topic; with commas between them to several, in turn.")
	f.Int64Var(&o.records, "num-records", 0, "Number of messages to produce. REQUIRED without --duration.")
	f.Int64Var(&o.recordSize, "record-size", 0, "Message size in bytes. Exactly one of --record-size, --record-sizes, --payload-file and --payload-monotonic is needed.")
	f.StringVar(&o.payloadFile, "payload-file", "", "File to read the message payloads from; each message is one of them by chance.")
	f.StringVar(&o.payloadDelimiter, "payload-delimiter", `\n`, "What stands between the payloads of --payload-file.")
	f.BoolVar(&o.payloadMonotonic, "payload-monotonic", false, "The payload is a number that grows.")
	f.Float64Var(&o.throughput, "throughput", -1, "Messages/s, at the times of a fixed schedule (open loop). -1: as fast as the client goes.")
	f.StringArrayVar(&o.props, "producer-props", nil, "Producer settings KEY=VALUE, several words: bootstrap.servers, client.id, acks, batch.size, linger.ms, compression.type, ... They win over --producer.config.")
	f.StringVar(&o.config, "producer.config", "", "Property file with producer settings.")
	f.BoolVar(&o.printMetrics, "print-metrics", false, "Print the client's metrics at the end.")
	f.StringVar(&o.transactionalID, "transactional-id", "", "Produce in transactions with this id; it wins over transactional.id among the settings.")
	f.Int64Var(&o.transactionMs, "transaction-duration-ms", 0, "Age (ms) at which a transaction is committed: 3000 when only an id is given. Without an id one is made up.")
	f.Int64Var(&o.warmupRecords, "warmup-records", 0, "So many of the first messages are not counted in the steady state, which is printed apart.")
	f.Int64Var(&o.reportEvery, "reporting-interval", 5000, "Milliseconds between the lines of a run.")
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "The server(s) to connect to, HOST1:PORT1,HOST2:PORT2; the same as bootstrap.servers among the settings.")
	f.StringArrayVar(&o.commandProps, "command-property", nil, "One producer setting KEY=VALUE; may be repeated.")
	f.StringVar(&o.config, "command-config", "", "The same as --producer.config.")
	f.DurationVar(&o.duration, "duration", 0, "Produce for this long after the warm-up (30s, 2m), instead of or at most --num-records.")
	f.DurationVar(&o.warmup, "warmup", 0, "Produce for this long before anything counts; the steady state is printed apart.")
	f.IntVar(&o.producers, "producers", 1, "Producers side by side, each with a client of its own; --throughput is of all together.")
	f.StringVar(&o.client, "client", clientFranz, "franz-go (an ordinary client) or raw (pre-built batches over bare connections: the load that the generator limits least).")
	f.StringVar(&o.recordSizes, "record-sizes", "", "Distribution of sizes: 100..2000 (uniform) or exp:200 (exponential with this mean).")
	f.StringVar(&o.keys, "keys", "", "Keys of the messages: none, seq, uniform:N or zipf:N (N different ones).")
	f.Float64Var(&o.compressibility, "compressibility", 0, "Share of a payload that is always the same: 0 (random letters, as Kafka's tool) to 1.")
	f.IntVar(&o.headers, "headers", 0, "Headers of each message, of 16 bytes.")
	f.Uint64Var(&o.seed, "seed", 0, "Seed of payloads and keys: the same gives the same load.")
	f.IntVar(&o.batches, "batches", 64, "With --client raw: how many different batches are built ahead and sent in turn.")
	f.StringVar(&o.congestion, "congestion", "", "With --client raw: TCP congestion control of the generator's side (reno, cubic, bbr).")
	o.common.register(cmd, o.script)
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	words := func(flag string, of ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
	}
	words("client", clientFranz, clientRaw)
	words("keys", "none", "seq", "uniform:1000", "zipf:1000")
	words("record-sizes", "100..2000", "exp:200")
	words("congestion", "reno", "cubic", "bbr")
	words("throughput", "-1", "2000")
	settings := []string{"bootstrap.servers=", "acks=all", "acks=1", "acks=0", "batch.size=65536", "linger.ms=0", "client.id=", "buffer.memory=", "enable.idempotence=false", "max.in.flight.requests.per.connection="}
	for _, c := range codecNames() {
		settings = append(settings, "compression.type="+c)
	}
	noSpace := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	_ = cmd.RegisterFlagCompletionFunc("producer-props", cobra.FixedCompletions(settings, noSpace))
	_ = cmd.RegisterFlagCompletionFunc("command-property", cobra.FixedCompletions(settings, noSpace))
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		if cmd.Flags().Changed("producer-props") {
			return settings, noSpace
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// The clients that can make the load.
const (
	clientFranz = "franz-go"
	clientRaw   = "raw"
)

// check refuses what makes no sense, in the words of Kafka's tool where it has some.
func (o *producerOptions) check(cmd *cobra.Command) error {
	given, ways := cmd.Flags().Changed, []string(nil)
	for _, way := range []string{"record-size", "record-sizes", "payload-file", "payload-monotonic"} {
		if given(way) {
			ways = append(ways, way)
		}
	}
	switch {
	case o.topic == "":
		return cli.Usagef("argument --topic is required")
	case !given("num-records") && o.duration == 0:
		return cli.Usagef("argument --num-records is required (or --duration)")
	case given("num-records") && o.records <= 0:
		return cli.Usagef("--num-records should be greater than zero")
	case len(ways) == 0:
		return cli.Usagef("one of the arguments --record-size --payload-file --payload-monotonic is required")
	case len(ways) > 1:
		return cli.Usagef("argument --%s: not allowed with argument --%s", ways[1], ways[0])
	case given("record-size") && o.recordSize <= 0:
		return cli.Usagef("--record-size should be greater than zero")
	case o.recordSize > math.MaxInt32/2:
		return cli.Usagef("--record-size %d: a message has at most %d bytes here", o.recordSize, math.MaxInt32/2)
	case given("transaction-duration-ms") && o.transactionMs <= 0:
		return cli.Usagef("--transaction-duration-ms should be greater than zero")
	case o.throughput == 0 || math.IsNaN(o.throughput) || o.throughput > 1e9:
		return cli.Usagef("--throughput %v: a rate up to 10^9 messages/s, or -1 for as fast as it goes (0 would never send)", o.throughput)
	case given("warmup-records") && (o.warmupRecords < 0 || o.records > 0 && o.warmupRecords >= o.records || o.records == 0):
		return cli.Usagef("--warmup-records %d: from 0 to less than --num-records (%d)", o.warmupRecords, o.records)
	case given("warmup-records") && given("warmup"):
		return cli.Usagef("argument --warmup: not allowed with argument --warmup-records")
	case o.duration < 0 || o.warmup < 0:
		return cli.Usagef("--duration and --warmup: from 0")
	case o.producers < 1 || o.producers > 10_000:
		return cli.Usagef("--producers %d: from 1 to 10000", o.producers)
	case o.reportEvery < 1:
		return cli.Usagef("--reporting-interval %d: from 1 ms", o.reportEvery)
	case o.client != clientFranz && o.client != clientRaw:
		return cli.Usagef("--client %s: %s or %s", o.client, clientFranz, clientRaw)
	case o.client == clientRaw && (o.printMetrics || o.warmupRecords > 0):
		return cli.Usagef("--client raw has neither --print-metrics nor --warmup-records (but --warmup): use --client %s", clientFranz)
	case o.batches < 1 || o.batches > 100_000:
		return cli.Usagef("--batches %d: from 1 to 100000", o.batches)
	case given("congestion") && o.client != clientRaw:
		return cli.Usagef("--congestion needs --client raw")
	}
	return o.common.check()
}

// spec reads the settings and turns the flags into a load.
func (o *producerOptions) spec(cmd *cobra.Command) (*sendSpec, error) {
	if err := o.check(cmd); err != nil {
		return nil, err
	}
	props, err := cli.LoadProps(o.config)
	if err != nil {
		return nil, err
	}
	if err := pairs(props, append(append([]string{}, o.props...), o.commandProps...)); err != nil {
		return nil, err
	}
	if o.bootstrap != "" {
		props["bootstrap.servers"] = o.bootstrap
	}
	if o.transactionalID != "" {
		props["transactional.id"] = o.transactionalID
	} else if o.transactionMs > 0 && props["transactional.id"] == "" {
		props["transactional.id"] = "performance-producer-" + rand.Text()
	}
	if props["bootstrap.servers"] == "" {
		if len(props) == 0 {
			return nil, cli.Usagef("Either --producer-props or --producer.config must be specified. (Or --bootstrap-server HOST:PORT.)")
		}
		return nil, cli.Usagef("No bootstrap.servers in --producer-props or --producer.config, and no --bootstrap-server HOST:PORT")
	}
	settings, err := readProducerSettings(props)
	if err != nil {
		return nil, err
	}
	warnUnused(cmd.ErrOrStderr(), props, producerProps)
	s := &sendSpec{
		topics: strings.Split(o.topic, ","), records: o.records, duration: o.duration, warmup: o.warmup, warmupRecords: o.warmupRecords,
		rate: max(o.throughput, 0), producers: o.producers, client: o.client, congestion: o.congestion, batches: o.batches,
		everyMs: o.reportEvery, settings: settings,
	}
	if settings.transactionalID != "" {
		s.txnDuration = 3 * time.Second
		if o.transactionMs > 0 {
			s.txnDuration = time.Duration(o.transactionMs) * time.Millisecond
		}
		if s.client == clientRaw {
			return nil, cli.Usagef("--client raw has no transactions: use --client %s", clientFranz)
		}
	}
	return s, nil
}

// payloads makes the source of records, and says about a file what Kafka's tool says.
func (o *producerOptions) payloads(cmd *cobra.Command) (*workload.Source, error) {
	w := workload.Spec{
		Sizes: o.recordSizes, PayloadFile: o.payloadFile, PayloadDelimiter: o.payloadDelimiter, PayloadMonotonic: o.payloadMonotonic,
		Keys: o.keys, Compressibility: o.compressibility, Headers: o.headers, Seed: o.seed,
	}
	if o.recordSize > 0 {
		w.Sizes = fmt.Sprint(o.recordSize)
	}
	if w.Keys == "none" {
		w.Keys = ""
	}
	if o.payloadFile != "" {
		path, err := filepath.Abs(o.payloadFile)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Reading payloads from: %s\n", path)
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			return nil, fmt.Errorf("File does not exist or empty file provided. (%s)", path)
		}
	}
	source, err := workload.New(w)
	if err == nil && o.payloadFile != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "Number of messages read: %d\n", source.Payloads())
	}
	var spec *workload.SpecError
	if errors.As(err, &spec) {
		return nil, cli.Usagef("%s", err)
	}
	return source, err
}

func (o *producerOptions) run(cmd *cobra.Command) error {
	spec, err := o.spec(cmd)
	if err != nil {
		return err
	}
	if spec.source, err = o.payloads(cmd); err != nil {
		return err
	}
	session := o.common.open(cmd, spec.settings.bootstrap, spec.duration)
	defer session.close()
	spec.progress = session.point
	session.closedLoop = "from the send (closed loop)"
	if spec.client == clientRaw {
		session.closedLoop = "of a produce request (closed loop)"
	}
	r := newSendRun(spec, session.lines(), cmd.ErrOrStderr(), session.watch)
	metrics := newClientMetrics("producer", spec.settings.clientID)
	r.onset = func() {
		metrics.beginSteady()
		session.steady()
	}
	if o.warmupRecords > 0 || o.warmup > 0 {
		session.phase("warm-up")
	}
	if o.warmupRecords > 0 {
		fmt.Fprintf(r.out, "Warmup first %d records. Steady state results will print after the complete test summary.\n", o.warmupRecords)
	}
	run, began, end := o.load(cmd, r, metrics)
	if !began {
		return end
	}
	run.Name, run.Scenario = o.name(spec), o.scenario(spec)
	end = session.finish(run, end)
	if end == nil && run.Errors > 0 {
		// Unlike Kafka's tool, whose exit code is 0 then.
		end = fmt.Errorf("%d of %d records were not written", run.Errors, run.Errors+r.acked.Load())
	}
	return canceled(end)
}

// canceled makes an end by Ctrl-C the one that cmd/millrace knows.
func canceled(end error) error {
	if errors.Is(end, context.Canceled) {
		return context.Canceled
	}
	return end
}

// load makes the load and prints Kafka's lines; began is false when it did not come to that.
func (o *producerOptions) load(cmd *cobra.Command, r *sendRun, metrics *clientMetrics) (run result.Run, began bool, end error) {
	if r.spec.client == clientRaw {
		run, end = sendRaw(cmd.Context(), r)
		return run, !run.Started.IsZero(), end
	}
	end = sendFranz(cmd.Context(), r, metrics)
	if r.total == nil {
		return run, false, end
	}
	r.printTotals()
	if o.printMetrics {
		metrics.print(r.out)
	}
	run = r.result(r.spec.settings.bootstrap)
	metrics.fill(&run)
	return run, true, end
}

// name of the run in a result file.
func (o *producerOptions) name(s *sendSpec) string {
	if o.common.name != "" {
		return o.common.name
	}
	return fmt.Sprintf("produce %s to %s acks=%s", o.sizeWord(), o.topic, acksWord(s.settings.acks))
}

func (o *producerOptions) sizeWord() string {
	switch {
	case o.recordSize > 0:
		return fmt.Sprintf("%d B", o.recordSize)
	case o.recordSizes != "":
		return o.recordSizes
	case o.payloadFile != "":
		return filepath.Base(o.payloadFile)
	}
	return "monotonic"
}

func acksWord(acks int16) string {
	if acks == -1 {
		return "all"
	}
	return fmt.Sprint(acks)
}

// scenario is what tables show of the load.
func (o *producerOptions) scenario(s *sendSpec) map[string]string {
	m := map[string]string{
		"topic": o.topic, "record size": o.sizeWord(), "producers": fmt.Sprint(o.producers), "acks": acksWord(s.settings.acks),
		"codec": s.settings.codec, "batch.size": fmt.Sprint(s.settings.batchBytes), "linger.ms": fmt.Sprint(s.settings.linger.Milliseconds()),
	}
	if s.rate > 0 {
		m["rate"] = fmt.Sprint(s.rate)
	}
	if o.keys != "" {
		m["keys"] = o.keys
	}
	if s.txnDuration > 0 {
		m["transaction"] = s.txnDuration.String()
	}
	return m
}
