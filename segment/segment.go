package segment

import (
	"errors"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/index"
)

// segment is one .log file with its indexes.
type segment struct {
	c    *Chain
	base int64

	// published packs what readers may see: the next offset, relative to base, in the upper
	// and the position in the lower half. Both fit: segments end at relative offset
	// 2^31-1 and at position 2^31-1.
	published atomic.Uint64

	files  atomic.Pointer[files]
	openMu sync.Mutex   // opening, swapping and dropping files; trimming; the two counts
	sealed atomic.Bool  // no longer appended to
	gone   atomic.Bool  // removed from disk
	pins   atomic.Int32 // how many readers hold any of its files

	txns atomic.Pointer[[]index.AbortedTxn] // the .txnindex, once read

	offCount, timCount int // index entries while no writer's files are open

	suffix atomic.Pointer[string] // set when the files were renamed for deletion

	// Guarded by Chain.mu.
	maxTimestamp   int64 // largest record timestamp; unknownTimestamp until read
	maxTimestampAt int64 // its offset
	firstTimestamp int64 // max timestamp of the first batch, -1 none; unknownTimestamp until read
	createdMs      int64
	jitterMs       int64
	sinceIndex     int64 // bytes appended since the last index entry
	// Watermarks of the writer's files: allocated >= populated, and the position that was
	// published last lies below allocated. Stores through the mapping stay below populated.
	allocated int64
	populated int64
	stepBytes int64
	// Zeros were written from where the writer's files began, or from the last large append,
	// up to zeroed.
	zeroed        int64
	zeroStepBytes int64

	synced     int64 // position up to which the file is durable
	nameSynced bool  // the folder was synced since the file was made
	sealSynced bool  // sealed: that cut, and the indexes, are durable
	exists     bool  // its .log is on disk
}

const (
	unknownTimestamp = math.MinInt64
	maxPosition      = math.MaxInt32
)

func pack(next, base, position int64) uint64 { return uint64(next-base)<<32 | uint64(position) }

// end returns the published next offset and position, which belong together.
func (s *segment) end() (next, position int64) {
	p := s.published.Load()
	return s.base + int64(p>>32), int64(p & math.MaxUint32)
}

func (s *segment) publish(next, position int64) { s.published.Store(pack(next, s.base, position)) }

func (s *segment) name(suffix string) string {
	name := fileName(s.c.o.Dir, s.base, suffix)
	if deleted := s.suffix.Load(); deleted != nil {
		name += *deleted
	}
	return name
}

// newSegment describes a segment that is not on disk yet.
func (c *Chain) newSegment(base int64) *segment {
	s := &segment{
		c: c, base: base,
		maxTimestamp: -1, maxTimestampAt: base, firstTimestamp: -1,
		createdMs: c.o.Clock.Now().UnixMilli(),
	}
	if c.o.Jitter != nil {
		if most := min(c.cfg.SegmentJitterMs, c.cfg.SegmentMs); most > 0 {
			s.jitterMs = c.o.Jitter(most)
		}
	}
	return s
}

// openWrite gives the active segment files for appending. Chain.mu is held.
func (s *segment) openWrite() (*files, error) {
	if h := s.files.Load(); h != nil && h.writer {
		return h, nil
	}
	s.openMu.Lock()
	defer s.openMu.Unlock()
	f, err := s.c.o.FS.OpenFile(s.name(logSuffix), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	h := &files{s: s, log: f, writer: true}
	if err := s.prepareWrite(h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	h.refs.Store(1)
	s.exists = true
	if old := s.files.Swap(h); old != nil {
		old.release()
	}
	return h, nil
}

func (s *segment) prepareWrite(h *files) error {
	size, err := h.log.Size()
	if err != nil {
		return err
	}
	_, position := s.end()
	if size > position {
		// What lies behind the position is stale; appends expect zeros.
		if err := h.log.Truncate(position); err != nil {
			return err
		}
	}
	if size < position {
		return &CorruptError{Name: s.name(logSuffix), Position: size, Err: errShrunk}
	}
	s.allocated, s.populated, s.zeroed = position, 0, position
	s.stepBytes, s.zeroStepBytes = 0, 0
	if err := s.attachIndexes(h, s.c.cfg.IndexMaxBytes); err != nil {
		return err
	}
	if position == 0 {
		if err := s.c.touchIndexes(s); err != nil {
			return err
		}
	}
	s.mapAhead(h)
	return nil
}

// seal gives back what the files of a sealed segment hold behind their ends, and closes
// them: readers open it anew, for reading only. Calling it again has no effect. A segment
// that a truncation made active again meanwhile is left alone.
func (s *segment) seal() error {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	h := s.files.Load()
	if !s.sealed.Load() || h == nil || !h.writer {
		return nil
	}
	_, position := s.end()
	off, tim := h.indexes()
	if err := errors.Join(h.log.Truncate(position), off.Trim(), tim.Trim()); err != nil {
		return err
	}
	s.files.Store(nil)
	h.release()
	return nil
}

// indexes are those of a writer's files.
func (h *files) indexes() (*index.Offset, *index.Time) { return h.off.Load(), h.tim.Load() }

var errShrunk = errors.New("file is shorter than what was appended to it")
