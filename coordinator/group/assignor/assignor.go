// Package assignor spreads partitions over the members of a consumer group: Kafka's two
// server-side assignors (KIP-848), uniform and range.
//
// An assignor is a pure function of a Spec. Its result depends on nothing else, not even on
// the order of Spec.Members: where Apache Kafka's order is that of a hash map, ours is
// sorted, so that the same group always gets the same answer.
//
// Every partition of every subscribed topic is given to exactly one member that subscribes
// to it, as long as the topic has a subscriber.
//
// Only package consumer calls it.
package assignor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// TopicID is Kafka's 128-bit topic id.
type TopicID = [16]byte

// Assignment is partitions by topic. The partitions of a topic are sorted and unique, and
// no topic has an empty list. It is shared: nobody writes to one that somebody else has.
type Assignment map[TopicID][]int32

// Member is one member as an assignor sees it.
type Member struct {
	ID         string
	InstanceID string // "" for a dynamic member
	RackID     string
	// Topics are the ids of the topics that the member subscribes to, without repetition.
	Topics []TopicID
	// Owned is what the last assignment gave to the member.
	Owned Assignment
}

// Spec is what an assignment is made from.
type Spec struct {
	Members []Member
	// Partitions is the number of partitions of every topic that a member subscribes to.
	Partitions map[TopicID]int32
}

// Assignor makes assignments.
type Assignor interface {
	// Name is the name by which members ask for the assignor.
	Name() string
	// Assign returns an assignment for every member, which may be empty. It fails when a
	// member subscribes to a topic that Spec.Partitions does not know.
	Assign(spec Spec) (map[string]Assignment, error)
}

// ByName returns the assignor with a name, or nil. Kafka's class names are names too: its
// configuration has them.
func ByName(name string) Assignor {
	switch name {
	case "uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor":
		return Uniform{}
	case "range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor":
		return Range{}
	}
	return nil
}

// UnknownTopicError is a subscription to a topic that does not exist.
type UnknownTopicError struct{ ID TopicID }

func (e *UnknownTopicError) Error() string {
	return fmt.Sprintf("members are subscribed to topic %x, which does not exist in the topic metadata", e.ID)
}

func (s *Spec) check() error {
	for i := range s.Members {
		for _, id := range s.Members[i].Topics {
			if _, ok := s.Partitions[id]; !ok {
				return &UnknownTopicError{ID: id}
			}
		}
	}
	return nil
}

// homogeneous reports whether all members subscribe to the same topics.
func (s *Spec) homogeneous() bool {
	counts := make(map[TopicID]int)
	for i := range s.Members {
		for _, id := range s.Members[i].Topics {
			counts[id]++
		}
	}
	for _, n := range counts {
		if n != len(s.Members) {
			return false
		}
	}
	return true
}

// compareIDs orders topic ids as Kafka's Uuid does: by their two halves, as signed numbers.
func compareIDs(a, b TopicID) int {
	half := func(id TopicID, at int) int64 { return int64(binary.BigEndian.Uint64(id[at:])) }
	return cmp.Or(cmp.Compare(half(a, 0), half(b, 0)), cmp.Compare(half(a, 8), half(b, 8)))
}

func sortedTopics[V any](topics map[TopicID]V) []TopicID {
	ids := make([]TopicID, 0, len(topics))
	for id := range topics {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// Equal compares two assignments.
func (a Assignment) Equal(b Assignment) bool {
	if len(a) != len(b) {
		return false
	}
	for id, parts := range a {
		if !slices.Equal(parts, b[id]) {
			return false
		}
	}
	return true
}

// Size is the number of partitions.
func (a Assignment) Size() int {
	n := 0
	for _, parts := range a {
		n += len(parts)
	}
	return n
}

// Has reports whether the partition is part of the assignment.
func (a Assignment) Has(id TopicID, partition int32) bool {
	_, ok := slices.BinarySearch(a[id], partition)
	return ok
}

// Topics returns the topic ids, sorted by their bytes.
func (a Assignment) Topics() []TopicID {
	ids := make([]TopicID, 0, len(a))
	for id := range a {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y TopicID) int { return bytes.Compare(x[:], y[:]) })
	return ids
}

// Clone returns a copy that may be written to.
func (a Assignment) Clone() Assignment {
	c := make(Assignment, len(a))
	for id, parts := range a {
		c[id] = slices.Clone(parts)
	}
	return c
}
