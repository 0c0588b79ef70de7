package record

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/millrace/millrace/record/compress"
)

// HeaderBytes is the size of a v2 batch without records.
const HeaderBytes = 61

// CurrentMagic is the only batch version that is read and written (KIP-98).
const CurrentMagic = 2

// What the fields hold when there is nothing to hold (Kafka's RecordBatch constants).
const (
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoTimestamp     int64 = -1
	NoLeaderEpoch   int32 = -1
)

// Byte positions of the header fields, from the start of the batch.
const (
	posBaseOffset      = 0
	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posCount           = 57

	lengthEnd = posLength + 4 // the length field counts the bytes after itself
)

// Attribute bits of a batch.
const (
	attrCodecMask     = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40 // KIP-534: base timestamp holds the delete horizon
	attrKnown         = 0x7f
)

// TimestampType says who set a record's timestamp (message.timestamp.type).
type TimestampType int8

// The two timestamp types.
const (
	CreateTime TimestampType = iota
	LogAppendTime
)

// String returns the name as in Kafka's configuration.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// Batch is one complete v2 batch, a view: it shares memory with what it was cut from.
type Batch []byte

// BaseOffset is the offset of the first record when the batch was written; compaction may
// have removed that record since.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[posBaseOffset:])) }

// LastOffset is the offset of the last record that the batch was written with.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after LastOffset.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// SizeBytes is the size of the whole batch, from its length field.
func (b Batch) SizeBytes() int { return int(int32(binary.BigEndian.Uint32(b[posLength:]))) + lengthEnd }

// LeaderEpoch is the epoch of the leader that wrote the batch, -1 as sent by a client.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[posLeaderEpoch:])) }

// Magic is the version of the batch.
func (b Batch) Magic() int8 { return int8(b[posMagic]) }

// CRC is the checksum as stored; CheckCRC compares it.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[posCRC:]) }

// Attributes is the raw attribute field.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec is the compression of the records; a value above compress.Zstd is not known.
func (b Batch) Codec() compress.Codec { return compress.Codec(b[posAttributes+1] & attrCodecMask) }

// IsTransactional says whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b[posAttributes+1]&attrTransactional != 0 }

// IsControl says whether the batch holds a control record instead of data.
func (b Batch) IsControl() bool { return b[posAttributes+1]&attrControl != 0 }

// TimestampType says what the timestamps of the records mean.
func (b Batch) TimestampType() TimestampType {
	if b[posAttributes+1]&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// HasDeleteHorizon says whether BaseTimestamp is the time (ms) from which the cleaner may
// remove the tombstones and markers of the batch. Record timestamps stay relative to it.
func (b Batch) HasDeleteHorizon() bool { return b[posAttributes+1]&attrDeleteHorizon != 0 }

// LastOffsetDelta is LastOffset - BaseOffset.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[posLastOffsetDelta:]))
}

// BaseTimestamp (ms) is what the timestamp deltas of the records are added to.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posBaseTimestamp:])) }

// MaxTimestamp (ms) is the largest timestamp of the batch; under LogAppendTime it is the
// timestamp of every record.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])) }

// ProducerID is the id of an idempotent producer, negative when there is none.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[posProducerID:])) }

// HasProducerID says whether epoch and sequence mean anything: several clients that are not
// idempotent leave zeros there instead of -1.
func (b Batch) HasProducerID() bool { return b.ProducerID() >= 0 }

// ProducerEpoch is the epoch of the producer id.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }

// BaseSequence is the sequence number of the first record.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[posBaseSequence:])) }

// LastSequence is the sequence number of the last record; numbers go on at 0 after 2^31-1.
// It is -1 when the batch has no sequence.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base < 0 {
		return NoSequence
	}
	return NextSequence(base, b.LastOffsetDelta())
}

// NextSequence is seq advanced by n >= 0, going on at 0 after 2^31-1.
func NextSequence(seq, n int32) int32 { return int32((int64(seq) + int64(n)) & 0x7fffffff) }

// Count is the number of records that the header claims.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[posCount:])) }

// Records is what follows the header: records, compressed as Codec says.
func (b Batch) Records() []byte { return b[HeaderBytes:] }

// Stamp writes what the leader assigns: base offset and leader epoch, which the CRC leaves out.
func (b Batch) Stamp(baseOffset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(leaderEpoch))
}

// SetAppendTime makes ms the timestamp of every record (message.timestamp.type=LogAppendTime)
// and computes the CRC anew.
func (b Batch) SetAppendTime(ms int64) {
	b[posAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ms))
	b.putCRC()
}

// SetMaxTimestamp corrects the largest create time when a client stated another one than its
// records have; it computes the CRC anew only if something changes.
func (b Batch) SetMaxTimestamp(ms int64) {
	if b.MaxTimestamp() == ms && b.TimestampType() == CreateTime {
		return
	}
	b[posAttributes+1] &^= attrLogAppendTime
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ms))
	b.putCRC()
}

// CheckCRC compares the stored checksum with the bytes; a *CorruptError tells both.
func (b Batch) CheckCRC() error {
	if got := crc32.Checksum(b[posAttributes:], castagnoli); got != b.CRC() {
		return &CorruptError{Field: "crc", Index: -1, Got: int64(got), Want: int64(b.CRC())}
	}
	return nil
}

func (b Batch) putCRC() {
	binary.BigEndian.PutUint32(b[posCRC:], crc32.Checksum(b[posAttributes:], castagnoli))
}

// castagnoli is read only; MakeTable returns the one table that has hardware support.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
