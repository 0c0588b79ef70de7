package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/record"
)

// recover finds the log's end. After a clean stop it looks at the tail of the active
// segment only; otherwise it scans from the segment that holds the recovery point on.
func (c *Chain) recover(r Recovery, res *RecoveryResult) error {
	list := c.segments()
	last := list[len(list)-1]
	if r.Clean {
		ok, err := c.openTail(last)
		if err != nil || ok {
			return err
		}
		return c.scanFrom(len(list)-1, r, res)
	}
	first := max(0, floor(list, r.Point))
	if first > 0 && list[first].base == r.Point {
		first-- // its records were synced, but maybe before it was sealed
	}
	for _, s := range list[:first] {
		if err := c.checkIndexes(s, res); err != nil {
			return err
		}
	}
	return c.scanFrom(first, r, res)
}

// checkIndexes opens a trusted segment's indexes, which checks them, and rebuilds bad ones.
func (c *Chain) checkIndexes(s *segment, res *RecoveryResult) error {
	if _, size := s.end(); size == 0 {
		return nil
	}
	off, tim, err := s.openIndexes()
	if err == nil {
		return errors.Join(off.Close(), tim.Close())
	}
	if !isUntrusted(err) {
		return err
	}
	res.RebuiltIndexes++
	f, err := c.o.FS.OpenFile(s.name(logSuffix), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.rebuildIndexes(f)
	return err
}

// openTail finds the end of the active segment after a clean stop: its indexes are
// checked, and the batches behind the last index entry must be whole and end with the
// file. ok is false when something is wrong: scan.
func (c *Chain) openTail(s *segment) (ok bool, err error) {
	_, size := s.end()
	if !s.exists || size == 0 {
		s.maxTimestamp, s.firstTimestamp = -1, -1
		s.offCount, s.timCount, s.synced = 0, 0, size
		return true, nil
	}
	s.publish(s.base+maxPosition+1, size) // any offset, until the end is known
	off, tim, err := s.openIndexes()
	if err != nil {
		if isUntrusted(err) {
			return false, nil
		}
		return false, err
	}
	defer func() { err = errors.Join(err, off.Close(), tim.Close()) }()
	s.maxTimestamp, s.maxTimestampAt = -1, s.base
	if e, has, err := tim.Last(); err != nil {
		return false, err
	} else if has {
		s.maxTimestamp, s.maxTimestampAt = e.Timestamp, e.Offset
	}
	start, indexed := int64(0), s.base-1
	if e, has, err := off.Last(); err != nil {
		return false, err
	} else if has {
		start, indexed = e.Position, e.Offset
	}
	f, err := c.o.FS.OpenFile(s.name(logSuffix), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := refuseOldMagic(f, size); err != nil {
		return false, err
	}
	sc := scanner{s: s, r: reader{f: f, pos: start, limit: size}, next: s.base, crc: true}
	for sc.step() {
	}
	if sc.err != nil {
		return false, sc.err
	}
	if sc.r.pos != size || s.maxTimestampAt >= sc.next || indexed >= sc.next {
		return false, nil
	}
	s.offCount, s.timCount = off.Count(), tim.Count()
	s.sinceIndex = size - start
	s.synced = size
	s.publish(sc.next, size)
	return true, nil
}

// scanFrom scans the segments from number first on, cuts the log at the first batch that
// cannot stand, removes what lies behind and rebuilds the indexes.
func (c *Chain) scanFrom(first int, r Recovery, res *RecoveryResult) error {
	list := c.segments()
	var total, done int64
	for _, s := range list[first:] {
		_, size := s.end()
		total += size
	}
	next := list[first].base
	for i := first; i < len(list); i++ {
		s := list[i]
		lost := r.Contiguous && s.base > next && s.base > r.Point
		if s.base < next || lost {
			_, end := list[i-1].end()
			if err := c.lookBehind(i-1, end, next, r.Behind); err != nil {
				return err
			}
			return c.dropFrom(i, res)
		}
		progress := func(n int64) {
			if r.Progress != nil {
				r.Progress(done+n, total)
			}
		}
		_, size := s.end()
		cut, err := c.scanSegment(i, r, progress, res)
		if err != nil {
			return err
		}
		done += size
		progress(0)
		if cut {
			return nil
		}
		if next, _ = s.end(); i < len(list)-1 {
			s.sealed.Store(true)
		}
	}
	return nil
}

// dropFrom removes the segments from number i on, which lie behind a cut, the last first:
// a crash in between leaves no hole.
func (c *Chain) dropFrom(i int, res *RecoveryResult) error {
	list := c.segments()
	for j := len(list) - 1; j >= i; j-- {
		_, size := list[j].end()
		res.TruncatedBytes += size
		res.RemovedSegments++
		if err := c.remove(list[j], true); err != nil {
			return err
		}
		if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
			return err
		}
	}
	list[i-1].sealed.Store(false)
	c.setList(append([]*segment(nil), list[:i]...))
	return nil
}

// scanSegment scans segment number i by CRC, writes its indexes anew and, if it ends
// before its file does, cuts the file there and removes the segments behind.
func (c *Chain) scanSegment(i int, r Recovery, progress func(int64), res *RecoveryResult) (cut bool, err error) {
	s := c.segments()[i]
	s.maxTimestamp, s.maxTimestampAt, s.firstTimestamp = -1, s.base, -1
	_, size := s.end()
	if !s.exists {
		return false, nil
	}
	f, err := c.o.FS.OpenFile(s.name(logSuffix), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := refuseOldMagic(f, size); err != nil {
		return false, err
	}
	build := indexBuilder{base: s.base, interval: int64(c.cfg.IndexIntervalBytes), maxBytes: c.cfg.IndexMaxBytes}
	sc := scanner{s: s, r: reader{f: f, limit: size}, next: s.base, crc: true, build: &build, visit: r.Visit, visitAt: r.VisitAt}
	for shown := int64(0); sc.step(); {
		if sc.r.pos-shown >= progressBytes {
			shown = sc.r.pos
			progress(shown)
		}
	}
	res.ScannedBytes += sc.r.pos
	if sc.err != nil {
		return false, sc.err
	}
	next, end := sc.next, sc.r.pos
	if end < size && seededbug.On(seededbug.TornBatchServed) {
		next, end = next+1, size
	}
	if end < size {
		torn, err := tornBytes(f, end, size)
		if err != nil {
			return false, err
		}
		res.TruncatedBytes += torn
		res.SpareBytes += size - end - torn
		if cut = c.cutsHere(i, next, torn); cut {
			if err := c.lookBehind(i, end, next, r.Behind); err != nil {
				return false, err
			}
			if err := c.dropFrom(i+1, res); err != nil {
				return false, err
			}
		}
		if err := f.Truncate(end); err != nil {
			return false, err
		}
	}
	// What was read may be in the page cache only.
	if err := f.SyncData(); err != nil {
		return false, err
	}
	build.finish(s.maxTimestamp, s.maxTimestampAt)
	s.publish(next, end)
	s.synced, s.sealSynced = end, false
	if err := s.truncateTxns(next); err != nil {
		return false, err
	}
	res.RebuiltIndexes++
	return cut, s.storeIndexes(&build)
}

// cutsHere tells whether the log ends with segment number i, whose good records end at next.
// It goes on when what is left of the file is space that was taken and not given back, all
// zeros, and the next segment starts where this one ends.
func (c *Chain) cutsHere(i int, next, tornBytes int64) bool {
	list := c.segments()
	return i == len(list)-1 || list[i+1].base != next || tornBytes > 0
}

// tornBytes is how many bytes behind end hold something, up to the last one that is not
// zero; what follows them is space that was taken ahead.
func tornBytes(f io.ReaderAt, end, size int64) (int64, error) {
	torn := int64(0)
	buf := make([]byte, min(size-end, scanBytes))
	for at := end; at < size; at += int64(len(buf)) {
		buf = buf[:min(size-at, int64(len(buf)))]
		if err := readFull(f, buf, at); err != nil {
			return 0, err
		}
		if n := len(bytes.TrimRight(buf, "\x00")); n > 0 {
			torn = at + int64(n) - end
		}
	}
	return torn, nil
}

const progressBytes = 16 << 20

// scanner walks the batches of one file for as long as they are good.
type scanner struct {
	s     *segment
	r     reader
	next  int64 // smallest offset that the next batch may start at
	crc   bool  // check it
	build *indexBuilder
	visit func(record.Batch) error
	// visitAt, as visit, may be nil.
	visitAt func(b record.Batch, name string, position int64) error
	err     error // not about the bytes: reading or visiting failed
}

// step takes one batch and reports whether it was good.
func (sc *scanner) step() bool {
	b, pos, err := sc.r.next()
	if err != nil {
		sc.err = sc.r.err
		return false
	}
	if !sc.good(b) {
		sc.r.pos = pos
		return false
	}
	s := sc.s
	if pos == 0 {
		s.firstTimestamp = b.MaxTimestamp()
	}
	if ts := b.MaxTimestamp(); ts > s.maxTimestamp {
		s.maxTimestamp, s.maxTimestampAt = ts, b.LastOffset()
	}
	if sc.build != nil {
		sc.build.add(pos, int64(len(b)), b.LastOffset(), s.maxTimestamp, s.maxTimestampAt)
	}
	sc.next = b.NextOffset()
	if sc.visit != nil {
		if err := sc.visit(b); err != nil {
			sc.err = err
			return false
		}
	}
	if sc.visitAt != nil {
		if err := sc.visitAt(b, s.name(logSuffix), pos); err != nil {
			sc.err = err
			return false
		}
	}
	return true
}

func (sc *scanner) good(b record.Batch) bool {
	if b.BaseOffset() < sc.next || b.LastOffset() < b.BaseOffset() || b.LastOffset()-sc.s.base > maxPosition {
		return false
	}
	return !sc.crc || b.CheckCRC() == nil || seededbug.On(seededbug.RecoverWithoutCRC)
}

// refuseOldMagic returns record.ErrUnsupportedMagic when the file starts with a whole
// message of magic 0 or 1, so that such a log is never taken for garbage and cut.
func refuseOldMagic(f io.ReaderAt, size int64) error {
	var head [record.PeekBytes]byte
	if size < int64(len(head)) {
		return nil
	}
	if err := readFull(f, head[:], 0); err != nil {
		return err
	}
	n, err := record.Peek(head[:])
	if !errors.Is(err, record.ErrUnsupportedMagic) || int64(n) > size || head[16] > 1 {
		return nil
	}
	body := make([]byte, n-16)
	if rerr := readFull(f, body, 16); rerr != nil {
		return rerr
	}
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(head[12:]) {
		return nil
	}
	return err
}
