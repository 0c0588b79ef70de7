package engine

import "github.com/millrace/millrace/record"

// TimestampAt is about when the record at offset was made, or the next one below upTo if
// there is none at offset any more; found is false when there is none. It reads one batch
// header, found through the index. Of a record within a batch it tells the time that lies
// between those of the batch's first and latest record, as its offset lies between theirs.
//
// An offset outside of [log start, log end] is an *OffsetOutOfRangeError.
func (l *Log) TimestampAt(offset, upTo int64) (ms int64, found bool, err error) {
	rng, err := l.Read(offset, record.HeaderBytes, upTo, true)
	if err != nil || rng.LenBytes < record.HeaderBytes {
		rng.Release()
		return 0, false, err
	}
	defer rng.Release()
	b := make(record.Batch, record.HeaderBytes)
	if err := rng.CopyTo(b); err != nil {
		return 0, false, l.readError(err)
	}
	first, last := b.BaseTimestamp(), b.MaxTimestamp()
	past, among := offset-b.BaseOffset(), int64(b.LastOffsetDelta())
	switch {
	case b.TimestampType() == record.LogAppendTime || b.HasDeleteHorizon():
		return last, true, nil // the base is no record's time
	case past <= 0 || among <= 0 || last <= first:
		return first, true, nil
	}
	return first + int64(float64(last-first)*float64(past)/float64(among)), true, nil
}
