package assignor

import (
	"cmp"
	"slices"
)

// Uniform gives all members equally many partitions, give or take one, and moves as few as
// that takes. When members subscribe to different topics, a topic's subscribers differ by
// at most one wherever the subscriptions allow it.
type Uniform struct{}

// Name implements Assignor.
func (Uniform) Name() string { return "uniform" }

// Assign implements Assignor.
func (Uniform) Assign(spec Spec) (map[string]Assignment, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if len(spec.Members) == 0 {
		return map[string]Assignment{}, nil
	}
	b := newBoard(&spec)
	if spec.homogeneous() {
		b.spreadEvenly()
	} else {
		b.spreadBySubscription()
	}
	return b.result(), nil
}

const nobody = -1

// board is an assignment while it is made. Members are numbers: places in members.
type board struct {
	members     []*Member             // sorted by id
	topics      []TopicID             // sorted
	owners      map[TopicID][]int     // by partition: a member or nobody
	subscribers map[TopicID][]int     // ascending
	sizes       []int                 // partitions of each member
	kept        []map[TopicID][]int32 // what each member owned and still subscribes to
}

// newBoard starts with what the members owned and still subscribe to.
func newBoard(spec *Spec) *board {
	b := &board{
		owners:      make(map[TopicID][]int),
		subscribers: make(map[TopicID][]int),
		sizes:       make([]int, len(spec.Members)),
		kept:        make([]map[TopicID][]int32, len(spec.Members)),
	}
	for i := range spec.Members {
		b.members = append(b.members, &spec.Members[i])
	}
	slices.SortFunc(b.members, func(x, y *Member) int { return cmp.Compare(x.ID, y.ID) })
	for m, member := range b.members {
		for _, id := range member.Topics {
			b.subscribers[id] = append(b.subscribers[id], m)
		}
	}
	b.topics = sortedTopics(b.subscribers)
	for _, id := range b.topics {
		owners := make([]int, spec.Partitions[id])
		for p := range owners {
			owners[p] = nobody
		}
		b.owners[id] = owners
	}
	for m := range b.members {
		b.keep(m)
	}
	return b
}

func (b *board) keep(m int) {
	b.kept[m] = make(map[TopicID][]int32)
	for _, id := range b.members[m].Topics {
		owners := b.owners[id]
		for _, p := range b.members[m].Owned[id] {
			if int(p) >= len(owners) || owners[p] != nobody {
				continue // no such partition, or an earlier member has it
			}
			b.kept[m][id] = append(b.kept[m][id], p)
			b.give(id, p, m)
		}
	}
}

// give moves a partition to a member, or to nobody.
func (b *board) give(id TopicID, p int32, m int) {
	if old := b.owners[id][p]; old != nobody {
		b.sizes[old]--
	}
	if m != nobody {
		b.sizes[m]++
	}
	b.owners[id][p] = m
}

func (b *board) result() map[string]Assignment {
	given := make([]Assignment, len(b.members))
	for m := range given {
		given[m] = make(Assignment)
	}
	for id, owners := range b.owners {
		for p, m := range owners {
			if m != nobody {
				given[m][id] = append(given[m][id], int32(p))
			}
		}
	}
	out := make(map[string]Assignment, len(b.members))
	for m, member := range b.members {
		out[member.ID] = given[m]
	}
	return out
}

// spreadEvenly is for members that all subscribe to the same topics: each has a quota, gives
// up what exceeds it and is filled up to it.
//
// The odd partitions go to the members that own most: any other choice would move a
// partition for nothing. (Kafka takes its hash map's order here.)
func (b *board) spreadEvenly() {
	total := 0
	for _, owners := range b.owners {
		total += len(owners)
	}
	order := make([]int, len(b.members))
	for m := range order {
		order[m] = m
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(b.sizes[y], b.sizes[x]) })
	quota := make([]int, len(b.members))
	for turn, m := range order {
		quota[m] = total / len(b.members)
		if turn < total%len(b.members) {
			quota[m]++
		}
		b.giveUp(m, quota[m])
	}
	turn := 0
	for _, id := range b.topics {
		for p, owner := range b.owners[id] {
			if owner != nobody {
				continue
			}
			for b.sizes[order[turn]] >= quota[order[turn]] {
				turn++
			}
			b.give(id, int32(p), order[turn])
		}
	}
}

// giveUp takes from a member what exceeds its quota: the last partitions of its topics.
func (b *board) giveUp(m, quota int) {
	for _, id := range sortedTopics(b.kept[m]) {
		parts := b.kept[m][id]
		stay := min(len(parts), quota)
		quota -= stay
		for _, p := range parts[stay:] {
			b.give(id, p, nobody)
		}
	}
}
