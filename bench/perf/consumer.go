package perf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

const consumerExamples = `  # read a million records from the start of a topic
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --messages 1000000

  # a line every second, as a member of a group
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --messages 1000000 --group readers \
      --show-detailed-stats --reporting-interval 1000

  # what comes in from now on; end when nothing came for 30 s
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --messages 1000000 --from-latest --timeout 30000

  # what the broker can give: bare fetches that read the topic again and again for 10 s
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic load --duration 10s --client raw --consumers 4 --json run.json --html run.html`

const consumerLong = `This tool is used to verify the consumer performance. It prints what kafka-consumer-perf-test prints: one line of the whole run,
or with --show-detailed-stats a line every --reporting-interval.

Without --group it reads all partitions directly: the same records, no rebalance (Kafka's tool makes up a group), and it
works where a broker serves no groups. --group any makes up a name as Kafka's tool does.`

type consumerOptions struct {
	topic, bootstrap, group, config string
	records                         int64
	fetchSize, socketBuffer         int
	fromLatest, detailed            bool
	printMetrics, hideHeader        bool
	timeoutMs, reportEvery          int64
	dateFormat                      string
	commandProps                    []string
	threads, fetchThreads           int
	newConsumer                     bool
	client, congestion              string
	consumers                       int
	duration, warmup                time.Duration
	common                          commonOptions
}

// anyGroup is the word for a group whose name is made up.
const anyGroup = "any"

