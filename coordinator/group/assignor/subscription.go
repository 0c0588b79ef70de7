package assignor

import (
	"cmp"
	"container/heap"
	"slices"
)

// maxRounds bounds how often all topics are balanced against each other. Subscriptions that
// overlap without being equal may take many rounds for ever smaller gains.
const maxRounds = 16

// spreadBySubscription is for members that subscribe to different topics: what is free goes
// to the subscriber that has least, then partitions move from subscribers that have most to
// those that have least until no topic gains by it.
func (b *board) spreadBySubscription() {
	topics := slices.Clone(b.topics)
	slices.SortFunc(topics, b.compareTopics)
	for _, id := range topics {
		b.assignFree(id)
	}
	quiet := 0 // topics in a row that did not gain
	for range maxRounds {
		for _, id := range topics {
			if len(b.subscribers[id]) < 2 || !b.balance(id) {
				quiet++
			} else {
				quiet = 0
			}
			if quiet >= len(topics) {
				return
			}
		}
	}
}

// compareTopics puts the topics first that leave least choice: many partitions for each
// subscriber, then few subscribers.
func (b *board) compareTopics(x, y TopicID) int {
	sx, sy := len(b.subscribers[x]), len(b.subscribers[y])
	// x before y when px/sx > py/sy
	load := cmp.Compare(len(b.owners[y])*sx, len(b.owners[x])*sy)
	return cmp.Or(load, cmp.Compare(sx, sy), compareIDs(x, y))
}

// assignFree gives the topic's free partitions to its subscribers.
func (b *board) assignFree(id TopicID) {
	q := b.queue(id, false)
	for p, owner := range b.owners[id] {
		if owner != nobody {
			continue
		}
		b.give(id, int32(p), q.order[0])
		heap.Fix(q, 0)
	}
}

// balance moves the topic's partitions from its fullest subscribers to its emptiest ones
// until they differ by at most one, or the full ones have none of this topic left. It
// reports whether it moved any.
func (b *board) balance(id TopicID) bool {
	emptiest, fullest := b.queue(id, false), b.queue(id, true)
	owned := make(map[int][]int32) // ascending; a partition moves at most once
	for p, m := range b.owners[id] {
		owned[m] = append(owned[m], int32(p))
	}
	moved := false
	for fullest.Len() > 0 {
		from, to := fullest.order[0], emptiest.order[0]
		if b.sizes[from]-b.sizes[to] <= 1 {
			break
		}
		if len(owned[from]) == 0 {
			fullest.drop()
			continue
		}
		last := len(owned[from]) - 1
		b.give(id, owned[from][last], to)
		owned[from] = owned[from][:last]
		moved = true
		heap.Fix(emptiest, 0)
		heap.Fix(fullest, 0)
		fullest.fix(to)
		emptiest.fix(from)
	}
	return moved
}

// queue is a heap of a topic's subscribers by the number of their partitions. Those with
// equally many go by rank: their order when the topic's turn began, by number of
// partitions and then by id; the fullest ones last to first.
type queue struct {
	b       *board
	order   []int
	place   map[int]int // of a member in order
	rank    map[int]int
	last    []int // members by rank, without those that were dropped
	fullest bool
}

func (b *board) queue(id TopicID, fullest bool) *queue {
	q := &queue{b: b, order: slices.Clone(b.subscribers[id]), fullest: fullest, place: make(map[int]int), rank: make(map[int]int)}
	slices.SortStableFunc(q.order, func(x, y int) int { return cmp.Compare(b.sizes[x], b.sizes[y]) })
	q.last = slices.Clone(q.order)
	for i, m := range q.order {
		q.place[m], q.rank[m] = i, i
	}
	heap.Init(q)
	return q
}

// drop takes the fullest member out, because it has nothing to give. The member that ranks
// last takes over its rank, as in Kafka.
func (q *queue) drop() {
	gone := heap.Pop(q).(int)
	end := len(q.last) - 1
	if heir := q.last[end]; heir != gone {
		q.rank[heir] = q.rank[gone]
		q.last[q.rank[heir]] = heir
		q.fix(heir)
	}
	q.last = q.last[:end]
}

// fix puts a member in its place after its number of partitions or rank changed.
func (q *queue) fix(m int) {
	if i, ok := q.place[m]; ok {
		heap.Fix(q, i)
	}
}

func (q *queue) Len() int { return len(q.order) }

func (q *queue) Less(i, j int) bool {
	x, y := q.order[i], q.order[j]
	c := cmp.Or(cmp.Compare(q.b.sizes[x], q.b.sizes[y]), cmp.Compare(q.rank[x], q.rank[y]))
	return c < 0 != q.fullest && c != 0
}

func (q *queue) Swap(i, j int) {
	q.order[i], q.order[j] = q.order[j], q.order[i]
	q.place[q.order[i]], q.place[q.order[j]] = i, j
}

func (q *queue) Push(x any) {
	q.order = append(q.order, x.(int))
	q.place[x.(int)] = len(q.order) - 1
}

func (q *queue) Pop() any {
	m := q.order[len(q.order)-1]
	q.order = q.order[:len(q.order)-1]
	delete(q.place, m)
	return m
}
