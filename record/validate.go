package record

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/record/compress"
)

// ValidateOptions says what Validate checks besides length, magic, CRC and the header.
type ValidateOptions struct {
	// Inner: check each record of an uncompressed batch too.
	Inner bool
	// ValidateCompressed: with Inner, decompress a compressed batch and check its records.
	ValidateCompressed bool
	// RequireKeys: each record needs a key (compacted topic). This has compressed batches
	// decompressed as well, for there is no other way to know.
	RequireKeys bool
	// FromClient: the rules for produced batches hold (no control batch, offsets 0..n-1 without
	// a gap, timestamps within bounds, sequences). Batches of coordinators and of leaders may
	// have been compacted and are older.
	FromClient bool
	// TimestampType of the topic. The bounds below hold for CreateTime only.
	TimestampType TimestampType
	// NowMs is the broker's time. A create time may be BeforeMaxMs older and AfterMaxMs newer;
	// math.MaxInt64 is no bound. Timestamp -1, none, is always allowed (Kafka's LogValidator).
	NowMs, BeforeMaxMs, AfterMaxMs int64
	// MaxBatchBytes bounds the batch (max.message.bytes); 0 is no bound.
	MaxBatchBytes int
	// MaxDecompressedBytes bounds decompressed records; 0 is DefaultMaxDecompressedBytes.
	MaxDecompressedBytes int
}

// Info is what Validate learned.
type Info struct {
	Count int32
	// MaxTimestamp (ms) is the largest of the records when they were read, else the header's;
	// -1 when no record has one. When it differs from the header's, Batch.SetMaxTimestamp
	// corrects the batch: Kafka does not trust the client's either.
	MaxTimestamp int64
	// OffsetOfMaxTimestamp is the offset of the first record with MaxTimestamp, relative to
	// the base offset; that of the last record when records were not read.
	OffsetOfMaxTimestamp int64
	// RecordsRead says that the records were checked, not just the header.
	RecordsRead bool
	// RecordBytes is the size of the records, uncompressed when RecordsRead.
	RecordBytes int
}

// Validate checks a batch that came from outside. It never changes b and allocates nothing for
// an uncompressed batch that is valid. Errors: ErrShort, *CorruptError, *InvalidError,
// *TimestampError, *UnsupportedMagicError, *TooLargeError, *compress.UnknownCodecError.
func Validate(b Batch, v ValidateOptions) (Info, error) {
	if err := checkFrame(b, v.MaxBatchBytes); err != nil {
		return Info{}, err
	}
	if err := b.CheckCRC(); err != nil {
		return Info{}, err
	}
	if err := checkHeader(b, &v); err != nil {
		return Info{}, err
	}
	info := Info{
		Count:                b.Count(),
		MaxTimestamp:         b.MaxTimestamp(),
		OffsetOfMaxTimestamp: int64(b.LastOffsetDelta()),
		RecordBytes:          len(b) - HeaderBytes,
	}
	compressed := b.Codec() != compress.None
	if !v.RequireKeys && !(v.Inner && (!compressed || v.ValidateCompressed)) {
		return info, checkHeaderTimes(b, &v)
	}
	if !compressed {
		return checkRecords(b, b.Records(), &v)
	}
	s := getScratch()
	defer putScratch(s)
	s.MaxBytes = v.MaxDecompressedBytes
	recs, err := b.plainRecords(s)
	if err != nil {
		return Info{}, err
	}
	return checkRecords(b, recs, &v)
}

func checkFrame(b Batch, maxBytes int) error {
	size, err := Peek(b)
	if err != nil {
		return err
	}
	if maxBytes > 0 && size > maxBytes {
		return &TooLargeError{What: "batch", SizeBytes: size, MaxBytes: maxBytes}
	}
	if size > len(b) {
		return ErrShort
	}
	if size != len(b) {
		return &CorruptError{Field: "length", Index: -1, Got: int64(size), Want: int64(len(b))}
	}
	return nil
}

// checkHeader holds the header fields against each other.
func checkHeader(b Batch, v *ValidateOptions) error {
	if c := b.Codec(); c > compress.Zstd {
		return &compress.UnknownCodecError{Codec: c}
	}
	count, delta := b.Count(), b.LastOffsetDelta()
	switch {
	case count < 0:
		return invalid("record count %d is negative", int64(count))
	case delta < 0:
		return invalid("last offset delta %d is negative", int64(delta))
	case int64(count) > int64(delta)+1:
		return invalid("record count %d exceeds last offset delta %d + 1", int64(count), int64(delta))
	}
	if v.FromClient {
		return checkClientHeader(b)
	}
	return nil
}

