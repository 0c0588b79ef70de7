package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/index"
)

const (
	firstStepBytes = 64 << 10
	maxStepBytes   = 16 << 20
)

// Append adds b, one or more whole batches that are stamped with their offsets. lastOffset
// is that of their last record; maxTimestamp (ms, -1: none) the largest in b, first found
// at offsetOfMaxTimestamp. It rolls first when the active segment is full (by size, time,
// index or relative offset).
//
// An error for which IsDiskFull holds means that nothing was changed; any other poisons
// the log. One writer; readers see all of b at once when Append returns.
func (c *Chain) Append(b []byte, lastOffset, maxTimestamp, offsetOfMaxTimestamp int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed
	}
	s := c.active()
	if len(b) < 61 || len(b) > maxPosition {
		return fmt.Errorf("append of %d bytes", len(b))
	}
	first := int64(binary.BigEndian.Uint64(b))
	if next, _ := s.end(); first < next || lastOffset < first {
		return fmt.Errorf("append of offsets %d to %d to a log that ends at %d", first, lastOffset, next)
	}
	if c.mustRoll(s, int64(len(b)), lastOffset, maxTimestamp) {
		var err error
		if s, err = c.roll(first, lastOffset); err != nil {
			return c.refuse(err)
		}
	}
	if err := c.write(s, b, lastOffset, maxTimestamp, offsetOfMaxTimestamp); err != nil {
		return c.refuse(err)
	}
	return nil
}

// refuse turns a failed append into its error: a full disk changed nothing, anything else
// is the end.
func (c *Chain) refuse(err error) error {
	if IsDiskFull(err) {
		return err
	}
	return c.poison(err)
}

// write puts b at the active segment's position and publishes it.
func (c *Chain) write(s *segment, b []byte, lastOffset, maxTimestamp, offsetOfMaxTimestamp int64) error {
	h, err := s.openWrite()
	if err != nil {
		return err
	}
	_, position := s.end()
	n := int64(len(b))
	indexed := s.sinceIndex > int64(c.cfg.IndexIntervalBytes)
	off, tim := h.indexes()
	if indexed {
		if err := reserve(off, tim); err != nil {
			return err
		}
	}
	if err := s.allocate(h, position+n); err != nil {
		return err
	}
	if _, err := h.log.WriteAt(b, position); err != nil {
		return err
	}
	if position == 0 {
		s.firstTimestamp = maxTimestamp
	}
	if maxTimestamp > s.maxTimestamp {
		s.maxTimestamp, s.maxTimestampAt = maxTimestamp, offsetOfMaxTimestamp
	}
	if indexed {
		if err := off.Append(lastOffset, position); err != nil {
			return err
		}
		if err := tim.MaybeAppend(s.maxTimestamp, s.maxTimestampAt); err != nil {
			return err
		}
		s.sinceIndex = 0
	}
	s.sinceIndex += n
	s.publish(lastOffset+1, position+n)
	return nil
}

func reserve(off *index.Offset, tim *index.Time) error {
	if err := off.Reserve(); err != nil {
		return err
	}
	return tim.Reserve()
}

// allocate takes space up to end, and a step more so that the next appends need none.
func (s *segment) allocate(h *files, end int64) error {
	if end <= s.allocated {
		return nil
	}
	step := min(max(s.stepBytes*2, firstStepBytes), maxStepBytes)
	if s.c.cfg.Preallocate {
		step = s.c.cfg.SegmentBytes
	}
	target := min(max(s.allocated+step, end), max(s.c.cfg.SegmentBytes, end))
	if err := h.log.Allocate(s.allocated, target-s.allocated); err != nil {
		return err
	}
	s.allocated, s.stepBytes = target, step
	return nil
}

// mustRoll decides as Kafka's LogSegment.shouldRoll does.
func (c *Chain) mustRoll(s *segment, n, lastOffset, maxTimestamp int64) bool {
	_, position := s.end()
	if !index.Fits(s.base, lastOffset) {
		return true
	}
	if position == 0 {
		return false
	}
	if position+n > min(c.cfg.SegmentBytes, maxPosition) || c.indexFull(s) {
		return true
	}
	return c.waitedMs(s, maxTimestamp) > c.cfg.SegmentMs-s.jitterMs
}

func (c *Chain) indexFull(s *segment) bool {
	off, tim := s.offCount, s.timCount
	if h := s.files.Load(); h != nil && h.writer {
		o, t := h.indexes()
		off, tim = o.Count(), t.Count()
	}
	return off >= c.cfg.IndexMaxBytes/index.OffsetEntryBytes || tim >= c.cfg.IndexMaxBytes/index.TimeEntryBytes-1
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
	return c.o.Clock.Now().UnixMilli() - s.createdMs
}

// Roll starts a new segment at the next offset, unless the active one is empty.
func (c *Chain) Roll() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed
	}
	next, position := c.active().end()
	if position == 0 {
		return nil
	}
	_, err := c.roll(next, next)
	if err != nil {
		return c.refuse(err)
	}
	return nil
}

// roll seals the active segment and makes a new one at the log's end, or, when lastOffset
// is too far from it for an index, at first.
func (c *Chain) roll(first, lastOffset int64) (*segment, error) {
	old := c.active()
	base, position := old.end()
	if !index.Fits(base, lastOffset) {
		base = first
		if !index.Fits(base, lastOffset) {
			return nil, fmt.Errorf("offsets %d to %d do not fit into one segment", first, lastOffset)
		}
	}
	s := c.newSegment(base)
	if base == old.base {
		return old, nil
	}
	if _, err := s.openWrite(); err != nil {
		return nil, err
	}
	if err := c.finishTimeIndex(old); err != nil {
		s.drop()
		return nil, err
	}
	if c.o.OnRoll != nil {
		c.o.OnRoll(base)
	}
	list := c.segments()
	if position == 0 {
		// The old one holds nothing: it goes.
		if err := c.remove(old); err != nil {
			return nil, err
		}
		list = list[:len(list)-1]
	}
	old.sealed.Store(true)
	c.setList(append(append(make([]*segment, 0, len(list)+1), list...), s))
	if position > 0 {
		if err := old.seal(); err != nil {
			return nil, err
		}
		old.drop()
	}
	return s, nil
}

func (c *Chain) setList(list []*segment) { c.list.Store(&list) }

// finishTimeIndex appends the largest timestamp of a segment that gets no more records,
// as Kafka's onBecomeInactiveSegment does.
func (c *Chain) finishTimeIndex(s *segment) error {
	if _, position := s.end(); position == 0 {
		return nil
	}
	h, err := s.openWrite()
	if err != nil {
		return err
	}
	if s.maxTimestamp < 0 {
		return nil
	}
	return h.tim.Load().MaybeAppend(s.maxTimestamp, s.maxTimestampAt)
}
