package e2e

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/flame"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # one record of 1 KiB at a time, 10000 of them
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic e2e

  # 2000 records/s for a minute after 5 s of warm-up, latency from the intended send time
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic e2e --throughput 2000 --duration 60s --warmup 5s

  # with all replicas' acknowledgement and keys, all figures kept
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic e2e --producer-acks all --record-key-size 16 \
      --json e2e.json --html e2e.html --hgrm e2e.hgrm`

const scriptExamples = `  # broker, topic, number of records, acks (1 or all), record size, and settings if any
  {{.}} 127.0.0.1:9092 e2e 10000 1 1024
  {{.}} 127.0.0.1:9092 e2e 10000 all 1024 client.properties

  # the same by names
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic e2e --num-records 10000 --producer-acks 1 --record-size 1024`

// options are the command line.
type options struct {
	bootstrap, topic, acks, config string
	properties                     []string
	records                        int64
	size, keySize                  int
	headers, headerKey, headerSize int
	partitions                     int32
	throughput                     float64
	duration, warmup, patience     time.Duration
	maxWait                        time.Duration
	pid                            int
	hgrm                           string
	files                          report.Outputs
	flame                          *flame.Flags
	props                          cli.Props

	byRecords bool // the end is a number of records, not a time
}

// Command returns "millrace bench e2e"; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := o.command(name, "Measure the latency from producer to consumer (kafka-e2e-latency.sh)", examples)
	f := cmd.Flags()
	f.Int64Var(&o.records, "num-records", 10_000, "The number of records to measure. Without it a --duration ends the run.")
	f.StringVar(&o.acks, "producer-acks", "1", "The acknowledgements to wait for: 1 or all.")
	f.IntVar(&o.size, "record-size", 1024, "The size (bytes) of the records' values.")
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.byRecords = cmd.Flags().Changed("num-records") || o.duration == 0
		return o.run(cmd)
	}
	return cmd
}

// Script returns kafka-e2e-latency.sh: five or six words in a fixed order, or the same by
// names, as Kafka has it since 4.2.
func Script(name string) *cobra.Command {
	o := &options{}
	cmd := o.command(name, "Measure the latency from producer to consumer", scriptExamples)
	f := cmd.Flags()
	f.Int64Var(&o.records, "num-records", 0, "REQUIRED: The number of records to send.")
	f.StringVar(&o.acks, "producer-acks", "", "REQUIRED: The acknowledgements to wait for: 1 or all.")
	f.IntVar(&o.size, "record-size", -1, "REQUIRED: The size (bytes) of the records' values.")
	o.register(cmd)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		o.byRecords = true
		if err := o.positional(cmd, words); err != nil {
			return err
		}
		return o.run(cmd)
	}
	return cmd
}

func (o *options) command(name, short, examples string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Long:    "This tool measures end-to-end latency by sending records and timing their reception.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to, HOST1:PORT1,HOST2:PORT2.")
	f.StringVar(&o.topic, "topic", "", "REQUIRED: The topic to send to and to read; it is created when it does not exist.")
	return cmd
}

// register adds the flags that both forms have, with those of Kafka first.
func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&o.keySize, "record-key-size", 0, "The size (bytes) of the records' keys; without it they have none.")
	f.IntVar(&o.headers, "num-headers", 0, "The number of headers of each record.")
	f.IntVar(&o.headerKey, "record-header-key-size", 0, "The size (bytes) of a header's key.")
	f.IntVar(&o.headerSize, "record-header-size", 0, "The size (bytes) of a header's value; -1 for a null value.")
	f.StringVar(&o.config, "command-config", "", "Property file for the clients.")
	f.StringArrayVar(&o.properties, "command-property", nil, "Setting KEY=VALUE of the clients (compression.type=lz4, security.protocol=SSL, ...); may be repeated.")

	f.Float64Var(&o.throughput, "throughput", 0, "Records per second, sent at fixed times (open loop). 0 or less: one record at a time.")
	f.DurationVar(&o.duration, "duration", 0, "How long to measure, for instance 30s.")
	f.DurationVar(&o.warmup, "warmup", 0, "How long to send before it counts, for instance 5s.")
	f.Int32Var(&o.partitions, "partitions", 1, "The number of partitions, if the topic is created.")
	f.DurationVar(&o.maxWait, "fetch-max-wait", 500*time.Millisecond, "How long a fetch may wait at the broker for a record. Kafka's tool asks again and again instead (0s), which costs processor time that the broker may lack.")
	f.DurationVar(&o.patience, "timeout", time.Minute, "How long a record may take before it is given up.")
	f.IntVar(&o.pid, "broker-pid", 0, "Process of the broker, to tell its processor time. Without it the process that listens on the first server's address.")
	f.StringVar(&o.hgrm, "hgrm", "", "Write the latency distribution in HdrHistogram's text form to this file.")
	o.files.Flags(f)
	o.flame = flame.AddFlags(cmd)
	o.files.Complete(cmd)
	_ = cmd.MarkFlagFilename("hgrm", "hgrm")
	_ = cmd.MarkFlagFilename("command-config", "properties")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("producer-acks", cobra.FixedCompletions([]string{"1", "all"}, cobra.ShellCompDirectiveNoFileComp))
}

// positional reads the words of kafka-e2e-latency.sh as it was before Kafka 4.2; with flags
// there may be none.
func (o *options) positional(cmd *cobra.Command, words []string) error {
	required := []string{"bootstrap-server", "topic", "num-records", "producer-acks", "record-size"}
	named := false
	for _, flag := range required {
		named = named || cmd.Flags().Changed(flag)
	}
	if named {
		if len(words) > 0 {
			return cli.Usagef("unexpected argument %q", words[0])
		}
		for _, flag := range required {
			if !cmd.Flags().Changed(flag) {
				return cli.Missing(flag)
			}
		}
		return nil
	}
	if len(words) != 5 && len(words) != 6 {
		return cli.Usagef("Invalid number of arguments. Expected 5 or 6 positional arguments, but got %d. "+
			"Usage: bootstrap-server topic num-records producer-acks record-size [optional] command-config", len(words))
	}
	o.bootstrap, o.topic, o.acks = words[0], words[1], words[3]
	var err error
	if o.records, err = strconv.ParseInt(words[2], 10, 64); err != nil {
		return cli.Usagef("%q is no number of records", words[2])
	}
	if o.size, err = strconv.Atoi(words[4]); err != nil {
		return cli.Usagef("%q is no record size in bytes", words[4])
	}
	if len(words) == 6 && strings.TrimSpace(words[5]) != "" {
		o.config = words[5]
	}
	return nil
}

// check says what is wrong with the command line, in Kafka's words where it has them.
func (o *options) check(stderr io.Writer) error {
	for _, flag := range []struct{ name, value string }{{"bootstrap-server", o.bootstrap}, {"topic", o.topic}} {
		if flag.value == "" {
			return cli.Missing(flag.name)
		}
	}
	switch {
	case o.acks != "1" && o.acks != "all" && o.acks != "-1":
		return cli.Usagef("Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' or 'all'.")
	case o.byRecords && o.records <= 0:
		return cli.Usagef("Value for --num-records must be a positive integer.")
	case o.headerSize < -1:
		return cli.Usagef("Value for --record-header-size must be a non-negative integer or -1 for null header value.")
	case o.partitions < 1:
		return cli.Usagef("Value for --partitions must be a positive integer.")
	case o.duration < 0 || o.warmup < 0 || o.maxWait < 0 || o.patience <= 0:
		return cli.Usagef("--duration, --warmup, --fetch-max-wait and --timeout must not be negative")
	case math.IsNaN(o.throughput) || o.throughput > 1e8:
		return cli.Usagef("--throughput %g: up to 100 million records/s make sense", o.throughput)
	case o.open() && o.size < stampBytes:
		return cli.Usagef("--record-size %d: records need %d bytes with --throughput, to be known again when they are consumed", o.size, stampBytes)
	}
	for _, flag := range []struct {
		name  string
		value int
	}{{"record-size", o.size}, {"record-key-size", o.keySize}, {"record-header-key-size", o.headerKey}, {"num-headers", o.headers}} {
		if flag.value < 0 || flag.value > 1<<30 {
			return cli.Usagef("Value for --%s must be a non-negative integer.", flag.name)
		}
	}
	var err error
	if o.props, err = cli.LoadProps(o.config); err != nil {
		return err
	}
	o.props.AddPairs(o.properties)
	warnUnused(stderr, o.props)
	return o.flame.Check()
}

// open says whether records are sent at fixed times.
func (o *options) open() bool { return o.throughput > 0 }

// name is that of the run in results.
func (o *options) name() string {
	how := "one at a time"
	if o.open() {
		how = fmt.Sprintf("%g/s", o.throughput)
	}
	return fmt.Sprintf("e2e %s acks=%s %s", bytesText(o.size), o.acks, how)
}

func bytesText(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return strconv.Itoa(n/1024) + "KiB"
	}
	return strconv.Itoa(n) + "B"
}