func checkClientHeader(b Batch) error {
	if attrs := uint16(b.Attributes()); attrs&^attrKnown != 0 || attrs&attrDeleteHorizon != 0 {
		return invalid("attributes %#x have bits that a producer may not set", int64(attrs))
	}
	if b.IsControl() {
		return invalid("a producer may not send control records")
	}
	if b.TimestampType() == LogAppendTime {
		return &TimestampError{Index: -1, TimestampMs: b.MaxTimestamp(), LogAppendTime: true}
	}
	count, delta := b.Count(), b.LastOffsetDelta()
	if count == 0 {
		return invalid("a produced batch needs a record")
	}
	if count != delta+1 {
		return invalid("record count %d does not fit last offset delta %d", int64(count), int64(delta))
	}
	return checkProducer(b)
}

// checkProducer: with a producer id, epoch and sequence are needed. Without one they are not
// looked at, for kafkajs and Sarama leave zeros there.
func checkProducer(b Batch) error {
	id := b.ProducerID()
	switch {
	case id < NoProducerID:
		return invalid("producer id %d", id)
	case id == NoProducerID && b.IsTransactional():
		return invalid("transactional batch without a producer id")
	case id == NoProducerID:
		return nil
	case b.ProducerEpoch() < 0:
		return invalid("producer id %d with epoch %d", id, int64(b.ProducerEpoch()))
	case b.BaseSequence() < 0:
		return invalid("producer id %d with sequence %d", id, int64(b.BaseSequence()))
	}
	return nil
}

// checkHeaderTimes holds the header's timestamps against the bounds when records are not read.
func checkHeaderTimes(b Batch, v *ValidateOptions) error {
	lo, hi := timeBounds(v)
	for _, ts := range [2]int64{b.BaseTimestamp(), b.MaxTimestamp()} {
		if (ts < lo || ts > hi) && ts != NoTimestamp {
			return &TimestampError{Index: -1, TimestampMs: ts, MinMs: lo, MaxMs: hi}
		}
	}
	return nil
}

// timeBounds returns the create times that are allowed, both inclusive.
func timeBounds(v *ValidateOptions) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	if !v.FromClient || v.TimestampType != CreateTime {
		return lo, hi
	}
	if v.BeforeMaxMs != math.MaxInt64 {
		lo = v.NowMs - v.BeforeMaxMs
	}
	if v.AfterMaxMs <= math.MaxInt64-v.NowMs {
		hi = v.NowMs + v.AfterMaxMs
	}
	return lo, hi
}

// checkRecords walks the plain records of b.
func checkRecords(b Batch, recs []byte, v *ValidateOptions) (Info, error) {
	info := Info{Count: b.Count(), MaxTimestamp: NoTimestamp, OffsetOfMaxTimestamp: int64(b.LastOffsetDelta()), RecordsRead: true, RecordBytes: len(recs)}
	appendTime := b.TimestampType() == LogAppendTime
	if appendTime {
		info.MaxTimestamp = b.MaxTimestamp()
	}
	lo, hi := timeBounds(v)
	baseTs, lastDelta := b.BaseTimestamp(), b.LastOffsetDelta()
	previous := int32(-1)
	var r Record
	for i := range int(info.Count) {
		n, tsDelta, delta, nullKey := skim(recs)
		if n == 0 {
			var bad string
			if n, bad = r.parse(recs); bad != "" {
				return Info{}, &CorruptError{Field: bad, Index: i, Got: int64(len(recs))}
			}
			tsDelta, delta, nullKey = r.TimestampDelta, r.OffsetDelta, r.Key == nil
		}
		recs = recs[n:]
		if delta <= previous || delta > lastDelta || v.FromClient && int(delta) != i {
			return Info{}, &CorruptError{Field: "offset delta", Index: i, Got: int64(delta), Want: int64(previous) + 1}
		}
		previous = delta
		if nullKey && v.RequireKeys && !b.IsControl() {
			return Info{}, &InvalidError{Index: i, Reason: "a compacted topic needs a key in each record", Err: ErrNoKey}
		}
		if appendTime {
			continue
		}
		ts := baseTs + tsDelta
		if (ts < lo || ts > hi) && ts != NoTimestamp {
			return Info{}, &TimestampError{Index: i, TimestampMs: ts, MinMs: lo, MaxMs: hi}
		}
		if ts > info.MaxTimestamp {
			info.MaxTimestamp, info.OffsetOfMaxTimestamp = ts, int64(delta)
		}
	}
	if len(recs) != 0 {
		return Info{}, &CorruptError{Field: "bytes after the last record", Index: int(info.Count), Got: int64(len(recs))}
	}
	return info, nil
}

func invalid(format string, args ...int64) error {
	a := make([]any, len(args))
	for i, v := range args {
		a[i] = v
	}
	return &InvalidError{Index: -1, Reason: fmt.Sprintf(format, a...)}
}
