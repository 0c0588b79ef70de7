package controller

import (
	"context"
	"slices"

	"github.com/millrace/millrace/metadata"
)

// Reassignment asks for a partition to have these replicas; nil ends a reassignment that is
// under way.
type Reassignment struct {
	PartitionRef
	Replicas []int32
}

// Reassign changes the replicas of partitions, all that pass by one transaction. The errors
// are in the order of the request, nil for success. Replicas do not move between brokers
// yet: another order of the same ones, which makes another one preferred, is written at
// once, and what would need a copy is refused, so that none is ever under way.
func (c *Controller) Reassign(ctx context.Context, list []Reassignment, factorMayChange bool) (errs []error, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	image := c.o.Loader.Image()
	errs = make([]error, len(list))
	asked := make(map[PartitionRef]int, len(list))
	for i := range list {
		asked[list[i].PartitionRef]++
	}
	orders := map[string]map[int32][]int32{}
	var at []int
	for i, want := range list {
		if asked[want.PartitionRef] > 1 {
			errs[i] = refuse(InvalidRequest, "Partition %d of %s is named more than once.", want.Partition, want.Topic)
			continue
		}
		changed, err := planReassignment(image, want, factorMayChange)
		if errs[i] = err; err != nil || !changed {
			continue
		}
		if orders[want.Topic] == nil {
			orders[want.Topic] = map[int32][]int32{}
		}
		orders[want.Topic][want.Partition] = want.Replicas
		at = append(at, i)
	}
	if len(at) == 0 {
		return errs, 0
	}
	var ops []metadata.Op
	for topic, order := range orders {
		t, _ := image.Topic(topic)
		ops = append(ops, reorder(t, order))
	}
	zxid, err := c.commit(ctx, ops)
	for _, i := range at {
		errs[i] = err
	}
	return errs, zxid
}

// planReassignment decides about one partition. It is pure.
func planReassignment(image *metadata.Image, want Reassignment, factorMayChange bool) (changed bool, err error) {
	p, ok := partitionOf(image, want.PartitionRef)
	if !ok {
		return false, refuse(UnknownTopic, "The topic %s does not have a partition %d.", want.Topic, want.Partition)
	}
	if want.Replicas == nil {
		return false, refuse(NoReassignmentInProgress, "No partition reassignment is in progress.")
	}
	if err := checkReplicas(image, want.Replicas, len(want.Replicas)); err != nil {
		return false, err
	}
	if len(want.Replicas) != len(p.Replicas) && !factorMayChange {
		return false, refuse(InvalidReplicationFactor, "The replication factor of partition %d of %s is %d and would become %d, which the request does not allow.",
			want.Partition, want.Topic, len(p.Replicas), len(want.Replicas))
	}
	if slices.Equal(p.Replicas, want.Replicas) {
		return false, nil
	}
	if !sameSet(p.Replicas, want.Replicas) {
		return false, refuse(InvalidReplicaAssignment, "Partition %d of %s has the replicas %v: they cannot move to %v yet, only change their order.",
			want.Partition, want.Topic, p.Replicas, want.Replicas)
	}
	return true, nil
}

func sameSet(a, b []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// reorder writes a topic's node with other orders of some partitions' replicas.
func reorder(t *metadata.Topic, order map[int32][]int32) metadata.Op {
	node := metadata.TopicNode{ID: t.ID}
	for i := range t.Partitions {
		replicas := t.Partitions[i].Replicas
		if other, ok := order[int32(i)]; ok {
			replicas = other
		}
		node.Partitions = append(node.Partitions, replicas)
	}
	return metadata.Set(metadata.TopicPath(t.Name), node.Encode(), t.Version)
}
