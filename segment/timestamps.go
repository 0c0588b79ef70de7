package segment

import (
	"errors"
	"math"
	"os"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
)

// FindTimestamp finds the first record at or after offset from whose timestamp (ms) is at
// least ts, exact to the record: batches are decompressed as needed. Kafka:
// LogSegment.findOffsetByTimestamp.
func (c *Chain) FindTimestamp(ts, from int64) (offset, timestamp int64, found bool, err error) {
	for {
		list := c.segments()
		offset, timestamp, found, err = c.findTimestamp(list, ts, from)
		if !errors.Is(err, os.ErrNotExist) || !c.moved(list) {
			return offset, timestamp, found, err
		}
	}
}

func (c *Chain) findTimestamp(list []*segment, ts, from int64) (offset, timestamp int64, found bool, err error) {
	next, _ := list[len(list)-1].end()
	from = max(from, list[0].base)
	if from >= next {
		return 0, 0, false, nil
	}
	for _, s := range list[floor(list, from):] {
		largest, _, err := c.maxTimestampOf(s)
		if err != nil {
			return 0, 0, false, err
		}
		if largest < ts {
			continue
		}
		offset, timestamp, found, err = s.findTimestamp(ts, from)
		if found || err != nil {
			return offset, timestamp, found, err
		}
	}
	return 0, 0, false, nil
}

func (s *segment) findTimestamp(ts, from int64) (offset, timestamp int64, found bool, err error) {
	h, err := s.pin()
	if err != nil {
		return 0, 0, false, err
	}
	defer h.Unpin()
	// No record up to an entry's offset is younger than it: start there. The entry before
	// ts, not at ts, because the record at ts itself may be the entry's.
	e, ok, err := h.lookupTime(ts - 1)
	if err != nil {
		return 0, 0, false, err
	}
	if ok {
		from = max(from, e.Offset)
	}
	err = s.scan(from, func(b record.Batch, _, _ int64) error {
		if b.MaxTimestamp() < ts {
			return nil
		}
		if err := b.Iterate(nil, func(r *record.Record) error {
			if r.Offset >= from && r.Timestamp >= ts {
				offset, timestamp, found = r.Offset, r.Timestamp, true
				return record.ErrStop
			}
			return nil
		}); err != nil {
			return err
		}
		if found {
			return errDone
		}
		return nil
	})
	if errors.Is(err, errDone) {
		err = nil
	}
	return offset, timestamp, found, err
}

func (h *files) lookupTime(ts int64) (e index.TimeEntry, ok bool, err error) {
	defer guard(h, setPanicOnFault(true), &err)
	tim, err := h.time()
	if err != nil {
		return index.TimeEntry{}, false, err
	}
	return tim.Lookup(ts)
}

// MaxTimestamp finds the first record with the largest timestamp of the log (ListOffsets
// with timestamp -3, KIP-734). ok is false in a log without timestamps.
func (c *Chain) MaxTimestamp() (offset, timestamp int64, ok bool, err error) {
	for {
		list := c.segments()
		offset, timestamp, ok, err = c.maxTimestampIn(list)
		if !errors.Is(err, os.ErrNotExist) || !c.moved(list) {
			return offset, timestamp, ok, err
		}
	}
}

func (c *Chain) maxTimestampIn(list []*segment) (offset, timestamp int64, ok bool, err error) {
	timestamp = -1
	var in *segment
	var at int64
	for _, s := range list {
		ts, offset, err := c.maxTimestampOf(s)
		if err != nil {
			return 0, 0, false, err
		}
		if ts > timestamp {
			timestamp, at, in = ts, offset, s
		}
	}
	if in == nil {
		return 0, -1, false, nil
	}
	// The offset may be that of the batch's last record (Kafka's time indexes say so).
	offset = at
	err = in.scan(at, func(b record.Batch, _, _ int64) error {
		if err := b.Iterate(nil, func(r *record.Record) error {
			if r.Timestamp == timestamp {
				offset = r.Offset
				return record.ErrStop
			}
			return nil
		}); err != nil {
			return err
		}
		return errDone
	})
	if err != nil && !errors.Is(err, errDone) {
		return 0, 0, false, err
	}
	return offset, timestamp, true, nil
}

// maxTimestampOf returns the largest timestamp of a segment and the offset it is at (or
// that of its batch's last record), -1 when no record has one.
func (c *Chain) maxTimestampOf(s *segment) (timestamp, offset int64, err error) {
	c.mu.Lock()
	timestamp, offset = s.maxTimestamp, s.maxTimestampAt
	c.mu.Unlock()
	if timestamp != unknownTimestamp {
		return timestamp, offset, nil
	}
	timestamp, offset, err = s.readMaxTimestamp()
	if err != nil {
		return -1, s.base, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.maxTimestamp, s.maxTimestampAt = timestamp, offset
	return timestamp, offset, nil
}

// readMaxTimestamp takes the last entry of the time index, which a sealed segment ends
// with, and looks at the headers behind the last entry of the offset index as well.
func (s *segment) readMaxTimestamp() (timestamp, offset int64, err error) {
	timestamp, offset = -1, s.base
	if _, position := s.end(); position == 0 {
		return timestamp, offset, nil
	}
	h, err := s.pin()
	if err != nil {
		return timestamp, offset, err
	}
	defer h.Unpin()
	defer guard(h, setPanicOnFault(true), &err)
	tim, err := h.time()
	if err != nil {
		return timestamp, offset, err
	}
	if e, ok, err := tim.Last(); err != nil {
		return timestamp, offset, err
	} else if ok {
		timestamp, offset = e.Timestamp, e.Offset
	}
	_, limit := s.end()
	cur := newCursor(h, limit)
	defer cur.free()
	pos, err := cur.start(math.MaxInt64)
	if err != nil {
		return timestamp, offset, err
	}
	ts, at, err := cur.maxTimestamp(pos)
	if err != nil && pos > 0 && isCorrupt(err) {
		ts, at, err = cur.maxTimestamp(0) // the index was wrong, not the log
	}
	if ts > timestamp {
		timestamp, offset = ts, at
	}
	return timestamp, offset, err
}

// maxTimestamp is the largest timestamp of the batches from pos on, -1 for none, and the
// last offset of the first batch that has it.
func (c *cursor) maxTimestamp(pos int64) (timestamp, offset int64, err error) {
	timestamp = -1
	for pos < c.limit {
		hd, err := c.header(pos)
		if err != nil {
			return timestamp, offset, err
		}
		if hd.maxTimestamp > timestamp {
			timestamp, offset = hd.maxTimestamp, hd.last
		}
		pos += hd.size
	}
	return timestamp, offset, nil
}

// readFirstTimestamp is the max timestamp of the segment's first batch, -1 for none: what
// segment.ms counts from. A read error counts as none; the append will meet it. What could
// not even be opened stays unknown.
func (c *Chain) readFirstTimestamp(s *segment) int64 {
	_, limit := s.end()
	if limit == 0 {
		return -1
	}
	h, err := s.pin()
	if vfs.OutOfFiles(err) {
		return unknownTimestamp
	}
	if err != nil {
		return -1
	}
	defer h.Unpin()
	cur := newCursor(h, limit)
	defer cur.free()
	hd, err := cur.header(0)
	if err != nil {
		return -1
	}
	return hd.maxTimestamp
}

// errDone ends a scan early.
var errDone = errors.New("done")
