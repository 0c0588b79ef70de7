package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/engine/flush"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// syncTarget is what the syncer sees of a Log.
type syncTarget Log

// SyncedOffset implements flush.Target.
func (t *syncTarget) SyncedOffset() int64 { return (*Log)(t).SyncedOffset() }

// SyncLog implements flush.Target: the records first, then the small files that recovery
// would otherwise derive from them, and then the recovery point may follow.
func (t *syncTarget) SyncLog() (int64, error) {
	l := (*Log)(t)
	return l.sync(l.chain.Sync)
}

// SyncSealed implements flush.Target.
func (t *syncTarget) SyncSealed(below int64) (int64, error) {
	l := (*Log)(t)
	return l.sync(func() (int64, error) { return l.chain.SyncSealed(below) })
}

func (l *Log) sync(records func() (int64, error)) (int64, error) {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	upTo, err := records()
	if err != nil {
		return upTo, l.syncError(err)
	}
	saved, err := l.saveMetaLocked()
	if err != nil {
		return upTo, err
	}
	if saved {
		l.recoveryPoint.Store(max(upTo, l.recoveryPoint.Load()))
	}
	return upTo, nil
}

// syncError tells the syncer which failures are this log's own.
func (l *Log) syncError(err error) error {
	var fault *segment.FaultError
	var poisoned *segment.PoisonedError
	switch {
	case l.Failure() != nil:
		return &flush.LogError{Err: l.Failure()}
	case errors.Is(err, segment.ErrClosed):
		return &flush.LogError{Err: ErrClosed}
	case vfs.OutOfFiles(err) && errors.As(err, &poisoned):
		return &flush.LogError{Err: l.appendError(err)}
	case vfs.OutOfFiles(err):
		return &flush.LaterError{Err: l.host.limited(err)}
	case errors.As(err, &fault):
		l.fail(&DirFailedError{Dir: l.host.dir, Err: err})
		return &flush.LogError{Err: l.Failure()}
	}
	return err
}

// saveMetaLocked writes the epoch checkpoint and the snapshots that wait; metaMu is held.
// A full disk is no failure, nor is a want of descriptors: saved is false, the recovery point
// stays, and the next sync tries again.
func (l *Log) saveMetaLocked() (saved bool, err error) {
	for _, save := range []func() error{l.saveEpochs, l.savePending} {
		err := save()
		if segment.IsDiskFull(err) {
			l.host.log.Warn("checkpoint of a partition not written: the disk is full", "partition", l.tp.String(), "dir", l.host.dir)
			return false, nil
		}
		if vfs.OutOfFiles(err) {
			l.host.limited(err)
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (l *Log) saveEpochs() error {
	if !l.epochs.Dirty() {
		return nil
	}
	entries, version := l.epochs.Entries()
	name := filepath.Join(l.Dir(), checkpoint.LeaderEpochFile)
	if err := checkpoint.Replace(l.host.fs, name, checkpoint.AppendEpochs(nil, entries)); err != nil {
		return err
	}
	l.epochs.Saved(version)
	return nil
}

// onRoll is called by the chain, under appendMu, before a new segment gets its first batch:
// a snapshot of the producer state as of that offset lets recovery begin there.
func (l *Log) onRoll(base int64) {
	if l.truncating {
		return
	}
	l.producers.SetEndOffset(max(base, l.producers.EndOffset()))
	if due := l.takeSnapshotLocked(); due >= maxSnapshotsDue && l.queue != nil && l.host.background != nil {
		l.queue.RequestSealed(base)
	}
}

const (
	// sealedSyncMs: a segment is synced this long after it was sealed, or up to twice as long. By
	// then the kernel has written most of it by itself (vm.dirty_expire_centisecs is 30 s), and
	// a sync right at the roll would make a gigabyte of it at once, beside the appends.
	sealedSyncMs = 30_000
	// maxSnapshotsDue bounds what waits in memory for that sync when segments are small.
	maxSnapshotsDue = 16
)

// syncSealed asks for a sync of what was sealed before the last look. Only the store's task
// calls it.
func (l *Log) syncSealed() {
	if l.Failure() != nil || l.chain == nil || l.host.background == nil {
		return
	}
	if l.sealedBefore > l.SyncedOffset() {
		l.queue.RequestSealed(l.sealedBefore)
	}
	l.sealedBefore = l.chain.ActiveBase()
}

// takeSnapshotLocked encodes the state for savePending to write, and returns how many states
// wait for that; appendMu is held.
func (l *Log) takeSnapshotLocked() (due int) {
	at := l.producers.EndOffset()
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	newest := l.chain.StartOffset()
	if n := len(l.snapshots); n > 0 {
		newest = l.snapshots[n-1]
	}
	if n := len(l.pending); n > 0 {
		newest = l.pending[n-1].offset
	}
	if at > newest {
		l.pending = append(l.pending, snapshotDue{offset: at, data: l.producers.AppendSnapshot(nil)})
	}
	return len(l.pending)
}

func (l *Log) savePending() error {
	for {
		l.snapMu.Lock()
		if len(l.pending) == 0 {
			l.snapMu.Unlock()
			return nil
		}
		due := l.pending[0]
		l.snapMu.Unlock()
		if err := checkpoint.Replace(l.host.fs, l.snapshotName(due.offset), due.data); err != nil {
			return err
		}
		l.snapMu.Lock()
		if len(l.pending) > 0 && l.pending[0].offset == due.offset {
			l.pending = slices.Delete(l.pending, 0, 1)
			l.snapshots = append(l.snapshots, due.offset)
		}
		l.snapMu.Unlock()
	}
}

const snapshotSuffix = ".snapshot"

func (l *Log) snapshotName(offset int64) string {
	return filepath.Join(l.Dir(), fmt.Sprintf("%020d%s", offset, snapshotSuffix))
}

// dropSnapshots removes the snapshots that are not wanted any more, files included, for
// good: one that came back after a power cut would tell of other batches than the log has.
func (l *Log) dropSnapshots(drop func(offset int64) bool) error {
	l.snapMu.Lock()
	l.pending = slices.DeleteFunc(l.pending, func(s snapshotDue) bool { return drop(s.offset) })
	var gone []int64
	l.snapshots = slices.DeleteFunc(l.snapshots, func(offset int64) bool {
		if drop(offset) {
			gone = append(gone, offset)
			return true
		}
		return false
	})
	l.snapMu.Unlock()
	for _, offset := range gone {
		if err := l.host.fs.Remove(l.snapshotName(offset)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(gone) == 0 || seededbug.On(seededbug.NoDirSync) {
		return nil
	}
	err := l.host.fs.SyncDir(l.Dir())
	if vfs.OutOfFiles(err) {
		// They may come back after a power cut: who drops them again syncs the folder.
		l.snapMu.Lock()
		l.snapshots = append(l.snapshots, gone...)
		slices.Sort(l.snapshots)
		l.snapMu.Unlock()
	}
	return err
}

// listSnapshots finds the snapshot files of a partition's folder.
func listSnapshots(entries []fs.DirEntry) []int64 {
	var offsets []int64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), snapshotSuffix)
		if !ok || len(digits) != 20 || e.IsDir() {
			continue
		}
		if offset, err := strconv.ParseInt(digits, 10, 64); err == nil && offset >= 0 {
			offsets = append(offsets, offset)
		}
	}
	slices.Sort(offsets)
	return offsets
}
