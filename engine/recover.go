package engine

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// openSpec is what a Store knows of a partition before it opens it.
type openSpec struct {
	tp            TopicPartition
	dir           string // the partition's folder, which exists
	cfg           Config
	clean         bool // the last stop of the directory was clean
	recoveryPoint int64
	logStart      int64 // from the checkpoint, 0 when it has none
	highWatermark int64
	cleanedTo     int64 // never: it was not cleaned yet
	progress      func(doneBytes, totalBytes int64)
}

// openLog opens one partition's log and recovers what the last stop left. An error that
// concerns only this partition (an old format, damage) gives a Log that refuses every call
// with *UnavailableError; the returned error is an I/O error.
func openLog(h *host, spec openSpec) (*Log, segment.RecoveryResult, error) {
	l := &Log{tp: spec.tp, host: h}
	l.dir.Store(&spec.dir)
	l.cfg.Store(&spec.cfg)
	l.firstUnstable.Store(allStable)
	l.cleanedTo.Store(spec.cleanedTo)
	entries, err := h.fs.ReadDir(spec.dir)
	if err != nil {
		return nil, segment.RecoveryResult{}, err
	}
	if err := l.loadSmallFiles(entries); err != nil {
		return nil, segment.RecoveryResult{}, err
	}
	l.snapshots = listSnapshots(entries)
	r := recovery{l: l, start: firstBase(entries), next: firstBase(entries), dense: !spec.cfg.CleanupCompact && spec.cleanedTo == never, point: spec.recoveryPoint, hole: -1}
	chain, res, err := segment.Open(segment.Options{
		FS: &logFS{FS: h.fs, l: l}, Clock: h.clock, Dir: spec.dir, Mode: h.mode,
		Jitter: h.jitter, Background: h.background, OnRoll: l.onRoll,
	}, spec.cfg.segmentConfig(), segment.Recovery{
		Clean: spec.clean, Point: spec.recoveryPoint, Visit: r.visit, Progress: spec.progress,
	})
	if err != nil {
		if partitionOnly(err) {
			l.becomeUnavailable(spec, entries, err)
			return l, res, nil
		}
		return nil, res, err
	}
	l.chain = chain
	if err := l.finishOpen(spec, &r); err != nil {
		chain.Kill()
		if partitionOnly(err) {
			l.chain = nil
			l.becomeUnavailable(spec, entries, err)
			return l, res, nil
		}
		return nil, res, err
	}
	l.queue = h.syncer.NewLog((*syncTarget)(l))
	if l.open.Load() > 0 {
		// What was read is closed again: most logs are not used at once.
		if err := chain.Idle(); err != nil {
			chain.Kill()
			return nil, res, err
		}
	}
	return l, res, nil
}

// partitionOnly tells whether an error is about what a partition's files hold and not
// about reading them.
func partitionOnly(err error) bool {
	var corrupt *segment.CorruptError
	return errors.Is(err, record.ErrUnsupportedMagic) || errors.Is(err, record.ErrCorrupt) || errors.As(err, &corrupt)
}

// becomeUnavailable keeps the partition known, with the offsets that the checkpoints tell.
func (l *Log) becomeUnavailable(spec openSpec, entries []fs.DirEntry, reason error) {
	for _, e := range entries {
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == ".log" {
			l.legacySize += info.Size()
		}
	}
	l.logStart.Store(spec.logStart)
	l.legacyEnd = max(spec.recoveryPoint, spec.highWatermark, spec.logStart)
	l.hw.Store(max(min(spec.highWatermark, l.legacyEnd), spec.logStart))
	l.recoveryPoint.Store(spec.recoveryPoint)
	l.fail(&UnavailableError{TopicPartition: l.tp, Err: reason})
}

// loadSmallFiles reads partition.metadata and the epoch checkpoint. Damaged ones are
// warned of: the epochs are then derived from the log as far as it is scanned.
func (l *Log) loadSmallFiles(entries []fs.DirEntry) error {
	for _, e := range entries {
		name := filepath.Join(l.Dir(), e.Name())
		switch e.Name() {
		case movedFile:
			l.moved = true
		case checkpoint.PartitionMetadataFile:
			data, err := checkpoint.Load(l.host.fs, name)
			if err != nil {
				return err
			}
			id, err := checkpoint.ParsePartitionMetadata(data)
			if err != nil {
				l.host.log.Warn("damaged file ignored", "file", name, "error", err)
				continue
			}
			l.topicID.Store(&id)
		case checkpoint.LeaderEpochFile:
			data, err := checkpoint.Load(l.host.fs, name)
			if err != nil {
				return err
			}
			epochs, err := checkpoint.ParseEpochs(data)
			if err != nil {
				l.host.log.Warn("damaged file ignored, the leader epochs are derived from the log", "file", name, "error", err)
				l.epochsDamaged = true
			}
			l.epochs.Restore(epochs)
		}
	}
	return nil
}

