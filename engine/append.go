package engine

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/segment"
)

// Origin says where a batch comes from.
type Origin = producer.Origin

// The origins.
const (
	Client      = producer.Client
	Coordinator = producer.Coordinator
	Replication = producer.Replication
)

// Appended is the answer to an append.
type Appended struct {
	FirstOffset    int64
	LastOffset     int64
	AppendTimeMs   int64 // -1 when the topic keeps create times
	LogStartOffset int64
	NextOffset     int64 // the log's end after the append
	Duplicate      bool  // the batch was in the log already, at these offsets
	MustSync       bool  // flush.messages is reached: the ack waits for a sync through LastOffset+1
}

// AppendAsLeader appends one batch: checks it, recognises a repeated one, assigns offsets,
// leader epoch and, as the topic wants, timestamps and compression. b is changed in place
// and not kept. Nothing is allocated for an uncompressed batch.
//
// Errors: record's for a bad batch; *RecordTooLargeError, *SequenceError,
// *ProducerFencedError, *TxnStateError, *CoordinatorFencedError; *DiskFullError;
// *DirFailedError, *UnavailableError, ErrClosed. After any of them nothing was appended.
func (l *Log) AppendAsLeader(b record.Batch, leaderEpoch int32, o Origin) (Appended, error) {
	if err := l.Failure(); err != nil {
		return Appended{}, err
	}
	cfg := l.cfg.Load()
	nowMs := clock.UnixMs(l.host.clock)
	info, err := l.validate(b, cfg, o, nowMs)
	if err != nil {
		return Appended{}, err
	}
	appendTimeMs := int64(-1)
	if cfg.TimestampType == record.LogAppendTime {
		b.SetAppendTime(nowMs)
		info.MaxTimestamp, info.OffsetOfMaxTimestamp = nowMs, 0
		appendTimeMs = nowMs
	} else if info.RecordsRead {
		b.SetMaxTimestamp(info.MaxTimestamp)
	}
	if cfg.Compression != CompressionProducer && b.Codec() != cfg.Compression && !b.IsControl() {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		if b, err = l.recompress(b, cfg, buf); err != nil {
			return Appended{}, err
		}
	}
	if int64(len(b)) > cfg.SegmentBytes {
		return Appended{}, &RecordTooLargeError{SizeBytes: len(b), MaxBytes: int(cfg.SegmentBytes), Segment: true}
	}
	pb, err := producerBatch(b)
	if err != nil {
		return Appended{}, err
	}
	l.appendMu.Lock()
	a, err := l.appendLocked(b, &pb, &info, leaderEpoch, o, cfg.FlushMessages == 1)
	if err == nil {
		a.MustSync = l.mustSyncLocked(cfg, &a)
	}
	l.appendMu.Unlock()
	if err != nil {
		return Appended{}, err
	}
	a.AppendTimeMs = appendTimeMs
	l.touch()
	l.askForSync(cfg, a.MustSync)
	return a, nil
}

func (l *Log) validate(b record.Batch, cfg *Config, o Origin, nowMs int64) (record.Info, error) {
	if len(b) > cfg.MaxMessageBytes {
		return record.Info{}, &RecordTooLargeError{SizeBytes: len(b), MaxBytes: cfg.MaxMessageBytes}
	}
	if len(b) >= record.HeaderBytes && b.Codec() != compress.None {
		l.host.codecs <- struct{}{}
		defer func() { <-l.host.codecs }()
	}
	return record.Validate(b, record.ValidateOptions{
		Inner: true,
		// What no consumer can decompress would stop all of them at its offset.
		ValidateCompressed: o == Client,
		RequireKeys:        cfg.CleanupCompact && o == Client,
		FromClient:         o == Client,
		TimestampType:      cfg.TimestampType,
		NowMs:              nowMs,
		BeforeMaxMs:        cfg.TimestampBeforeMaxMs,
		AfterMaxMs:         cfg.TimestampAfterMaxMs,
	})
}

func (l *Log) recompress(b record.Batch, cfg *Config, buf *[]byte) (record.Batch, error) {
	l.host.codecs <- struct{}{}
	defer func() { <-l.host.codecs }()
	out, err := b.Recompress((*buf)[:0], cfg.Compression, cfg.CompressionLevel)
	if err != nil {
		return nil, err
	}
	*buf = out
	if len(out) > cfg.MaxMessageBytes {
		return nil, &RecordTooLargeError{SizeBytes: len(out), MaxBytes: cfg.MaxMessageBytes}
	}
	return out, nil
}

// buffers is a cache for recompressed batches: what one held before makes no difference.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keepBufferBytes = 2 << 20

