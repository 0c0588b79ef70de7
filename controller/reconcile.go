package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/metadata"
)

// This file is what the controller does by itself, whenever the image changed: it obeys
// what tools write into the tree without asking it, completes what they leave out, and
// chooses leaders.

// reconcile does what waits for the controller. The caller holds c.mu.
func (c *Controller) reconcile(ctx context.Context) error {
	if err := c.deleteMarked(ctx); err != nil {
		return err
	}
	if err := c.completeTopics(ctx); err != nil {
		return err
	}
	return c.electLeaders(ctx)
}

// deleteMarked removes the topics that a tool marked under /admin/delete_topics, and the
// marks. Of a topic that does not exist, or while delete.topic.enable is false, only the
// mark goes.
func (c *Controller) deleteMarked(ctx context.Context) error {
	marks := c.o.Loader.Image().DeletionMarks()
	if len(marks) == 0 {
		return nil
	}
	enabled := c.o.Defaults().DeleteTopics
	var groups [][]metadata.Op
	for _, topic := range marks {
		mark := []metadata.Op{metadata.Delete(metadata.DeleteTopicPath(topic), metadata.AnyVersion)}
		_, _, err := c.o.Store.Get(ctx, metadata.TopicPath(topic))
		exists := err == nil
		if err != nil && !errors.Is(err, metadata.ErrNoNode) {
			return fmt.Errorf("deletion of topics: %w", err)
		}
		if exists && enabled {
			c.o.Log.Info("a tool asked for the deletion of a topic", "topic", topic)
			if mark, err = c.subtree(ctx, topic); err != nil {
				return fmt.Errorf("deletion of topics: %w", err)
			}
		} else {
			c.o.Log.Warn("a topic that a tool marked is not deleted", "topic", topic, "exists", exists, "delete.topic.enable", enabled)
		}
		groups = append(groups, mark)
	}
	if _, err := c.commitAll(ctx, groups...); err != nil {
		return fmt.Errorf("deletion of topics: %w", err)
	}
	return nil
}

