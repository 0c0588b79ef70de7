package record

import "encoding/binary"

// ControlType is the kind of a control record (Kafka's ControlRecordType).
type ControlType int16

// The control records that appear in partitions; the others belong to KRaft's own log.
const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// String returns the name as Kafka's dump tool prints it.
func (t ControlType) String() string {
	names := [...]string{"ABORT", "COMMIT", "LEADER_CHANGE", "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER", "KRAFT_VERSION", "KRAFT_VOTERS"}
	if t < 0 || int(t) >= len(names) {
		return "UNKNOWN"
	}
	return names[t]
}

// Control is the content of a control record. CoordinatorEpoch is that of the transaction
// coordinator for ABORT and COMMIT, else -1.
type Control struct {
	Version          int16
	Type             ControlType
	CoordinatorEpoch int32
}

// ParseControl reads a record of a batch for which IsControl holds: key = version, type; value
// of an end marker = version, coordinator epoch, all big-endian. Longer forms of a later
// version are read as far as they are known.
func ParseControl(r *Record) (Control, error) {
	if len(r.Key) < 4 {
		return Control{}, &CorruptError{Field: "control key length", Index: int(r.OffsetDelta), Got: int64(len(r.Key)), Want: 4}
	}
	c := Control{
		Version:          int16(binary.BigEndian.Uint16(r.Key)),
		Type:             ControlType(binary.BigEndian.Uint16(r.Key[2:])),
		CoordinatorEpoch: -1,
	}
	if c.Version < 0 {
		return Control{}, &CorruptError{Field: "control key version", Index: int(r.OffsetDelta), Got: int64(c.Version)}
	}
	if c.Type != ControlAbort && c.Type != ControlCommit {
		return c, nil
	}
	if len(r.Value) < 6 {
		return Control{}, &CorruptError{Field: "control value length", Index: int(r.OffsetDelta), Got: int64(len(r.Value)), Want: 6}
	}
	if v := int16(binary.BigEndian.Uint16(r.Value)); v < 0 {
		return Control{}, &CorruptError{Field: "control value version", Index: int(r.OffsetDelta), Got: int64(v)}
	}
	c.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
	return c, nil
}

// EndTxnMarker builds the control batch that ends a transaction of p (its BaseSequence is
// not used: markers have none).
func EndTxnMarker(t ControlType, p Producer, coordinatorEpoch int32, timestampMs int64) (Batch, error) {
	p.BaseSequence = NoSequence
	b := NewBuilder(BuilderOptions{LeaderEpoch: NoLeaderEpoch, Producer: &p, Transactional: true, Control: true})
	var key [4]byte
	binary.BigEndian.PutUint16(key[2:], uint16(t))
	var value [6]byte
	binary.BigEndian.PutUint32(value[2:], uint32(coordinatorEpoch))
	b.Append(timestampMs, key[:], value[:])
	return b.Finish()
}
