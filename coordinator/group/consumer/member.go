package consumer

import (
	"slices"

	"github.com/millrace/millrace/coordinator/group/journal"
)

// Epochs with a meaning of their own, in requests.
const (
	// EpochJoin asks to join, or to join again.
	EpochJoin int32 = 0
	// EpochLeave says that the member leaves.
	EpochLeave int32 = -1
	// EpochLeaveStatic says that a static member leaves and will be back; a member of the
	// group has it while it is away.
	EpochLeaveStatic int32 = -2
)

// MemberState is how far a member is with its assignment.
type MemberState int8

// The states, with Kafka's numbers.
const (
	// Stable: the member has what its epoch gives it.
	Stable MemberState = 0
	// UnrevokedPartitions: it must give up partitions before it can leave its epoch.
	UnrevokedPartitions MemberState = 1
	// UnreleasedPartitions: it waits for partitions that others have not given up yet.
	UnreleasedPartitions MemberState = 2
	// UnknownState is one that a later version wrote.
	UnknownState MemberState = 127
)

func (s MemberState) String() string {
	switch s {
	case Stable:
		return "STABLE"
	case UnrevokedPartitions:
		return "UNREVOKED_PARTITIONS"
	case UnreleasedPartitions:
		return "UNRELEASED_PARTITIONS"
	}
	return "UNKNOWN"
}

// Member is a member of a group. One that is part of a group never changes: a change makes
// a new one.
type Member struct {
	ID                 string
	InstanceID         string // "" for a dynamic member
	RackID             string
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32
	Topics             []string // sorted, unique
	Regex              string   // "" for none
	Assignor           string   // "" for any
	// Classic is set when the member speaks the classic protocol.
	Classic *journal.ConsumerClassic

	Epoch         int32
	PreviousEpoch int32
	State         MemberState
	// Assigned is what the member may use.
	Assigned Assignment
	// Pending is what it was told to give up and has not confirmed.
	Pending Assignment
}

func newMember(id string) *Member {
	return &Member{ID: id, RebalanceTimeoutMs: -1, PreviousEpoch: -1}
}

// reconciled reports whether the member has all that the target epoch gives it.
func (m *Member) reconciled(targetEpoch int32) bool {
	return m.State == Stable && m.Epoch == targetEpoch
}

// described compares what the member said about itself.
func (m *Member) described(o *Member) bool {
	return m.InstanceID == o.InstanceID && m.RackID == o.RackID && m.ClientID == o.ClientID && m.ClientHost == o.ClientHost &&
		m.RebalanceTimeoutMs == o.RebalanceTimeoutMs && m.Regex == o.Regex && m.Assignor == o.Assignor &&
		slices.Equal(m.Topics, o.Topics) && equalClassic(m.Classic, o.Classic)
}

func equalClassic(a, b *journal.ConsumerClassic) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SessionTimeoutMs == b.SessionTimeoutMs && slices.EqualFunc(a.Protocols, b.Protocols, func(x, y journal.ClassicProtocol) bool {
		return x.Name == y.Name && slices.Equal(x.Metadata, y.Metadata)
	})
}

// at compares where the member is.
func (m *Member) at(o *Member) bool {
	return m.Epoch == o.Epoch && m.PreviousEpoch == o.PreviousEpoch && m.State == o.State && m.Assigned.Equal(o.Assigned) && m.Pending.Equal(o.Pending)
}

func (m *Member) moveTo(epoch int32) { m.Epoch, m.PreviousEpoch = epoch, m.Epoch }

func sortedNames(names []string) []string {
	s := slices.Clone(names)
	slices.Sort(s)
	return slices.Compact(s)
}

func memberRecord(group string, m *Member) journal.ConsumerRecord {
	return journal.ConsumerRecord{Kind: journal.KindConsumerMember, Group: group, Name: m.ID, Member: &journal.ConsumerMember{
		InstanceID: m.InstanceID, RackID: m.RackID, ClientID: m.ClientID, ClientHost: m.ClientHost,
		SubscribedTopicNames: m.Topics, SubscribedTopicRegex: m.Regex, RebalanceTimeoutMs: m.RebalanceTimeoutMs,
		ServerAssignor: m.Assignor, Classic: m.Classic,
	}}
}

func currentRecord(group string, m *Member) journal.ConsumerRecord {
	return journal.ConsumerRecord{Kind: journal.KindConsumerCurrent, Group: group, Name: m.ID, Current: &journal.ConsumerCurrent{
		MemberEpoch: m.Epoch, PreviousMemberEpoch: m.PreviousEpoch, State: int8(m.State),
		Assigned: toList(m.Assigned), PendingRevocation: toList(m.Pending),
	}}
}

func targetRecord(group, member string, a Assignment) journal.ConsumerRecord {
	return journal.ConsumerRecord{Kind: journal.KindConsumerTarget, Group: group, Name: member, Target: toList(a)}
}

func tombstone(kind journal.Kind, group, name string) journal.ConsumerRecord {
	return journal.ConsumerRecord{Kind: kind, Group: group, Name: name, Deleted: true}
}

func toList(a Assignment) []journal.TopicPartitions {
	list := make([]journal.TopicPartitions, 0, len(a))
	for _, id := range a.Topics() {
		list = append(list, journal.TopicPartitions{TopicID: id, Partitions: a[id]})
	}
	return list
}

func fromList(list []journal.TopicPartitions) Assignment {
	a := make(Assignment, len(list))
	for _, t := range list {
		if len(t.Partitions) > 0 {
			a[t.TopicID] = append(a[t.TopicID], t.Partitions...)
		}
	}
	for id, parts := range a {
		slices.Sort(parts)
		a[id] = slices.Compact(parts)
	}
	return a
}
