// Package offsets is what one group has committed, with Kafka's rules for how long it is
// kept (KIP-211). It is pure: no lock, clock or I/O. A Table belongs to one group of package
// group's shell, which calls it with its own lock held.
package offsets

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/coordinator/group/journal"
)

// Committed is a committed offset. RecordOffset is where it lies in __consumer_offsets.
type Committed struct {
	journal.Offset
	RecordOffset int64
}

// Table is the committed offsets of one group. Its zero value is empty.
type Table struct {
	topics map[string]map[int32]Committed
	count  int
}

// TopicPartition names an offset of a Table.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Len is how many offsets there are.
func (t *Table) Len() int { return t.count }

// Get looks an offset up.
func (t *Table) Get(topic string, partition int32) (Committed, bool) {
	c, ok := t.topics[topic][partition]
	return c, ok
}

// Set notes a commit, unless a later record is known.
func (t *Table) Set(topic string, partition int32, c Committed) {
	of := t.topics[topic]
	if of == nil {
		if t.topics == nil {
			t.topics = map[string]map[int32]Committed{}
		}
		of = map[int32]Committed{}
		t.topics[topic] = of
	}
	old, known := of[partition]
	if known && old.RecordOffset > c.RecordOffset {
		return
	}
	if !known {
		t.count++
	}
	of[partition] = c
}

// Remove forgets an offset, and reports whether there was one.
func (t *Table) Remove(topic string, partition int32) bool {
	of := t.topics[topic]
	if _, ok := of[partition]; !ok {
		return false
	}
	delete(of, partition)
	if len(of) == 0 {
		delete(t.topics, topic)
	}
	t.count--
	return true
}

// RemoveUntil forgets an offset whose record is not later than recordOffset: a commit that
// came after a tombstone stays.
func (t *Table) RemoveUntil(topic string, partition int32, recordOffset int64) {
	if c, ok := t.Get(topic, partition); ok && c.RecordOffset <= recordOffset {
		t.Remove(topic, partition)
	}
}

// Topics are the topics that have offsets, sorted.
func (t *Table) Topics() []string {
	names := make([]string, 0, len(t.topics))
	for name := range t.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Partitions are the partitions of a topic that have offsets, sorted.
func (t *Table) Partitions(topic string) []int32 {
	of := t.topics[topic]
	all := make([]int32, 0, len(of))
	for p := range of {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// All calls f for each offset, in no order, until it returns false.
func (t *Table) All(f func(tp TopicPartition, c Committed) bool) {
	for topic, of := range t.topics {
		for partition, c := range of {
			if !f(TopicPartition{topic, partition}, c) {
				return
			}
		}
	}
}

// Keys returns what f picks, sorted.
func (t *Table) Keys(f func(tp TopicPartition, c Committed) bool) []TopicPartition {
	var picked []TopicPartition
	t.All(func(tp TopicPartition, c Committed) bool {
		if f(tp, c) {
			picked = append(picked, tp)
		}
		return true
	})
	slices.SortFunc(picked, func(a, b TopicPartition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return picked
}
