package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const consumerExamples = `  # everything in a topic, then what comes; Ctrl-C ends
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --from-beginning

  # the first 10 records, with key, partition, offset and timestamp
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --from-beginning --max-messages 10 \
      --formatter-property print.key=true --formatter-property print.partition=true \
      --formatter-property print.offset=true --formatter-property print.timestamp=true

  # one partition from an offset; end when nothing came for 5 s
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --partition 0 --offset 1000 --timeout-ms 5000

  # all topics of a pattern; numbers as values
  {{.}} --bootstrap-server 127.0.0.1:9092 --include 'metrics.*' --value-deserializer LongDeserializer`

const formatterPropertyHelp = `Setting KEY=VALUE of the formatter; may be repeated. With the defaults:
print.timestamp=false, print.partition=false, print.offset=false, print.epoch=false,
print.headers=false, print.key=false, print.value=true, key.separator=\t,
line.separator=\n, headers.separator=",", null.literal=null,
key.deserializer=, value.deserializer=, headers.deserializer=`

// Where a consumer starts, as ListOffsets names it.
const (
	fromLatest   = -1
	fromEarliest = -2
)

type consumerOptions struct {
	topic, include, offset, bootstrap, group, isolation string
	partition, maxMessages                              int
	timeoutMs                                           int64
	fromBeginning, skipOnError, systestEvents           bool
	formatter, formatterConfig, config                  string
	keyDeserializer, valueDeserializer, zookeeper       string
	formatterProps, clientProps                         []string
	newConsumer                                         bool
}

