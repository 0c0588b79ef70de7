package segment

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
)

// Part is a sealed segment as a cleaning sees it: what it held when Sealed was called. It
// stays readable until the segment is removed.
type Part struct {
	Info
	ModTime                        time.Time // of its log file; zero when that is not known
	FirstTimestamp                 int64     // largest of its first batch, ms; -1 for none
	IndexFileBytes, TimeIndexBytes int64
	s                              *segment
	truncations                    int64
}

// Sealed lists the segments in front of the active one, oldest first.
func (c *Chain) Sealed() []Part {
	truncations := c.truncations.Load()
	list := c.segments()
	parts := make([]Part, 0, len(list)-1)
	for i, s := range list[:len(list)-1] {
		_, position := s.end()
		p := Part{Info: Info{Base: s.base, Next: list[i+1].base, SizeBytes: position}, s: s, truncations: truncations}
		parts = append(parts, p)
	}
	return parts
}

// Describe fills in what takes looking at files: timestamps, sizes of indexes.
func (p *Part) Describe() error {
	c := p.s.c
	ts, _, err := c.maxTimestampOf(p.s)
	if err != nil {
		return p.moved(err)
	}
	p.MaxTimestamp = ts
	c.mu.Lock()
	first := p.s.firstTimestamp
	c.mu.Unlock()
	if first == unknownTimestamp {
		first = c.readFirstTimestamp(p.s)
	}
	p.FirstTimestamp = max(first, -1)
	if info, err := c.o.FS.Stat(p.s.name(logSuffix)); err == nil {
		p.ModTime = info.ModTime()
	}
	for suffix, size := range map[string]*int64{indexSuffix: &p.IndexFileBytes, timeSuffix: &p.TimeIndexBytes} {
		if info, err := c.o.FS.Stat(p.s.name(suffix)); err == nil {
			*size = info.Size()
		}
	}
	return nil
}

// moved turns the absence of a file into ErrChanged.
func (p *Part) moved(err error) error {
	if errors.Is(err, os.ErrNotExist) && p.s.gone.Load() {
		return ErrChanged
	}
	return err
}

// Aborted lists the aborted transactions whose markers lie in the segment.
func (p *Part) Aborted() ([]index.AbortedTxn, error) {
	txns, err := p.s.aborted()
	if err == nil && p.s.gone.Load() {
		return nil, ErrChanged
	}
	return txns, err
}

// ScanBuffer is memory for Part.Scan, for use again. ChunkBytes is how much is read at a
// time, at most; a larger batch makes it grow. 0: as much as other scans do.
type ScanBuffer struct {
	ChunkBytes int64
	buf        []byte
}

// Scan calls f with every batch from the one that holds from on. The batch is valid for the
// call only; f may not change it. Its CRC is not checked. Errors: f's, *CorruptError,
// ErrChanged when the segment was removed.
func (p *Part) Scan(from int64, mem *ScanBuffer, f func(b record.Batch) error) error {
	if p.SizeBytes == 0 {
		return nil
	}
	h, err := p.s.pin()
	if err != nil {
		return p.moved(err)
	}
	defer h.Unpin()
	pos := int64(0)
	if from > p.Base {
		at, _, ok, err := h.locateBatch(from, p.SizeBytes)
		if err != nil || !ok {
			return err
		}
		pos = at
	}
	r := reader{f: h.log, pos: pos, limit: p.SizeBytes, buf: mem.buf, chunk: mem.ChunkBytes}
	defer func() { mem.buf = r.buf }()
	for {
		b, at, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if r.err != nil {
				return r.err
			}
			return &CorruptError{Name: h.log.Name(), Position: at, Err: err}
		}
		if err := f(b); err != nil {
			return err
		}
	}
}

// Cleaned is a segment that is written beside the log, to take the place of one or several
// (Replace). Its files are named *.cleaned, which recovery removes. One goroutine uses it.
type Cleaned struct {
	c              *Chain
	base           int64
	f              vfs.File
	buf            []byte
	written        int64 // bytes in the file; those in buf follow
	next           int64 // offset after the last batch
	build          indexBuilder
	maxTimestamp   int64
	maxTimestampAt int64
	firstTimestamp int64
	txns           []index.AbortedTxn
}

