package segment

import (
	"errors"
	"io"
	"os"

	"github.com/millrace/millrace/record"
)

const scanBytes = 1 << 20

// Scan calls f with every batch from the one that holds offset from up to the end at the
// time of the call, with its position and its segment's base. The batch is valid for the
// call only. Its CRC is not checked. The first error of f ends the scan.
func (c *Chain) Scan(from int64, f func(b record.Batch, pos, base int64) error) error {
	list := c.segments()
	from = max(from, list[0].base)
	end, _ := list[len(list)-1].end()
	seen := func(b record.Batch, pos, base int64) error {
		if b.BaseOffset() >= end {
			return errDone // the list was loaded again, and is longer now
		}
		from = b.NextOffset()
		return f(b, pos, base)
	}
	for from < end {
		err := scanList(list, from, seen)
		if errors.Is(err, errDone) {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) || !c.moved(list) {
			return err
		}
		// Segments were replaced or deleted meanwhile: go on in those that are there now.
		if list = c.segments(); from < list[0].base {
			return &OutOfRangeError{Offset: from, Start: c.StartOffset(), End: c.NextOffset()}
		}
	}
	return nil
}

func scanList(list []*segment, from int64, f func(b record.Batch, pos, base int64) error) error {
	for _, s := range list[floor(list, from):] {
		if _, position := s.end(); position == 0 {
			continue
		}
		if err := s.scan(from, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) scan(from int64, f func(b record.Batch, pos, base int64) error) error {
	h, err := s.pin()
	if err != nil {
		return err
	}
	defer h.Unpin()
	_, limit := s.end()
	pos, _, ok, err := h.locateBatch(from, limit)
	if err != nil || !ok {
		return err
	}
	r := reader{f: h.log, pos: pos, limit: limit}
	for {
		b, at, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &CorruptError{Name: h.log.Name(), Position: at, Err: err}
		}
		if err := f(b, at, s.base); err != nil {
			return err
		}
	}
}

// locateBatch finds the first batch that ends at or after offset and its position.
func (h *files) locateBatch(offset, limit int64) (pos int64, hd header, ok bool, err error) {
	defer guard(h, setPanicOnFault(true), &err)
	cur := newCursor(h, limit)
	defer cur.free()
	return cur.locate(offset)
}

// reader walks the batches of a file in large reads.
type reader struct {
	f     io.ReaderAt
	pos   int64 // of the next batch
	limit int64
	buf   []byte
	have  []byte // unread part of buf; its first byte lies at pos
	err   error  // a read error, as opposed to bad bytes
	chunk int64  // how much is read at a time; 0: scanBytes
}

// next returns the next batch and its position; io.EOF at the limit. The batch is valid
// until the next call. Errors of record.Next tell what is wrong with the bytes.
func (r *reader) next() (record.Batch, int64, error) {
	for {
		if r.pos >= r.limit {
			return nil, r.pos, io.EOF
		}
		b, rest, err := record.Next(r.have)
		if err == nil {
			at := r.pos
			r.pos += int64(len(b))
			r.have = rest
			return b, at, nil
		}
		if !errors.Is(err, record.ErrShort) {
			return nil, r.pos, err
		}
		if err := r.fill(); err != nil {
			return nil, r.pos, err
		}
	}
}

// fill reads more bytes behind have; ErrShort when the file has no more.
func (r *reader) fill() error {
	left := r.limit - r.pos
	if int64(len(r.have)) >= left {
		return record.ErrShort
	}
	want := r.chunk
	if want <= 0 {
		want = scanBytes
	}
	if size, err := record.Peek(r.have); err == nil {
		if int64(size) > left {
			return record.ErrShort
		}
		want = max(want, int64(size))
	}
	want = min(want, left)
	if int64(cap(r.buf)) < want {
		r.buf = append(make([]byte, 0, want), r.have...)
	} else {
		r.buf = append(r.buf[:0], r.have...)
	}
	n := len(r.have)
	r.buf = r.buf[:want]
	if err := readFull(r.f, r.buf[n:], r.pos+int64(n)); err != nil {
		r.err = err
		return err
	}
	r.have = r.buf
	return nil
}
