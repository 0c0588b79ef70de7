package engine

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/engine/cleaner"
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/segment"
)

// cleanable is a log that may be cleaned, as of a moment.
type cleanable struct {
	cleaner.Candidate
	log   *Log
	parts []segment.Part
}

// cleanable tells what a cleaning of the log would find; ok is false for a log that is not
// compacted or not served.
func (l *Log) cleanable(now time.Time) (c cleanable, ok bool, err error) {
	cfg := l.cfg.Load()
	if !cfg.CleanupCompact || l.Failure() != nil {
		return c, false, nil
	}
	c.log, c.parts = l, l.chain.Sealed()
	c.MinRatio = cfg.MinCleanableRatio
	stable := l.LastStableOffset()
	c.FirstDirty = l.firstDirty(l.logStart.Load())
	nowMs := now.UnixMilli()
	c.Uncleanable = c.FirstDirty
	var oldestMs int64 = -1
	for i := range c.parts {
		p := &c.parts[i]
		if p.Base < c.FirstDirty {
			c.CleanBytes += p.SizeBytes
		}
		if p.Next <= c.FirstDirty {
			continue
		}
		if p.Next > stable {
			break
		}
		if cfg.MinCompactionLagMs > 0 || cfg.MaxCompactionLagMs != noLagLimit {
			if err := p.Describe(); err != nil {
				return c, false, err
			}
			if cfg.MinCompactionLagMs > 0 && newestMs(p) > nowMs-cfg.MinCompactionLagMs {
				break
			}
			if first := p.FirstTimestamp; first >= 0 && (oldestMs < 0 || first < oldestMs) {
				oldestMs = first
			}
		}
		if p.Base >= c.FirstDirty {
			c.DirtyBytes += p.SizeBytes
		} else {
			// A cleaning ended inside of it: it counts as what it was, and as dirty.
			c.DirtyBytes += p.SizeBytes * (p.Next - c.FirstDirty) / max(p.Next-p.Base, 1)
		}
		c.Uncleanable = p.Next
	}
	if oldestMs >= 0 && cfg.MaxCompactionLagMs != noLagLimit {
		c.OverdueMs = max(nowMs-cfg.MaxCompactionLagMs-oldestMs, 0)
	}
	return c, true, nil
}

const noLagLimit = 1<<63 - 1

// newestMs is the age of a segment by its youngest record, or of its file without timestamps.
func newestMs(p *segment.Part) int64 {
	if p.MaxTimestamp >= 0 {
		return p.MaxTimestamp
	}
	return p.ModTime.UnixMilli()
}

// firstDirty is where the next cleaning begins: where the last one ended, unless the log was
// cut or has lost its head since.
func (l *Log) firstDirty(start int64) int64 {
	offset := l.cleanedTo.Load()
	if offset < start || offset > l.chain.NextOffset() {
		return start
	}
	return offset
}

// cleanJob is one cleaning with the memory of the thread that does it.
type cleanJob struct {
	ctx   context.Context
	cfg   CleanerConfig
	share int64 // memory for keys
	buf   int   // for reading, and for writing
	keys  *cleaner.OffsetMap
	mem   *segment.ScanBuffer
	wait  func(ctx context.Context, bytes int64) error // for the limit on bytes per second
	owed  int64                                        // bytes that wait was not told of yet
	stats cleaner.Stats
}

// clean compacts the log up to c.Uncleanable, or as far as the keys go into memory, and
// returns the offset that it came to. Errors: ErrChanged of segment and those of a log that is
// being closed mean that it is to be tried again; of the rest see Store.cleanFailed.
func (l *Log) clean(c *cleanable, job *cleanJob, now time.Time) (cleanedTo int64, err error) {
	cfg := l.cfg.Load()
	if l.SyncedOffset() < c.Uncleanable {
		// What is removed because of a newer record must not outlive it.
		sealed := func() (int64, error) { return l.chain.SyncSealed(c.Uncleanable) }
		if err := l.syncNow(sealed); err != nil {
			return 0, err
		}
	}
	aborted, err := l.chain.Aborted(c.parts[0].Base, c.Uncleanable)
	if err != nil {
		return 0, err
	}
	job.keys.Reset(job.share, job.cfg.LoadFactor, c.Uncleanable-c.FirstDirty)
	if err := job.mapKeys(c, aborted); err != nil {
		return 0, err
	}
	job.stats.Keys = job.keys.Len()
	to := job.keys.Latest() + 1
	if to <= c.FirstDirty {
		return c.FirstDirty, nil
	}
	if l.cleanedTo.Load() == never {
		// From here on the log may have holes: a recovery must know before there are any.
		if err := l.setCleaned(c.FirstDirty); err != nil {
			l.cleanedTo.Store(never)
			return 0, err
		}
	}
	w := &rewrite{l: l, job: job, txns: len(aborted) > 0}
	o := cleaner.RoundOptions{
		NowMs: now.UnixMilli(), DeleteRetentionMs: cfg.DeleteRetentionMs, UpTo: to, Last: l.lastRecords(),
		Codec: compress.None, Level: cfg.CompressionLevel, Kept: w.keepAborted,
	}
	if cfg.Compression != CompressionProducer {
		o.Codec = cfg.Compression
	}
	w.round = cleaner.NewRound(job.keys, o, &job.stats)
	w.round.AddAborted(aborted)
	if err := w.all(c.parts, to); err != nil {
		return 0, err
	}
	return to, nil
}

