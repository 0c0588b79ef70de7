package workload

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// Batch is a finished v2 record batch: base offset 0, no producer id, all timestamps those
// of the moment it was built.
type Batch struct {
	Bytes             []byte
	Records           int
	PayloadBytes      int64 // keys and values
	UncompressedBytes int   // the batch without its codec: header, framing, keys, values, headers
}

// Batches builds n batches of the next records. batchBytes is the size of a batch before
// compression, which none exceeds (as batch.size of a producer), but for one whose only
// record is larger by itself. Errors: *SpecError; those of record.Builder for a batch above 2 GiB.
func (s *Source) Batches(n, batchBytes int, codec compress.Codec) ([]Batch, error) {
	if n < 1 || batchBytes < 1 {
		return nil, &SpecError{"batches", fmt.Sprintf("%d of %d bytes", n, batchBytes), "at least 1 of at least 1 byte"}
	}
	out := make([]Batch, 0, n)
	nowMs := time.Now().UnixMilli()
	next := s.Next()
	for range n {
		// A Builder of its own each: the batch shares memory with it.
		b := record.NewBuilder(record.BuilderOptions{Codec: codec})
		batch := Batch{}
		for batch.Records == 0 || b.SizeBytes()+s.recordBytes(next, batch.Records) <= batchBytes {
			b.Append(nowMs, next.Key, next.Value, s.headers...)
			batch.Records++
			batch.PayloadBytes += int64(len(next.Key) + len(next.Value))
			next = s.Next()
		}
		batch.UncompressedBytes = b.SizeBytes()
		built, err := b.Finish()
		if err != nil {
			return nil, fmt.Errorf("build batch of %d records: %w", batch.Records, err)
		}
		batch.Bytes = built[:len(built):len(built)]
		out = append(out, batch)
	}
	return out, nil
}

// recordBytes is the size of r in a batch where it is number delta, with no time passing.
func (s *Source) recordBytes(r Record, delta int) int {
	n := 1 + record.VarlongBytes(0) + record.VarintBytes(int32(delta))
	if r.Key == nil {
		n += record.VarintBytes(-1)
	} else {
		n += record.VarintBytes(int32(len(r.Key))) + len(r.Key)
	}
	n += record.VarintBytes(int32(len(r.Value))) + len(r.Value) + record.VarintBytes(int32(len(s.headers)))
	for _, h := range s.headers {
		n += record.VarintBytes(int32(len(h.Key))) + len(h.Key) + record.VarintBytes(int32(len(h.Value))) + len(h.Value)
	}
	return record.VarintBytes(int32(n)) + n
}
