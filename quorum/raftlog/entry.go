package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// The key of an entry's record. It repeats index and term, because the CRC of a batch covers
// neither its base offset nor its leader epoch.
const (
	keyFormat   = 1 // the only one so far, in the first byte
	keyType     = 1
	keyIndex    = 2
	keyTerm     = 10
	keyCommit   = 18 // the commit index that was staged
	keyBefore   = 26 // entries of the same write that lie before this one
	keySeconds  = 30 // AppendedAt, as Unix seconds
	keyNanos    = 38
	keyBytes    = 42
	extensions  = "ext" // the header that holds Log.Extensions
	maxLogType  = raft.LogConfiguration
	noTimestamp = record.NoTimestamp
)

// entry is what a batch of the log says.
type entry struct {
	log    raft.Log // Data and Extensions share memory with the batch
	commit uint64
	before uint64
}

// encoder appends entries to a buffer. Its memory is used again.
type encoder struct {
	b   record.Builder
	key [keyBytes]byte
}

// append adds l as one batch to dst.
func (e *encoder) append(dst []byte, l *raft.Log, commit uint64, before int) ([]byte, error) {
	if l.Index == 0 || l.Index > math.MaxInt64-1 || l.Type > maxLogType {
		return dst, fmt.Errorf("entry %d of type %d can not be stored", l.Index, l.Type)
	}
	k := e.key[:]
	k[0], k[keyType] = keyFormat, byte(l.Type)
	binary.BigEndian.PutUint64(k[keyIndex:], l.Index)
	binary.BigEndian.PutUint64(k[keyTerm:], l.Term)
	binary.BigEndian.PutUint64(k[keyCommit:], commit)
	binary.BigEndian.PutUint32(k[keyBefore:], uint32(before))
	binary.BigEndian.PutUint64(k[keySeconds:], uint64(l.AppendedAt.Unix()))
	binary.BigEndian.PutUint32(k[keyNanos:], uint32(l.AppendedAt.Nanosecond()))
	e.b.Reset(record.BuilderOptions{BaseOffset: int64(l.Index), LeaderEpoch: epochOf(l.Term)})
	if l.Extensions == nil {
		e.b.Append(timestampOf(l.AppendedAt), k, l.Data)
	} else {
		e.b.Append(timestampOf(l.AppendedAt), k, l.Data, record.Header{Key: extensions, Value: l.Extensions})
	}
	batch, err := e.b.Finish()
	if err != nil {
		return dst, fmt.Errorf("entry %d of %d bytes: %w", l.Index, len(l.Data), err)
	}
	return append(dst, batch...), nil
}

// epochOf is the batch's leader epoch: the term while it has room there. The key holds it
// in any case.
func epochOf(term uint64) int32 {
	if term > math.MaxInt32 {
		return record.NoLeaderEpoch
	}
	return int32(term)
}

// timestampOf is for those who look at the file: a time that is none in Kafka's records is
// left out.
func timestampOf(t time.Time) int64 {
	if ms := t.UnixMilli(); ms >= 0 && t.Year() < 10000 {
		return ms
	}
	return noTimestamp
}

// decodeEntry checks b, whose CRC is included, and reads the entry in it.
func decodeEntry(b record.Batch) (entry, error) {
	var e entry
	if len(b) < record.HeaderBytes || b.SizeBytes() != len(b) {
		return e, record.ErrShort
	}
	if err := b.CheckCRC(); err != nil {
		return e, err
	}
	if b.Count() != 1 || b.LastOffsetDelta() != 0 || b.Codec() != compress.None {
		return e, errors.New("no batch of one entry")
	}
	err := b.Iterate(nil, func(r *record.Record) error { return e.read(b, r) })
	return e, err
}

func (e *entry) read(b record.Batch, r *record.Record) error {
	k := r.Key
	if len(k) != keyBytes || k[0] != keyFormat {
		return errors.New("the key is of no known format")
	}
	e.log = raft.Log{
		Index: binary.BigEndian.Uint64(k[keyIndex:]),
		Term:  binary.BigEndian.Uint64(k[keyTerm:]),
		Type:  raft.LogType(k[keyType]),
		Data:  r.Value,
	}
	e.commit = binary.BigEndian.Uint64(k[keyCommit:])
	e.before = uint64(binary.BigEndian.Uint32(k[keyBefore:]))
	nanos := binary.BigEndian.Uint32(k[keyNanos:])
	switch {
	case e.log.Index == 0 || b.BaseOffset() != int64(e.log.Index):
		return fmt.Errorf("entry %d lies at offset %d", e.log.Index, b.BaseOffset())
	case b.LeaderEpoch() != epochOf(e.log.Term):
		return fmt.Errorf("entry %d of term %d has leader epoch %d", e.log.Index, e.log.Term, b.LeaderEpoch())
	case e.log.Type > maxLogType:
		return fmt.Errorf("entry %d is of unknown type %d", e.log.Index, e.log.Type)
	case e.before >= e.log.Index || nanos >= 1e9:
		return fmt.Errorf("the key of entry %d can not be right", e.log.Index)
	}
	e.log.AppendedAt = time.Unix(int64(binary.BigEndian.Uint64(k[keySeconds:])), int64(nanos)).UTC()
	if r.HeaderCount > 1 {
		return fmt.Errorf("entry %d has %d headers", e.log.Index, r.HeaderCount)
	}
	known := true
	err := r.Headers(func(key, value []byte) bool {
		known = string(key) == extensions && value != nil
		e.log.Extensions = value
		return known
	})
	if err == nil && !known {
		err = fmt.Errorf("entry %d has an unknown header", e.log.Index)
	}
	return err
}
