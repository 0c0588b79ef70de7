package engine

import (
	"errors"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// TruncateTo removes the records at and above offset, with what was derived from them:
// leader epochs, producer state, snapshots, the recovery point, the high watermark. Only
// followers truncate, by leader epochs and never by high watermark (KIP-101).
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return &OffsetOutOfRangeError{Offset: offset, Start: 0, End: l.LogEndOffset()}
	}
	return l.truncate(offset, func() error {
		end := l.chain.NextOffset()
		if offset >= end {
			// A leader that wrote nothing may have left an epoch that starts at the end.
			l.epochs.TruncateTail(end)
			return nil
		}
		if offset < l.chain.StartOffset() {
			return l.restartLocked(offset)
		}
		if err := l.chain.TruncateTo(offset); err != nil {
			return err
		}
		end = l.chain.NextOffset() // the start of the batch that held offset
		l.logStart.Store(min(end, l.logStart.Load()))
		l.epochs.TruncateTail(end)
		l.flushedFrom = min(l.flushedFrom, end)
		if err := errors.Join(l.rebuildProducers(end, false), l.replayAborted()); err != nil {
			return err
		}
		l.producers.SetEndOffset(end)
		l.lowerWatermarksLocked(end)
		return nil
	})
}

// TruncateFullyAndStartAt removes everything and makes the log start, and end, at offset: a
// follower whose leader no longer has what would come next (R20).
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	if offset < 0 {
		return &OffsetOutOfRangeError{Offset: offset, Start: 0, End: l.LogEndOffset()}
	}
	return l.truncate(min(offset, l.chainStart()), func() error { return l.restartLocked(offset) })
}

func (l *Log) chainStart() int64 {
	if l.chain == nil {
		return 0
	}
	return l.chain.StartOffset()
}

// truncate runs cut with everything stopped, after what lies above offset is no longer
// trusted by a recovery: the recovery point and the snapshots go first, durably.
func (l *Log) truncate(offset int64, cut func() error) error {
	if err := l.Failure(); err != nil {
		return err
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.Failure(); err != nil {
		return err
	}
	offset, err := l.cutOffset(offset)
	if err != nil {
		return l.truncateError(err)
	}
	if offset < l.recoveryPoint.Load() {
		l.recoveryPoint.Store(offset)
		if err := l.host.saveRecoveryPoints(); err != nil {
			return l.truncateError(err)
		}
	}
	if err := l.dropSnapshots(func(at int64) bool { return at > offset }); err != nil {
		return l.truncateError(err)
	}
	if l.cleanedTo.Load() > offset {
		l.cleanedTo.Store(offset) // what comes in its place was not cleaned
	}
	l.truncating = true
	defer func() { l.truncating = false }()
	if err := cut(); err != nil {
		return l.truncateError(err)
	}
	l.touch()
	// A checkpointed log start may lie above the new one, and would hide records.
	if err := l.host.saveLogStarts(); err != nil && !segment.IsDiskFull(err) && !vfs.OutOfFiles(err) {
		return l.truncateError(err)
	}
	return nil
}

// cutOffset is where a truncation to offset will let the log end: a batch goes as a whole.
func (l *Log) cutOffset(offset int64) (int64, error) {
	if offset < l.chain.StartOffset() || offset >= l.chain.NextOffset() {
		return offset, nil
	}
	b, err := l.chain.ReadBatch(offset, nil)
	if err != nil {
		return 0, err
	}
	return min(offset, record.Batch(b).BaseOffset()), nil
}

func (l *Log) truncateError(err error) error {
	if errors.Is(err, segment.ErrClosed) {
		return ErrClosed
	}
	return l.appendError(err)
}

func (l *Log) restartLocked(offset int64) error {
	if err := l.dropSnapshots(func(int64) bool { return true }); err != nil {
		return err
	}
	if err := l.chain.TruncateFullyAndStartAt(offset); err != nil {
		return err
	}
	l.epochs.Clear()
	l.producers.Reset(offset)
	l.logStart.Store(offset)
	l.hw.Store(offset)
	l.firstUnstable.Store(allStable)
	l.flushedFrom = offset
	return nil
}

func (l *Log) lowerWatermarksLocked(end int64) {
	if l.hw.Load() > end {
		l.hw.Store(end)
	}
	l.producers.OnHighWatermark(l.hw.Load())
	l.firstUnstable.Store(l.producers.FirstUnstable())
}

// UpToHighWatermark as an offset for DeleteRecordsBefore stands for the high watermark.
const UpToHighWatermark = -1

// DeleteRecordsBefore moves the log start up to offset (DeleteRecords, KIP-107) and returns
// where it is. The segments below it go with the next retention check. An offset above the
// high watermark is an *OffsetOutOfRangeError.
func (l *Log) DeleteRecordsBefore(offset int64) (logStart int64, err error) {
	if err := l.Failure(); err != nil {
		return -1, err
	}
	l.appendMu.Lock()
	hw := l.hw.Load()
	if offset == UpToHighWatermark {
		offset = hw
	}
	if offset < 0 || offset > hw {
		l.appendMu.Unlock()
		return -1, &OffsetOutOfRangeError{Offset: offset, Start: l.logStart.Load(), End: hw}
	}
	moved := l.raiseLogStartLocked(offset)
	l.appendMu.Unlock()
	if moved {
		if err := l.host.saveLogStarts(); err != nil && !segment.IsDiskFull(err) && !vfs.OutOfFiles(err) {
			return -1, l.appendError(err)
		}
	}
	return l.logStart.Load(), nil
}

// raiseLogStartLocked moves the log start up to offset; appendMu is held.
func (l *Log) raiseLogStartLocked(offset int64) bool {
	if offset <= l.logStart.Load() {
		return false
	}
	l.logStart.Store(offset)
	l.epochs.TruncateHead(offset)
	l.producers.OnLogStart(offset)
	l.firstUnstable.Store(l.producers.FirstUnstable())
	return true
}
