package index

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/millrace/millrace/internal/vfs"
)

// TimeEntryBytes is the size of an entry of a .timeindex file.
const TimeEntryBytes = 12

// TimeEntry says that no record up to Offset has a timestamp above Timestamp (ms).
type TimeEntry struct {
	Timestamp int64
	Offset    int64
}

// Time is the time index of one segment: Kafka's TimeIndex.
type Time struct {
	t    table
	base int64
	last TimeEntry
}

// CreateTime prepares the time index of a segment for writing, see CreateOffset.
func CreateTime(fs vfs.FS, name string, base int64, maxBytes, count int) (*Time, error) {
	x := &Time{base: base, last: noTime(base)}
	x.t.create(fs, name, TimeEntryBytes, maxBytes, count)
	if count > 0 {
		e, err := x.Entry(count - 1)
		if err != nil {
			return nil, err
		}
		x.last = e
	}
	return x, nil
}

func noTime(base int64) TimeEntry { return TimeEntry{Timestamp: -1, Offset: base} }

// OpenTime opens the time index of a sealed segment that ends before next, and checks all
// of it: a *CorruptError tells to rebuild it.
func OpenTime(fs vfs.FS, name string, base, next int64) (*Time, error) {
	x := &Time{base: base}
	if err := x.t.openRead(fs, name, TimeEntryBytes); err != nil {
		return nil, err
	}
	if err := x.verify(next); err != nil {
		x.t.close()
		return nil, err
	}
	return x, nil
}

// HeapTime serves entries from memory, see HeapOffset.
func HeapTime(name string, base int64, entries []byte) *Time {
	x := &Time{base: base}
	x.t.name, x.t.entryBytes = name, TimeEntryBytes
	x.t.live.Store(&entries)
	x.t.count.Store(int64(len(entries) / TimeEntryBytes))
	return x
}

func (x *Time) verify(next int64) error {
	prevTimestamp, prevOffset := int64(math.MinInt64), int64(-1)
	return x.t.each(func(e []byte) error {
		timestamp := int64(binary.BigEndian.Uint64(e))
		offset := int64(binary.BigEndian.Uint32(e[8:]))
		if timestamp <= prevTimestamp || timestamp < 0 || offset < prevOffset {
			return x.t.corrupt("entry (%d, %d) after (%d, %d)", timestamp, offset, prevTimestamp, prevOffset)
		}
		if x.base+offset >= next || offset > math.MaxInt32 {
			return x.t.corrupt("offset %d of a segment [%d, %d)", x.base+offset, x.base, next)
		}
		prevTimestamp, prevOffset = timestamp, offset
		return nil
	})
}

// Reserve makes room for n more entries, see Offset.Reserve.
func (x *Time) Reserve(n int) error { return x.t.reserve(n) }

// Room is how many more entries fit below the size limit.
func (x *Time) Room() int { return x.t.maxEntries - x.Count() }

// MaybeAppend adds (timestamp, offset) if timestamp exceeds the last entry's, as Kafka's
// TimeIndex.maybeAppend does.
func (x *Time) MaybeAppend(timestamp, offset int64) error {
	if timestamp <= x.last.Timestamp {
		return nil
	}
	if !Fits(x.base, offset) || offset < x.last.Offset {
		return errors.New("time index entry out of order")
	}
	if err := x.t.reserve(1); err != nil {
		return err
	}
	e := x.t.slot()
	binary.BigEndian.PutUint64(e, uint64(timestamp))
	binary.BigEndian.PutUint32(e[8:], uint32(offset-x.base))
	x.t.publish()
	x.last = TimeEntry{Timestamp: timestamp, Offset: offset}
	return nil
}

// Lookup returns the greatest entry whose timestamp is at most timestamp.
func (x *Time) Lookup(timestamp int64) (e TimeEntry, ok bool, err error) {
	var raw [TimeEntryBytes]byte
	i, err := x.t.find(byTimestamp, timestamp, raw[:])
	if err != nil || i < 0 {
		return TimeEntry{}, false, err
	}
	return x.decode(raw[:]), true, nil
}

func (x *Time) decode(e []byte) TimeEntry {
	return TimeEntry{
		Timestamp: int64(binary.BigEndian.Uint64(e)),
		Offset:    x.base + int64(binary.BigEndian.Uint32(e[8:])),
	}
}

// Entry returns published entry i.
func (x *Time) Entry(i int) (TimeEntry, error) {
	var raw [TimeEntryBytes]byte
	if err := x.t.at(i, raw[:]); err != nil {
		return TimeEntry{}, err
	}
	return x.decode(raw[:]), nil
}

// Last returns the last published entry.
func (x *Time) Last() (e TimeEntry, ok bool, err error) {
	n := x.Count()
	if n == 0 {
		return TimeEntry{}, false, nil
	}
	e, err = x.Entry(n - 1)
	return e, err == nil, err
}

// Count is the number of published entries.
func (x *Time) Count() int { return int(x.t.count.Load()) }

// IsFull tells whether the segment must roll: the last slot is kept for the entry that a
// roll appends.
func (x *Time) IsFull() bool { return x.Count() >= x.t.maxEntries-1 }

// TruncateTo forgets the entries of offsets at or above offset. Writer only.
func (x *Time) TruncateTo(offset int64) error {
	var raw [TimeEntryBytes]byte
	i, err := x.t.find(byTimeOffset, offset-1-x.base, raw[:])
	if err != nil {
		return err
	}
	x.t.truncate(i + 1)
	x.last = noTime(x.base)
	if i >= 0 {
		x.last = x.decode(raw[:])
	}
	return nil
}

// Trim gives back the space behind the last entry.
func (x *Time) Trim() error { return x.t.trim() }

// Sync makes the published entries durable.
func (x *Time) Sync() error { return x.t.sync() }

// Close closes file and mapping, without trimming.
func (x *Time) Close() error { return x.t.close() }
