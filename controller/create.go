package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/metadata"
)

// MaxPartitionsPerRequest is how many partitions one request may create, as in Kafka.
const MaxPartitionsPerRequest = 10_000

// NewTopic asks for a topic.
type NewTopic struct {
	Name string
	// NumPartitions and ReplicationFactor are -1 for the broker's defaults, and must be
	// with Assignments.
	NumPartitions     int32
	ReplicationFactor int16
	Assignments       []Assignment
	Config            map[string]string
}

// Assignment names the replicas of one partition, the preferred leader first.
type Assignment struct {
	Partition int32
	Replicas  []int32
}

// CreatedTopic answers for one topic, in the order of the request.
type CreatedTopic struct {
	Name              string
	ID                metadata.TopicID // zero when only validated
	NumPartitions     int32
	ReplicationFactor int16
	Err               error // *Error, or the store's
}

// plan is a topic that passed all checks.
type plan struct {
	topic    NewTopic
	id       metadata.TopicID
	replicas [][]int32
	epoch    int32 // of the first leaders
}

// CreateTopics checks and creates topics; all that pass are created by one transaction.
// With validateOnly nothing is written. When it returns the image holds the new topics;
// their logs are made by replication, which may be waited for with the returned zxid (0
// when nothing was written).
func (c *Controller) CreateTopics(ctx context.Context, topics []NewTopic, validateOnly bool) (answers []CreatedTopic, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answers = make([]CreatedTopic, len(topics))
	var plans []plan
	var at []int
	budget := int32(MaxPartitionsPerRequest)
	names := newNames(c.o.Loader.Image(), topics)
	for i, t := range topics {
		answers[i] = CreatedTopic{Name: t.Name}
		p, err := c.planTopic(t, names, budget)
		if err != nil {
			answers[i].Err = err
			continue
		}
		budget -= int32(len(p.replicas))
		names.add(t.Name)
		answers[i].NumPartitions, answers[i].ReplicationFactor = int32(len(p.replicas)), int16(len(p.replicas[0]))
		plans, at = append(plans, p), append(at, i)
	}
	if validateOnly || len(plans) == 0 {
		return answers, 0
	}
	zxid, err := c.writeTopics(ctx, plans)
	for j, i := range at {
		if err != nil {
			answers[i] = CreatedTopic{Name: topics[i].Name, Err: err}
		} else {
			answers[i].ID = plans[j].id
		}
	}
	return answers, zxid
}

// planTopic decides about one topic of a request.
func (c *Controller) planTopic(t NewTopic, names *names, budget int32) (plan, error) {
	image := c.o.Loader.Image()
	if names.asked[t.Name] > 1 {
		return plan{}, refuse(InvalidRequest, "Duplicate topic name.")
	}
	if err := checkName(t.Name); err != nil {
		return plan{}, err
	}
	if _, ok := image.Topic(t.Name); ok {
		return plan{}, refuse(TopicExists, "Topic '%s' already exists.", t.Name)
	}
	if other, ok := names.collides(t.Name); ok {
		return plan{}, refuse(InvalidTopic, "Topic '%s' collides with existing topic: %s", t.Name, other)
	}
	replicas, err := c.assign(image, t, budget)
	if err != nil {
		return plan{}, err
	}
	if err := c.o.ValidateConfig(t.Config); err != nil {
		return plan{}, refuse(InvalidConfig, "%v", err)
	}
	id, err := newID(c.o.Random)
	return plan{topic: t, id: id, replicas: replicas}, err
}

// writeTopics makes the nodes of new topics, by one transaction where they fit.
func (c *Controller) writeTopics(ctx context.Context, plans []plan) (zxid int64, err error) {
	groups := make([][]metadata.Op, 0, len(plans))
	for _, p := range plans {
		ops, err := c.topicOps(ctx, p)
		if err != nil {
			return 0, err
		}
		groups = append(groups, ops)
	}
	if zxid, err = c.commitAll(ctx, groups...); err != nil {
		return 0, err
	}
	for _, p := range plans {
		c.o.Log.Info("created topic", "topic", p.topic.Name, "id", metadata.IDString(p.id),
			"partitions", len(p.replicas), "replicationFactor", len(p.replicas[0]), "config", slog.AnyValue(p.topic.Config))
	}
	return zxid, nil
}

// topicOps makes the nodes of one topic. Its settings may be there already: tools write them
// first, and may have gone no further.
func (c *Controller) topicOps(ctx context.Context, p plan) ([]metadata.Op, error) {
	name := p.topic.Name
	path, settings := metadata.TopicConfigPath(name), metadata.EncodeConfig(p.topic.Config)
	config := metadata.Create(path, settings)
	_, stat, err := c.o.Store.Get(ctx, path)
	if err == nil {
		config = metadata.Set(path, settings, stat.Version)
	} else if !errors.Is(err, metadata.ErrNoNode) {
		return nil, fmt.Errorf("settings of topic %s: %w", name, err)
	}
	ops := []metadata.Op{
		config,
		metadata.Create(metadata.TopicPath(name), metadata.TopicNode{ID: p.id, Partitions: p.replicas}.Encode()),
		metadata.Create(metadata.PartitionsPath(name), nil),
	}
	for i, replicas := range p.replicas {
		ops = append(ops, c.newPartition(name, int32(i), replicas, p.epoch)...)
	}
	return ops, nil
}

// newPartition makes the nodes of a partition: its first replica leads, all are in sync.
func (c *Controller) newPartition(topic string, index int32, replicas []int32, epoch int32) []metadata.Op {
	state := metadata.StateNode{Leader: replicas[0], LeaderEpoch: epoch, ControllerEpoch: c.Epoch(), ISR: replicas}
	return []metadata.Op{
		metadata.Create(metadata.PartitionPath(topic, index), nil),
		metadata.Create(metadata.PartitionStatePath(topic, index), state.Encode()),
	}
}

// AutoCreate creates a topic that a client asked for, with the broker's defaults, and logs
// who asked. A topic that exists by now is no error. Brokers' own topics are refused: they
// are made by those who use them.
func (c *Controller) AutoCreate(ctx context.Context, name string, who ...any) (zxid int64, err error) {
	if Internal(name) {
		return 0, refuse(InvalidTopic, "Topic '%s' is internal and not created by clients.", name)
	}
	answers, zxid := c.CreateTopics(ctx, []NewTopic{{Name: name, NumPartitions: -1, ReplicationFactor: -1}}, false)
	if kind, ok := KindOf(answers[0].Err); ok && kind == TopicExists {
		return 0, nil
	}
	if answers[0].Err != nil {
		return 0, answers[0].Err
	}
	c.o.Log.Info("a client's request created the topic", append([]any{"topic", name}, who...)...)
	return zxid, nil
}
