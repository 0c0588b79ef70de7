package segment

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
)

// mustRoll decides as Kafka's LogSegment.shouldRoll does.
func (c *Chain) mustRoll(s *segment, b []byte, lastOffset, maxTimestamp int64) bool {
	_, position := s.end()
	if !index.Fits(s.base, lastOffset) {
		return true
	}
	if position == 0 {
		return false
	}
	if position+int64(len(b)) > min(c.cfg.SegmentBytes, maxPosition) || c.indexFull(s, b) {
		return true
	}
	return c.waitedMs(s, maxTimestamp) > c.cfg.SegmentMs-s.jitterMs
}

// indexFull tells whether the entries of an append of b may not fit. The time
// index keeps a slot for the entry that a roll adds.
func (c *Chain) indexFull(s *segment, b []byte) bool {
	entries := max(1, s.entriesFor(b, int64(c.cfg.IndexIntervalBytes)))
	off, tim := s.offCount, s.timCount
	if h := s.files.Load(); h != nil && h.writer {
		o, t := h.indexes()
		off, tim = o.Count(), t.Count()
		if o.Room() < entries || t.Room() <= entries {
			return true
		}
	}
	return off+entries > c.cfg.IndexMaxBytes/index.OffsetEntryBytes || tim+entries >= c.cfg.IndexMaxBytes/index.TimeEntryBytes
}

// waitedMs is how long the segment has been filled: in record time when its first batch
// has a timestamp, else since it was made.
func (c *Chain) waitedMs(s *segment, maxTimestamp int64) int64 {
	if s.firstTimestamp == unknownTimestamp {
		s.firstTimestamp = c.readFirstTimestamp(s)
	}
	if s.firstTimestamp >= 0 {
		return maxTimestamp - s.firstTimestamp
	}
	if s.firstTimestamp == unknownTimestamp {
		return 0 // the file could not be opened: the append will meet it
	}
	return c.o.Clock.Now().UnixMilli() - s.createdMs
}

// Roll starts a new segment at the next offset, unless the active one is empty.
func (c *Chain) Roll() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	next, position := c.active().end()
	if position == 0 {
		return nil
	}
	if _, err := c.roll(next, next); err != nil {
		return c.refuse(err)
	}
	c.rolled()
	return nil
}

// rolled tells the caller that a segment is about to be filled. A truncation that makes a
// segment does not: what the caller knows then is not yet cut.
func (c *Chain) rolled() {
	if c.o.OnRoll != nil {
		c.o.OnRoll(c.ActiveBase())
	}
}

// roll makes a new segment at the log's end, or, when lastOffset is too far from it for an
// index, at first, and seals the active one. A full disk changes nothing.
func (c *Chain) roll(first, lastOffset int64) (*segment, error) {
	old := c.active()
	base, position := old.end()
	if !index.Fits(base, lastOffset) {
		if base = first; !index.Fits(base, lastOffset) {
			return nil, fmt.Errorf("offsets %d to %d do not fit into one segment", first, lastOffset)
		}
	}
	if err := c.finishTimeIndex(old); err != nil {
		return nil, err
	}
	s := c.newSegment(base)
	if err := c.createFiles(s); err != nil {
		s.drop()
		return nil, errors.Join(err, c.discardFiles(s))
	}
	list := c.segments()
	if position == 0 {
		// The old one holds nothing: it goes.
		list = list[:len(list)-1]
		if err := c.remove(old, true); err != nil {
			s.drop()
			return nil, err
		}
	}
	old.sealed.Store(true)
	c.setList(append(append(make([]*segment, 0, len(list)+1), list...), s))
	if position > 0 {
		return s, c.retire(old)
	}
	return s, nil
}