// recovery applies the batches that the chain scans.
type recovery struct {
	l       *Log
	start   int64 // base of the first segment on disk
	started bool
	from    int64 // first offset scanned
	gap     bool  // the state does not reach up to from: a scan of the log is needed
	next    int64 // offset after the last batch
	dense   bool  // no batch is ever removed from the middle of this log
	point   int64 // everything below was synced
	hole    int64 // where records are missing, -1: nowhere
}

func (r *recovery) visit(b record.Batch) error {
	l := r.l
	if expected := max(r.next, r.point); r.dense && r.hole < 0 && b.BaseOffset() > expected {
		// Only compaction leaves gaps. Here a power cut took the end of a segment, but not
		// the next one: what follows the hole must not outlive what came before it.
		r.hole = expected
	}
	if r.hole >= 0 {
		return nil
	}
	r.next = b.NextOffset()
	if !r.started {
		// The checkpoint may tell of epochs that a truncation took: what is scanned is
		// derived anew.
		l.epochs.TruncateTail(b.BaseOffset())
		r.started, r.from = true, b.BaseOffset()
		if err := l.loadSnapshot(r.start, r.from); err != nil {
			return err
		}
		r.gap = l.producers.EndOffset() < r.from
	}
	if latest, _ := l.epochs.Latest(); b.LeaderEpoch() > latest {
		l.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
	}
	if r.gap || b.NextOffset() <= l.producers.EndOffset() {
		return nil
	}
	return l.applyLocked(b)
}

// applyLocked brings producer state up to the end of b, which is in the log.
func (l *Log) applyLocked(b record.Batch) error {
	if b.HasProducerID() && !seededbug.On(seededbug.ProducerStateNotRebuilt) {
		pb, err := producerBatch(b)
		if err != nil {
			return err
		}
		if done, ended := l.producers.Update(&pb); ended && done.Aborted {
			l.replayed = append(l.replayed, abortedTxn(done))
		}
	}
	l.producers.SetEndOffset(b.NextOffset())
	return nil
}

// replayAborted completes the transaction indexes with what was found in the log again.
func (l *Log) replayAborted() error {
	for _, t := range l.replayed {
		if err := l.chain.AppendAborted(t); err != nil {
			return err
		}
	}
	l.replayed = nil
	return nil
}

// finishOpen sets the watermarks and completes the producer state.
func (l *Log) finishOpen(spec openSpec, r *recovery) error {
	if err := l.closeGaps(spec, r); err != nil {
		return err
	}
	end := l.chain.NextOffset()
	start := max(spec.logStart, l.chain.StartOffset())
	l.logStart.Store(start)
	if l.epochsDamaged {
		if err := l.deriveEpochs(); err != nil {
			return err
		}
	}
	l.epochs.TruncateTail(end)
	l.epochs.TruncateHead(start)
	if spec.clean {
		// Nothing was lost, so whatever the checkpoint says is behind.
		l.recoveryPoint.Store(end)
	} else {
		l.recoveryPoint.Store(min(spec.recoveryPoint, end))
	}
	if err := l.dropSnapshots(func(offset int64) bool { return offset > end }); err != nil {
		return err
	}
	if !r.started || r.gap {
		if err := l.rebuildProducers(end, spec.clean); err != nil {
			return err
		}
	}
	if err := l.replayAborted(); err != nil {
		return err
	}
	l.producers.SetEndOffset(max(end, l.producers.EndOffset()))
	l.producers.OnLogStart(start)
	l.expireProducers()
	if err := l.fillWindows(end); err != nil {
		return err
	}
	if err := l.pruneSnapshots(end); err != nil {
		return err
	}
	l.hw.Store(max(min(spec.highWatermark, end), start))
	l.producers.OnHighWatermark(l.hw.Load())
	l.firstUnstable.Store(l.producers.FirstUnstable())
	l.flushedFrom = end
	if spec.clean {
		return nil
	}
	return l.trustRecovered(end)
}

// closeGaps cuts the log at a hole, and lets a log whose records all lie below the log start
// begin there: offsets that were given out are not given out again (as Kafka does).
func (l *Log) closeGaps(spec openSpec, r *recovery) error {
	if expected := max(r.next, r.point); r.dense && !spec.clean && r.hole < 0 && l.chain.NextOffset() > expected {
		r.hole = expected // and only an empty segment follows it
	}
	if r.hole >= 0 {
		l.host.log.Warn("log was cut where records are missing", "partition", l.tp.String(), "dir", spec.dir, "offset", r.hole)
		if err := l.chain.TruncateTo(r.hole); err != nil {
			return err
		}
	}
	if spec.logStart <= l.chain.NextOffset() {
		return nil
	}
	l.host.log.Warn("log starts anew: it ended below its log start offset", "partition", l.tp.String(), "dir", spec.dir,
		"log_end_offset", l.chain.NextOffset(), "log_start_offset", spec.logStart)
	r.gap = true // nothing that was visited is left
	if err := l.dropSnapshots(func(int64) bool { return true }); err != nil {
		return err
	}
	return l.chain.TruncateFullyAndStartAt(spec.logStart)
}

