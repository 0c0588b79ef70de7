package journal

// Offset is the value of a committed offset (OffsetCommitValue).
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // -1 for none
	Metadata    string
	// CommitTimeMs is when it was committed, ExpireTimeMs when it is to be forgotten if the
	// client asked for that (OffsetCommit before version 5), else -1; Unix time.
	CommitTimeMs int64
	ExpireTimeMs int64
}

// Versions of OffsetCommitValue: 1 is the only one with an expiry, 2 lost it, 3 has the
// leader epoch, 4 is flexible.
const (
	offsetExpiring  = 1
	offsetCurrent   = 3
	offsetLastKnown = 4
)

// ReadOffset reads a value of any version.
func ReadOffset(value []byte) (Offset, error) {
	r := reader{what: "OffsetCommitValue", b: value}
	o := Offset{LeaderEpoch: -1, ExpireTimeMs: -1}
	version := r.int16("version")
	if version < 0 || version > offsetLastKnown {
		r.fail("version %d is not known (0 to %d are)", version, offsetLastKnown)
	}
	r.flex = version >= 4
	o.Offset = r.int64("offset")
	if version >= 3 {
		o.LeaderEpoch = r.int32("leader epoch")
	}
	o.Metadata = r.string("metadata")
	o.CommitTimeMs = r.int64("commit timestamp")
	if version == offsetExpiring {
		o.ExpireTimeMs = r.int64("expire timestamp")
	}
	r.skipTags()
	return o, r.end()
}

// Append appends the value as Kafka writes it: version 3, or 1 when there is an expiry,
// which then costs it the leader epoch.
func (o *Offset) Append(dst []byte) []byte {
	expiring := o.ExpireTimeMs >= 0
	version := int16(offsetCurrent)
	if expiring {
		version = offsetExpiring
	}
	dst = appendInt16(dst, version)
	dst = appendInt64(dst, o.Offset)
	if !expiring {
		dst = appendInt32(dst, o.LeaderEpoch)
	}
	dst = appendString(dst, o.Metadata)
	dst = appendInt64(dst, o.CommitTimeMs)
	if expiring {
		dst = appendInt64(dst, o.ExpireTimeMs)
	}
	return dst
}

// OffsetRecord is the record that commits an offset.
func OffsetRecord(group, topic string, partition int32, o *Offset) Record {
	return Record{Key: OffsetKey(group, topic, partition), Value: o.Append(make([]byte, 0, 2+8+4+2+len(o.Metadata)+8))}
}

// OffsetTombstone is the record that forgets an offset.
func OffsetTombstone(group, topic string, partition int32) Record {
	return Record{Key: OffsetKey(group, topic, partition)}
}