// discardFiles takes back what createFiles made before it failed: a start after a clean stop
// would take space that was allocated for records.
func (c *Chain) discardFiles(s *segment) error {
	var errs []error
	for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix} {
		if err := c.o.FS.Remove(s.name(suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// retire trims and closes the files of a sealed segment, off the append path if it can.
// What could not be opened for that is left to the next sync.
func (c *Chain) retire(s *segment) error {
	if c.o.Background == nil {
		if err := s.seal(); err != nil && !vfs.OutOfFiles(err) {
			return err
		}
		return nil
	}
	c.o.Background(func() {
		if err := s.seal(); err != nil && !vfs.OutOfFiles(err) {
			c.mu.Lock()
			defer c.mu.Unlock()
			_ = c.poison(err) // every later call returns it
		}
	})
	return nil
}

func (c *Chain) setList(list []*segment) { c.list.Store(&list) }

// finishTimeIndex appends the largest timestamp of a segment that gets no more records,
// as Kafka's onBecomeInactiveSegment does.
func (c *Chain) finishTimeIndex(s *segment) (err error) {
	if _, position := s.end(); position == 0 || s.maxTimestamp < 0 {
		return nil
	}
	h, err := s.openWrite()
	if err != nil {
		return err
	}
	defer guard(h, setPanicOnFault(true), &err)
	return h.tim.Load().MaybeAppend(s.maxTimestamp, s.maxTimestampAt)
}

// createFiles puts a new segment on disk: the file that was prepared, or a fresh one.
func (c *Chain) createFiles(s *segment) error {
	next := c.prepared
	c.prepared = nil
	if next == nil {
		_, err := s.openWrite()
		return err
	}
	if err := c.o.FS.Rename(next.name, s.name(logSuffix)); err != nil {
		return errors.Join(err, next.discard(c.o.FS))
	}
	s.exists = true
	s.openMu.Lock()
	defer s.openMu.Unlock()
	h := &files{s: s, log: next.log, mapping: next.mapping, writer: true}
	if h.mapping != nil {
		h.mem = h.mapping.Bytes()
	} else if c.cfg.SyncEveryAppend {
		h.gatherAppends()
	}
	s.allocated, s.populated, s.zeroed = next.allocated, next.populated, 0
	s.stepBytes, s.zeroStepBytes = next.allocated, 0
	if err := s.attachIndexes(h, c.cfg.IndexMaxBytes); err != nil {
		return errors.Join(err, h.close())
	}
	h.refs.Store(1)
	s.files.Store(h)
	return c.touchIndexes(s)
}

// touchIndexes makes both index files exist: Kafka rebuilds a segment without them.
func (c *Chain) touchIndexes(s *segment) error {
	for _, suffix := range []string{indexSuffix, timeSuffix} {
		f, err := c.o.FS.OpenFile(s.name(suffix), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// preparedFile is the log file of the next segment, made ahead under a name that recovery
// removes.
type preparedFile struct {
	name                 string
	log                  vfs.File
	mapping              vfs.Mapping
	allocated, populated int64
}

func (p *preparedFile) discard(fs vfs.FS) error {
	var errs []error
	if p.mapping != nil {
		errs = append(errs, p.mapping.Close())
	}
	return errors.Join(append(errs, p.log.Close(), fs.Remove(p.name))...)
}

// prepareAhead starts making the next segment's file when the active one is three quarters
// full. mu is held.
func (c *Chain) prepareAhead(position int64) {
	if c.o.Background == nil || c.preparing || c.prepared != nil || position < c.cfg.SegmentBytes/4*3 {
		return
	}
	c.preparing = true
	c.o.Background(c.prepare)
}

// prepare makes the next segment's file. What fails here is tried again, and reported, by
// the roll.
func (c *Chain) prepare() {
	c.prepareMu.Lock() // Close waits for it, so that no file is made behind its back
	defer c.prepareMu.Unlock()
	c.mu.Lock()
	cfg, failed := c.cfg, c.failed
	c.mu.Unlock()
	var p *preparedFile
	if failed == nil {
		p = c.prepareFile(cfg)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.preparing = false
	if c.failed != nil && p != nil {
		_ = p.discard(c.o.FS) // recovery removes it if this did not
		return
	}
	c.prepared = p
}

func (c *Chain) prepareFile(cfg Config) *preparedFile {
	name := path.Join(c.o.Dir, nextPrefix+logSuffix)
	f, err := c.o.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil
	}
	p := &preparedFile{name: name, log: f, allocated: min(populateBytes, cfg.SegmentBytes)}
	if cfg.Preallocate {
		p.allocated = cfg.SegmentBytes
	}
	if err := f.Allocate(0, p.allocated); err != nil {
		_ = p.discard(c.o.FS) // recovery removes it if this did not
		return nil
	}
	if c.o.Mode == Mapped && !cfg.SyncEveryAppend {
		if m, err := f.Map(max(cfg.SegmentBytes, pageBytes), true); err == nil {
			p.mapping = m
			if to := min(p.allocated, populateBytes); m.Populate(0, to) == nil {
				p.populated = to
			}
		}
	}
	return p
}
