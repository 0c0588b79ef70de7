package segment

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/millrace/millrace/record"
)

// cursor reads batch headers of one segment at rising positions: near the end of the
// active one from the mapping, elsewhere through one window of pread bytes, about a
// microsecond for a whole index interval. Older parts of the mapping may have left memory,
// and a load that has to wait for the disk holds up other goroutines.
//
// Who uses one defers guard.
type cursor struct {
	h     *files
	limit int64 // published position: nothing at or behind it is looked at
	at    int64 // position of win[0]
	win   []byte
	buf   [windowBytes]byte
}

const (
	windowBytes = 4 << 10
	// hotBytes is how far behind the end the mapping is read: what was written so recently
	// is in memory.
	hotBytes = 1 << 20
)

// header is what a lookup needs of a batch header.
type header struct {
	base, last   int64
	maxTimestamp int64
	size         int64
}

// cursors is a cache, not state.
var cursors = sync.Pool{New: func() any { return new(cursor) }}

func newCursor(h *files, limit int64) *cursor {
	c := cursors.Get().(*cursor)
	c.h, c.limit, c.win = h, limit, nil
	return c
}

func (c *cursor) free() {
	c.h, c.win = nil, nil
	cursors.Put(c)
}

// header reads the header of the batch at pos, which must be below the limit, and checks
// that the batch is whole.
func (c *cursor) header(pos int64) (header, error) {
	b, err := c.bytes(pos)
	if err != nil {
		return header{}, c.corrupt(pos, err)
	}
	size, err := record.Peek(b)
	if err != nil {
		return header{}, c.corrupt(pos, err)
	}
	if int64(size) > c.limit-pos {
		return header{}, c.corrupt(pos, record.ErrShort)
	}
	r := record.Batch(b)
	return header{base: r.BaseOffset(), last: r.LastOffset(), maxTimestamp: r.MaxTimestamp(), size: int64(size)}, nil
}

// bytes returns the 61 header bytes at pos.
func (c *cursor) bytes(pos int64) ([]byte, error) {
	if c.limit-pos < record.HeaderBytes {
		return nil, record.ErrShort
	}
	if c.h.mem != nil && c.limit-pos <= hotBytes && pos+record.HeaderBytes <= int64(len(c.h.mem)) {
		return c.h.mem[pos : pos+record.HeaderBytes], nil
	}
	if i := pos - c.at; i >= 0 && i+record.HeaderBytes <= int64(len(c.win)) {
		return c.win[i : i+record.HeaderBytes], nil
	}
	win := c.buf[:min(windowBytes, c.limit-pos)]
	if err := readFull(c.h.log, win, pos); err != nil {
		return nil, err
	}
	c.at, c.win = pos, win
	return win[:record.HeaderBytes], nil
}

func (c *cursor) corrupt(pos int64, err error) error {
	return &CorruptError{Name: c.h.log.Name(), Position: pos, Err: err}
}

// find walks from pos, a batch boundary, to the first batch that ends at or after offset.
// ok is false when all batches end below it.
func (c *cursor) find(pos, offset int64) (at int64, hd header, ok bool, err error) {
	for pos < c.limit {
		if hd, err = c.header(pos); err != nil {
			return 0, header{}, false, err
		}
		if hd.last >= offset {
			return pos, hd, true, nil
		}
		pos += hd.size
	}
	return c.limit, header{}, false, nil
}

// boundary walks from pos, a batch boundary, to the last one that is at most most, and
// tells the base offset of the batch there, -1 at the limit.
func (c *cursor) boundary(pos, most int64) (at, base int64, err error) {
	for pos < c.limit {
		hd, err := c.header(pos)
		if err != nil {
			return 0, 0, err
		}
		if pos+hd.size > most {
			return pos, hd.base, nil
		}
		pos += hd.size
	}
	return pos, -1, nil
}

// locate finds the first batch of the segment that ends at or after offset, by the offset
// index and a walk of at most an index interval.
func (c *cursor) locate(offset int64) (at int64, hd header, ok bool, err error) {
	start, err := c.start(offset)
	if err != nil {
		return 0, header{}, false, err
	}
	at, hd, ok, err = c.find(start, offset)
	if err != nil && start > 0 && isCorrupt(err) {
		// The index may be what is wrong: the log decides.
		return c.find(0, offset)
	}
	return at, hd, ok, err
}

// start is a batch boundary at or before the batch that holds offset.
func (c *cursor) start(offset int64) (int64, error) {
	if offset <= c.h.s.base {
		return 0, nil
	}
	off, err := c.h.offset()
	if err != nil {
		return 0, err
	}
	e, ok, err := off.Lookup(offset)
	if err != nil || !ok {
		return 0, err
	}
	return min(e.Position, c.limit), nil
}

func isCorrupt(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}

func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d, got %d: %w", len(b), off, n, err)
}
