// Package topics is kafka-topics.sh: create, list, describe, alter and delete topics of
// any Kafka cluster, with the flags and the printed lines of Apache Kafka's tool
// (org.apache.kafka.tools.TopicCommand). People parse those lines: they do not change.
package topics

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// class is what Kafka's log lines of this tool end with.
const class = "org.apache.kafka.tools.TopicCommand"

// options are the flags of one command line.
type options struct {
	bootstrap, zookeeper, commandConfig    string
	create, list, describe, alter, delete  bool
	topic, topicID                         string
	partitions, replicationFactor          int
	hasPartitions, hasFactor, hasTopic     bool
	replicaAssignment                      string
	config, deleteConfig                   []string
	underReplicated, unavailable           bool
	underMinISR, atMinISR, overridesOnly   bool
	ifExists, ifNotExists, excludeInternal bool
	partitionSizeLimit                     int
	forced, disableRackAware               bool
}

const examples = `  # create a topic with 3 partitions and its own retention of a day
  {{.}} --bootstrap-server 127.0.0.1:9092 --create --topic clicks --partitions 3 --config retention.ms=86400000

  # what is there, and how it lies
  {{.}} --bootstrap-server 127.0.0.1:9092 --list
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --topic clicks

  # as with Kafka 1.0: through the nodes in ZooKeeper, here those of the quorum inside a broker
  {{.}} --zookeeper 127.0.0.1:2181 --list

  # more partitions; delete
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --topic clicks --partitions 6
  {{.}} --bootstrap-server 127.0.0.1:9092 --delete --topic clicks`

// Command returns the tool; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Create, list, describe, alter and delete topics (kafka-topics.sh)",
		Long:    "This tool helps to create, delete, describe, or change a topic.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(cmd); err != nil {
			return err
		}
		if o.zookeeper != "" {
			return o.runZooKeeper(cmd)
		}
		return o.run(cmd)
	}
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The Kafka server to connect to (HOST:PORT,...).")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.create, "create", false, "Create a new topic.")
	f.BoolVar(&o.list, "list", false, "List all available topics.")
	f.BoolVar(&o.describe, "describe", false, "List details for the given topics.")
	f.BoolVar(&o.alter, "alter", false, "Alter the number of partitions.")
	f.BoolVar(&o.delete, "delete", false, "Delete a topic.")
	f.StringVar(&o.topic, "topic", "", "The topic. A regular expression except with --create: escape a dot as \"test\\.topic\".")
	f.StringVar(&o.topicID, "topic-id", "", "The topic-id to describe.")
	f.IntVar(&o.partitions, "partitions", 0, "The number of partitions for --create (default: the cluster's) or --alter. More partitions move keys.")
	f.IntVar(&o.replicationFactor, "replication-factor", 0, "The replication factor of each partition for --create (default: the cluster's).")
	f.StringVar(&o.replicaAssignment, "replica-assignment", "", "Brokers of each partition: p0-replica1:p0-replica2,p1-replica1:p1-replica2,...")
	f.StringArrayVar(&o.config, "config", nil, "A topic setting name=value for --create; may be repeated.")
	f.StringArrayVar(&o.deleteConfig, "delete-config", nil, "With --zookeeper and --alter: a topic setting to remove; may be repeated. Else not supported any more, as in Kafka 4: use kafka-configs.")
	f.BoolVar(&o.underReplicated, "under-replicated-partitions", false, "Describe only partitions that miss an in-sync replica.")
	f.BoolVar(&o.unavailable, "unavailable-partitions", false, "Describe only partitions whose leader is not available.")
	f.BoolVar(&o.underMinISR, "under-min-isr-partitions", false, "Describe only partitions with fewer in-sync replicas than the configured minimum.")
	f.BoolVar(&o.atMinISR, "at-min-isr-partitions", false, "Describe only partitions with exactly the configured minimum of in-sync replicas.")
	f.BoolVar(&o.overridesOnly, "topics-with-overrides", false, "Describe only topics that have settings of their own.")
	f.BoolVar(&o.ifExists, "if-exists", false, "Alter, delete or describe only if the topic exists.")
	f.BoolVar(&o.ifNotExists, "if-not-exists", false, "Create only if the topic does not exist yet.")
	f.BoolVar(&o.excludeInternal, "exclude-internal", false, "Leave internal topics out when listing or describing.")
	f.IntVar(&o.partitionSizeLimit, "partition-size-limit-per-response", 2000, "Partitions per DescribeTopicPartitions response.")
	f.StringVar(&o.zookeeper, "zookeeper", "", "Instead of --bootstrap-server: the ensemble that keeps the cluster's state (HOST:PORT,.../CHROOT). Works as Kafka 1.0's tool did: it writes the nodes, and the controller follows.")
	f.BoolVar(&o.forced, "force", false, "")
	f.BoolVar(&o.disableRackAware, "disable-rack-aware", false, "")
	cli.Hide(f, "force", "disable-rack-aware")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
}

