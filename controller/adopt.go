package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/millrace/millrace/metadata"
)

// adoptedPath exists once a tree has taken over what lay in the log directories, or found
// nothing there. It is the one node that Kafka's layout does not have.
const adoptedPath = "/millrace_adopted"

// OnDisk is a topic found in the log directories of a new tree: a directory of Apache
// Kafka's opened in place.
type OnDisk struct {
	Name          string
	ID            metadata.TopicID // zero: none is known, one is drawn
	NumPartitions int32
	LeaderEpoch   int32 // above every epoch in the logs
	// Config is the topic's settings; nil when they are unknown, since directories do not
	// hold them: then nothing is deleted by age or size until somebody sets them.
	Config map[string]string
}

// adopting is what that node holds until all topics are there.
const adopting = "under way"

// Adopted tells whether the tree did take over what was on disk. It does so once in its
// life: a log without a topic that is found later belongs to a topic that was deleted.
func (c *Controller) Adopted(ctx context.Context) (bool, error) {
	data, _, err := c.o.Store.Get(ctx, adoptedPath)
	switch {
	case errors.Is(err, metadata.ErrNoNode):
		return len(c.o.Loader.Image().Topics()) > 0, nil
	case err != nil:
		return false, fmt.Errorf("adoption of topics on disk: %w", err)
	}
	return string(data) != adopting, nil
}

// Adopt creates topics as they are on disk, with this broker as their only replica, and
// notes that it was done; where it was interrupted it goes on.
func (c *Controller) Adopt(ctx context.Context, topics []OnDisk) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var plans []plan
	for _, t := range topics {
		if _, ok := c.o.Loader.Image().Topic(t.Name); ok {
			continue
		}
		p := plan{topic: NewTopic{Name: t.Name, Config: keepAll(t)}, id: t.ID, epoch: t.LeaderEpoch}
		if p.id == (metadata.TopicID{}) {
			id, err := newID(c.o.Random)
			if err != nil {
				return err
			}
			p.id = id
		}
		for range t.NumPartitions {
			p.replicas = append(p.replicas, []int32{c.o.BrokerID})
		}
		plans = append(plans, p)
	}
	if err := c.writeAdopted(ctx, plans); err != nil {
		return fmt.Errorf("adoption of topics on disk: %w", err)
	}
	for _, t := range topics {
		if t.Config == nil {
			c.o.Log.Warn("topic found on disk: its settings are not there, so nothing of it is deleted until you set them",
				"topic", t.Name, "partitions", t.NumPartitions, "config", keepAll(t))
		}
	}
	return nil
}

// writeAdopted begins and ends with the note, so that an interruption is seen.
func (c *Controller) writeAdopted(ctx context.Context, plans []plan) error {
	begin := metadata.Create(adoptedPath, []byte(adopting))
	data, stat, err := c.o.Store.Get(ctx, adoptedPath)
	if err == nil && string(data) == adopting {
		begin = metadata.Set(adoptedPath, data, stat.Version)
	} else if err != nil && !errors.Is(err, metadata.ErrNoNode) {
		return err
	}
	groups := [][]metadata.Op{{begin}}
	for _, p := range plans {
		ops, err := c.topicOps(ctx, p)
		if err != nil {
			return err
		}
		groups = append(groups, ops)
	}
	_, err = c.commitAll(ctx, append(groups, []metadata.Op{metadata.Set(adoptedPath, nil, metadata.AnyVersion)})...)
	return err
}

// keepAll is the settings of an adopted topic. The brokers' own topics are compacted
// whatever else is known: without their newest records groups would lose their place.
func keepAll(t OnDisk) map[string]string {
	config := maps.Clone(t.Config)
	if config == nil {
		config = map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}
	}
	if _, ok := config["cleanup.policy"]; !ok && Internal(t.Name) {
		config["cleanup.policy"] = "compact"
	}
	return config
}