func putBuffer(buf *[]byte) {
	if cap(*buf) <= keepBufferBytes {
		buffers.Put(buf)
	}
}

// appendLocked dedupes, stamps and stores one batch.
func (l *Log) appendLocked(b record.Batch, pb *producer.Batch, info *record.Info, leaderEpoch int32, o Origin, syncFollows bool) (Appended, error) {
	if err := l.Failure(); err != nil {
		return Appended{}, err
	}
	if pb.ProducerID >= 0 {
		stored, found, err := l.producers.Check(pb, o)
		if err != nil {
			return Appended{}, err
		}
		if found {
			return Appended{
				FirstOffset: stored.FirstOffset, LastOffset: stored.LastOffset, Duplicate: true,
				LogStartOffset: l.logStart.Load(), NextOffset: l.chain.NextOffset(),
			}, nil
		}
	}
	base := l.chain.NextOffset()
	b.Stamp(base, leaderEpoch)
	if err := l.storeLocked(b, pb, info, syncFollows); err != nil {
		return Appended{}, err
	}
	return Appended{
		FirstOffset: base, LastOffset: b.LastOffset(),
		LogStartOffset: l.logStart.Load(), NextOffset: b.NextOffset(),
	}, nil
}

// storeLocked appends a stamped batch and applies it to epochs and producer state.
func (l *Log) storeLocked(b record.Batch, pb *producer.Batch, info *record.Info, syncFollows bool) error {
	if len(l.replayed) > 0 {
		if err := l.replayAborted(); err != nil {
			return l.appendError(err)
		}
	}
	base, last := b.BaseOffset(), b.LastOffset()
	pb.FirstOffset, pb.LastOffset = base, last
	l.epochs.Assign(b.LeaderEpoch(), base)
	unstable := l.firstUnstable.Load()
	if pb.ProducerID >= 0 && unstable == allStable && l.producers.StartsTransaction(pb) {
		// Before readers can see the batch: the high watermark may pass it at once.
		l.firstUnstable.Store(base)
	}
	a := segment.Addition{
		LastOffset: last, MaxTimestamp: info.MaxTimestamp, OffsetOfMaxTimestamp: base + info.OffsetOfMaxTimestamp, SyncFollows: syncFollows,
	}
	if err := l.chain.Append(b, a); err != nil {
		l.firstUnstable.Store(unstable)
		return l.appendError(err)
	}
	l.producers.SetEndOffset(last + 1)
	if pb.ProducerID < 0 {
		return nil
	}
	done, ended := l.producers.Update(pb)
	if err := l.noteAborted(done, ended); err != nil {
		return err
	}
	if pb.Transactional {
		l.firstUnstable.Store(l.producers.FirstUnstable())
	}
	return nil
}

// noteAborted writes an aborted transaction into the transaction index, for read_committed.
func (l *Log) noteAborted(done producer.Completed, ended bool) error {
	if !ended || !done.Aborted {
		return nil
	}
	if err := l.chain.AppendAborted(abortedTxn(done)); err != nil {
		// The marker is in the log: the next append begins with this, and until then
		// nobody reads past the transaction's start.
		l.replayed = append(l.replayed, abortedTxn(done))
		return l.appendError(err)
	}
	return nil
}

func abortedTxn(done producer.Completed) index.AbortedTxn {
	return index.AbortedTxn{
		ProducerID: done.ProducerID, FirstOffset: done.FirstOffset,
		LastOffset: done.LastOffset, LastStableOffset: done.LastStable,
	}
}

// appendError turns a failure of the chain into ours. A full disk is refused and forgotten,
// and so is a file that could not be opened; a fault in a mapping fails this log; anything
// else the whole directory.
func (l *Log) appendError(err error) error {
	var fault *segment.FaultError
	var poisoned *segment.PoisonedError
	switch {
	case vfs.OutOfFiles(err) && errors.As(err, &poisoned):
		// A truncation that could not open a file when it had begun: the disk is well.
		failed := &DirFailedError{Dir: l.host.dir, Err: err}
		l.fail(failed)
		return failed
	case vfs.OutOfFiles(err):
		return l.host.limited(err)
	case segment.IsDiskFull(err):
		return l.diskFull(err)
	case errors.Is(err, segment.ErrClosed):
		return ErrClosed
	case errors.As(err, &fault):
		failed := &DirFailedError{Dir: l.host.dir, Err: err}
		l.fail(failed)
		return failed
	}
	l.host.fail(err)
	return &DirFailedError{Dir: l.host.dir, Err: err}
}