// NewCleaned starts a segment that will begin at base. Batches are written in pieces of
// about bufferBytes.
func (c *Chain) NewCleaned(base int64, bufferBytes int) (*Cleaned, error) {
	cfg := c.conf.Load()
	x := &Cleaned{
		c: c, base: base, next: base, buf: make([]byte, 0, max(bufferBytes, record.HeaderBytes)),
		build:        indexBuilder{base: base, interval: int64(cfg.IndexIntervalBytes), maxBytes: cfg.IndexMaxBytes},
		maxTimestamp: -1, maxTimestampAt: base, firstTimestamp: -1,
	}
	f, err := c.o.FS.OpenFile(x.name(logSuffix, cleanedSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	x.f = f
	return x, nil
}

func (x *Cleaned) name(suffix, state string) string {
	return fileName(x.c.o.Dir, x.base, suffix) + state
}

// SizeBytes is the length of what was appended.
func (x *Cleaned) SizeBytes() int64 { return x.written + int64(len(x.buf)) }

// Append adds a batch, whose offsets lie above those of the one before. timestampAt is the
// offset of its largest timestamp.
func (x *Cleaned) Append(b record.Batch, timestampAt int64) error {
	pos := x.SizeBytes()
	if b.BaseOffset() < x.next || !index.Fits(x.base, b.LastOffset()) || pos+int64(len(b)) > maxPosition {
		return fmt.Errorf("segment: batch at offset %d does not fit into the cleaned segment at %d, which ends at offset %d and position %d", b.BaseOffset(), x.base, x.next, pos)
	}
	ts := b.MaxTimestamp()
	if pos == 0 {
		x.firstTimestamp = ts
	}
	if ts > x.maxTimestamp {
		x.maxTimestamp, x.maxTimestampAt = ts, timestampAt
	}
	x.build.add(pos, int64(len(b)), b.LastOffset(), x.maxTimestamp, x.maxTimestampAt)
	x.next = b.NextOffset()
	if len(x.buf)+len(b) > cap(x.buf) {
		if err := x.flush(); err != nil {
			return err
		}
		if len(b) > cap(x.buf) {
			return x.write(b)
		}
	}
	x.buf = append(x.buf, b...)
	return nil
}

// AppendAborted notes an aborted transaction of which batches are left.
func (x *Cleaned) AppendAborted(t index.AbortedTxn) { x.txns = append(x.txns, t) }

func (x *Cleaned) flush() error {
	err := x.write(x.buf)
	x.buf = x.buf[:0]
	return err
}

func (x *Cleaned) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := x.f.WriteAt(b, x.written)
	x.written += int64(n)
	return err
}

// finish writes all files and makes them durable, under their *.cleaned names.
func (x *Cleaned) finish(withTxns bool) error {
	if err := x.flush(); err != nil {
		return err
	}
	if err := x.f.SyncData(); err != nil {
		return &syncFailure{err}
	}
	x.build.finish(x.maxTimestamp, x.maxTimestampAt)
	files := []struct {
		suffix string
		data   []byte
	}{{indexSuffix, x.build.off}, {timeSuffix, x.build.tim}}
	if withTxns {
		var txns []byte
		for _, t := range x.txns {
			txns = t.AppendTo(txns)
		}
		files = append(files, struct {
			suffix string
			data   []byte
		}{txnSuffix, txns})
	}
	for _, file := range files {
		if err := x.writeFile(x.name(file.suffix, cleanedSuffix), file.data); err != nil {
			return err
		}
	}
	err := x.f.Close()
	x.f = nil
	return err
}

func (x *Cleaned) writeFile(name string, data []byte) error {
	f, err := x.c.o.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		if err = f.SyncData(); err != nil {
			err = &syncFailure{err}
		}
	}
	return errors.Join(err, f.Close())
}

// Discard removes the files of a segment that was not used.
func (x *Cleaned) Discard() error {
	var errs []error
	if x.f != nil {
		errs = append(errs, x.f.Close())
		x.f = nil
	}
	for _, suffix := range []string{txnSuffix, timeSuffix, indexSuffix, logSuffix} {
		if err := x.c.o.FS.Remove(x.name(suffix, cleanedSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// syncFailure marks a failed sync, which is final.
type syncFailure struct{ err error }

func (e *syncFailure) Error() string { return e.err.Error() }
func (e *syncFailure) Unwrap() error { return e.err }

// ActiveFirstTimestamp is the largest timestamp (ms) of the active segment's first batch, -1
// when it has none.
func (c *Chain) ActiveFirstTimestamp() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.active()
	if _, position := s.end(); position == 0 {
		return -1
	}
	if s.firstTimestamp == unknownTimestamp {
		s.firstTimestamp = c.readFirstTimestamp(s)
	}
	return max(s.firstTimestamp, -1)
}
