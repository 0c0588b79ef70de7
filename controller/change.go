package controller

import (
	"context"
	"errors"

	"github.com/millrace/millrace/metadata"
)

// TopicRef names a topic by name or by id.
type TopicRef struct {
	Name string           // empty: by id
	ID   metadata.TopicID // zero: by name
}

// DeletedTopic answers for one topic, in the order of the request.
type DeletedTopic struct {
	Name string           // empty when the id is unknown
	ID   metadata.TopicID // zero when the name is unknown
	Err  error
}

// DeleteTopics removes topics, all that pass by one transaction. Their logs are removed by
// replication.
func (c *Controller) DeleteTopics(ctx context.Context, refs []TopicRef) (answers []DeletedTopic, zxid int64) {
	return c.deleteTopics(ctx, refs, c.o.Defaults().DeleteTopics)
}

// UndoTopics removes topics that were created a moment ago and could not get their logs,
// whatever delete.topic.enable says.
func (c *Controller) UndoTopics(ctx context.Context, ids []metadata.TopicID) (zxid int64, err error) {
	refs := make([]TopicRef, len(ids))
	for i := range ids {
		refs[i].ID = ids[i]
	}
	answers, zxid := c.deleteTopics(ctx, refs, true)
	for _, a := range answers {
		if kind, _ := KindOf(a.Err); a.Err != nil && kind != UnknownTopicID { // somebody else did
			err = errors.Join(err, a.Err)
		}
	}
	return zxid, err
}

func (c *Controller) deleteTopics(ctx context.Context, refs []TopicRef, enabled bool) (answers []DeletedTopic, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	image := c.o.Loader.Image()
	answers = make([]DeletedTopic, len(refs))
	var groups [][]metadata.Op
	var at []int
	asked, going := make(map[TopicRef]int, len(refs)), make(map[string]bool)
	for _, ref := range refs {
		asked[ref]++
	}
	for i, ref := range refs {
		answers[i] = DeletedTopic{Name: ref.Name, ID: ref.ID}
		t, err := deletable(image, ref, asked[ref], enabled)
		if err != nil {
			answers[i].Err = err
			continue
		}
		answers[i].Name, answers[i].ID = t.Name, t.ID
		if going[t.Name] {
			continue // once by name and once by id
		}
		nodes, err := c.subtree(ctx, t.Name)
		if err != nil {
			answers[i].Err = err
			continue
		}
		if groups, err = c.markLarge(ctx, groups, t.Name, nodes); err != nil {
			answers[i].Err = err
			continue
		}
		at = append(at, i)
		going[t.Name] = true
	}
	if len(groups) == 0 {
		return answers, 0
	}
	zxid, err := c.commitAll(ctx, groups...)
	for _, i := range at {
		if answers[i].Err = err; err == nil {
			c.o.Log.Info("deleted topic", "topic", answers[i].Name, "id", metadata.IDString(answers[i].ID))
		}
	}
	return answers, zxid
}

// markLarge adds a topic's deletion. One that does not fit in a transaction gets the mark
// that tools make first: whoever is the controller next then finishes what was begun.
func (c *Controller) markLarge(ctx context.Context, groups [][]metadata.Op, topic string, ops []metadata.Op) ([][]metadata.Op, error) {
	size := 0
	for _, op := range ops {
		size += opBytes(op)
	}
	marked := c.o.Loader.Image().DeletionMarked(topic)
	if size <= maxMultiBytes || marked {
		return append(groups, ops), nil
	}
	path := metadata.DeleteTopicPath(topic)
	return append(groups, []metadata.Op{metadata.Create(path, nil)}, append(ops, metadata.Delete(path, metadata.AnyVersion))), nil
}

// deletable finds a topic that a request names so many times.
func deletable(image *metadata.Image, ref TopicRef, times int, enabled bool) (*metadata.Topic, error) {
	byID := ref.ID != (metadata.TopicID{})
	switch {
	case byID && ref.Name != "":
		return nil, refuse(InvalidRequest, "You may not specify both topic name and topic id.")
	case !byID && ref.Name == "":
		return nil, refuse(InvalidRequest, "Neither topic name nor id were specified.")
	case times > 1:
		return nil, refuse(InvalidRequest, "Duplicate topic name or id.")
	case !enabled:
		return nil, refuse(TopicDeletionDisabled, "Topic deletion is disabled.")
	}
	if byID {
		if t, ok := image.TopicByID(ref.ID); ok {
			return t, nil
		}
		return nil, refuse(UnknownTopicID, "This server does not host this topic ID.")
	}
	if t, ok := image.Topic(ref.Name); ok {
		return t, nil
	}
	return nil, refuse(UnknownTopic, "This server does not host this topic-partition.")
}

