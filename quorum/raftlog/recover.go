package raftlog

import (
	"fmt"
	"math"
	"path"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/segment"
)

// indexIntervalBytes is the distance of index entries: a lookup reads few headers.
const indexIntervalBytes = 4 << 10

// indexMaxBytes is room for the entries of a segment, of which each has less than an interval
// of bytes behind it and at most 12 bytes; the mappings of both indexes have this size.
func indexMaxBytes(segmentBytes int64) int {
	return int(segmentBytes/indexIntervalBytes+64) * 12
}

func (s *Store) openLogs() (*Logs, error) {
	dir := path.Join(s.o.Dir, logDir)
	l := &Logs{s: s, latch: s.latch, dir: dir, stall: s.newStall()}
	l.turn.free.L = &l.turn.mu
	point, err := l.recoveryPoint()
	if err != nil {
		return nil, err
	}
	v := verifier{}
	cfg := segment.Config{
		SegmentBytes: s.o.SegmentBytes, SegmentMs: math.MaxInt64,
		IndexIntervalBytes: indexIntervalBytes, IndexMaxBytes: indexMaxBytes(s.o.SegmentBytes),
		SyncEveryAppend: true,
	}
	chain, res, err := segment.Open(
		segment.Options{FS: s.o.FS, Clock: s.o.Clock, Dir: dir, Mode: segment.Pwrite}, cfg,
		segment.Recovery{Point: point, Contiguous: true, VisitAt: v.visit, Behind: v.behind})
	if err != nil {
		return nil, err
	}
	l.chain = chain
	if err := l.check(v); err != nil {
		chain.Kill()
		return nil, err
	}
	if res.TruncatedBytes > 0 {
		s.o.Log.Warn("cut off the torn end of the raft log", "dir", dir, "bytes", res.TruncatedBytes, "last", l.last.Load())
	}
	return l, nil
}

// recoveryPoint is the base of the last file: all before it was synced before it was made,
// the one before it perhaps not sealed, which segment sees to.
func (l *Logs) recoveryPoint() (int64, error) {
	entries, err := l.s.o.FS.ReadDir(l.dir)
	if err != nil {
		return 0, err
	}
	point := int64(0)
	for _, e := range entries {
		var base int64
		if n, err := fmt.Sscanf(e.Name(), "%020d.log", &base); n == 1 && err == nil && path.Join(l.dir, e.Name()) == l.name(base) {
			point = max(point, base)
		}
	}
	return point, nil
}

// verifier looks at the entries while the end of the log is scanned.
type verifier struct {
	next uint64 // the index that must follow; 0: none was seen
}

func (v *verifier) visit(b record.Batch, name string, position int64) error {
	e, err := decodeEntry(b)
	if err == nil && v.next != 0 && e.log.Index != v.next {
		err = fmt.Errorf("entry %d is missing: %d follows", v.next, e.log.Index)
	}
	if err != nil {
		return &CorruptError{File: name, Position: position, Err: err}
	}
	v.next = e.log.Index + 1
	return nil
}

// behind is asked about entries behind damage. One that was written by a later call shows
// that what is damaged was durable once, and acknowledged.
func (v *verifier) behind(d segment.Damage, b record.Batch) error {
	e, err := decodeEntry(b)
	if err != nil {
		return nil // looks like a batch, and is none of ours
	}
	if e.log.Index-e.before > uint64(d.Next) || e.commit >= uint64(d.Next) {
		return &CorruptError{File: d.Name, Position: d.Position,
			Err: fmt.Errorf("entry %d can not be read, but entry %d, which was written later, can", d.Next, e.log.Index)}
	}
	return nil
}

// check takes first and last from the chain, and looks at what the scan did not see: that
// each file ends where the next begins.
func (l *Logs) check(v verifier) error {
	list := l.chain.Segments()
	next := l.chain.NextOffset()
	_, closed := l.s.stable.numbers()
	if next == list[0].Base || list[0].SizeBytes == 0 {
		if closed > 1 {
			return l.short(closed-1, 0, list[0].Base)
		}
		return nil
	}
	if _, err := l.read(uint64(list[0].Base)); err != nil {
		return err
	}
	for _, s := range list[1:] {
		if _, err := l.read(uint64(s.Base - 1)); err != nil {
			return err
		}
	}
	last, err := l.read(uint64(next - 1))
	if err != nil {
		return err
	}
	if last.log.Index+1 < closed {
		return l.short(closed-1, last.log.Index, list[len(list)-1].Base)
	}
	l.first.Store(uint64(list[0].Base))
	l.last.Store(last.log.Index)
	l.stored.Store(last.commit)
	return nil
}

// short is the error of a log that was longer when it was closed.
func (l *Logs) short(want, got uint64, base int64) error {
	return &CorruptError{File: l.name(base), Position: -1,
		Err: fmt.Errorf("the log ended at entry %d when it was closed, and ends at %d now", want, got)}
}

// files is what the files hold, whatever first index raft knows.
func (l *Logs) files() (first, last uint64) {
	if last = l.last.Load(); last == 0 {
		return 0, 0
	}
	return uint64(l.chain.StartOffset()), last
}

// startAt sets the first index that raft left, if the newest good snapshot reaches it.
func (l *Logs) startAt(kept, newest uint64) {
	first, last := l.files()
	if last > 0 && kept > first && kept <= last && kept <= newest+1 {
		first = kept
	}
	l.first.Store(first)
}
