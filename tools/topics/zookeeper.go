package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/kafkazk"
)

// This file is the tool with --zookeeper: the checks and the lines of Apache Kafka 1.0's
// (kafka.admin.TopicCommand), which writes the nodes itself. They differ from today's.

// zkClass is what Kafka's log lines of that tool end with.
const zkClass = "kafka.admin.TopicCommand$"

// zkRunner does the one action that the options ask for.
type zkRunner struct {
	*runner
	zk *kafkazk.Admin
}

// checkZooKeeper refuses what the tool of 1.0 does not have.
func (o *options) checkZooKeeper(given func(string) bool) error {
	for _, newer := range []string{"bootstrap-server", "command-config", "topic-id", "under-min-isr-partitions", "at-min-isr-partitions", "exclude-internal", "partition-size-limit-per-response"} {
		if given(newer) {
			return cli.Usagef("Option \"[%s]\" can't be used with option \"[zookeeper]\"", newer)
		}
	}
	if o.zookeeper == "" {
		return cli.Missing("zookeeper")
	}
	if !o.list && !o.describe && !o.hasTopic {
		return cli.Missing("topic")
	}
	if o.create && o.replicaAssignment == "" {
		for name, there := range map[string]bool{"partitions": o.hasPartitions, "replication-factor": o.hasFactor} {
			if !there {
				return cli.Missing(name)
			}
		}
	}
	action := map[bool]string{o.create: "create", o.list: "list", o.describe: "describe", o.alter: "alter", o.delete: "delete"}[true]
	for _, a := range []struct{ option, actions string }{
		{"config", "create alter"}, {"delete-config", "alter"}, {"partitions", "create alter"}, {"replication-factor", "create"}, {"replica-assignment", "create alter"},
		{"under-replicated-partitions", "describe"}, {"unavailable-partitions", "describe"}, {"topics-with-overrides", "describe"},
		{"if-exists", "alter delete"}, {"if-not-exists", "create"},
	} {
		if given(a.option) && !strings.Contains(a.actions, action) {
			return cli.Usagef("Option \"[%s]\" can't be used with option \"[%s]\"", a.option, action)
		}
	}
	return nil
}

func (o *options) runZooKeeper(cmd *cobra.Command) error {
	zk, err := kafkazk.Dial(cmd.Context(), o.zookeeper)
	if err == nil {
		defer zk.Close()
		r := &zkRunner{runner: &runner{o: o, out: cmd.OutOrStdout()}, zk: zk}
		err = r.act(cmd.Context())
	}
	if stopped := cli.Stopped(cmd, err); stopped != nil {
		return stopped
	}
	if err != nil {
		fmt.Fprintf(cmd.OutOrStdout(), "Error while executing topic command : %s\n", cli.ErrorText(err))
		cli.LogError(cmd, zkClass, err)
		return cli.Exit(1)
	}
	return nil
}

func (r *zkRunner) act(ctx context.Context) error {
	switch {
	case r.o.create:
		return r.create(ctx)
	case r.o.alter:
		return r.alter(ctx)
	case r.o.list:
		return r.list(ctx)
	case r.o.describe:
		return r.describe(ctx)
	}
	return r.delete(ctx)
}

// matching lists the topics that --topic selects, sorted; all of them without it.
func (r *zkRunner) matching(ctx context.Context) ([]string, error) {
	names, err := r.zk.Topics(ctx)
	if err != nil || !r.o.hasTopic {
		return names, err
	}
	filter, err := cli.NewTopicFilter(r.o.topic)
	if err != nil {
		return nil, err
	}
	return filter.Select(names, false), nil
}

// existing is matching, with an error when nothing matches.
func (r *zkRunner) existing(ctx context.Context) ([]string, error) {
	names, err := r.matching(ctx)
	if err == nil && len(names) == 0 && !r.o.ifExists {
		err = fmt.Errorf("Topic %s does not exist on ZK path %s", r.o.topic, r.o.zookeeper)
	}
	return names, err
}

