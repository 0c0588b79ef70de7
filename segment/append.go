package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
)

// Addition is what an append says of its bytes.
type Addition struct {
	LastOffset           int64 // of the last record
	MaxTimestamp         int64 // ms; -1: none
	OffsetOfMaxTimestamp int64 // where it is found first
	// SyncFollows promises a Sync at once, and that nobody is told of the bytes before it has
	// succeeded. In a segment that began with Config.SyncEveryAppend small batches are then
	// kept in memory until the Sync, or a read of them: many share one write, and the
	// process's end before the Sync takes them as a power cut would. A write that fails is
	// told by Sync, and by every later Append.
	SyncFollows bool
}

// Append adds b, one or more whole batches that are stamped with their offsets. It rolls
// first when the active segment is full (by size, time, index or relative offset).
//
// An error for which IsDiskFull or vfs.OutOfFiles holds means that nothing was changed; any
// other poisons the log. One writer; readers see all of b at once when Append returns.
func (c *Chain) Append(b []byte, a Addition) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failure(); err != nil {
		return err
	}
	s := c.active()
	if len(b) < record.HeaderBytes || len(b) > maxPosition {
		return fmt.Errorf("append of %d bytes", len(b))
	}
	first := int64(binary.BigEndian.Uint64(b))
	if next, _ := s.end(); first < next || a.LastOffset < first {
		return fmt.Errorf("append of offsets %d to %d to a log that ends at %d", first, a.LastOffset, next)
	}
	if c.mustRoll(s, b, a.LastOffset, a.MaxTimestamp) {
		var err error
		if s, err = c.roll(first, a.LastOffset); err != nil {
			return c.refuse(err)
		}
		c.rolled()
	}
	if err := c.write(s, b, a); err != nil {
		return c.refuse(err)
	}
	return nil
}

// refuse turns a failed append into its error: a full disk changed nothing, nor did a file
// that could not be opened; anything else is the end.
func (c *Chain) refuse(err error) error {
	if IsDiskFull(err) || vfs.OutOfFiles(err) {
		return err
	}
	return c.poison(err)
}

// write puts b at the active segment's position and publishes it. All space is taken
// before the first byte is stored.
func (c *Chain) write(s *segment, b []byte, a Addition) (err error) {
	h, err := s.openWrite()
	if err != nil {
		return err
	}
	defer guard(h, setPanicOnFault(true), &err)
	_, position := s.end()
	if position == 0 && !s.nameSynced && len(c.segments()) == 1 {
		if err := c.syncFirstName(s); err != nil {
			return err
		}
	}
	n := int64(len(b))
	if entries := s.entriesFor(b, int64(c.cfg.IndexIntervalBytes)); entries > 0 {
		off, tim := h.indexes()
		// Into an empty segment an append goes whatever its index can hold: noteBatch then
		// leaves entries out, and lookups scan a little longer.
		if err := reserve(off, tim, max(0, min(entries, off.Room(), tim.Room()-1))); err != nil {
			return err
		}
	}
	if position+n > s.allocated {
		if err := s.allocate(h, position+n); err != nil {
			return err
		}
	}
	if c.cfg.SyncEveryAppend && h.mapping == nil && n <= zeroBelowBytes && position+n > s.zeroed {
		if err := s.zeroAhead(h, position, position+n); err != nil {
			return err
		}
	}
	if err := s.put(h, b, position, a.SyncFollows); err != nil {
		return err
	}
	if position == 0 {
		s.firstTimestamp = a.MaxTimestamp
	}
	if err := c.note(s, h, b, position, a); err != nil {
		return err
	}
	s.publish(a.LastOffset+1, position+n)
	c.prepareAhead(position + n)
	return nil
}

// syncFirstName makes the name of a log's only segment durable before anything is in it:
// later segments could otherwise survive a power cut that takes the first one, and where a
// log starts is told by its first file.
func (c *Chain) syncFirstName(s *segment) error {
	if err := c.o.FS.SyncDir(c.o.Dir); err != nil {
		return err
	}
	s.nameSynced = true
	return nil
}

// entriesFor is how many index entries an append of b may make at most: one for a batch,
// and one for each interval when there are many.
func (s *segment) entriesFor(b []byte, interval int64) int {
	n := int64(len(b))
	if s.sinceIndex+n <= interval {
		return 0
	}
	if size, err := record.Peek(b); err == nil && size == len(b) {
		return 1
	}
	return 1 + int(n/max(interval, record.HeaderBytes))
}

func reserve(off *index.Offset, tim *index.Time, entries int) error {
	if err := off.Reserve(entries); err != nil {
		return err
	}
	return tim.Reserve(entries)
}

// note brings maximum timestamp and indexes up to date with what was stored at position.
// Kafka makes one entry for an append; one that brings many batches, as a follower's does,
// gets one for each interval here, so that lookups in it stay short.
func (c *Chain) note(s *segment, h *files, b []byte, position int64, a Addition) error {
	size, err := record.Peek(b)
	if err == nil && size == len(b) {
		return c.noteBatch(s, h, position, int64(size), a)
	}
	for len(b) > 0 {
		one, rest, err := record.Next(b)
		if err != nil {
			return err
		}
		ts, at := one.MaxTimestamp(), one.LastOffset()
		if ts == a.MaxTimestamp && a.OffsetOfMaxTimestamp >= one.BaseOffset() && a.OffsetOfMaxTimestamp <= at {
			at = a.OffsetOfMaxTimestamp
		}
		its := Addition{LastOffset: one.LastOffset(), MaxTimestamp: ts, OffsetOfMaxTimestamp: at}
		if err := c.noteBatch(s, h, position, int64(len(one)), its); err != nil {
			return err
		}
		position += int64(len(one))
		b = rest
	}
	return nil
}

func (c *Chain) noteBatch(s *segment, h *files, position, n int64, a Addition) error {
	if a.MaxTimestamp > s.maxTimestamp {
		s.maxTimestamp, s.maxTimestampAt = a.MaxTimestamp, a.OffsetOfMaxTimestamp
	}
	off, tim := h.indexes()
	if s.sinceIndex > int64(c.cfg.IndexIntervalBytes) && off.Room() > 0 && tim.Room() > 1 {
		if err := off.Append(a.LastOffset, position); err != nil {
			return err
		}
		if err := tim.MaybeAppend(s.maxTimestamp, s.maxTimestampAt); err != nil {
			return err
		}
		s.sinceIndex = 0
	}
	s.sinceIndex += n
	return nil
}
