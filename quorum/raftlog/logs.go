package raftlog

import (
	"errors"
	"fmt"
	"math"
	"path"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// keepBufferBytes is the largest buffer that is kept between calls of StoreLogs.
const keepBufferBytes = 4 << 20

// Logs is hashicorp/raft's LogStore, MonotonicLogStore and CommitTrackingLogStore.
type Logs struct {
	s     *Store
	chain *segment.Chain
	latch *latch
	dir   string

	// Readers load these before they look into the chain. 0, 0: the log is empty.
	first, last atomic.Uint64
	staged      atomic.Uint64 // the commit index for the next entries
	stored      atomic.Uint64 // the commit index in the last entry
	appended    atomic.Uint64
	syncs       atomic.Uint64

	turn  turn // held by the one change that is under way, with what follows
	stall stall
	enc   encoder
	buf   []byte
	// cut: a suffix was removed and nothing stored since. raft's own idea of the last index
	// is then wrong until it stores again.
	cut bool
}

var (
	_ raft.LogStore               = (*Logs)(nil)
	_ raft.MonotonicLogStore      = (*Logs)(nil)
	_ raft.CommitTrackingLogStore = (*Logs)(nil)
	_ raft.StableStore            = (*Stable)(nil)
	_ raft.SnapshotStore          = (*Snapshots)(nil)
)

// FirstIndex implements raft.LogStore.
func (l *Logs) FirstIndex() (uint64, error) { return l.first.Load(), nil }

// LastIndex implements raft.LogStore.
func (l *Logs) LastIndex() (uint64, error) { return l.last.Load(), nil }

// IsMonotonic implements raft.MonotonicLogStore: there are no gaps.
func (l *Logs) IsMonotonic() bool { return true }

// StageCommitIndex implements raft.CommitTrackingLogStore.
func (l *Logs) StageCommitIndex(index uint64) error {
	l.staged.Store(index)
	return nil
}

// GetCommitIndex implements raft.CommitTrackingLogStore: the index that the last entry came
// with, and at most that entry's.
func (l *Logs) GetCommitIndex() (uint64, error) {
	return min(l.stored.Load(), l.last.Load()), nil
}

// StoreLog implements raft.LogStore.
func (l *Logs) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries follow each other and the last one (a
// *GapError otherwise); after the log was emptied they may begin anywhere. They are durable
// when it returns. An error for which IsDiskFull holds changed nothing.
func (l *Logs) StoreLogs(logs []*raft.Log) error {
	sync, err := l.AppendLogs(logs)
	if err != nil {
		return err
	}
	return sync()
}

// AppendLogs is StoreLogs in two halves, for who has something to do meanwhile: the entries are
// in the log when it returns, and durable when sync has returned nil. sync must be called, once,
// from any goroutine; until it has returned every other change waits. So at most one call's
// entries are ever in doubt, all of them at the end of the log, which recovery relies on.
func (l *Logs) AppendLogs(logs []*raft.Log) (sync func() error, err error) {
	if len(logs) == 0 {
		return func() error { return nil }, nil
	}
	l.turn.take()
	defer func() {
		if err != nil {
			l.turn.give()
		}
	}()
	if err := l.latch.check(); err != nil {
		return nil, err
	}
	if err := l.follow(logs); err != nil {
		return nil, err
	}
	end := l.stall.begin("append to " + l.dir)
	first, last := l.first.Load(), l.last.Load()
	if err := l.appendAll(logs); err != nil {
		end()
		return nil, err
	}
	return func() error {
		defer l.turn.give()
		defer end()
		err := l.sync()
		if err != nil { // it was never there
			l.first.Store(first)
			l.last.Store(last)
		}
		return err
	}, nil
}

// appendAll appends logs; all but the last part of them, if they take several, are synced.
func (l *Logs) appendAll(logs []*raft.Log) error {
	commit := l.staged.Load()
	for rest := logs; len(rest) > 0; {
		n, err := l.encode(rest, commit)
		if err == nil {
			err = l.write(rest[:n])
		}
		if err == nil && n < len(rest) {
			err = l.sync()
		}
		if err != nil && (l.cut || len(rest) < len(logs)) {
			// raft takes the log for what it was before the cut, or before the call.
			return l.latch.fail("append to "+l.dir, err)
		}
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	l.stored.Store(commit)
	if cap(l.buf) > keepBufferBytes {
		l.buf = nil
	}
	l.cut = false
	return nil
}

// sync makes durable what was appended.
func (l *Logs) sync() error {
	if !seededbug.On(seededbug.RaftAckBeforeSync) {
		if _, err := l.chain.Sync(); err != nil {
			return l.latch.fail("sync "+l.dir, err)
		}
	}
	l.syncs.Add(1)
	return l.latch.check() // a call that was given up is not a success
}

// follow checks that logs can be appended, and makes an empty log start at the first.
func (l *Logs) follow(logs []*raft.Log) error {
	last, first := l.last.Load(), logs[0].Index
	before := last
	if last == 0 && first > 0 {
		before = first - 1
	}
	for _, log := range logs {
		if log.Index != before+1 || log.Index >= math.MaxInt64 {
			return &GapError{Index: log.Index, Last: before}
		}
		before++
	}
	if last == 0 && l.chain.NextOffset() != int64(first) {
		if err := l.chain.TruncateFullyAndStartAt(int64(first)); err != nil {
			return l.latch.fail("start the log anew", err)
		}
	}
	return nil
}

// encode puts as many of logs into the buffer as go into one segment, and at least one.
func (l *Logs) encode(logs []*raft.Log, commit uint64) (n int, err error) {
	l.buf = l.buf[:0]
	for i, log := range logs {
		was := len(l.buf)
		if l.buf, err = l.enc.append(l.buf, log, commit, i); err != nil {
			return 0, err
		}
		if i > 0 && int64(len(l.buf)) > l.s.o.SegmentBytes {
			l.buf = l.buf[:was]
			return i, nil
		}
	}
	return len(logs), nil
}

// write appends the buffer, which holds logs.
func (l *Logs) write(logs []*raft.Log) error {
	last := logs[len(logs)-1]
	a := segment.Addition{LastOffset: int64(last.Index), MaxTimestamp: noTimestamp, OffsetOfMaxTimestamp: int64(logs[0].Index)}
	for _, log := range logs {
		if ts := timestampOf(log.AppendedAt); ts > a.MaxTimestamp {
			a.MaxTimestamp, a.OffsetOfMaxTimestamp = ts, int64(log.Index)
		}
	}
	err := l.chain.Append(l.buf, a)
	if segment.IsDiskFull(err) && l.s.reserve.use() {
		l.s.o.Log.Warn("the disk is full: using the space that was held back", "dir", l.dir)
		err = l.chain.Append(l.buf, a)
	}
	if segment.IsDiskFull(err) || vfs.OutOfFiles(err) {
		return fmt.Errorf("append to %s: %w", l.dir, err)
	}
	if err != nil {
		return l.latch.fail("append to "+l.dir, err)
	}
	l.appended.Add(uint64(len(l.buf)))
	if l.first.Load() == 0 {
		l.first.Store(logs[0].Index)
	}
	l.last.Store(last.Index)
	return nil
}

// GetLog implements raft.LogStore. What it reads is checked by its CRC; a *CorruptError or a
// failed read is final, as the library can only panic over a committed entry that it cannot
// read.
func (l *Logs) GetLog(index uint64, log *raft.Log) error {
	first, last := l.first.Load(), l.last.Load()
	if first == 0 || index < first || index > last {
		return raft.ErrLogNotFound
	}
	e, err := l.read(index)
	if err == nil {
		*log = e.log
		return nil
	}
	if first, last := l.first.Load(), l.last.Load(); first == 0 || index < first || index > last {
		return raft.ErrLogNotFound // removed meanwhile
	}
	if errors.Is(err, segment.ErrClosed) {
		return ErrClosed
	}
	if vfs.OutOfFiles(err) {
		return err
	}
	return l.latch.fail(fmt.Sprintf("read entry %d", index), err)
}

// read reads the entry in memory of its own.
func (l *Logs) read(index uint64) (entry, error) {
	rng, err := l.chain.Read(int64(index), 1, math.MaxInt64, true)
	if err != nil {
		return entry{}, err
	}
	defer rng.Release()
	if rng.LenBytes == 0 {
		return entry{}, &CorruptError{File: l.dir, Position: -1, Err: fmt.Errorf("entry %d is missing", index)}
	}
	b := make(record.Batch, rng.LenBytes)
	if err := rng.CopyTo(b); err != nil {
		return entry{}, err
	}
	e, err := decodeEntry(b)
	if err == nil && e.log.Index != index {
		err = fmt.Errorf("entry %d is missing: %d follows", index, e.log.Index)
	}
	if err != nil {
		return entry{}, &CorruptError{File: rng.File.Name(), Position: rng.Pos, Err: err}
	}
	return e, nil
}

// DeleteRange implements raft.LogStore: a prefix, a suffix, or all. Any other range is
// refused. The removed part of a suffix is gone for good when it returns.
func (l *Logs) DeleteRange(from, to uint64) error {
	l.turn.take()
	defer l.turn.give()
	if err := l.latch.check(); err != nil {
		return err
	}
	first, last := l.first.Load(), l.last.Load()
	if last == 0 || from > to || to < first || from > last {
		return nil
	}
	defer l.stall.begin("truncate " + l.dir)()
	var err error
	switch {
	case from <= first && to >= last:
		err = l.deleteAll(last)
	case from <= first:
		err = l.deletePrefix(to + 1)
	case to >= last:
		err = l.deleteSuffix(from)
	default:
		return fmt.Errorf("entries %d to %d lie in the middle of the log, %d to %d", from, to, first, last)
	}
	if err == nil {
		err = l.chain.RemoveDeleted(l.s.o.Clock.Now())
	}
	if err != nil {
		return l.latch.fail("truncate "+l.dir, err)
	}
	l.s.reserve.take()
	return l.latch.check()
}

func (l *Logs) deleteAll(last uint64) error {
	// The number first: with the files gone it would hide the beginning of another log.
	if err := l.s.stable.setFirst(0); err != nil {
		return err
	}
	l.first.Store(0)
	l.last.Store(0)
	l.stored.Store(0)
	l.cut = false
	return l.chain.TruncateFullyAndStartAt(int64(last) + 1)
}

func (l *Logs) deleteSuffix(from uint64) error {
	l.last.Store(from - 1)
	l.cut = true
	return l.chain.TruncateTo(int64(from))
}

// deletePrefix moves the first index, and removes files that lie below it and below the
// snapshot before the newest one.
func (l *Logs) deletePrefix(first uint64) error {
	if err := l.s.stable.setFirst(first); err != nil {
		return err
	}
	l.first.Store(first)
	_, err := l.chain.DropHead(int64(min(first, l.s.snapshots.needFrom())))
	return err
}

// BytesSince is about how many bytes the entries behind index take.
func (l *Logs) BytesSince(index uint64) int64 {
	var sum int64
	for _, s := range l.chain.Segments() {
		switch {
		case uint64(s.Next) <= index+1 || s.Next == s.Base:
		case uint64(s.Base) > index:
			sum += s.SizeBytes
		default:
			sum += int64(float64(s.SizeBytes) * float64(uint64(s.Next)-index-1) / float64(s.Next-s.Base))
		}
	}
	return sum
}

func (l *Logs) name(base int64) string { return path.Join(l.dir, fmt.Sprintf("%020d.log", base)) }
