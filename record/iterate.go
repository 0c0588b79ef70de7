package record

import (
	"errors"
	"sync"

	"github.com/millrace/millrace/record/compress"
)

// DefaultMaxDecompressedBytes bounds what one batch may decompress to when the caller gives no
// other bound. Kafka has no such bound; a producer with batches of 1 MiB would need a ratio
// of 128 to meet it.
const DefaultMaxDecompressedBytes = 128 << 20

// keepScratchBytes is the largest buffer that a pooled Scratch keeps.
const keepScratchBytes = 1 << 20

// Scratch holds the buffer that records are decompressed into, for use again. The zero value
// is ready. One Scratch serves one Iterate at a time.
type Scratch struct {
	MaxBytes int // bound on decompressed records; 0 is DefaultMaxDecompressedBytes
	buf      []byte
	rec      Record
}

// Iterate calls f for each record in order, decompressing when needed; the Record and its
// bytes are valid only during the call. scratch may be nil: one is taken from a pool. It
// stops at the first error of f and returns it (ErrStop: returns nil). Malformed records are a
// *CorruptError, too much output a *TooLargeError. The CRC is not checked.
func (b Batch) Iterate(scratch *Scratch, f func(*Record) error) error {
	if len(b) < HeaderBytes {
		return ErrShort
	}
	if scratch == nil {
		scratch = getScratch()
		defer putScratch(scratch)
	}
	recs, err := b.plainRecords(scratch)
	if err != nil {
		return err
	}
	base, baseTs := b.BaseOffset(), b.BaseTimestamp()
	appendTime := b.TimestampType() == LogAppendTime
	count := int(b.Count())
	r := &scratch.rec
	defer func() { *r = Record{} }() // keep no reference to the batch
	for i := range count {
		n, bad := r.parse(recs)
		if bad != "" {
			return &CorruptError{Field: bad, Index: i, Got: int64(len(recs))}
		}
		recs = recs[n:]
		r.Offset = base + int64(r.OffsetDelta)
		r.Timestamp = baseTs + r.TimestampDelta
		if appendTime {
			r.Timestamp = b.MaxTimestamp()
		}
		if err := f(r); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
	if len(recs) != 0 {
		return &CorruptError{Field: "bytes after the last record", Index: count, Got: int64(len(recs))}
	}
	return nil
}

// plainRecords returns the records uncompressed: in place, or in s.buf.
func (b Batch) plainRecords(s *Scratch) ([]byte, error) {
	codec := b.Codec()
	if codec == compress.None || len(b) == HeaderBytes {
		return b.Records(), nil
	}
	limit := s.MaxBytes
	if limit <= 0 {
		limit = DefaultMaxDecompressedBytes
	}
	out, err := compress.Decompress(s.buf[:0], b.Records(), codec, limit)
	if err != nil {
		var large *compress.TooLargeError
		if errors.As(err, &large) {
			return nil, &TooLargeError{What: "decompressed records", MaxBytes: limit}
		}
		return nil, &CorruptError{Field: codec.String() + " data", Index: 0, Err: err}
	}
	s.buf = out
	return out, nil
}

// scratches is a cache, not state: what a Scratch held before makes no difference.
var scratches = sync.Pool{New: func() any { return new(Scratch) }}

func getScratch() *Scratch { return scratches.Get().(*Scratch) }

func putScratch(s *Scratch) {
	if cap(s.buf) > keepScratchBytes {
		s.buf = nil
	}
	s.MaxBytes = 0
	scratches.Put(s)
}
