package dumplog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// Layout shared by all message formats: offset int64, size int32, then the batch, whose
// magic byte lies at the same place in each.
const (
	sizePos      = 8
	overhead     = 12
	magicPos     = 16
	leastBody    = 14 // a message of format 0 without key and value
	legacyHead   = 18 // crc, magic and attributes after the overhead
	maxLegacyLen = 128 << 20
)

// entry is a batch of any format.
type entry struct {
	raw    []byte
	v2     record.Batch // nil for formats 0 and 1
	legacy *legacy
}

// rec is a record of any format.
type rec struct {
	offset, timestamp int64
	sequence          int32
	key, value        []byte
	headers           []string
	control           *record.Record // set for control records
	crc               uint32         // formats 0 and 1
	valid             bool
}

// next cuts the first batch off b; nil when what is left is no whole batch.
func next(b []byte) *entry {
	if len(b) < magicPos+1 {
		return nil
	}
	size := int(int32(binary.BigEndian.Uint32(b[sizePos:])))
	if size < leastBody || size > len(b)-overhead {
		return nil
	}
	e := &entry{raw: b[:overhead+size]}
	switch b[magicPos] {
	case 0, 1:
		e.legacy = parseLegacy(e.raw)
		if e.legacy == nil {
			return nil
		}
	case record.CurrentMagic:
		if size+overhead < record.HeaderBytes {
			return nil
		}
		e.v2 = record.Batch(e.raw)
	default:
		return nil
	}
	return e
}

func (e *entry) baseOffset() int64 {
	if e.v2 != nil {
		return e.v2.BaseOffset()
	}
	return e.legacy.offset
}

func (e *entry) lastOffset() int64 {
	if e.v2 != nil {
		return e.v2.LastOffset()
	}
	return e.legacy.offset
}

// firstOffset is that of the first record, which Kafka 1.0 compared indexes with.
func (e *entry) firstOffset() int64 {
	first := e.baseOffset()
	_ = e.records(func(r *rec) error {
		first = r.offset
		return record.ErrStop
	})
	return first
}

func (e *entry) codec() compress.Codec {
	if e.v2 != nil {
		return e.v2.Codec()
	}
	return e.legacy.codec
}

func (e *entry) isValid() bool {
	if e.v2 != nil {
		return e.v2.CheckCRC() == nil
	}
	return e.legacy.valid
}

func (e *entry) crc() uint32 {
	if e.v2 != nil {
		return e.v2.CRC()
	}
	return e.legacy.crc
}

func (e *entry) maxTimestamp() int64 {
	if e.v2 != nil {
		return e.v2.MaxTimestamp()
	}
	return e.legacy.timestamp
}

func (e *entry) timestampType() string {
	switch {
	case e.v2 == nil && e.legacy.magic == 0:
		return "NoTimestampType"
	case e.v2 == nil && e.legacy.appendTime, e.v2 != nil && e.v2.TimestampType() == record.LogAppendTime:
		return "LogAppendTime"
	}
	return "CreateTime"
}

// records calls f with each record; record.ErrStop ends it without an error.
func (e *entry) records(f func(*rec) error) error {
	if e.v2 == nil {
		err := e.legacy.records(f)
		if errors.Is(err, record.ErrStop) {
			err = nil
		}
		return err
	}
	control, base := e.v2.IsControl(), e.v2.BaseSequence()
	return e.v2.Iterate(nil, func(in *record.Record) error {
		r := &rec{offset: in.Offset, timestamp: in.Timestamp, key: in.Key, value: in.Value, sequence: record.NoSequence}
		if base >= 0 {
			r.sequence = record.NextSequence(base, in.OffsetDelta)
		}
		if control {
			r.control = in
		}
		if err := in.Headers(func(key, _ []byte) bool { r.headers = append(r.headers, text(key)); return true }); err != nil {
			return err
		}
		return f(r)
	})
}

// legacy is a message of format 0 or 1, or a compressed set of them:
// offset, size, crc int32, magic int8, attributes int8, [timestamp int64], key, value.
type legacy struct {
	offset, timestamp int64
	magic             byte
	crc               uint32
	valid             bool
	codec             compress.Codec
	appendTime        bool
	key, value        []byte
}

func parseLegacy(b []byte) *legacy {
	l := &legacy{
		offset: int64(binary.BigEndian.Uint64(b)), crc: binary.BigEndian.Uint32(b[overhead:]), magic: b[magicPos],
		codec: compress.Codec(b[magicPos+1] & 7), appendTime: b[magicPos+1]&8 != 0, timestamp: -1,
	}
	l.valid = crc32.ChecksumIEEE(b[magicPos:]) == l.crc
	rest := b[legacyHead:]
	if l.magic == 1 {
		if len(rest) < 8 {
			return nil
		}
		l.timestamp, rest = int64(binary.BigEndian.Uint64(rest)), rest[8:]
	}
	var ok bool
	if l.key, rest, ok = legacyBytes(rest); !ok {
		return nil
	}
	if l.value, _, ok = legacyBytes(rest); !ok {
		return nil
	}
	return l
}

// legacyBytes reads bytes with an int32 length in front; -1 is null.
func legacyBytes(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	if n < 0 {
		return nil, b, true
	}
	if int(n) > len(b) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// records unwraps a compressed set. Offsets in it are relative to that of its last
// message in format 1, absolute in format 0.
func (l *legacy) records(f func(*rec) error) error {
	if l.codec == compress.None {
		return f(l.record())
	}
	plain, err := compress.Decompress(nil, l.value, l.codec, maxLegacyLen)
	if err != nil {
		return err
	}
	var inner []*legacy
	for len(plain) > 0 {
		e := next(plain)
		if e == nil || e.legacy == nil {
			return record.ErrShort
		}
		inner = append(inner, e.legacy)
		plain = plain[len(e.raw):]
	}
	if len(inner) == 0 {
		return nil
	}
	shift := int64(0)
	if l.magic == 1 {
		shift = l.offset - inner[len(inner)-1].offset
	}
	for _, m := range inner {
		m.offset += shift
		if l.appendTime {
			m.timestamp = l.timestamp
		}
		if err := f(m.record()); err != nil {
			return err
		}
	}
	return nil
}

func (l *legacy) record() *rec {
	return &rec{offset: l.offset, timestamp: l.timestamp, sequence: record.NoSequence, key: l.key, value: l.value, crc: l.crc, valid: l.valid}
}