// Consumer returns kafka-consumer-perf-test.sh; name is what the user calls it by.
func Consumer(name string) *cobra.Command {
	o := &consumerOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Consume and measure it (kafka-consumer-perf-test.sh)",
		Long:    consumerLong,
		Example: strings.ReplaceAll(consumerExamples, "{{.}}", called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd, strings.HasPrefix(name, "kafka-"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *consumerOptions) register(cmd *cobra.Command, script bool) {
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to, HOST1:PORT1,HOST2:PORT2.")
	f.StringVar(&o.topic, "topic", "", "REQUIRED: The topic to consume from.")
	f.Int64Var(&o.records, "messages", 0, "The number of messages to consume. REQUIRED without --duration.")
	f.StringVar(&o.group, "group", "", "The group id to consume on. Without it: all partitions, read directly. 'any' makes up a name.")
	f.IntVar(&o.fetchSize, "fetch-size", 1<<20, "The amount of data (bytes) to fetch from a partition in a single request.")
	f.BoolVar(&o.fromLatest, "from-latest", false, "Start with the latest message instead of the earliest where there is no committed position.")
	f.IntVar(&o.socketBuffer, "socket-buffer-size", 2<<20, "Accepted; the system sizes socket buffers.")
	f.StringVar(&o.config, "consumer.config", "", "Property file with consumer settings.")
	f.BoolVar(&o.printMetrics, "print-metrics", false, "Print the client's metrics at the end.")
	f.BoolVar(&o.detailed, "show-detailed-stats", false, "Print a line for each reporting interval instead of one for the whole run.")
	f.Int64Var(&o.timeoutMs, "timeout", 10_000, "The maximum allowed time in milliseconds between returned records.")
	cli.OptionalValue(f, "timeout", "10000")
	f.Int64Var(&o.reportEvery, "reporting-interval", 5000, "Milliseconds between the lines of --show-detailed-stats.")
	f.StringVar(&o.dateFormat, "date-format", "yyyy-MM-dd HH:mm:ss:SSS", "Form of the times, in the letters of Java's SimpleDateFormat.")
	f.BoolVar(&o.hideHeader, "hide-header", false, "Leave out the line that names the columns.")
	f.Int64Var(&o.records, "num-records", 0, "The new name of --messages.")
	f.StringArrayVar(&o.commandProps, "command-property", nil, "One consumer setting KEY=VALUE (max.poll.records=2000, fetch.min.bytes=...); may be repeated.")
	f.StringVar(&o.config, "command-config", "", "The new name of --consumer.config.")
	f.DurationVar(&o.duration, "duration", 0, "Consume for this long after the warm-up (30s, 2m), instead of or at most --messages.")
	f.DurationVar(&o.warmup, "warmup", 0, "Consume for this long before details and files count.")
	f.IntVar(&o.consumers, "consumers", 1, "Consumers side by side, each with a client of its own; the partitions are shared out.")
	f.StringVar(&o.client, "client", clientFranz, "franz-go (an ordinary client) or raw (bare fetches whose records are not looked at; begins again at the end of the log).")
	f.StringVar(&o.congestion, "congestion", "", "With --client raw: TCP congestion control of the generator's side (reno, cubic, bbr).")
	// Words of older tools.
	f.StringVar(&o.bootstrap, "broker-list", "", "")
	f.IntVar(&o.threads, "threads", 10, "")
	f.IntVar(&o.fetchThreads, "num-fetch-threads", 1, "")
	f.BoolVar(&o.newConsumer, "new-consumer", false, "")
	cli.Hide(f, "broker-list", "threads", "num-fetch-threads", "new-consumer")
	o.common.register(cmd, script)
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	words := func(flag string, of ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
	}
	words("client", clientFranz, clientRaw)
	words("congestion", "reno", "cubic", "bbr")
	words("group", anyGroup)
	words("date-format", "yyyy-MM-dd HH:mm:ss:SSS", "HH:mm:ss")
	_ = cmd.RegisterFlagCompletionFunc("command-property", cobra.FixedCompletions(
		[]string{"max.poll.records=", "fetch.min.bytes=", "fetch.max.bytes=", "fetch.max.wait.ms=", "isolation.level=read_committed"},
		cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
}

func (o *consumerOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case o.topic == "":
		return cli.Missing("topic")
	case o.records == 0 && o.duration == 0:
		return cli.Missing("messages")
	case o.bootstrap == "":
		return cli.Missing("bootstrap-server")
	case o.records < 0:
		return cli.Usagef("--messages %d: from 1", o.records)
	case o.reportEvery <= 0:
		return cli.Usagef("Reporting interval must be greater than 0.")
	case o.timeoutMs < 0:
		return cli.Usagef("--timeout %d: from 0 ms", o.timeoutMs)
	case o.duration < 0 || o.warmup < 0:
		return cli.Usagef("--duration and --warmup: from 0")
	case o.fetchSize < 1:
		return cli.Usagef("--fetch-size %d: from 1 byte", o.fetchSize)
	case o.consumers < 1 || o.consumers > 10_000:
		return cli.Usagef("--consumers %d: from 1 to 10000", o.consumers)
	case o.client != clientFranz && o.client != clientRaw:
		return cli.Usagef("--client %s: %s or %s", o.client, clientFranz, clientRaw)
	case o.client == clientRaw && o.group != "":
		return cli.Usagef("--client raw joins no groups: leave --group out, or use --client %s", clientFranz)
	case o.client == clientRaw && o.printMetrics:
		return cli.Usagef("--client raw has no --print-metrics: use --client %s", clientFranz)
	case given("congestion") && o.client != clientRaw:
		return cli.Usagef("--congestion needs --client raw")
	}
	if _, ok := formatDate(o.dateFormat, time.Now()); !ok {
		return cli.Usagef("--date-format %q: not a pattern of SimpleDateFormat that is known here (y M d D E a H h K k m s S z Z X, text in single quotes)", o.dateFormat)
	}
	return o.common.check()
}

// readSpec is what the flags of the consumer come to.
type readSpec struct {
	topic      string
	group      string
	records    int64
	duration   time.Duration
	warmup     time.Duration
	timeoutMs  int64
	fromLatest bool
	consumers  int
	client     string
	congestion string
	settings   consumerSettings
}

// spec reads the settings. What has a flag is set by it, as in Kafka's tool: the file
// cannot change the group, the fetch size or where to start.
func (o *consumerOptions) spec(cmd *cobra.Command) (*readSpec, error) {
	if err := o.check(cmd); err != nil {
		return nil, err
	}
	props, err := cli.LoadProps(o.config)
	if err != nil {
		return nil, err
	}
	if err := pairs(props, o.commandProps); err != nil {
		return nil, err
	}
	props["bootstrap.servers"] = o.bootstrap
	props["max.partition.fetch.bytes"] = strconv.Itoa(o.fetchSize)
	delete(props, "auto.offset.reset")
	settings, err := readConsumerSettings(props)
	if err != nil {
		return nil, err
	}
	warnUnused(cmd.ErrOrStderr(), props, consumerProps)
	group := o.group
	if group == anyGroup {
		group = fmt.Sprintf("perf-consumer-%d", rand.IntN(100_000))
	}
	return &readSpec{
		topic: o.topic, group: group, records: o.records, duration: o.duration, warmup: o.warmup, timeoutMs: o.timeoutMs,
		fromLatest: o.fromLatest, consumers: o.consumers, client: o.client, congestion: o.congestion, settings: settings,
	}, nil
}

func (o *consumerOptions) run(cmd *cobra.Command) error {
	spec, err := o.spec(cmd)
	if err != nil {
		return err
	}
	session := o.common.open(cmd, o.bootstrap, o.duration)
	defer session.close()
	session.closedLoop = "of a fetch request"
	if o.warmup > 0 {
		session.phase("warm-up")
	}
	stats := &readStats{out: session.lines(), format: o.dateFormat, detailed: o.detailed, every: o.reportEvery}
	if !o.hideHeader {
		stats.header()
	}
	metrics := newClientMetrics("consumer", spec.settings.clientID)
	r := newReadRun(spec, stats, session)
	r.onset = func() {
		metrics.beginSteady()
		session.steady()
	}
	run, began, end := o.load(cmd, r, metrics)
	if !began {
		return canceled(end)
	}
	run.Name = o.name()
	run.Scenario = map[string]string{
		"topic": o.topic, "consumers": strconv.Itoa(o.consumers), "fetch size": strconv.Itoa(o.fetchSize), "group": spec.group,
	}
	return canceled(session.finish(run, end))
}

// load reads and prints Kafka's lines; began is false when it did not come to that.
func (o *consumerOptions) load(cmd *cobra.Command, r *readRun, metrics *clientMetrics) (run result.Run, began bool, end error) {
	spec, out := r.spec, r.stats.out
	if spec.client == clientRaw {
		run, end = readRaw(cmd.Context(), r, cmd.ErrOrStderr())
		if !r.began() {
			return run, false, end
		}
		var idle *idleError
		if errors.As(end, &idle) {
			end = nil
			fmt.Fprintf(out, tooFew, o.timeoutMs)
		}
		r.stats.printTotal(r.endMs)
		return run, true, end
	}
	end = readFranz(cmd.Context(), r, cmd.ErrOrStderr(), metrics)
	if !r.began() {
		return run, false, end
	}
	if spec.records > 0 && r.stats.records < spec.records && end == nil && !r.timeIsUp() {
		fmt.Fprintf(out, tooFew, o.timeoutMs)
	}
	r.stats.printTotal(r.endMs)
	if o.printMetrics {
		metrics.print(out)
	}
	run = r.result(o.bootstrap)
	metrics.fill(&run)
	return run, true, end
}

// tooFew is what Kafka's tool says when records stayed away.
const tooFew = "WARNING: Exiting before consuming the expected number of messages: timeout (%d ms) exceeded. " +
	"You can use the --timeout option to increase the timeout.\n"

func (o *consumerOptions) name() string {
	if o.common.name != "" {
		return o.common.name
	}
	return "consume " + o.topic
}
