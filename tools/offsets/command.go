// Package offsets is kafka-get-offsets.sh (org.apache.kafka.tools.GetOffsetShell): the
// offsets of partitions at a time, printed as topic:partition:offset.
package offsets

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # where each partition of a topic ends
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks

  # where it starts; where the newest timestamp lies
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --time earliest
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic clicks --time max-timestamp

  # the first record at or after a moment (milliseconds since 1970), for some partitions
  {{.}} --bootstrap-server 127.0.0.1:9092 --topic-partitions 'clicks:0-3,orders.*:1' --time 1790000000000`

type options struct {
	bootstrap, commandConfig, topicPartitions, topic, partitions, time string
	excludeInternal                                                    bool
}

// Command returns the tool; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Print the offsets of partitions at a time (kafka-get-offsets.sh)",
		Long:    "An interactive shell for getting topic-partition offsets.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED. The server(s) to connect to in the form HOST1:PORT1,HOST2:PORT2.")
	f.StringVar(&o.bootstrap, "broker-list", "", "")
	f.StringVar(&o.topicPartitions, "topic-partitions", "", "Patterns TOPIC[:PARTITIONS],...; TOPIC a regular expression, PARTITIONS a number, a range FROM-TO (TO not included), FROM- or -TO.")
	f.StringVar(&o.topic, "topic", "", "The topic, a regular expression. Without it: all topics.")
	f.StringVar(&o.partitions, "partitions", "", "Comma separated list of partitions. Without it: all.")
	f.StringVar(&o.time, "time", "latest", "<timestamp in ms> / -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.excludeInternal, "exclude-internal-topics", false, "Leave internal topics out.")
	cli.Hide(f, "broker-list")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.bootstrap == "" {
			return cli.Missing("bootstrap-server")
		}
		if err := o.run(cmd); err != nil {
			if _, usage := err.(*cli.UsageError); usage {
				return err
			}
			if stopped := cli.Stopped(cmd, err); stopped != nil {
				return stopped
			}
			return fmt.Errorf("Error occurred: %s", cli.ErrorText(err))
		}
		return nil
	}
	return cmd
}

func (o *options) run(cmd *cobra.Command) error {
	if o.topicPartitions != "" && (o.topic != "" || o.partitions != "") {
		return fmt.Errorf("--topic-partitions cannot be used with --topic or --partitions")
	}
	timestamp, err := parseTime(o.time)
	if err != nil {
		return err
	}
	wanted, err := o.filter()
	if err != nil {
		return err
	}
	props, err := cli.LoadProps(o.commandConfig)
	if err != nil {
		return err
	}
	client, err := cli.Connect(cmd, o.bootstrap, "GetOffsetShell", props)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := cli.WaitForCluster(cmd.Context(), client, o.bootstrap, cli.DefaultTimeout); err != nil {
		return err
	}
	return o.print(cmd, client, wanted, timestamp)
}

func (o *options) print(cmd *cobra.Command, client *kgo.Client, wanted filter, timestamp int64) error {
	ctx := cmd.Context()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	var matched []cli.Partition
	for name, t := range topics {
		if o.excludeInternal && cli.IsInternal(name) {
			continue
		}
		for _, p := range t.Partitions {
			if wanted(name, p.Partition) {
				matched = append(matched, cli.Partition{Topic: name, Index: p.Partition})
			}
		}
	}
	if len(matched) == 0 {
		return fmt.Errorf("Could not match any topic-partitions with the specified filters")
	}
	slices.SortFunc(matched, cli.ComparePartitions)
	found, err := cli.ListOffsets(ctx, client, matched, timestamp)
	if err != nil {
		return err
	}
	// Kafka sorts by the text "topic-partition", so that t-10 comes before t-2.
	slices.SortFunc(matched, func(a, b cli.Partition) int { return strings.Compare(a.String(), b.String()) })
	for _, p := range matched {
		f, answered := found[p]
		if !answered {
			continue
		}
		if f.Err != nil {
			cmd.PrintErrf("Skip getting offsets for topic-partition %s due to error: %s: %s\n", p, cli.ExceptionName(f.Err), cli.ErrorText(f.Err))
		} else if f.At >= 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%s:%d:%d\n", p.Topic, p.Index, f.At)
		}
	}
	return nil
}

// parseTime reads --time into the timestamp of a ListOffsets request.
func parseTime(word string) (int64, error) {
	for i, name := range []string{"latest", "earliest", "max-timestamp", "earliest-local", "latest-tiered", "earliest-pending-upload"} {
		if word == name {
			return int64(-1 - i), nil
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Malformed time argument %s. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered, or a specified long format timestamp", word)
	}
	return n, nil
}

// filter says whether a partition is asked for.
type filter func(topic string, partition int32) bool

func (o *options) filter() (filter, error) {
	if o.topicPartitions == "" {
		return byTopicAndPartitions(o.topic, o.partitions)
	}
	var rules []filter
	for _, rule := range strings.Split(o.topicPartitions, ",") {
		f, err := parseRule(rule)
		if err != nil {
			return nil, err
		}
		rules = append(rules, f)
	}
	return func(topic string, partition int32) bool {
		return slices.ContainsFunc(rules, func(f filter) bool { return f(topic, partition) })
	}, nil
}

func byTopicAndPartitions(topic, list string) (filter, error) {
	if topic == "" {
		topic = ".*"
	}
	names, err := cli.NewTopicFilter(topic)
	if err != nil {
		return nil, err
	}
	wanted := map[int32]bool{}
	if list != "" {
		for _, word := range strings.Split(list, ",") {
			n, err := strconv.ParseInt(word, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("--partitions expects a comma separated list of numeric partition ids, but received: %s", list)
			}
			wanted[int32(n)] = true
		}
	}
	return func(t string, p int32) bool { return names.Allows(t) && (len(wanted) == 0 || wanted[p]) }, nil
}

// parseRule reads TOPIC[:PARTITION|:FROM-TO|:FROM-|:-TO].
func parseRule(rule string) (filter, error) {
	m := regexp.MustCompile(`^([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?$`).FindStringSubmatch(rule)
	if m == nil {
		return nil, fmt.Errorf("Invalid rule specification: %s", rule)
	}
	topic := m[1]
	if topic == "" {
		topic = ".*"
	}
	names, err := cli.NewTopicFilter(topic)
	if err != nil {
		return nil, err
	}
	from, to := int64(0), int64(math.MaxInt32)
	bounds := []struct {
		word string
		set  func(n int64)
	}{
		{m[2], func(n int64) { from, to = n, n+1 }},
		{m[3], func(n int64) { from = n }},
		{m[4], func(n int64) { to = n }},
	}
	for _, b := range bounds {
		if b.word == "" {
			continue
		}
		n, err := strconv.ParseInt(b.word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("Invalid rule specification: %s", rule)
		}
		b.set(n)
	}
	return func(t string, p int32) bool { return names.Allows(t) && int64(p) >= from && int64(p) < to }, nil
}
