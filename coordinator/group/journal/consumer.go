package journal

import "encoding/binary"

// The kinds of records that keep a group of the new protocol (KIP-848).
const (
	// KindConsumerGroup is the group's epoch.
	KindConsumerGroup Kind = 3
	// KindConsumerTopics is the topics that the group subscribes to, as they were when its
	// last assignment was made.
	KindConsumerTopics Kind = 4
	// KindConsumerMember is what a member said about itself.
	KindConsumerMember Kind = 5
	// KindConsumerTargetEpoch is the group epoch that the target assignment was made for.
	KindConsumerTargetEpoch Kind = 6
	// KindConsumerTarget is a member's part of the target assignment.
	KindConsumerTarget Kind = 7
	// KindConsumerCurrent is how far a member has come.
	KindConsumerCurrent Kind = 8
	// KindConsumerRegex is the topics that match a regular expression.
	KindConsumerRegex Kind = 16
)

// IsConsumer reports whether the kind belongs to a group of the new protocol.
func (k Kind) IsConsumer() bool {
	return k >= KindConsumerGroup && k <= KindConsumerCurrent || k == KindConsumerRegex
}

// hasName reports whether the key holds a name after the group's: a member's id or a
// regular expression.
func (k Kind) hasName() bool {
	switch k {
	case KindConsumerMember, KindConsumerTarget, KindConsumerCurrent, KindConsumerRegex:
		return true
	}
	return false
}

// ConsumerRecord is one decoded record of such a group. Of the fields after Deleted, those
// of its kind are set.
type ConsumerRecord struct {
	Kind  Kind
	Group string
	// Name is a member id, or the regular expression, for the kinds that have one.
	Name string
	// Deleted marks a tombstone.
	Deleted bool

	Epoch   int32             // KindConsumerGroup, KindConsumerTargetEpoch
	Topics  []ConsumerTopic   // KindConsumerTopics
	Member  *ConsumerMember   // KindConsumerMember
	Target  []TopicPartitions // KindConsumerTarget
	Current *ConsumerCurrent  // KindConsumerCurrent
	Regex   *ConsumerRegex    // KindConsumerRegex
}

// ConsumerTopic is a topic of ConsumerGroupPartitionMetadataValue.
type ConsumerTopic struct {
	ID            [16]byte
	Name          string
	NumPartitions int32
}

// ConsumerMember is ConsumerGroupMemberMetadataValue. Empty strings are written as null
// where the format has null.
type ConsumerMember struct {
	InstanceID           string
	RackID               string
	ClientID             string
	ClientHost           string
	SubscribedTopicNames []string
	SubscribedTopicRegex string
	RebalanceTimeoutMs   int32
	ServerAssignor       string
	// Classic is set for a member that speaks the classic protocol.
	Classic *ConsumerClassic
}

// ConsumerClassic is how a member of the classic protocol joined.
type ConsumerClassic struct {
	SessionTimeoutMs int32
	Protocols        []ClassicProtocol
}

// ClassicProtocol is one of the protocols that a member offered, with its subscription.
type ClassicProtocol struct {
	Name     string
	Metadata []byte
}

// ConsumerCurrent is ConsumerGroupCurrentMemberAssignmentValue.
type ConsumerCurrent struct {
	MemberEpoch         int32
	PreviousMemberEpoch int32
	State               int8
	Assigned            []TopicPartitions
	PendingRevocation   []TopicPartitions
}

// ConsumerRegex is ConsumerGroupRegularExpressionValue.
type ConsumerRegex struct {
	Topics []string
	// Version of the metadata that it was resolved by.
	Version int64
	// TimestampMs is when, Unix time.
	TimestampMs int64
}

// TopicPartitions is partitions of one topic.
type TopicPartitions struct {
	TopicID    [16]byte
	Partitions []int32
}