// trustRecovered moves the recovery point to the end: the chain has synced what it scanned,
// and with the folder and the small files nothing is left to do again after the next crash.
func (l *Log) trustRecovered(end int64) error {
	if err := l.host.fs.SyncDir(l.Dir()); err != nil {
		return err
	}
	saved, err := l.saveMetaLocked()
	if saved {
		l.recoveryPoint.Store(end)
	}
	return err
}

// deriveEpochs reads the leader epochs from the headers of all batches.
func (l *Log) deriveEpochs() error {
	return l.chain.Scan(l.chain.StartOffset(), func(b record.Batch, _, _ int64) error {
		if latest, _ := l.epochs.Latest(); b.LeaderEpoch() > latest {
			l.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
		}
		return nil
	})
}

// firstBase is the smallest base offset of a segment in the folder, 0 without one. A segment
// that a cleaning was about to swap in counts: it, or the one that it replaces, will be there.
func firstBase(entries []fs.DirEntry) int64 {
	first := int64(-1)
	for _, e := range entries {
		digits, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".swap"), ".log")
		if base, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && (first < 0 || base < first) {
			first = base
		}
	}
	return max(first, 0)
}

// rebuildProducers brings producer state up to end from the newest good snapshot, or from
// the first batch. After a clean stop a log without any snapshot has no producers: it was
// written before there were any (Kafka's rule).
func (l *Log) rebuildProducers(end int64, clean bool) error {
	if clean && len(l.snapshots) == 0 {
		l.producers.Reset(end)
		return nil
	}
	if err := l.loadSnapshot(l.chain.StartOffset(), end); err != nil {
		return err
	}
	if l.producers.EndOffset() >= end {
		return nil
	}
	return l.chain.Scan(l.producers.EndOffset(), func(b record.Batch, _, _ int64) error {
		if b.BaseOffset() >= end || b.NextOffset() <= l.producers.EndOffset() {
			return nil
		}
		return l.applyLocked(b)
	})
}

// loadSnapshot loads the newest good snapshot in [start, limit]. Damaged ones are removed.
// Without one the state is empty as of start, the base of the first segment. An older
// snapshot is of no use: batches that were written after it are gone, and a producer whose
// state lacks some would be refused for a gap.
func (l *Log) loadSnapshot(start, limit int64) error {
	for i := len(l.snapshots) - 1; i >= 0; i-- {
		offset := l.snapshots[i]
		if offset > limit || offset < start {
			continue
		}
		name := l.snapshotName(offset)
		data, err := checkpoint.Load(l.host.fs, name)
		if err == nil {
			if err = l.producers.LoadSnapshot(data, offset); err == nil {
				return nil
			}
		}
		var damaged *producer.SnapshotError
		var tooLong *checkpoint.FormatError
		if !errors.As(err, &damaged) && !errors.As(err, &tooLong) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.host.log.Warn("damaged producer snapshot removed", "file", name, "error", err)
		if err := l.dropSnapshots(func(o int64) bool { return o == offset }); err != nil {
			return err
		}
	}
	l.producers.Reset(start)
	return nil
}

// pruneSnapshots keeps the snapshots of segments that exist and, of the others, the newest
// if it lies above all segments (the one of a clean stop), as Kafka's removeStraySnapshots.
func (l *Log) pruneSnapshots(end int64) error {
	if len(l.snapshots) == 0 {
		return nil
	}
	bases := make(map[int64]bool)
	for _, s := range l.chain.Segments() {
		bases[s.Base] = true
	}
	newest := l.snapshots[len(l.snapshots)-1]
	return l.dropSnapshots(func(offset int64) bool {
		return !bases[offset] && (offset != newest || offset < l.chain.ActiveBase() || offset > end)
	})
}

// close stops the log. A clean close leaves everything durable and a snapshot at the end,
// so that the next start has nothing to recover; its error means that it is not clean.
func (l *Log) close() error {
	closed := ErrClosed
	if l.chain == nil {
		l.fail(closed)
		return nil
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.Failure(); err != nil {
		return err
	}
	l.takeSnapshotLocked()
	end := l.chain.NextOffset()
	l.fail(closed)
	err := l.chain.Close()
	if err == nil {
		err = errors.Join(l.saveEpochs(), l.savePending())
	}
	if err == nil {
		l.recoveryPoint.Store(end)
	}
	return err
}

// kill drops the log as a crash would.
func (l *Log) kill(reason error) {
	l.fail(reason)
	if l.chain != nil {
		l.chain.Kill()
	}
}
