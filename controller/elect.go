package controller

import (
	"context"
	"slices"

	"github.com/millrace/millrace/metadata"
)

// UnregisterBroker forgets a broker that is gone. Registrations are ephemeral here: they go
// with their brokers, so that one which is there belongs to a broker that lives.
func (c *Controller) UnregisterBroker(id int32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.o.Loader.Image().Broker(id); !ok {
		return refuse(BrokerNotRegistered, "Broker ID %d is not currently registered", id)
	}
	return refuse(InvalidRequest, "Broker %d is running: stop it, its registration goes with it", id)
}

// ElectLeaders chooses leaders anew: the preferred replica of each partition, or, unclean,
// any living replica for a partition without a leader. parts nil stands for all partitions
// that need it. offline tells of replicas that cannot lead although their broker lives.
// The answers are in the order of parts, each once; with nil they are those of the partitions touched.
func (c *Controller) ElectLeaders(ctx context.Context, unclean bool, parts []PartitionRef, offline func(broker int32, p PartitionRef) bool) (answers []ElectedLeader, zxid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	image := c.o.Loader.Image()
	all := parts == nil
	if all {
		for _, t := range image.Topics() {
			for i := range t.Partitions {
				parts = append(parts, PartitionRef{t.Name, int32(i)})
			}
		}
	}
	var groups [][]metadata.Op
	var at []int
	seen := make(map[PartitionRef]bool, len(parts))
	for _, ref := range parts {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		p, ok := partitionOf(image, ref)
		if !ok {
			answers = append(answers, ElectedLeader{ref, refuse(UnknownTopic, "The topic %s does not have a partition %d.", ref.Topic, ref.Partition)})
			continue
		}
		alive := func(id int32) bool {
			_, registered := image.Broker(id)
			return registered && !offline(id, ref)
		}
		next, err := elect(p, unclean, alive)
		if kind, _ := KindOf(err); all && kind == ElectionNotNeeded {
			continue
		}
		if answers = append(answers, ElectedLeader{ref, err}); err != nil {
			continue
		}
		next.ControllerEpoch = c.Epoch()
		groups = append(groups, []metadata.Op{metadata.Set(metadata.PartitionStatePath(ref.Topic, ref.Partition), next.Encode(), p.PartitionEpoch)})
		at = append(at, len(answers)-1)
	}
	if len(groups) == 0 {
		return answers, 0
	}
	zxid, err := c.commitAll(ctx, groups...)
	for _, i := range at {
		answers[i].Err = err
	}
	return answers, zxid
}

// PartitionRef names a partition.
type PartitionRef struct {
	Topic     string
	Partition int32
}

// ElectedLeader answers for one partition.
type ElectedLeader struct {
	PartitionRef
	Err error
}

func partitionOf(image *metadata.Image, ref PartitionRef) (*metadata.Partition, bool) {
	t, ok := image.Topic(ref.Topic)
	if !ok || ref.Partition < 0 || int(ref.Partition) >= len(t.Partitions) {
		return nil, false
	}
	return &t.Partitions[ref.Partition], true
}

// elect decides about one partition. It is pure.
func elect(p *metadata.Partition, unclean bool, alive func(id int32) bool) (metadata.StateNode, error) {
	none := metadata.StateNode{}
	leads := func(id int32, isr []int32) (metadata.StateNode, error) {
		return metadata.StateNode{Leader: id, LeaderEpoch: p.LeaderEpoch + 1, ISR: isr}, nil
	}
	if !unclean {
		preferred := p.Replicas[0]
		switch {
		case !alive(preferred) || !contains(p.ISR, preferred):
			return none, refuse(PreferredLeaderNotAvailable, "The preferred leader %d is not available or not in sync.", preferred)
		case p.Leader == preferred:
			return none, refuse(ElectionNotNeeded, "Leader election not needed for topic partition.")
		}
		return leads(preferred, p.ISR)
	}
	if p.Leader != metadata.NoLeader && alive(p.Leader) {
		return none, refuse(ElectionNotNeeded, "Leader election not needed for topic partition.")
	}
	for _, id := range p.Replicas {
		if alive(id) && contains(p.ISR, id) {
			return leads(id, p.ISR)
		}
	}
	for _, id := range p.Replicas {
		if alive(id) {
			return leads(id, []int32{id})
		}
	}
	return none, refuse(EligibleLeadersNotAvailable, "No replica of the partition is available: %v.", slices.Clone(p.Replicas))
}