// Record encodes the record as Kafka does.
func (c *ConsumerRecord) Record() Record {
	key := appendString(appendInt16(make([]byte, 0, 6+len(c.Group)+len(c.Name)), int16(c.Kind)), c.Group)
	if c.Kind.hasName() {
		key = appendString(key, c.Name)
	}
	if c.Deleted {
		return Record{Key: key}
	}
	value := appendInt16(make([]byte, 0, 64), 0) // the version of all of them
	switch c.Kind {
	case KindConsumerGroup, KindConsumerTargetEpoch:
		value = appendInt32(value, c.Epoch)
	case KindConsumerTopics:
		value = appendTopics(value, c.Topics)
	case KindConsumerMember:
		return Record{Key: key, Value: c.Member.append(value)} // it has its own tags
	case KindConsumerTarget:
		value = appendPartitions(value, c.Target)
	case KindConsumerCurrent:
		value = appendInt32(value, c.Current.MemberEpoch)
		value = appendInt32(value, c.Current.PreviousMemberEpoch)
		value = append(value, byte(c.Current.State))
		value = appendPartitions(value, c.Current.Assigned)
		value = appendPartitions(value, c.Current.PendingRevocation)
	case KindConsumerRegex:
		value = appendCompactStrings(value, c.Regex.Topics)
		value = appendInt64(value, c.Regex.Version)
		value = appendInt64(value, c.Regex.TimestampMs)
	}
	return Record{Key: key, Value: append(value, 0)} // no tags
}

func appendTopics(dst []byte, topics []ConsumerTopic) []byte {
	dst = appendCount(dst, len(topics))
	for i := range topics {
		dst = append(dst, topics[i].ID[:]...)
		dst = appendCompactString(dst, topics[i].Name)
		dst = appendInt32(dst, topics[i].NumPartitions)
		dst = append(dst, 1, 0) // no racks of partitions, no tags
	}
	return dst
}

func (m *ConsumerMember) append(dst []byte) []byte {
	dst = appendCompactNull(dst, m.InstanceID)
	dst = appendCompactNull(dst, m.RackID)
	dst = appendCompactString(dst, m.ClientID)
	dst = appendCompactString(dst, m.ClientHost)
	dst = appendCompactStrings(dst, m.SubscribedTopicNames)
	dst = appendCompactNull(dst, m.SubscribedTopicRegex)
	dst = appendInt32(dst, m.RebalanceTimeoutMs)
	dst = appendCompactNull(dst, m.ServerAssignor)
	if m.Classic == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1, 0) // one tag, number 0
	content := m.Classic.append([]byte{1})
	return append(appendUvarint(dst, len(content)), content...)
}

func (c *ConsumerClassic) append(dst []byte) []byte {
	dst = appendInt32(dst, c.SessionTimeoutMs)
	dst = appendCount(dst, len(c.Protocols))
	for i := range c.Protocols {
		dst = appendCompactString(dst, c.Protocols[i].Name)
		dst = appendCount(dst, len(c.Protocols[i].Metadata))
		dst = append(append(dst, c.Protocols[i].Metadata...), 0)
	}
	return append(dst, 0)
}

func appendPartitions(dst []byte, topics []TopicPartitions) []byte {
	dst = appendCount(dst, len(topics))
	for i := range topics {
		dst = append(dst, topics[i].TopicID[:]...)
		dst = appendCount(dst, len(topics[i].Partitions))
		for _, p := range topics[i].Partitions {
			dst = appendInt32(dst, p)
		}
		dst = append(dst, 0)
	}
	return dst
}

func appendUvarint(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

// appendCount appends the count of a compact array, or the length of compact bytes.
func appendCount(dst []byte, n int) []byte { return appendUvarint(dst, n+1) }

func appendCompactString(dst []byte, s string) []byte {
	return append(appendCount(dst, len(s)), s...)
}

func appendCompactNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, 0)
	}
	return appendCompactString(dst, s)
}

func appendCompactStrings(dst []byte, list []string) []byte {
	dst = appendCount(dst, len(list))
	for _, s := range list {
		dst = appendCompactString(dst, s)
	}
	return dst
}
