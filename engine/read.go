package engine

import (
	"errors"

	"github.com/millrace/millrace/engine/flush"
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// Read returns a pinned range of whole batches that starts with the one that holds offset,
// or with the next one when compaction removed it, and ends before upTo (an offset: high
// watermark, last stable offset or log end). With minOne the first batch is returned
// whatever maxBytes says. At the end the range is empty. The caller releases it.
//
// An offset outside of [log start, log end] is an *OffsetOutOfRangeError.
func (l *Log) Read(offset int64, maxBytes int, upTo int64, minOne bool) (vfs.Range, error) {
	if err := l.Failure(); err != nil {
		return vfs.Range{}, err
	}
	start, end := l.logStart.Load(), l.chain.NextOffset()
	if offset < start || offset > end {
		return vfs.Range{}, &OffsetOutOfRangeError{Offset: offset, Start: start, End: end}
	}
	upTo = min(upTo, end)
	if offset >= upTo {
		return vfs.Range{}, nil
	}
	l.touch()
	rng, err := l.chain.Read(offset, maxBytes, upTo, minOne)
	if err != nil {
		return vfs.Range{}, l.readError(err)
	}
	return rng, nil
}

// readError turns a failure of the chain's readers into ours. A fault or a failed read is
// one partition's matter: nothing that was acknowledged is lost by it.
func (l *Log) readError(err error) error {
	var outOfRange *segment.OutOfRangeError
	var fault *segment.FaultError
	switch {
	case errors.As(err, &outOfRange):
		// Retention or truncation moved an end after it was looked at.
		return &OffsetOutOfRangeError{Offset: outOfRange.Offset, Start: l.logStart.Load(), End: l.chain.NextOffset()}
	case errors.Is(err, segment.ErrClosed):
		if failure := l.Failure(); failure != nil {
			return failure
		}
		return ErrClosed
	case errors.As(err, &fault):
		l.fail(&DirFailedError{Dir: l.host.dir, Err: err})
		return l.Failure()
	case vfs.OutOfFiles(err):
		return l.host.limited(err)
	}
	return err
}

// ReadBatch appends the batch that holds offset, or the next one, to dst[:0].
func (l *Log) ReadBatch(offset int64, dst []byte) (record.Batch, error) {
	if err := l.Failure(); err != nil {
		return nil, err
	}
	start, end := l.logStart.Load(), l.chain.NextOffset()
	if offset < start || offset >= end {
		return nil, &OffsetOutOfRangeError{Offset: offset, Start: start, End: end}
	}
	b, err := l.chain.ReadBatch(offset, dst)
	if err != nil {
		return nil, l.readError(err)
	}
	return b, nil
}

// OffsetForTimestamp finds the first record whose timestamp (ms) is ts or later.
// leaderEpoch is -1 when it is not known.
func (l *Log) OffsetForTimestamp(ts int64) (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	if err := l.Failure(); err != nil {
		return -1, -1, -1, false, err
	}
	l.touch()
	offset, timestamp, found, err = l.chain.FindTimestamp(ts, l.logStart.Load())
	if err != nil {
		return -1, -1, -1, false, l.readError(err)
	}
	if !found {
		return -1, -1, -1, false, nil
	}
	leaderEpoch, _ = l.epochs.ForOffset(offset)
	return offset, timestamp, leaderEpoch, true, nil
}

// OffsetOfMaxTimestamp finds the first record with the largest timestamp (ListOffsets -3);
// found is false in a log without records.
func (l *Log) OffsetOfMaxTimestamp() (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	if err := l.Failure(); err != nil {
		return -1, -1, -1, false, err
	}
	l.touch()
	offset, timestamp, found, err = l.chain.MaxTimestamp()
	if err != nil {
		return -1, -1, -1, false, l.readError(err)
	}
	if !found {
		return -1, -1, -1, false, nil
	}
	leaderEpoch, _ = l.epochs.ForOffset(offset)
	return offset, timestamp, leaderEpoch, true, nil
}

// EpochForOffset is the leader epoch that wrote offset, -1 when that is not known.
func (l *Log) EpochForOffset(offset int64) int32 {
	e, _ := l.epochs.ForOffset(offset)
	return e
}

// WhenSynced calls w.Synced(nil) once everything below offset is durable, which may be at
// once, or w.Synced(err) when the directory or the log has failed. Many waiters share one
// sync.
func (l *Log) WhenSynced(offset int64, w flush.Waiter) {
	if err := l.Failure(); err != nil {
		w.Synced(err)
		return
	}
	l.queue.WhenSynced(offset, w)
}

// Sync makes everything durable that was appended before the call.
func (l *Log) Sync() error { return l.syncNow(l.chain.Sync) }

func (l *Log) syncNow(records func() (int64, error)) error {
	if err := l.Failure(); err != nil {
		return err
	}
	_, err := l.sync(records)
	var own *flush.LogError
	if errors.As(err, &own) {
		return own.Err
	}
	var later *flush.LaterError
	if errors.As(err, &later) {
		return later.Err
	}
	if err != nil {
		return l.appendError(err)
	}
	return nil
}

// RequestSync asks for a sync soon, and waits for nothing.
func (l *Log) RequestSync() {
	if l.Failure() == nil {
		l.queue.Request()
	}
}

// Aborted lists the aborted transactions that overlap [from, to), for a read_committed fetch
// of these offsets, in the order of their markers.
func (l *Log) Aborted(from, to int64) ([]index.AbortedTxn, error) {
	if err := l.Failure(); err != nil {
		return nil, err
	}
	txns, err := l.chain.Aborted(from, to)
	if err != nil {
		return nil, l.readError(err)
	}
	return txns, nil
}
