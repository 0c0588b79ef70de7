package segment

import (
	"errors"
	"os"
	"runtime"

	"github.com/millrace/millrace/internal/vfs"
)

// Read returns whole batches, starting with the one that holds offset (or the first one
// after it, in a compacted log), of at most maxBytes; with minOne the first one comes
// whatever its size. No batch of the range reaches upTo (high watermark, last stable offset
// or log end). The range lies in one segment and is pinned: it must be released.
//
// At the end (offset == upTo or the log's end) the range is empty. *OutOfRangeError when
// offset is not in [StartOffset, NextOffset]. Takes no lock; safe beside Append.
func (c *Chain) Read(offset int64, maxBytes int, upTo int64, minOne bool) (vfs.Range, error) {
	for {
		truncations := c.truncations.Load()
		if truncations&1 != 0 {
			runtime.Gosched() // two stores away from being over
			continue
		}
		list := c.segments()
		next, _ := list[len(list)-1].end()
		if offset < list[0].base || offset > next {
			return vfs.Range{}, &OutOfRangeError{Offset: offset, Start: list[0].base, End: next}
		}
		upTo := min(upTo, next)
		if offset >= upTo {
			return vfs.Range{}, nil
		}
		rng, err := c.readFrom(list, offset, int64(maxBytes), upTo, minOne)
		if err == nil && c.truncations.Load() == truncations {
			return rng, nil
		}
		rng.Release()
		if err == nil {
			continue // cut meanwhile: what was found may have a hole where the cut was
		}
		c.poisonIfFault(err)
		if c.truncations.Load() != truncations || errors.Is(err, os.ErrNotExist) && c.moved(list) {
			continue // cut or deleted meanwhile
		}
		return vfs.Range{}, err
	}
}

// poisonIfFault poisons the log when err is a fault in a mapping.
func (c *Chain) poisonIfFault(err error) {
	var fault *FaultError
	if errors.As(err, &fault) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = c.poison(err) // every later append and sync returns it
	}
}

// moved tells whether the list is no longer the current one: a file that is missing was
// deleted or renamed in the meantime.
func (c *Chain) moved(list []*segment) bool {
	now := c.segments()
	return len(now) != len(list) || &now[0] != &list[0] // each list is a new one
}

// readFrom looks in the segment that offset lies in and, where compaction left nothing at
// or after it there, in those behind.
func (c *Chain) readFrom(list []*segment, offset, maxBytes, upTo int64, minOne bool) (vfs.Range, error) {
	for _, s := range list[floor(list, offset):] {
		if s.base >= upTo {
			break
		}
		_, position := s.end()
		if position == 0 {
			continue
		}
		h, err := s.pin()
		if err != nil {
			return vfs.Range{}, err
		}
		pos, end, err := h.rangeOf(offset, maxBytes, upTo, minOne)
		if err == nil && h.gather != nil {
			err = h.gather.settle(end)
		}
		if err == nil && end > pos {
			return vfs.Range{File: h.log, Pos: pos, LenBytes: int(end - pos), Pin: h, Mem: h.memory(pos, end, position)}, nil
		}
		h.Unpin()
		if err != nil || pos >= 0 {
			return vfs.Range{}, err
		}
	}
	return vfs.Range{}, nil
}

// rangeOf finds the positions of a read in one segment; pos is -1 when the segment holds
// nothing at or after offset, and pos == end when the bounds leave no whole batch.
func (h *files) rangeOf(offset, maxBytes, upTo int64, minOne bool) (pos, end int64, err error) {
	known := h.hints()
	// The pin was taken before this load, so that a truncation either shows here or sees
	// the pin.
	next, limit := h.s.end()
	if upTo >= next {
		if pos, end, ok := known.rangeOf(offset-h.s.base, maxBytes, limit); ok {
			return pos, end, nil
		}
	}
	defer guard(h, setPanicOnFault(true), &err)
	cur := newCursor(h, limit)
	defer cur.free()
	pos, hd, ok, err := cur.locate(offset)
	if err != nil || !ok {
		return -1, -1, err
	}
	known.noteStart(offset-h.s.base, pos)
	if hd.last >= upTo {
		return pos, pos, nil
	}
	bound := limit
	if upTo < next {
		if bound, err = cur.boundOf(upTo); err != nil {
			return -1, -1, err
		}
	}
	if bound-pos <= maxBytes {
		if bound == limit {
			known.noteStart(next-h.s.base, limit)
		}
		return pos, bound, nil
	}
	if hd.size > maxBytes {
		if minOne {
			known.noteStart(hd.last+1-h.s.base, pos+hd.size)
			return pos, pos + hd.size, nil
		}
		return pos, pos, nil
	}
	end, after, err := cur.lastBoundary(pos, pos+maxBytes)
	if err == nil && end > pos {
		known.noteEnd(pos, maxBytes, end)
		known.noteStart(after-h.s.base, end)
	}
	return pos, end, err
}

// rangeOf answers a read from hints alone; limit is the segment's end.
func (t *hints) rangeOf(rel, maxBytes, limit int64) (pos, end int64, ok bool) {
	pos, ok = t.start(rel)
	if !ok || pos >= limit {
		return 0, 0, false
	}
	if limit-pos <= maxBytes {
		return pos, limit, true
	}
	end, ok = t.end(pos, maxBytes)
	return pos, end, ok && end <= limit
}

// boundOf is the position of the first batch that reaches upTo.
func (c *cursor) boundOf(upTo int64) (int64, error) {
	pos, _, _, err := c.locate(upTo)
	return pos, err
}

// lastBoundary is the last batch boundary at most most; from is one. after is the offset at
// which the next batch begins, -1 when there is none.
func (c *cursor) lastBoundary(from, most int64) (end, after int64, err error) {
	off, err := c.h.offset()
	if err != nil {
		return 0, 0, err
	}
	e, ok, err := off.LookupPosition(most)
	if err != nil {
		return 0, 0, err
	}
	start := from
	if ok && e.Position > from {
		start = e.Position
	}
	end, after, err = c.boundary(start, most)
	if err != nil && start > from && isCorrupt(err) {
		return c.boundary(from, most)
	}
	return end, after, err
}

// ReadBatch appends to dst[:0] the one batch that holds offset, or the first one after it.
// Errors as Read; an empty result at the log's end.
func (c *Chain) ReadBatch(offset int64, dst []byte) ([]byte, error) {
	rng, err := c.Read(offset, 1, c.NextOffset(), true)
	if err != nil {
		return nil, err
	}
	defer rng.Release()
	if cap(dst) < rng.LenBytes {
		dst = make([]byte, rng.LenBytes)
	}
	dst = dst[:rng.LenBytes]
	if err := rng.CopyTo(dst); err != nil {
		return nil, err
	}
	return dst, nil
}