// subtree is the ops that remove a topic's nodes, in Kafka's order: its state, its
// settings, and the marker by which a tool may have asked.
func (c *Controller) subtree(ctx context.Context, topic string) ([]metadata.Op, error) {
	var ops []metadata.Op
	var walk func(path string) error
	walk = func(path string) error {
		names, _, err := c.o.Store.Children(ctx, path)
		if errors.Is(err, metadata.ErrNoNode) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := walk(path + "/" + name); err != nil {
				return err
			}
		}
		ops = append(ops, metadata.Delete(path, metadata.AnyVersion))
		return nil
	}
	for _, path := range []string{metadata.TopicPath(topic), metadata.TopicConfigPath(topic), metadata.DeleteTopicPath(topic)} {
		if err := walk(path); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

// MorePartitions asks for a topic to have Count partitions.
type MorePartitions struct {
	Topic string
	Count int32
	// Assignments are the replicas of the new partitions; empty: the brokers choose.
	Assignments [][]int32
}

// CreatePartitions enlarges topics, all that pass by one transaction. The errors are in
// the order of the request, nil for success.
func (c *Controller) CreatePartitions(ctx context.Context, topics []MorePartitions, validateOnly bool) (errs []error, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs = make([]error, len(topics))
	var groups [][]metadata.Op
	var at []int
	budget := int32(MaxPartitionsPerRequest)
	asked := make(map[string]int, len(topics))
	for i := range topics {
		asked[topics[i].Topic]++
	}
	for i, more := range topics {
		if asked[more.Topic] > 1 {
			errs[i] = refuse(InvalidRequest, "Duplicate topic name.")
			continue
		}
		t, added, err := c.planPartitions(more, budget)
		if err != nil {
			errs[i] = err
			continue
		}
		budget -= int32(len(added))
		groups, at = append(groups, c.enlarge(t, added)), append(at, i)
	}
	if validateOnly || len(groups) == 0 {
		return errs, 0
	}
	zxid, err := c.commitAll(ctx, groups...)
	for _, i := range at {
		if errs[i] = err; err == nil {
			c.o.Log.Info("enlarged topic", "topic", topics[i].Topic, "partitions", topics[i].Count)
		}
	}
	return errs, zxid
}

func (c *Controller) planPartitions(more MorePartitions, budget int32) (*metadata.Topic, [][]int32, error) {
	image := c.o.Loader.Image()
	t, ok := image.Topic(more.Topic)
	if !ok || len(t.Partitions) == 0 {
		return nil, nil, refuse(UnknownTopic, "This server does not host this topic-partition.")
	}
	have, factor := len(t.Partitions), len(t.Partitions[0].Replicas)
	extra := int(more.Count) - have
	switch {
	case extra == 0:
		return nil, nil, refuse(InvalidPartitions, "Topic already has %d partition(s).", have)
	case extra < 0:
		return nil, nil, refuse(InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, have, more.Count)
	case extra > int(budget):
		return nil, nil, tooMany(extra)
	}
	if len(more.Assignments) == 0 {
		added, err := c.place(image, extra, factor, have, budget)
		return t, added, err
	}
	if len(more.Assignments) != extra {
		return nil, nil, refuse(InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but %d assignment(s) were specified.", extra, len(more.Assignments))
	}
	for _, replicas := range more.Assignments {
		if err := checkReplicas(image, replicas, factor); err != nil {
			return nil, nil, err
		}
	}
	return t, more.Assignments, nil
}

func (c *Controller) enlarge(t *metadata.Topic, added [][]int32) []metadata.Op {
	node := metadata.TopicNode{ID: t.ID}
	for i := range t.Partitions {
		node.Partitions = append(node.Partitions, t.Partitions[i].Replicas)
	}
	node.Partitions = append(node.Partitions, added...)
	ops := []metadata.Op{metadata.Set(metadata.TopicPath(t.Name), node.Encode(), t.Version)}
	for i, replicas := range added {
		ops = append(ops, c.newPartition(t.Name, int32(len(t.Partitions)+i), replicas, 0)...)
	}
	return ops
}
