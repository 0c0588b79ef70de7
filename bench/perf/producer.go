package perf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
