package dumplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/millrace/millrace/index"
)

// indexEntry is an entry of an offset index, or of a time index (key = timestamp).
type indexEntry struct {
	key    int64 // position or timestamp
	offset int64
}

func readOffsetIndex(path string, base int64) ([]indexEntry, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []indexEntry
	for ; len(b) >= index.OffsetEntryBytes; b = b[index.OffsetEntryBytes:] {
		out = append(out, indexEntry{offset: base + int64(binary.BigEndian.Uint32(b)), key: int64(binary.BigEndian.Uint32(b[4:]))})
	}
	return out, nil
}

func readTimeIndex(path string, base int64) ([]indexEntry, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []indexEntry
	for ; len(b) >= index.TimeEntryBytes; b = b[index.TimeEntryBytes:] {
		out = append(out, indexEntry{key: int64(binary.BigEndian.Uint64(b)), offset: base + int64(binary.BigEndian.Uint32(b[8:]))})
	}
	return out, nil
}

// dumpIndex prints an offset index and checks each entry against the log.
func (d *dumper) dumpIndex(path string) error {
	base, err := baseOffset(path)
	if err != nil {
		return err
	}
	entries, err := readOffsetIndex(path, base)
	if err != nil {
		return err
	}
	if len(entries) == 0 && d.o.Format == FormatToday {
		fmt.Fprintf(d.out, "%s is empty.\n", path)
		return nil
	}
	if d.o.SanityOnly {
		return d.sanity(path, base, index.OffsetEntryBytes, entries)
	}
	log, err := d.read(sibling(path, ".log"))
	if err != nil {
		return err
	}
	for i, e := range entries {
		// The tail of an index that was not closed is zeros.
		if e.offset == base && i > 0 {
			break
		}
		if found, ok := d.indexedOffset(log, e.key); !ok {
			d.indexMismatch.add(path, e.offset, -1)
		} else if found != e.offset {
			d.indexMismatch.add(path, e.offset, found)
		}
		if !d.o.VerifyOnly {
			fmt.Fprintf(d.out, "offset: %d position: %d\n", e.offset, e.key)
		}
	}
	return nil
}

// indexedOffset is what an offset index should say of the batch at a position: Kafka
// since 2.0 indexes the last offset of a batch, before it the first.
func (d *dumper) indexedOffset(log []byte, position int64) (int64, bool) {
	if position < 0 || position >= int64(len(log)) {
		return 0, false
	}
	e := next(log[position:])
	if e == nil {
		return 0, false
	}
	if d.o.Format == Format10 {
		return e.firstOffset(), true
	}
	return e.lastOffset(), true
}

// sanity is the check by which a broker decides at start that an index can be used.
func (d *dumper) sanity(path string, base int64, entryBytes int64, entries []indexEntry) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if n := len(entries); n > 0 && entries[n-1].offset < base+1 && n > 1 || info.Size()%entryBytes != 0 {
		return fmt.Errorf("%s: the index is corrupt (%d bytes, %d entries): a broker rebuilds it at start", path, info.Size(), len(entries))
	}
	fmt.Fprintf(d.out, "%s passed sanity check.\n", path)
	return nil
}

// dumpTimeIndex prints a time index and checks each entry against the log.
func (d *dumper) dumpTimeIndex(path string) error {
	base, err := baseOffset(path)
	if err != nil {
		return err
	}
	entries, err := readTimeIndex(path, base)
	if err != nil {
		return err
	}
	if d.o.SanityOnly {
		return d.sanity(path, base, index.TimeEntryBytes, entries)
	}
	log, err := d.read(sibling(path, ".log"))
	if err != nil {
		return err
	}
	positions, err := readOffsetIndex(sibling(path, ".index"), base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	previous := int64(-1)
	for i, e := range entries {
		// The tail of an index that was not closed is zeros. Kafka 1.0 stopped there only
		// when its zero entry happened to name the end of a batch.
		zero := e.offset == base && i > 0
		if zero && d.o.Format != Format10 {
			break
		}
		if ends := d.checkTime(path, log, positions, base, e, previous); zero && ends {
			break
		}
		if !d.o.VerifyOnly {
			fmt.Fprintf(d.out, "timestamp: %d offset: %d\n", e.key, e.offset)
		}
		previous = e.key
	}
	return nil
}

// checkTime compares a time index entry with the batch that its offset ends, and says
// whether there is one.
func (d *dumper) checkTime(path string, log []byte, positions []indexEntry, base int64, e indexEntry, previous int64) bool {
	b := findBatch(log, lookup(positions, base, e.offset), e.offset)
	switch {
	case b == nil:
		d.notFound.add(path, e.offset, -1)
		return false
	case b.lastOffset() != e.offset:
		d.notFound.add(path, e.offset, b.lastOffset())
		return false
	}
	newest := int64(-1)
	if err := b.records(func(r *rec) error { newest = max(newest, r.timestamp); return nil }); err != nil {
		d.immediate = append(d.immediate, fmt.Sprintf("%s: the batch that ends at offset %d cannot be read: %v", sibling(path, ".log"), e.offset, err))
		return true
	}
	if newest != e.key {
		d.timeMismatch.add(path, e.key, newest)
	}
	if previous >= e.key {
		d.timeOutOfOrder.add(path, e.key, previous)
	}
	return true
}

// lookup is the position at which a scan for offset may start.
func lookup(positions []indexEntry, base, offset int64) int64 {
	at := int64(0)
	for i, p := range positions {
		if p.offset > offset || (i > 0 && p.offset == base) {
			break
		}
		at = p.key
	}
	return at
}

// findBatch is the first batch from position on that ends at offset or later.
func findBatch(log []byte, position, offset int64) *entry {
	for position < int64(len(log)) {
		e := next(log[position:])
		if e == nil || e.lastOffset() >= offset {
			return e
		}
		position += int64(len(e.raw))
	}
	return nil
}

// dumpTxnIndex prints the aborted transactions of a segment.
func (d *dumper) dumpTxnIndex(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	txns, err := index.ParseTxns(path, b)
	if err != nil {
		return err
	}
	for _, t := range txns {
		fmt.Fprintf(d.out, "version: 0 producerId: %d firstOffset: %d lastOffset: %d lastStableOffset: %d\n",
			t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset)
	}
	return nil
}
