package segment

import (
	"bytes"
	"errors"
	"os"

	"github.com/millrace/millrace/record"
)

// lookBehind shows f what can still be read behind the point where the log is to be cut: in
// segment number i from position end on, and in all later segments. next is the offset at which
// the log will end.
func (c *Chain) lookBehind(i int, end, next int64, f func(Damage, record.Batch) error) error {
	if f == nil {
		return nil
	}
	list := c.segments()
	d := Damage{Name: list[i].name(logSuffix), Position: end, Next: next}
	show := func(b record.Batch) error { return f(d, b) }
	for j, s := range list[i:] {
		from := int64(0)
		if j == 0 {
			from = end
		}
		_, to := s.end()
		if from >= to {
			continue
		}
		if err := s.salvage(from, to, next, show); err != nil {
			return err
		}
	}
	return nil
}

// salvage calls f with each batch in [from, to) of the file whose CRC is right and whose
// offset is at least next, wherever it begins.
func (s *segment) salvage(from, to, next int64, f func(record.Batch) error) error {
	file, err := s.c.o.FS.OpenFile(s.name(logSuffix), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(salvage(file, from, to, next, f), file.Close())
}

func salvage(file interface {
	ReadAt([]byte, int64) (int, error)
}, from, to, next int64, f func(record.Batch) error) error {
	r := reader{f: file, pos: from, limit: to}
	for r.pos < to {
		b, at, err := r.next()
		switch {
		case err == nil && plausible(b, next) && b.CheckCRC() == nil:
			if err := f(b); err != nil {
				return err
			}
			continue
		case r.err != nil:
			return r.err
		}
		// The reader's window begins at the position that was tried, if it has any bytes.
		if len(r.have) == 0 || r.pos != at {
			r = reader{f: file, pos: at, limit: to, buf: r.buf}
			if err := r.fill(); err != nil {
				return err
			}
		}
		skip := nextCandidate(r.have, next)
		r.have, r.pos = r.have[skip:], at+int64(skip)
	}
	return nil
}

// plausible tells whether b may be a batch of a log that goes on at next.
func plausible(b record.Batch, next int64) bool {
	base, last := b.BaseOffset(), b.LastOffset()
	return base >= next && last >= base && last-next <= maxPosition
}

// nextCandidate is how far to go from the start of have, at least 1, to where a batch may
// begin.
func nextCandidate(have []byte, next int64) int {
	const magic = record.PeekBytes - 1
	for i := 1; ; i++ {
		if len(have)-i < record.HeaderBytes {
			return min(i, len(have))
		}
		at := bytes.IndexByte(have[i+magic:], record.CurrentMagic)
		if at < 0 {
			return len(have) - record.HeaderBytes + 1
		}
		if i += at; len(have)-i < record.HeaderBytes {
			return len(have) - record.HeaderBytes + 1
		}
		if _, err := record.Peek(have[i:]); err == nil && plausible(record.Batch(have[i:]), next) {
			return i
		}
	}
}
