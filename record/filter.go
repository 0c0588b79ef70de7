package record

import (
	"encoding/binary"

	"github.com/millrace/millrace/record/compress"
)

// FilterOptions say what a Filter does besides dropping records.
type FilterOptions struct {
	// KeepEmpty leaves the header of a batch of which no record is left: it carries the
	// producer's last sequence number, or the log's last offset.
	KeepEmpty bool
	// DeleteHorizonMs goes into a batch that keeps a tombstone and has no horizon yet
	// (KIP-534); MarkerOfEmptyTxn says that its control record is to get one too.
	DeleteHorizonMs  int64
	MarkerOfEmptyTxn bool
	Level            int // of the batch's codec, when it is compressed anew; 0 is its default
}

// Filtered is what a Filter left of a batch.
type Filtered struct {
	// Batch is nil when nothing is left. It shares memory with the batch that went in, when
	// nothing changed, or with the Filter until its next use.
	Batch         Batch
	Kept, Dropped int
	MaxTimestamp  int64 // of the records that were kept, ms
	AtOffset      int64 // of the first one that has it
}

// Filter takes records out of batches that are in a log. Offsets, sequence numbers, producer
// fields and the leader epoch stay: a batch keeps its first and last offset, whatever is
// left of it. Records that stay are copied as they are. The zero value is ready; it is not
// safe for concurrent use.
type Filter struct {
	scratch Scratch
	spans   []span
	plain   []byte
	packed  []byte
}

// span is a run of kept records.
type span struct{ from, to int }

// Filter keeps the records for which keep is true. The CRC of b is not checked. Errors as
// Iterate's.
func (f *Filter) Filter(b Batch, o FilterOptions, keep func(*Record) bool) (Filtered, error) {
	if len(b) < HeaderBytes {
		return Filtered{}, ErrShort
	}
	recs, err := b.plainRecords(&f.scratch)
	if err != nil {
		return Filtered{}, err
	}
	res, tombstone, err := f.choose(b, recs, keep)
	if err != nil {
		return Filtered{}, err
	}
	setHorizon := (tombstone || o.MarkerOfEmptyTxn) && !b.HasDeleteHorizon()
	switch {
	case res.Kept == 0 && !o.KeepEmpty:
	case res.Kept == 0:
		res.Batch = f.empty(b)
		res.MaxTimestamp, res.AtOffset = b.MaxTimestamp(), b.LastOffset()
	case res.Dropped == 0 && !setHorizon:
		res.Batch = b
		res.MaxTimestamp = b.MaxTimestamp()
	default:
		res.Batch, err = f.rebuild(b, recs, o, setHorizon, &res)
	}
	return res, err
}

// choose asks for each record and notes the runs that stay.
func (f *Filter) choose(b Batch, recs []byte, keep func(*Record) bool) (res Filtered, tombstone bool, err error) {
	f.spans = f.spans[:0]
	res.MaxTimestamp, res.AtOffset = NoTimestamp, b.LastOffset()
	base, baseTs, count := b.BaseOffset(), b.BaseTimestamp(), int(b.Count())
	appendTime := b.TimestampType() == LogAppendTime
	r := &f.scratch.rec
	defer func() { *r = Record{} }() // keep no reference to the batch
	pos := 0
	for i := range count {
		n, bad := r.parse(recs[pos:])
		if bad != "" {
			return res, false, &CorruptError{Field: bad, Index: i, Got: int64(len(recs) - pos)}
		}
		r.Offset, r.Timestamp = base+int64(r.OffsetDelta), baseTs+r.TimestampDelta
		if appendTime {
			r.Timestamp = b.MaxTimestamp()
		}
		if keep(r) {
			res.Kept++
			tombstone = tombstone || r.Value == nil
			if r.Timestamp > res.MaxTimestamp || res.Kept == 1 {
				res.MaxTimestamp, res.AtOffset = r.Timestamp, r.Offset
			}
			if last := len(f.spans) - 1; last >= 0 && f.spans[last].to == pos {
				f.spans[last].to = pos + n
			} else {
				f.spans = append(f.spans, span{pos, pos + n})
			}
		} else {
			res.Dropped++
		}
		pos += n
	}
	if pos != len(recs) {
		return res, false, &CorruptError{Field: "bytes after the last record", Index: count, Got: int64(len(recs) - pos)}
	}
	return res, tombstone, nil
}

// rebuild makes a batch of the kept records.
func (f *Filter) rebuild(b Batch, recs []byte, o FilterOptions, setHorizon bool, res *Filtered) (Batch, error) {
	p := append(f.plain[:0], b[:HeaderBytes]...)
	for _, s := range f.spans {
		if setHorizon {
			p = rebase(p, recs[s.from:s.to], b.BaseTimestamp()-o.DeleteHorizonMs)
		} else {
			p = append(p, recs[s.from:s.to]...)
		}
	}
	f.plain = p
	out := Batch(p)
	if setHorizon {
		out[posAttributes+1] |= attrDeleteHorizon
		binary.BigEndian.PutUint64(out[posBaseTimestamp:], uint64(o.DeleteHorizonMs))
	}
	binary.BigEndian.PutUint64(out[posMaxTimestamp:], uint64(res.MaxTimestamp))
	binary.BigEndian.PutUint32(out[posCount:], uint32(res.Kept))
	codec := b.Codec()
	if codec != compress.None {
		packed, err := pack(f.packed[:0], out, p[HeaderBytes:], codec, o.Level)
		if err != nil {
			return nil, err
		}
		f.packed, out = packed, packed
	}
	seal(out, codec)
	return out, nil
}

// rebase appends records whose timestamp deltas grow by shift. They were parsed before.
func rebase(dst, recs []byte, shift int64) []byte {
	for len(recs) > 0 {
		length, start := varint(recs, 0)
		body := recs[start : start+int(length)]
		delta, after := varlong(body, 1)
		rest := body[after:]
		delta += shift
		dst = AppendVarint(dst, int32(1+VarlongBytes(delta)+len(rest)))
		dst = append(dst, body[0])
		dst = AppendVarlong(dst, delta)
		dst = append(dst, rest...)
		recs = recs[start+int(length):]
	}
	return dst
}

// empty is the header that is left of a batch without records, as Kafka's
// DefaultRecordBatch.writeEmptyHeader makes it.
func (f *Filter) empty(b Batch) Batch {
	f.plain = append(f.plain[:0], b[:HeaderBytes]...)
	out := Batch(f.plain)
	none := NoTimestamp
	out[posAttributes+1] &^= attrDeleteHorizon
	binary.BigEndian.PutUint64(out[posBaseTimestamp:], uint64(none))
	binary.BigEndian.PutUint32(out[posCount:], 0)
	seal(out, compress.None)
	return out
}

// DeleteHorizonMs is the time from which the tombstones and the marker of a batch may be
// removed; ok is false when no cleaning has set one.
func (b Batch) DeleteHorizonMs() (ms int64, ok bool) { return b.BaseTimestamp(), b.HasDeleteHorizon() }

// TrimMemory gives back buffers that one large batch made grow past keepBytes.
func (f *Filter) TrimMemory(keepBytes int) {
	if cap(f.plain)+cap(f.packed)+cap(f.scratch.buf) > keepBytes {
		*f = Filter{}
	}
}