// completeTopics gives topics an id that have none, their node what it lacks, and
// partitions their first state.
func (c *Controller) completeTopics(ctx context.Context) error {
	image := c.o.Loader.Image()
	var groups [][]metadata.Op
	for _, t := range image.Topics() {
		if !incomplete(image, t) {
			continue
		}
		if checkName(t.Name) != nil {
			c.note(metadata.TopicPath(t.Name), t.CreatedZxid, "a topic in the tree has a name that topics may not have; it is left alone")
			continue
		}
		ops, err := c.complete(ctx, image, t)
		if err != nil {
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
		groups = append(groups, ops)
	}
	if len(groups) == 0 {
		return nil
	}
	if _, err := c.commitAll(ctx, groups...); err != nil {
		return fmt.Errorf("topics that tools wrote: %w", err)
	}
	return nil
}

// incomplete tells whether there is something to do for a topic.
func incomplete(image *metadata.Image, t *metadata.Topic) bool {
	if t.Amend {
		return true
	}
	for i := range t.Partitions {
		if _, ok := firstState(image, &t.Partitions[i]); ok {
			return true
		}
	}
	return false
}

// firstState is the leadership of a partition that has none yet: its first replica that is
// registered leads. The others come in sync once they have what it has. It is pure.
func firstState(image *metadata.Image, p *metadata.Partition) (metadata.StateNode, bool) {
	if p.PartitionEpoch >= 0 {
		return metadata.StateNode{}, false
	}
	for _, replica := range p.Replicas {
		if _, alive := image.Broker(replica); alive {
			return metadata.StateNode{Leader: replica, ISR: []int32{replica}}, true
		}
	}
	return metadata.StateNode{}, false
}

// complete is the writes that complete one topic.
func (c *Controller) complete(ctx context.Context, image *metadata.Image, t *metadata.Topic) ([]metadata.Op, error) {
	var ops []metadata.Op
	if t.Amend {
		id, err := c.idOf(t)
		if err != nil {
			return nil, err
		}
		node := metadata.TopicNode{ID: id}
		for i := range t.Partitions {
			node.Partitions = append(node.Partitions, t.Partitions[i].Replicas)
		}
		ops = append(ops, metadata.Set(metadata.TopicPath(t.Name), node.Encode(), t.Version))
		c.o.Log.Info("completed a topic that a tool wrote", "topic", t.Name, "id", metadata.IDString(id), "partitions", len(t.Partitions))
	}
	have, err := c.children(ctx, metadata.PartitionsPath(t.Name))
	if err != nil {
		return nil, err
	}
	if have == nil {
		ops = append(ops, metadata.Create(metadata.PartitionsPath(t.Name), nil))
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		state, ok := firstState(image, p)
		if !ok {
			continue
		}
		state.ControllerEpoch = c.Epoch()
		if path := metadata.PartitionPath(t.Name, p.Index); !have[path] {
			ops = append(ops, metadata.Create(path, nil))
		}
		write, err := c.stateOp(ctx, metadata.PartitionStatePath(t.Name, p.Index), state, have != nil)
		if err != nil {
			return nil, err
		}
		ops = append(ops, write)
	}
	return ops, nil
}

// stateOp writes a state that the image does not have: its node is missing, or cannot be
// read.
func (c *Controller) stateOp(ctx context.Context, path string, state metadata.StateNode, mayExist bool) (metadata.Op, error) {
	if mayExist {
		_, stat, err := c.o.Store.Get(ctx, path)
		if err == nil {
			return metadata.Set(path, state.Encode(), stat.Version), nil
		}
		if !errors.Is(err, metadata.ErrNoNode) {
			return metadata.Op{}, err
		}
	}
	return metadata.Create(path, state.Encode()), nil
}

// children is the set of a node's children, nil when there is no such node.
func (c *Controller) children(ctx context.Context, path string) (map[string]bool, error) {
	names, _, err := c.o.Store.Children(ctx, path)
	if errors.Is(err, metadata.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[path+"/"+name] = true
	}
	return set, nil
}

// idOf is a topic's id: what is known of it, else a new one. A topic that has states had an
// id before a foreign write took it; the logs have it.
func (c *Controller) idOf(t *metadata.Topic) (metadata.TopicID, error) {
	if t.ID != (metadata.TopicID{}) {
		return t.ID, nil
	}
	for i := range t.Partitions {
		if t.Partitions[i].PartitionEpoch < 0 || c.o.KnownID == nil {
			continue
		}
		if id, ok := c.o.KnownID(t.Name); ok {
			return id, nil
		}
		break
	}
	return newID(c.o.Random)
}

// electLeaders chooses a leader for each partition that has none, or whose leader came
// back since it was chosen: its epoch is raised, so that clients notice if it lost the end
// of its log (KIP-320). Only the first replica in sync that is registered may lead.
func (c *Controller) electLeaders(ctx context.Context) error {
	image := c.o.Loader.Image()
	var groups [][]metadata.Op
	for _, t := range image.Topics() {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			next, ok := nextState(image, p)
			if !ok {
				continue
			}
			next.ControllerEpoch = c.Epoch()
			groups = append(groups, []metadata.Op{metadata.Set(metadata.PartitionStatePath(t.Name, p.Index), next.Encode(), p.PartitionEpoch)})
		}
	}
	if len(groups) == 0 {
		return nil
	}
	if _, err := c.commitAll(ctx, groups...); err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	c.o.Log.Info("elected leaders", "partitions", len(groups), "controllerEpoch", c.Epoch())
	return nil
}

// nextState decides about one partition. It is pure.
func nextState(image *metadata.Image, p *metadata.Partition) (metadata.StateNode, bool) {
	if p.PartitionEpoch < 0 {
		return metadata.StateNode{}, false
	}
	if leader, ok := image.Broker(p.Leader); ok && leader.Epoch < p.WrittenZxid {
		return metadata.StateNode{}, false // it led before and never went away
	}
	for _, replica := range p.Replicas {
		if _, alive := image.Broker(replica); alive && contains(p.ISR, replica) {
			return metadata.StateNode{Leader: replica, LeaderEpoch: p.LeaderEpoch + 1, ISR: p.ISR}, true
		}
	}
	if p.Leader == metadata.NoLeader {
		return metadata.StateNode{}, false
	}
	return metadata.StateNode{Leader: metadata.NoLeader, LeaderEpoch: p.LeaderEpoch + 1, ISR: p.ISR}, true
}

// note logs something odd about a node, once for each time that it was written.
func (c *Controller) note(path string, zxid int64, text string) {
	if c.noted[path] == zxid {
		return
	}
	c.noted[path] = zxid
	c.o.Log.Error(text, "path", path)
}
