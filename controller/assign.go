package controller

import (
	"slices"

	"github.com/millrace/millrace/metadata"
)

// assign decides on the replicas of a new topic.
func (c *Controller) assign(image *metadata.Image, t NewTopic, budget int32) ([][]int32, error) {
	out, err := c.assignAny(image, t, budget)
	if most := c.o.MaxReplicationFactor; err == nil && most > 0 && len(out[0]) > most {
		return nil, refuse(InvalidReplicationFactor, "Replication factor %d is above %d: brokers do not copy from each other yet.", len(out[0]), most)
	}
	return out, err
}

func (c *Controller) assignAny(image *metadata.Image, t NewTopic, budget int32) ([][]int32, error) {
	if len(t.Assignments) > 0 {
		return manual(image, t, budget)
	}
	defaults := c.o.Defaults()
	partitions, factor := t.NumPartitions, t.ReplicationFactor
	if partitions == -1 {
		partitions = defaults.NumPartitions
	}
	if factor == -1 {
		factor = defaults.ReplicationFactor
	}
	switch {
	case factor <= 0:
		return nil, refuse(InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case partitions <= 0:
		return nil, refuse(InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	return c.place(image, int(partitions), int(factor), 0, budget)
}

// place spreads replicas over the brokers: round robin from a random one, the followers of
// each round shifted by one more, so that the load of a lost broker falls on all others.
func (c *Controller) place(image *metadata.Image, partitions, factor, first int, budget int32) ([][]int32, error) {
	brokers := image.Brokers()
	n := len(brokers)
	switch {
	case factor > n:
		return nil, refuse(InvalidReplicationFactor, "Unable to replicate the partition %d time(s): "+
			"The target replication factor of %d cannot be reached because only %d broker(s) are registered.", factor, factor, n)
	case partitions > int(budget):
		return nil, tooMany(partitions)
	}
	start, err := randomBelow(c.o.Random, n)
	if err != nil {
		return nil, err
	}
	out := make([][]int32, partitions)
	all := make([]int32, 0, partitions*factor)
	for i := range out {
		leader := (start + first + i) % n
		shift := (first + i) / n
		replicas := append(all[len(all):], brokers[leader].ID)
		for j := range factor - 1 {
			replicas = append(replicas, brokers[(leader+1+(shift+j)%(n-1))%n].ID)
		}
		all = all[:len(all)+factor]
		out[i] = slices.Clip(replicas)
	}
	return out, nil
}

func tooMany(partitions int) error {
	return refuse(PolicyViolation, "Excessively large number of partitions per request: %d, at most %d are created at once.", partitions, MaxPartitionsPerRequest)
}

// manual checks assignments that the client made.
func manual(image *metadata.Image, t NewTopic, budget int32) ([][]int32, error) {
	switch {
	case t.ReplicationFactor != -1:
		return nil, refuse(InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case t.NumPartitions != -1:
		return nil, refuse(InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	case len(t.Assignments) > int(budget):
		return nil, tooMany(len(t.Assignments))
	}
	out := make([][]int32, len(t.Assignments))
	factor := len(t.Assignments[0].Replicas)
	for _, a := range t.Assignments {
		if a.Partition < 0 || int(a.Partition) >= len(out) {
			return nil, refuse(InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		if out[a.Partition] != nil {
			return nil, refuse(InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		if err := checkReplicas(image, a.Replicas, factor); err != nil {
			return nil, err
		}
		out[a.Partition] = slices.Clone(a.Replicas)
	}
	return out, nil
}

// checkReplicas checks one manual assignment of a topic with the given replication factor.
func checkReplicas(image *metadata.Image, replicas []int32, factor int) error {
	if len(replicas) == 0 {
		return refuse(InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	for i, id := range replicas {
		if _, ok := image.Broker(id); !ok {
			return refuse(InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if contains(replicas[:i], id) {
			return refuse(InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	if len(replicas) != factor {
		return refuse(InvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), but this is not "+
			"consistent with previous partitions, which have %d replica(s).", len(replicas), factor)
	}
	return nil
}
