package assignor

import (
	"cmp"
	"slices"
)

// Range gives each member a contiguous range of each topic's partitions, in the order of
// the members. Members that subscribe to the same topics with equally many partitions get
// the same numbers of each topic, so that their records can be joined.
type Range struct{}

// Name implements Assignor.
func (Range) Name() string { return "range" }

// Assign implements Assignor.
func (Range) Assign(spec Spec) (map[string]Assignment, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	subscribers := make(map[TopicID]int32)
	for i := range spec.Members {
		for _, id := range spec.Members[i].Topics {
			subscribers[id]++
		}
	}
	members := slices.Clone(spec.Members)
	slices.SortFunc(members, inRangeOrder)
	next := make(map[TopicID]int32) // first partition of the next member's range
	turn := make(map[TopicID]int32) // how many members had theirs
	out := make(map[string]Assignment, len(members))
	for i := range members {
		given := make(Assignment, len(members[i].Topics))
		for _, id := range members[i].Topics {
			count := spec.Partitions[id] / subscribers[id]
			if turn[id] < spec.Partitions[id]%subscribers[id] {
				count++
			}
			turn[id]++
			if count > 0 {
				given[id] = sequence(next[id], count)
			}
			next[id] += count
		}
		out[members[i].ID] = given
	}
	return out, nil
}

// inRangeOrder puts static members first, by instance id: their place does not change when
// they come back under a new member id.
func inRangeOrder(a, b Member) int {
	switch {
	case a.InstanceID != "" && b.InstanceID != "":
		return cmp.Compare(a.InstanceID, b.InstanceID)
	case a.InstanceID != "":
		return -1
	case b.InstanceID != "":
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}

func sequence(first, count int32) []int32 {
	s := make([]int32, count)
	for i := range s {
		s[i] = first + int32(i)
	}
	return s
}
