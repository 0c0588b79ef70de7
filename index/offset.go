package index

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/millrace/millrace/internal/vfs"
)

// OffsetEntryBytes is the size of an entry of a .index file.
const OffsetEntryBytes = 8

// OffsetEntry says that the batch at Position holds offsets up to Offset or ends before it.
type OffsetEntry struct {
	Offset   int64
	Position int64
}

// Offset is the offset index of one segment: Kafka's OffsetIndex.
type Offset struct {
	t    table
	base int64
	last OffsetEntry // the writer's: last appended
}

// CreateOffset prepares the index of a segment for writing. It holds the first count
// entries of the file name already (0 for a new one); maxBytes bounds its size.
func CreateOffset(fs vfs.FS, name string, base int64, maxBytes, count int) (*Offset, error) {
	x := &Offset{base: base, last: OffsetEntry{Offset: base - 1, Position: -1}}
	x.t.create(fs, name, OffsetEntryBytes, maxBytes, count)
	if count > 0 {
		e, err := x.Entry(count - 1)
		if err != nil {
			return nil, err
		}
		x.last = e
	}
	return x, nil
}

// OpenOffset opens the index of a sealed segment whose log has logBytes, and checks all of
// it: a *CorruptError tells to rebuild it.
func OpenOffset(fs vfs.FS, name string, base, logBytes int64) (*Offset, error) {
	x := &Offset{base: base}
	if err := x.t.openRead(fs, name, OffsetEntryBytes); err != nil {
		return nil, err
	}
	if err := x.verify(logBytes); err != nil {
		x.t.close()
		return nil, err
	}
	return x, nil
}

// HeapOffset serves entries from memory: a rebuilt index that a full disk cannot store.
func HeapOffset(name string, base int64, entries []byte) *Offset {
	x := &Offset{base: base}
	x.t.name, x.t.entryBytes = name, OffsetEntryBytes
	x.t.live.Store(&entries)
	x.t.count.Store(int64(len(entries) / OffsetEntryBytes))
	return x
}

// verify reads the whole index once: offsets and positions must grow and stay in the log.
func (x *Offset) verify(logBytes int64) error {
	prevOffset, prevPosition := int64(-1), int64(-1)
	return x.t.each(func(e []byte) error {
		offset := int64(binary.BigEndian.Uint32(e))
		position := int64(binary.BigEndian.Uint32(e[4:]))
		if offset <= prevOffset || position <= prevPosition {
			return x.t.corrupt("entry (%d, %d) after (%d, %d)", offset, position, prevOffset, prevPosition)
		}
		if position >= logBytes || offset > math.MaxInt32 {
			return x.t.corrupt("entry (%d, %d) of a log of %d bytes", offset, position, logBytes)
		}
		prevOffset, prevPosition = offset, position
		return nil
	})
}

// Fits tells whether offset can be held relative to the segment's base.
func Fits(base, offset int64) bool { return offset >= base && offset-base <= math.MaxInt32 }

// Reserve makes room for n more entries; then the next n Appends cannot fail for want of
// space. ErrFull: the segment must roll. Other errors leave the index as it was.
func (x *Offset) Reserve(n int) error { return x.t.reserve(n) }

// Room is how many more entries fit below the size limit.
func (x *Offset) Room() int { return x.t.maxEntries - x.Count() }

// Append adds an entry and publishes it. Offsets and positions must grow; the caller
// reserved the room.
func (x *Offset) Append(offset, position int64) error {
	if !Fits(x.base, offset) || offset <= x.last.Offset || position <= x.last.Position || position > math.MaxUint32 {
		return fmt.Errorf("offset index entry out of order: %d at %d after %d at %d", offset, position, x.last.Offset, x.last.Position)
	}
	if err := x.t.reserve(1); err != nil {
		return err
	}
	e := x.t.slot()
	binary.BigEndian.PutUint32(e, uint32(offset-x.base))
	binary.BigEndian.PutUint32(e[4:], uint32(position))
	x.t.publish()
	x.last = OffsetEntry{Offset: offset, Position: position}
	return nil
}

// Lookup returns the greatest entry whose offset is at most offset: a scan for offset
// starts at its position. ok is false when there is none: scan from the log's start.
func (x *Offset) Lookup(offset int64) (e OffsetEntry, ok bool, err error) {
	return x.find(byOffset, offset-x.base)
}

// LookupPosition returns the greatest entry whose position is at most position.
func (x *Offset) LookupPosition(position int64) (e OffsetEntry, ok bool, err error) {
	return x.find(byPosition, position)
}

func (x *Offset) find(k kind, target int64) (OffsetEntry, bool, error) {
	var raw [OffsetEntryBytes]byte
	i, err := x.t.find(k, target, raw[:])
	if err != nil || i < 0 {
		return OffsetEntry{}, false, err
	}
	return x.decode(raw[:]), true, nil
}

func (x *Offset) decode(e []byte) OffsetEntry {
	return OffsetEntry{
		Offset:   x.base + int64(binary.BigEndian.Uint32(e)),
		Position: int64(binary.BigEndian.Uint32(e[4:])),
	}
}

// Entry returns published entry i.
func (x *Offset) Entry(i int) (OffsetEntry, error) {
	var raw [OffsetEntryBytes]byte
	if err := x.t.at(i, raw[:]); err != nil {
		return OffsetEntry{}, err
	}
	return x.decode(raw[:]), nil
}

// Last returns the last published entry.
func (x *Offset) Last() (e OffsetEntry, ok bool, err error) {
	n := x.Count()
	if n == 0 {
		return OffsetEntry{}, false, nil
	}
	e, err = x.Entry(n - 1)
	return e, err == nil, err
}

// Count is the number of published entries.
func (x *Offset) Count() int { return int(x.t.count.Load()) }

// IsFull tells whether no further entry fits. Kafka: AbstractIndex.isFull.
func (x *Offset) IsFull() bool { return x.Count() >= x.t.maxEntries }

// TruncateTo forgets the entries of offsets at or above offset. Writer only.
func (x *Offset) TruncateTo(offset int64) error {
	var raw [OffsetEntryBytes]byte
	i, err := x.t.find(byOffset, offset-1-x.base, raw[:])
	if err != nil {
		return err
	}
	x.t.truncate(i + 1)
	x.last = OffsetEntry{Offset: x.base - 1, Position: -1}
	if i >= 0 {
		x.last = x.decode(raw[:])
	}
	return nil
}

// Trim gives back the space behind the last entry.
func (x *Offset) Trim() error { return x.t.trim() }

// Sync makes the published entries durable.
func (x *Offset) Sync() error { return x.t.sync() }

// Close closes file and mapping, without trimming.
func (x *Offset) Close() error { return x.t.close() }