// check refuses command lines that make no sense, in the order of Kafka's tool.
func (o *options) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	o.hasPartitions, o.hasFactor, o.hasTopic = f.Changed("partitions"), f.Changed("replication-factor"), f.Changed("topic")
	actions := 0
	for _, on := range []bool{o.create, o.list, o.alter, o.describe, o.delete} {
		if on {
			actions++
		}
	}
	if actions != 1 {
		return cli.Usagef("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
	}
	if f.Changed("zookeeper") {
		return o.checkZooKeeper(f.Changed)
	}
	if len(o.deleteConfig) > 0 {
		cmd.PrintErrln("delete-config option is no longer supported and deprecated since version 4.0. The config will be fully removed in future releases.")
	}
	if o.bootstrap == "" {
		return cli.Usagef("--bootstrap-server must be specified")
	}
	if o.describe && o.ifExists && !o.hasTopic && o.topicID == "" {
		return cli.Usagef("--topic or --topic-id is required to describe a topic")
	}
	if !o.list && !o.describe && !o.hasTopic {
		return cli.Missing("topic")
	}
	if o.alter && len(o.config) > 0 {
		return cli.Usagef("Option combination \"[bootstrap-server],[config]\" can't be used with option \"[alter]\" (To alter topic configurations, the kafka-configs tool can be used.)")
	}
	if o.alter && !o.hasPartitions {
		return cli.Missing("partitions")
	}
	return o.checkPairs(f.Changed)
}

// checkPairs refuses options that belong to another action.
func (o *options) checkPairs(given func(string) bool) error {
	action := map[bool]string{o.create: "create", o.list: "list", o.describe: "describe", o.alter: "alter", o.delete: "delete"}[true]
	allowed := []struct{ option, actions string }{
		{"config", "create alter"},
		{"partitions", "create alter"},
		{"replication-factor", "create"},
		{"replica-assignment", "create alter"},
		{"under-replicated-partitions", "describe"},
		{"under-min-isr-partitions", "describe"},
		{"at-min-isr-partitions", "describe"},
		{"unavailable-partitions", "describe"},
		{"topics-with-overrides", "describe"},
		{"if-exists", "alter delete describe"},
		{"if-not-exists", "create"},
		{"exclude-internal", "list describe"},
	}
	for _, a := range allowed {
		if given(a.option) && !strings.Contains(a.actions, action) {
			return cli.Usagef("Option \"[%s]\" can't be used with option \"[%s]\"", a.option, action)
		}
	}
	if o.create && given("replica-assignment") && (o.hasPartitions || o.hasFactor) {
		return cli.Usagef("Option \"[replica-assignment]\" can't be used with option \"[%s]\"", map[bool]string{true: "partitions", false: "replication-factor"}[o.hasPartitions])
	}
	reports := 0
	for _, on := range []bool{o.underReplicated, o.underMinISR, o.atMinISR, o.unavailable} {
		if on {
			reports++
		}
	}
	if reports > 1 || (reports == 1 && o.overridesOnly) {
		return cli.Usagef("Only one of [under-replicated-partitions], [under-min-isr-partitions], [at-min-isr-partitions], [unavailable-partitions] and [topics-with-overrides] may be used")
	}
	return nil
}

func (o *options) run(cmd *cobra.Command) error {
	props, err := cli.LoadProps(o.commandConfig)
	if err != nil {
		return err
	}
	client, err := cli.Connect(cmd, o.bootstrap, "adminclient-1", props)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &runner{o: o, client: client, admin: kadm.NewClient(client), out: cmd.OutOrStdout()}
	err = cli.WaitForCluster(cmd.Context(), client, o.bootstrap, cli.DefaultTimeout)
	if err == nil {
		err = r.act(cmd.Context())
	}
	if stopped := cli.Stopped(cmd, err); stopped != nil {
		return stopped
	}
	if err != nil {
		// Kafka's tool prints this line on stdout, and logs the exception to stderr.
		fmt.Fprintf(cmd.OutOrStdout(), "Error while executing topic command : %s\n", cli.ErrorText(err))
		cli.LogError(cmd, class, err)
		return cli.Exit(1)
	}
	return nil
}

// runner does the one action that the options ask for.
type runner struct {
	o      *options
	client *kgo.Client
	admin  *kadm.Client
	out    io.Writer
}
