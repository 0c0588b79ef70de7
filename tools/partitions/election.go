package partitions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// requestTime bounds the whole work after the cluster was reached.
const requestTime = 30 * time.Second

const electionExamples = `  # give all partitions back to the first broker of their list
  {{.}} --bootstrap-server 127.0.0.1:9092 --election-type preferred --all-topic-partitions

  # lead a partition again that has lost its in-sync replicas: records may be lost
  {{.}} --bootstrap-server 127.0.0.1:9092 --election-type unclean --topic clicks --partition 0`

type electionOptions struct {
	bootstrap, commandConfig, kind, topic, file string
	partition                                   int32
	all                                         bool
	given                                       func(string) bool
}

// LeaderElection returns kafka-leader-election.sh; name is what the user calls it by.
func LeaderElection(name string) *cobra.Command {
	o := &electionOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Elect leaders of partitions anew (kafka-leader-election.sh)",
		Long:    "This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported are preferred replicas and unclean replicas.",
		Example: strings.ReplaceAll(electionExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.StringVar(&o.kind, "election-type", "", "REQUIRED: preferred (only where another than the preferred replica leads) or unclean (only where nobody leads).")
	f.StringVar(&o.topic, "topic", "", "Elect for one partition of this topic; needs --partition.")
	f.Int32Var(&o.partition, "partition", 0, "The partition; with --topic.")
	f.BoolVar(&o.all, "all-topic-partitions", false, "Elect for all partitions that it is possible for.")
	f.StringVar(&o.file, "path-to-json-file", "", "File of the form {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1}, {\"topic\": \"bar\", \"partition\": 2}]}.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.StringVar(&o.commandConfig, "admin.config", "", "The old name of --command-config.")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("election-type", cli.CompleteWords("preferred", "unclean"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.given = cmd.Flags().Changed
		if err := o.check(); err != nil {
			return err
		}
		return cli.FailWith(cmd, o.run(cmd))
	}
	return cmd
}

func (o *electionOptions) check() error {
	var missing []string
	for _, required := range []string{"bootstrap-server", "election-type"} {
		if !o.given(required) {
			missing = append(missing, required)
		}
	}
	n := 0
	for _, scope := range []string{"topic", "all-topic-partitions", "path-to-json-file"} {
		if o.given(scope) {
			n++
		}
	}
	switch {
	case len(missing) > 0:
		return cli.Usagef("Missing required option(s): %s", strings.Join(missing, ", "))
	case n != 1:
		return cli.Usagef("One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file")
	case o.given("topic") && !o.given("partition"):
		return cli.Usagef("Missing required option(s): partition")
	case !o.given("topic") && o.given("partition"):
		return cli.Usagef("Option partition is only allowed if topic is used")
	}
	o.kind = strings.ToUpper(o.kind)
	if o.kind != "PREFERRED" && o.kind != "UNCLEAN" {
		return cli.Usagef("Cannot parse argument '%s' of option election-type: it must be preferred or unclean", strings.ToLower(o.kind))
	}
	return nil
}

// scope is nil for all partitions.
func (o *electionOptions) scope() ([]cli.Partition, error) {
	if o.given("topic") {
		return []cli.Partition{{Topic: o.topic, Index: o.partition}}, nil
	}
	if o.all {
		return nil, nil
	}
	list, err := readPartitions(o.file)
	if err != nil {
		return nil, err
	}
	var out, twice []cli.Partition
	for _, p := range list {
		at := cli.Partition{Topic: *p.Topic, Index: *p.Partition}
		if slices.Contains(out, at) {
			twice = append(twice, at)
		}
		out = append(out, at)
	}
	if len(twice) > 0 {
		return nil, fmt.Errorf("Replica election data contains duplicate partitions: [%s]", cli.JoinPartitions(twice, ", "))
	}
	if len(out) == 0 {
		return nil, errors.New("Replica election data is empty")
	}
	return out, nil
}

func (o *electionOptions) run(cmd *cobra.Command) error {
	scope, err := o.scope()
	if err != nil {
		return err
	}
	client, err := cli.Dial(cmd, o.bootstrap, o.commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	how := kadm.ElectPreferredReplica
	if o.kind == "UNCLEAN" {
		how = kadm.ElectLiveReplica
	}
	// Before Kafka 2.4 an election is always one of preferred replicas.
	if o.kind == "UNCLEAN" && !cli.Serves(ctx, client, kmsg.ElectLeaders, 1) {
		return errors.New("the cluster does not know unclean elections (ElectLeaders 1, Kafka 2.4)")
	}
	var set kadm.TopicsSet
	for _, p := range scope {
		set.Add(p.Topic, p.Index)
	}
	results, err := kadm.NewClient(client).ElectLeaders(ctx, how, set)
	if err != nil {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			fmt.Fprintln(cmd.OutOrStdout(), "Timeout waiting for election results")
		case errors.Is(err, kerr.ClusterAuthorizationFailed):
			fmt.Fprintln(cmd.OutOrStdout(), "Not authorized to perform leader election")
		}
		return err
	}
	return o.tell(cmd, results)
}

func (o *electionOptions) tell(cmd *cobra.Command, results kadm.ElectLeadersResults) error {
	var done, needless, failed []cli.Partition
	why := map[cli.Partition]string{}
	for topic, partitions := range results {
		for index, r := range partitions {
			p := cli.Partition{Topic: topic, Index: index}
			switch {
			case r.Err == nil:
				done = append(done, p)
			case errors.Is(r.Err, kerr.ElectionNotNeeded):
				needless = append(needless, p)
			default:
				failed = append(failed, p)
				why[p] = cli.ErrorLine(r.Err)
				if r.ErrMessage != "" {
					why[p] = cli.ExceptionName(r.Err) + ": " + r.ErrMessage
				}
			}
		}
	}
	for _, list := range [][]cli.Partition{done, needless, failed} {
		slices.SortFunc(list, cli.ComparePartitions)
	}
	out := cmd.OutOrStdout()
	if len(done) > 0 {
		fmt.Fprintf(out, "Successfully completed leader election (%s) for partitions %s\n", o.kind, cli.JoinPartitions(done, ", "))
	}
	if len(needless) > 0 {
		fmt.Fprintf(out, "Valid replica already elected for partitions %s\n", cli.JoinPartitions(needless, ", "))
	}
	for _, p := range failed {
		fmt.Fprintf(out, "Error completing leader election (%s) for partition: %s: %s\n", o.kind, p, why[p])
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d replica(s) could not be elected", len(failed))
	}
	return nil
}
