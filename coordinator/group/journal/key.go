package journal

// Kind is what a record is about: the version in front of its key. Kinds from 3 on belong
// to groups of the new protocol (KIP-848) and to later ones.
type Kind int16

// The kinds of this package.
const (
	// KindOffsetOld is a committed offset of a key version that was written before 0.9.
	KindOffsetOld Kind = 0
	// KindOffset is a committed offset.
	KindOffset Kind = 1
	// KindGroup is a classic group.
	KindGroup Kind = 2
)

// Record is a key with its value; a nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Key is a decoded key.
type Key struct {
	Kind  Kind
	Group string
	// Topic and Partition are set for offsets.
	Topic     string
	Partition int32
}

// KindOf tells what a key is about, also of kinds that this package does not read.
func KindOf(key []byte) (Kind, error) {
	r := reader{what: "key", b: key}
	kind := Kind(r.int16("kind"))
	return kind, r.err
}

// ReadKey reads a key of the kinds above; others are a *FormatError.
func ReadKey(key []byte) (Key, error) {
	r := reader{what: "key", b: key}
	k := Key{Kind: Kind(r.int16("kind"))}
	switch k.Kind {
	case KindOffsetOld, KindOffset:
		r.what = "OffsetCommitKey"
		k.Group, k.Topic, k.Partition = r.string("group"), r.string("topic"), r.int32("partition")
	case KindGroup:
		r.what = "GroupMetadataKey"
		k.Group = r.string("group")
	default:
		r.fail("kind %d is not known", k.Kind)
	}
	return k, r.end()
}

// OffsetKey is the key of a committed offset.
func OffsetKey(group, topic string, partition int32) []byte {
	b := make([]byte, 0, 2+2+len(group)+2+len(topic)+4)
	b = appendInt16(b, int16(KindOffset))
	b = appendString(b, group)
	b = appendString(b, topic)
	return appendInt32(b, partition)
}

// GroupKey is the key of a classic group.
func GroupKey(group string) []byte {
	b := make([]byte, 0, 2+2+len(group))
	b = appendInt16(b, int16(KindGroup))
	return appendString(b, group)
}