// mapKeys is the first pass: the dirty part's keys.
func (job *cleanJob) mapKeys(c *cleanable, aborted []index.AbortedTxn) error {
	m := cleaner.NewMapping(job.keys, c.FirstDirty, aborted, &job.stats)
	for i := range c.parts {
		p := &c.parts[i]
		if p.Next <= c.FirstDirty || p.Next > c.Uncleanable {
			continue
		}
		full := false
		err := p.Scan(c.FirstDirty, job.mem, func(b record.Batch) (err error) {
			if err := job.spent(len(b)); err != nil {
				return err
			}
			if err := b.CheckCRC(); err != nil {
				return err
			}
			if full, err = m.Add(b); full {
				return errMapFull
			}
			return err
		})
		if full && errors.Is(err, errMapFull) {
			return nil
		}
		if err != nil {
			return err
		}
		job.keys.SetLatest(p.Next - 1)
	}
	return nil
}

var errMapFull = errors.New("engine: no room for further keys")

// spent accounts for bytes that were read or written, and ends the job when the store closes.
func (job *cleanJob) spent(bytes int) error {
	const step = 256 << 10
	if job.owed += int64(bytes); job.owed < step {
		return nil
	}
	owed := job.owed
	job.owed = 0
	if err := job.ctx.Err(); err != nil {
		return err
	}
	return job.wait(job.ctx, owed)
}

// rewrite is the second pass: groups of segments become one each.
type rewrite struct {
	l       *Log
	job     *cleanJob
	round   *cleaner.Round
	txns    bool // the log has aborted transactions
	out     *segment.Cleaned
	changed bool
}

func (w *rewrite) keepAborted(t index.AbortedTxn) { w.out.AppendAborted(t) }

// all rewrites the segments that begin below to.
func (w *rewrite) all(parts []segment.Part, to int64) error {
	n := 0
	for n < len(parts) && parts[n].Base < to {
		n++
	}
	parts = parts[:n]
	pieces := make([]cleaner.Piece, n)
	for i := range parts {
		if err := parts[i].Describe(); err != nil {
			return err
		}
		p := &parts[i]
		pieces[i] = cleaner.Piece{Base: p.Base, Next: p.Next, SizeBytes: p.SizeBytes, IndexBytes: p.IndexFileBytes, TimeIndBytes: p.TimeIndexBytes}
	}
	cfg := w.l.cfg.Load()
	limits := cleaner.Limits{SegmentBytes: cfg.SegmentBytes, IndexBytes: int64(cfg.IndexMaxBytes), Offsets: 1<<31 - 1}
	for len(parts) > 0 {
		n := cleaner.Group(pieces, limits)
		if err := w.group(parts[:n]); err != nil {
			return err
		}
		parts, pieces = parts[n:], pieces[n:]
	}
	return nil
}

// group makes one segment of several and puts it in their place.
func (w *rewrite) group(parts []segment.Part) error {
	out, err := w.l.chain.NewCleaned(parts[0].Base, w.job.buf)
	if err != nil {
		return err
	}
	w.out, w.changed = out, len(parts) > 1 || w.txns
	for i := range parts {
		if err := parts[i].Scan(parts[i].Base, w.job.mem, w.batch); err != nil {
			return errors.Join(err, out.Discard())
		}
	}
	w.round.TrimMemory(w.job.buf)
	if err := w.job.ctx.Err(); err != nil {
		return errors.Join(err, out.Discard())
	}
	if !w.changed {
		return out.Discard() // it would be the same again
	}
	if err := w.l.chain.Replace(out, parts); err != nil {
		return err
	}
	return w.dropSnapshots(parts)
}

func (w *rewrite) batch(b record.Batch) error {
	if err := w.l.Failure(); err != nil {
		return err
	}
	left, err := w.round.Filter(b)
	if err != nil {
		return err
	}
	if err := w.job.spent(len(b) + len(left.Batch)); err != nil {
		return err
	}
	if left.Batch == nil {
		w.changed = true
		return nil
	}
	if left.Dropped > 0 || len(left.Batch) != len(b) || left.Batch.CRC() != b.CRC() {
		w.changed = true
	}
	return w.out.Append(left.Batch, left.AtOffset)
}

// dropSnapshots removes the snapshots of segments that are no longer there.
func (w *rewrite) dropSnapshots(parts []segment.Part) error {
	gone := make(map[int64]bool, len(parts))
	for _, p := range parts[1:] {
		gone[p.Base] = true
	}
	if len(gone) == 0 {
		return nil
	}
	return w.l.dropSnapshots(func(offset int64) bool { return gone[offset] })
}

// lastRecords is what the log remembers of each producer.
func (l *Log) lastRecords() map[int64]cleaner.LastRecord {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	last := make(map[int64]cleaner.LastRecord, l.producers.Len())
	l.producers.EachLast(func(id, dataOffset int64, epoch int16) {
		last[id] = cleaner.LastRecord{DataOffset: dataOffset, Epoch: epoch}
	})
	return last
}

// rollOverdue seals an active segment whose first record has waited for a cleaning too long: a
// log that nobody appends to would never be rolled.
func (l *Log) rollOverdue(now time.Time) error {
	cfg := l.cfg.Load()
	if !cfg.CleanupCompact || cfg.MaxCompactionLagMs == noLagLimit || l.Failure() != nil {
		return nil
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.Failure(); err != nil {
		return err
	}
	first := l.chain.ActiveFirstTimestamp()
	if first < 0 || now.UnixMilli()-first <= cfg.MaxCompactionLagMs {
		return nil
	}
	if err := l.chain.Roll(); err != nil {
		return l.appendError(err)
	}
	return nil
}