func (l *Log) diskFull(err error) error { return diskFull(l.host, err) }

func diskFull(h *host, err error) error {
	full := &DiskFullError{Dir: h.dir, Err: err}
	if usage, usageErr := h.fs.Usage(h.dir); usageErr == nil {
		full.FreeBytes = usage.FreeBytes
	}
	return full
}

// mustSyncLocked tells whether flush.messages makes this append wait for a sync.
func (l *Log) mustSyncLocked(cfg *Config, a *Appended) bool {
	if cfg.FlushMessages == math.MaxInt64 {
		return false
	}
	if a.Duplicate {
		// The first one may still wait for its sync: nobody is told sooner than it.
		return a.LastOffset >= l.chain.SyncedOffset() && (cfg.FlushMessages == 1 || a.LastOffset < l.flushedFrom)
	}
	if a.NextOffset-max(l.flushedFrom, l.chain.SyncedOffset()) < cfg.FlushMessages {
		return false
	}
	l.flushedFrom = a.NextOffset
	return true
}

func (l *Log) askForSync(cfg *Config, mustSync bool) {
	if mustSync {
		l.queue.Request()
	} else if cfg.FlushMs != math.MaxInt64 {
		l.queue.Within(flushDelay(cfg.FlushMs))
	}
}

func flushDelay(ms int64) time.Duration {
	const longest = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(ms, longest)) * time.Millisecond
}

// AppendAsFollower appends batches that a leader has stamped; their offsets and epochs are
// kept. They need not be dense (compaction), but must rise and start at the log's end or
// later. A batch that is bad, or whose offset is taken, ends it with an error; those
// before it stay appended.
func (l *Log) AppendAsFollower(batches []byte) (Appended, error) {
	if err := l.Failure(); err != nil {
		return Appended{}, err
	}
	cfg := l.cfg.Load()
	l.appendMu.Lock()
	a, err := l.appendAllLocked(batches, cfg.FlushMessages == 1)
	if a.NextOffset > a.FirstOffset {
		a.MustSync = l.mustSyncLocked(cfg, &a)
	}
	l.appendMu.Unlock()
	l.touch()
	l.askForSync(cfg, a.MustSync)
	return a, err
}

func (l *Log) appendAllLocked(batches []byte, syncFollows bool) (Appended, error) {
	end := l.chain.NextOffset()
	a := Appended{FirstOffset: end, LastOffset: end - 1, AppendTimeMs: -1, LogStartOffset: l.logStart.Load(), NextOffset: end}
	for first := true; len(batches) > 0; first = false {
		b, rest, err := record.Next(batches)
		if err != nil {
			return a, err
		}
		info, err := record.Validate(b, record.ValidateOptions{})
		if err != nil {
			return a, err
		}
		if b.BaseOffset() < a.NextOffset {
			return a, &UnexpectedOffsetError{First: b.BaseOffset(), LogEnd: a.NextOffset}
		}
		pb, err := producerBatch(b)
		if err != nil {
			return a, err
		}
		if err := l.storeLocked(b, &pb, &info, syncFollows); err != nil {
			return a, err
		}
		if first {
			a.FirstOffset = b.BaseOffset()
		}
		a.LastOffset, a.NextOffset = b.LastOffset(), b.NextOffset()
		batches = rest
	}
	return a, nil
}

// producerBatch takes from a batch what producer state needs.
func producerBatch(b record.Batch) (producer.Batch, error) {
	pb := producer.Batch{ProducerID: b.ProducerID()}
	if pb.ProducerID < 0 {
		return pb, nil
	}
	pb.Epoch = b.ProducerEpoch()
	pb.BaseSequence, pb.LastSequence = b.BaseSequence(), b.LastSequence()
	pb.FirstOffset, pb.LastOffset = b.BaseOffset(), b.LastOffset()
	pb.MaxTimestamp = b.MaxTimestamp()
	pb.Transactional = b.IsTransactional()
	if b.IsControl() {
		return controlBatch(b, pb)
	}
	return pb, nil
}

func controlBatch(b record.Batch, pb producer.Batch) (producer.Batch, error) {
	pb.Control, pb.EmptyControl = true, true
	err := b.Iterate(nil, func(r *record.Record) error {
		c, err := record.ParseControl(r)
		if err != nil {
			return err
		}
		pb.EmptyControl = c.Type != record.ControlAbort && c.Type != record.ControlCommit
		pb.Commit, pb.CoordinatorEpoch = c.Type == record.ControlCommit, c.CoordinatorEpoch
		pb.MaxTimestamp = r.Timestamp
		return record.ErrStop
	})
	return pb, err
}
