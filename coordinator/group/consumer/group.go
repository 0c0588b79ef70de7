package consumer

import (
	"math"
	"regexp"
	"slices"

	"github.com/millrace/millrace/coordinator/group/journal"
)

// Group is one group. The first block is what the log holds; the rest follows from it, or
// is lost at a restart.
type Group struct {
	id          string
	epoch       int32
	targetEpoch int32
	members     map[string]*Member
	target      map[string]Assignment
	topics      map[string]topic // what the group subscribes to and exists
	regexes     map[string]*journal.ConsumerRegex

	static       map[string]string // instance id to member id
	owners       map[partition]owner
	nameMembers  map[string]int // subscribed topic name to number of members
	regexMembers map[string]int // regular expression to number of members
	classic      int            // members of the classic protocol

	// checked is the metadata version by which topics was last compared; -1 for none.
	checked   int64
	compiled  map[string]*regexp.Regexp // of regexMembers
	deadlines map[string]*deadlines
	wakeMs    int64
}

type partition struct {
	topic TopicID
	index int32
}

// owner is the member that has a partition assigned or pending, and the epoch in which it
// came to it. After a restart that may be a later one, never an earlier one.
type owner struct {
	member string
	since  int32
}

type topic struct {
	id         TopicID
	partitions int32
}

// New makes an empty group with epoch 0: it exists for nobody until records are applied.
func New(id string) *Group {
	return &Group{
		id: id, members: make(map[string]*Member), target: make(map[string]Assignment), topics: make(map[string]topic),
		regexes: make(map[string]*journal.ConsumerRegex), static: make(map[string]string), owners: make(map[partition]owner),
		nameMembers: make(map[string]int), regexMembers: make(map[string]int), checked: -1,
		compiled: make(map[string]*regexp.Regexp), deadlines: make(map[string]*deadlines), wakeMs: math.MaxInt64,
	}
}

// State is the group's state, with Kafka's names.
type State string

// The states.
const (
	Empty       State = "Empty"
	Assigning   State = "Assigning"
	Reconciling State = "Reconciling"
	StableGroup State = "Stable"
)

// State tells how far the group is.
func (g *Group) State() State {
	if len(g.members) == 0 {
		return Empty
	}
	if g.epoch > g.targetEpoch {
		return Assigning
	}
	for _, m := range g.members {
		if !m.reconciled(g.targetEpoch) {
			return Reconciling
		}
	}
	return StableGroup
}

// Epoch is the group's epoch.
func (g *Group) Epoch() int32 { return g.epoch }

// TargetEpoch is the epoch of the target assignment.
func (g *Group) TargetEpoch() int32 { return g.targetEpoch }

// Len is the number of members.
func (g *Group) Len() int { return len(g.members) }

// Member returns a member, or nil.
func (g *Group) Member(id string) *Member { return g.members[id] }

// Members returns the members sorted by id.
func (g *Group) Members() []*Member {
	list := make([]*Member, 0, len(g.members))
	for _, id := range sortedKeys(g.members) {
		list = append(list, g.members[id])
	}
	return list
}

// Target is what the target assignment gives to a member.
func (g *Group) Target(member string) Assignment { return g.target[member] }

// Subscribed reports whether a member subscribes to the topic, by name or by a regular
// expression.
func (g *Group) Subscribed(topic string) bool {
	if g.nameMembers[topic] > 0 {
		return true
	}
	for regex := range g.regexMembers {
		if r := g.regexes[regex]; r != nil {
			if _, ok := slices.BinarySearch(r.Topics, topic); ok {
				return true
			}
		}
	}
	return false
}

// Tombstones are the records that remove the group from the log.
func (g *Group) Tombstones() []journal.ConsumerRecord {
	var out []journal.ConsumerRecord
	members := sortedKeys(g.members)
	for _, id := range members {
		out = append(out, tombstone(journal.KindConsumerCurrent, g.id, id))
	}
	for _, id := range sortedKeys(g.target) {
		out = append(out, tombstone(journal.KindConsumerTarget, g.id, id))
	}
	out = append(out, tombstone(journal.KindConsumerTargetEpoch, g.id, ""))
	for _, id := range members {
		out = append(out, tombstone(journal.KindConsumerMember, g.id, id))
	}
	for _, regex := range sortedKeys(g.regexes) {
		out = append(out, tombstone(journal.KindConsumerRegex, g.id, regex))
	}
	return append(out, tombstone(journal.KindConsumerTopics, g.id, ""), tombstone(journal.KindConsumerGroup, g.id, ""))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