// Consumer returns kafka-console-consumer.sh; name is what the user calls it by.
func Consumer(name string) *cobra.Command {
	o := &consumerOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Print records as lines on standard output (kafka-console-consumer.sh)",
		Long:    "This tool helps to read data from Kafka topics and outputs it to standard output.",
		Example: strings.ReplaceAll(consumerExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *consumerOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.topic, "topic", "", "The topic to consume.")
	f.StringVar(&o.include, "include", "", "Regular expression of the topics to consume.")
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to, HOST1:PORT1,HOST2:PORT2.")
	f.BoolVar(&o.fromBeginning, "from-beginning", false, "Start with the earliest record when the group has no position yet, instead of the latest.")
	f.IntVar(&o.partition, "partition", 0, "The partition to consume; from its end unless --offset is given.")
	f.StringVar(&o.offset, "offset", "latest", "The offset to start from: a number, 'earliest' or 'latest'. Needs --partition.")
	f.IntVar(&o.maxMessages, "max-messages", -1, "End after this many records.")
	f.Int64Var(&o.timeoutMs, "timeout-ms", -1, "End when no record came for this long (ms).")
	f.StringVar(&o.group, "group", "", "The consumer group id. Without it: all partitions, nothing is committed.")
	f.StringVar(&o.isolation, "isolation-level", "read_uncommitted", "read_committed leaves out transactions that are open or aborted; read_uncommitted reads everything.")
	f.StringArrayVar(&o.formatterProps, "formatter-property", nil, formatterPropertyHelp)
	f.StringArrayVar(&o.formatterProps, "property", nil, "The old name of --formatter-property.")
	f.StringVar(&o.formatterConfig, "formatter-config", "", "Property file for the formatter; --formatter-property wins over it.")
	f.StringVar(&o.formatter, "formatter", "DefaultMessageFormatter", "DefaultMessageFormatter or NoOpMessageFormatter (counts only).")
	f.StringVar(&o.keyDeserializer, "key-deserializer", "", "How keys are read: String, Integer, Long, Short, Float, Double, Boolean, UUID + Deserializer.")
	f.StringVar(&o.valueDeserializer, "value-deserializer", "", "How values are read.")
	f.BoolVar(&o.skipOnError, "skip-message-on-error", false, "Leave out a record that cannot be deserialized, instead of ending.")
	f.StringArrayVar(&o.clientProps, "command-property", nil, "Setting KEY=VALUE of the consumer (auto.offset.reset=earliest, security.protocol=SSL, ...); may be repeated.")
	f.StringArrayVar(&o.clientProps, "consumer-property", nil, "The old name of --command-property.")
	f.StringVar(&o.config, "command-config", "", "Property file for the consumer; --command-property wins over it.")
	f.StringVar(&o.config, "consumer.config", "", "The old name of --command-config.")
	f.BoolVar(&o.systestEvents, "enable-systest-events", false, "Print lifecycle events of the consumer, for system tests.")
	f.StringVar(&o.include, "whitelist", "", "")
	f.StringVar(&o.zookeeper, "zookeeper", "", "")
	f.BoolVar(&o.newConsumer, "new-consumer", false, "")
	cli.Hide(f, "whitelist", "zookeeper", "new-consumer")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("isolation-level", cobra.FixedCompletions([]string{"read_committed", "read_uncommitted"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("offset", cobra.FixedCompletions([]string{"earliest", "latest"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses command lines that make no sense and returns where to start.
func (o *consumerOptions) check(cmd *cobra.Command) (start int64, err error) {
	given := cmd.Flags().Changed
	switch {
	case given("zookeeper"):
		return 0, cli.Usagef("--zookeeper is not supported by this version: use --bootstrap-server HOST:9092 with the address of a broker")
	case (o.topic == "") == (o.include == ""):
		return 0, cli.Usagef("Exactly one of --include/--topic is required. ")
	case given("partition") && o.topic == "":
		return 0, cli.Usagef("The topic is required when partition is specified.")
	case given("partition") && o.fromBeginning && given("offset"):
		return 0, cli.Usagef("Options from-beginning and offset cannot be specified together.")
	case !given("partition") && given("offset"):
		return 0, cli.Usagef("The partition is required when offset is specified.")
	case o.bootstrap == "":
		return 0, cli.Missing("bootstrap-server")
	}
	switch strings.ToLower(o.offset) {
	case "earliest":
		return fromEarliest, nil
	case "latest":
		if o.fromBeginning {
			return fromEarliest, nil
		}
		return fromLatest, nil
	}
	n, err := strconv.ParseInt(o.offset, 10, 64)
	if err != nil || n < 0 {
		return 0, cli.Usagef("The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.", o.offset)
	}
	return n, nil
}

func (o *consumerOptions) run(cmd *cobra.Command) error {
	start, err := o.check(cmd)
	if err != nil {
		return err
	}
	format, err := o.newFormatter()
	if err != nil {
		return err
	}
	opts, group, err := o.clientOptions(cmd, start)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	c := &consumer{o: o, cmd: cmd, client: client, format: format, group: group, out: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), warned: map[string]bool{}}
	end := c.ready()
	started := end == nil
	if started {
		end = c.loop()
		c.close()
	}
	if started || cmd.Context().Err() != nil {
		cmd.PrintErrf("Processed a total of %d messages\n", c.count)
	}
	client.Close()
	if o.systestEvents {
		fmt.Fprintln(cmd.OutOrStdout(), "shutdown_complete")
	}
	return end
}

func (o *consumerOptions) newFormatter() (formatter, error) {
	p, err := cli.LoadProps(o.formatterConfig)
	if err != nil {
		return nil, err
	}
	if o.keyDeserializer != "" {
		p["key.deserializer"] = o.keyDeserializer
	}
	if o.valueDeserializer != "" {
		p["value.deserializer"] = o.valueDeserializer
	}
	return newFormatter(o.formatter, p.AddPairs(o.formatterProps))
}

// consumer is one run.
type consumer struct {
	o      *consumerOptions
	cmd    *cobra.Command
	client *kgo.Client
	format formatter
	group  string
	out    *bufio.Writer
	count  int
	warned map[string]bool
}

// ready finds out early what would otherwise be a silent wait: no broker, no groups.
func (c *consumer) ready() error {
	ctx := c.cmd.Context()
	err := cli.WaitForCluster(ctx, c.client, c.o.bootstrap, cli.DefaultTimeout)
	served := err != nil || c.group == "" || cli.Serves(ctx, c.client, kmsg.JoinGroup, 0)
	switch {
	case ctx.Err() != nil: // Ctrl-C says nothing about the cluster
		return cli.Exit(cli.Interrupted)
	case err != nil:
		return err
	case !served:
		return fmt.Errorf("the brokers at %s do not serve consumer groups: leave --group out to read without one", c.o.bootstrap)
	}
	return nil
}

// loop prints records until a limit, an error or Ctrl-C.
func (c *consumer) loop() error {
	limit := c.o.maxMessages
	if limit < 0 {
		limit = math.MaxInt
	}
	last := time.Now()
	for c.count < limit {
		fetches, err := c.poll(last, limit-c.count)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // --timeout-ms
		}
		if err != nil {
			return err
		}
		for _, rec := range fetches.Records() {
			if c.count >= limit {
				break
			}
			c.count++
			if err := c.format.write(c.out, rec); err != nil {
				if !c.o.skipOnError {
					c.out.Flush()
					return fmt.Errorf("ERROR Error processing message at %s-%d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
				}
				c.cmd.PrintErrf("ERROR Error processing message, skipping this message: %v\n", err)
			}
			if c.group != "" {
				c.client.MarkCommitRecords(rec)
			}
			last = time.Now()
		}
		if c.out.Flush() != nil {
			c.cmd.PrintErrln("Unable to write to standard out, closing consumer.")
			return nil
		}
	}
	return nil
}

// poll waits for records. Errors that heal are told once; others end the run.
func (c *consumer) poll(last time.Time, atMost int) (kgo.Fetches, error) {
	ctx, cancel := c.cmd.Context(), context.CancelFunc(func() {})
	if c.o.timeoutMs >= 0 {
		ctx, cancel = context.WithDeadline(ctx, last.Add(time.Duration(min(c.o.timeoutMs, math.MaxInt32))*time.Millisecond))
	}
	defer cancel()
	fetches := c.client.PollRecords(ctx, min(atMost, 10_000))
	if c.cmd.Context().Err() != nil {
		return nil, cli.Exit(cli.Interrupted)
	}
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) {
			if fetches.NumRecords() == 0 {
				return nil, context.DeadlineExceeded
			}
			continue
		}
		if fatal(e.Err) {
			return nil, fmt.Errorf("ERROR %s: %s", cli.ExceptionName(e.Err), cli.ErrorText(e.Err))
		}
		if text := fmt.Sprintf("%s-%d: %s", e.Topic, e.Partition, cli.ErrorText(e.Err)); !c.warned[text] {
			c.warned[text] = true
			c.cmd.PrintErrf("WARN: %s\n", text)
		}
	}
	return fetches, nil
}

// close commits what was printed, and leaves the group.
func (c *consumer) close() {
	if c.group == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.cmd.Context()), 10*time.Second)
	defer cancel()
	if err := c.client.CommitMarkedOffsets(ctx); err != nil {
		c.cmd.PrintErrf("WARN: the position of group %s was not committed: %v\n", c.group, err)
	}
	_ = c.client.LeaveGroupContext(ctx) // best effort: the session times out otherwise
}