func (r *zkRunner) create(ctx context.Context) error {
	o := r.o
	settings, err := parseConfigs(o.config)
	if err != nil {
		return err
	}
	if strings.ContainsAny(o.topic, "._") {
		fmt.Fprintln(r.out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.")
	}
	assignment, err := parseAssignment(o.replicaAssignment)
	if err == nil && o.replicaAssignment == "" {
		assignment, err = r.assign(ctx)
	}
	if err != nil {
		return err
	}
	config := map[string]string{}
	for _, kv := range settings {
		config[kv[0]] = kv[1]
	}
	err = r.zk.CreateTopic(ctx, o.topic, assignment, config)
	switch {
	case err == nil:
		fmt.Fprintf(r.out, "Created topic \"%s\".\n", o.topic)
	case kafkazk.IsTopicExists(err) && o.ifNotExists:
		return nil
	}
	return err
}

func (r *zkRunner) assign(ctx context.Context) ([][]int32, error) {
	brokers, err := r.zk.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	if r.o.disableRackAware {
		for i := range brokers {
			brokers[i].Rack = ""
		}
	}
	if err := kafkazk.CheckRacks(brokers); err != nil {
		return nil, err
	}
	return kafkazk.Assign(brokers, r.o.partitions, r.o.replicationFactor, -1, 0)
}

func (r *zkRunner) list(ctx context.Context) error {
	names, err := r.matching(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		marked, err := r.zk.Marked(ctx, name)
		if err != nil {
			return err
		}
		if marked {
			name += " - marked for deletion"
		}
		fmt.Fprintln(r.out, name)
	}
	return nil
}

func (r *zkRunner) alter(ctx context.Context) error {
	names, err := r.existing(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if len(r.o.config) > 0 || len(r.o.deleteConfig) > 0 {
			if err := r.alterConfig(ctx, name); err != nil {
				return err
			}
		}
		if r.o.hasPartitions {
			if err := r.addPartitions(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *zkRunner) alterConfig(ctx context.Context, topic string) error {
	fmt.Fprintln(r.out, "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future releases.")
	fmt.Fprintln(r.out, "         Going forward, please use kafka-configs.sh for this functionality")
	added, err := parseConfigs(r.o.config)
	if err != nil {
		return err
	}
	config, err := r.zk.TopicConfig(ctx, topic)
	if err != nil {
		return err
	}
	for _, kv := range added {
		config[kv[0]] = kv[1]
	}
	for _, name := range r.o.deleteConfig {
		delete(config, strings.TrimSpace(name))
	}
	if err := r.zk.ChangeTopicConfig(ctx, topic, config); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "Updated config for topic \"%s\".\n", topic)
	return nil
}

func (r *zkRunner) addPartitions(ctx context.Context, topic string) error {
	if topic == "__consumer_offsets" {
		return errors.New("The number of partitions for the offsets topic cannot be changed.")
	}
	fmt.Fprintln(r.out, "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected")
	existing, there, err := r.zk.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	if !there || len(existing) == 0 {
		return fmt.Errorf("The topic %s does not exist", topic)
	}
	assignment, err := parseAssignment(r.o.replicaAssignment)
	if err != nil {
		return err
	}
	if len(assignment) > 0 { // of all partitions, those that are there included
		assignment = assignment[min(len(existing), len(assignment)):]
	}
	if err := r.zk.AddPartitions(ctx, topic, existing, r.o.partitions, assignment); err != nil {
		return err
	}
	fmt.Fprintln(r.out, "Adding partitions succeeded!")
	return nil
}

func (r *zkRunner) delete(ctx context.Context) error {
	names, err := r.existing(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if cli.IsInternal(name) {
			return fmt.Errorf("Topic %s is a kafka internal topic and is not allowed to be marked for deletion.", name)
		}
		made, err := r.zk.MarkForDeletion(ctx, name)
		if err != nil {
			return fmt.Errorf("Error while deleting topic %s: %w", name, err)
		}
		if !made {
			fmt.Fprintf(r.out, "Topic %s is already marked for deletion.\n", name)
			continue
		}
		fmt.Fprintf(r.out, "Topic %s is marked for deletion.\n", name)
		fmt.Fprintln(r.out, "Note: This will have no impact if delete.topic.enable is not set to true.")
	}
	return nil
}

func (r *zkRunner) describe(ctx context.Context) error {
	names, err := r.matching(ctx)
	if err != nil {
		return err
	}
	brokers, err := r.zk.Brokers(ctx)
	if err != nil {
		return err
	}
	live := map[int32]bool{}
	for _, b := range brokers {
		live[b.ID] = true
	}
	for _, name := range names {
		if err := r.describeTopic(ctx, name, live); err != nil {
			return err
		}
	}
	return nil
}

func (r *zkRunner) describeTopic(ctx context.Context, topic string, live map[int32]bool) error {
	o := r.o
	partitions, there, err := r.zk.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	if !there {
		fmt.Fprintf(r.out, "Topic %s doesn't exist!\n", topic)
		return nil
	}
	if !o.unavailable && !o.underReplicated {
		config, err := r.zk.TopicConfig(ctx, topic)
		if err != nil {
			return err
		}
		if (!o.overridesOnly || len(config) > 0) && len(partitions) > 0 {
			var words []string
			for _, key := range slices.Sorted(maps.Keys(config)) {
				words = append(words, key+"="+config[key])
			}
			fmt.Fprintf(r.out, "Topic:%s\tPartitionCount:%d\tReplicationFactor:%d\tConfigs:%s\n", topic, len(partitions), len(partitions[0].Replicas), strings.Join(words, ","))
		}
	}
	if o.overridesOnly {
		return nil
	}
	for i := range partitions {
		p := &partitions[i]
		if err := r.zk.ReadState(ctx, topic, p); err != nil {
			return err
		}
		whole := !o.underReplicated && !o.unavailable
		if whole || o.underReplicated && len(p.ISR) < len(p.Replicas) || o.unavailable && (p.Leader == nil || !live[*p.Leader]) {
			leader := "none"
			if p.Leader != nil {
				leader = strconv.Itoa(int(*p.Leader))
			}
			fmt.Fprintf(r.out, "\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s\n", topic, p.ID, leader, join(p.Replicas, ","), join(p.ISR, ","))
		}
	}
	return nil
}
