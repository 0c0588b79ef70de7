package topics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// requestTimeoutMs is what the controller may take for an administrative request.
const requestTimeoutMs = 30_000

func (r *runner) act(ctx context.Context) error {
	switch {
	case r.o.create:
		return r.create(ctx)
	case r.o.alter:
		return r.alter(ctx)
	case r.o.list:
		return r.list(ctx)
	case r.o.describe:
		return r.describe(ctx)
	default:
		return r.delete(ctx)
	}
}

func (r *runner) create(ctx context.Context) error {
	o := r.o
	configs, err := parseConfigs(o.config)
	if err != nil {
		return err
	}
	if strings.ContainsAny(o.topic, "._") {
		fmt.Fprintln(r.out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To avoid issues it is best to use either, but not both.")
	}
	if o.hasFactor && (o.replicationFactor > math.MaxInt16 || o.replicationFactor < 1) {
		return errors.New("The replication factor must be between 1 and 32767 inclusive")
	}
	if o.hasPartitions && o.partitions < 1 {
		return errors.New("The partitions must be greater than 0")
	}
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = o.topic, -1, -1
	if o.hasPartitions {
		topic.NumPartitions = int32(o.partitions)
	}
	if o.hasFactor {
		topic.ReplicationFactor = int16(o.replicationFactor)
	}
	assignment, err := parseAssignment(o.replicaAssignment)
	if err != nil {
		return err
	}
	for i, replicas := range assignment {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), replicas
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
	}
	for _, kv := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = kv[0], &kv[1]
		topic.Configs = append(topic.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{topic}, requestTimeoutMs
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		err := cli.NewBrokerError(t.ErrorCode, t.ErrorMessage)
		if errors.Is(err, kerr.TopicAlreadyExists) && o.ifNotExists {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(r.out, "Created topic %s.\n", t.Topic)
	}
	return nil
}

func (r *runner) list(ctx context.Context) error {
	names, err := r.matching(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.out, strings.Join(names, "\n"))
	return nil
}

func (r *runner) alter(ctx context.Context) error {
	names, err := r.existing(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	assignment, err := parseAssignment(r.o.replicaAssignment)
	if err != nil {
		return err
	}
	now, err := r.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = requestTimeoutMs
	for _, name := range names {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, int32(r.o.partitions)
		for i := len(now[name].Partitions); i < len(assignment); i++ {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = assignment[i]
			t.Assignment = append(t.Assignment, a)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := cli.NewBrokerError(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) delete(ctx context.Context) error {
	names, err := r.existing(ctx)
	if err != nil || len(names) == 0 {
		return err
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = requestTimeoutMs, names
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := cli.NewBrokerError(t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

// matching lists the topics that --topic selects, sorted; all of them without it.
func (r *runner) matching(ctx context.Context) ([]string, error) {
	names, err := cli.Topics(ctx, r.admin, !r.o.excludeInternal)
	if err != nil || !r.o.hasTopic {
		return names, err
	}
	filter, err := cli.NewTopicFilter(r.o.topic)
	if err != nil {
		return nil, err
	}
	return filter.Select(names, r.o.excludeInternal), nil
}

// existing is matching, with an error when a topic was named and nothing matches.
func (r *runner) existing(ctx context.Context) ([]string, error) {
	names, err := r.matching(ctx)
	if err == nil && len(names) == 0 && r.o.hasTopic && r.o.topic != "" && !r.o.ifExists {
		err = fmt.Errorf("Topic '%s' does not exist as expected", r.o.topic)
	}
	return names, err
}

var pairSeparator = regexp.MustCompile(`\s*=\s*`)

// parseConfigs splits name=value words.
func parseConfigs(words []string) ([][2]string, error) {
	var out [][2]string
	for _, w := range words {
		kv := pairSeparator.Split(w, 2)
		if len(kv) != 2 || strings.TrimSpace(kv[0]) == "" {
			return nil, errors.New("requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".")
		}
		out = append(out, [2]string{strings.TrimSpace(kv[0]), strings.TrimSpace(kv[1])})
	}
	return out, nil
}

// parseAssignment reads "0:1,1:2" into the replicas of partitions 0, 1, ...
func parseAssignment(list string) ([][]int32, error) {
	if list == "" {
		return nil, nil
	}
	var out [][]int32
	for i, word := range strings.Split(list, ",") {
		var replicas []int32
		seen := map[int32]bool{}
		for _, id := range strings.Split(word, ":") {
			n, err := strconv.ParseInt(strings.TrimSpace(id), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("For input string: \"%s\" (in --replica-assignment, partition %d)", strings.TrimSpace(id), i)
			}
			if seen[int32(n)] {
				return nil, fmt.Errorf("Partition replica lists may not contain duplicate entries: %d", n)
			}
			seen[int32(n)] = true
			replicas = append(replicas, int32(n))
		}
		if i > 0 && len(replicas) != len(out[0]) {
			return nil, fmt.Errorf("Partition %d has different replication factor: %s", i, javaList(replicas))
		}
		out = append(out, replicas)
	}
	return out, nil
}

func javaList(ids []int32) string { return "[" + join(ids, ", ") + "]" }

func join(ids []int32, separator string) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, separator)
}
