package segment

import (
	"errors"
	"os"
	"sync/atomic"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/vfs"
)

// files are the open files of one segment. They are closed when the last pin goes; the
// chain holds one pin itself while they hang on the segment.
type files struct {
	refs atomic.Int32
	s    *segment
	log  vfs.File
	// gather is log where appends may be kept back until a sync; nil elsewhere.
	gather *gather

	// mapping is the active segment's, nil in pwrite mode and for readers. mem is its
	// bytes: [0, position) may be loaded by pinned readers, [position, populated) stored to
	// by the writer.
	mapping vfs.Mapping
	mem     []byte

	// The indexes: set at once for the active segment, on first use (under openMu) for
	// sealed ones.
	off    atomic.Pointer[index.Offset]
	tim    atomic.Pointer[index.Time]
	writer bool // opened for appends

	known atomic.Pointer[hints] // nil until the first read
}

// tryPin adds a pin unless the files are closed already.
func (h *files) tryPin() bool {
	for {
		n := h.refs.Load()
		if n <= 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Unpin implements vfs.Pin.
func (h *files) Unpin() {
	h.s.pins.Add(-1)
	h.release()
}

// memoryBytes is how far behind the end reads are sent from the mapping.
const memoryBytes = 16 << 20

// memory is [pos, end) in the mapping, when it was written so recently that the system call
// that sends it hardly ever waits for the disk; limit is the segment's end.
func (h *files) memory(pos, end, limit int64) []byte {
	if end > int64(len(h.mem)) || limit-pos > memoryBytes {
		return nil
	}
	return h.mem[pos:end:end]
}

// hints is the table of the segment's recent reads.
func (h *files) hints() *hints {
	if t := h.known.Load(); t != nil {
		return t
	}
	h.known.CompareAndSwap(nil, new(hints))
	return h.known.Load()
}

// release gives a pin back and closes the files after the last one. Errors of closing are
// of no use here: what was written is synced, or not, through Sync.
func (h *files) release() {
	if h.refs.Add(-1) == 0 {
		h.close()
	}
}

func (h *files) close() error {
	var errs []error
	if h.mapping != nil {
		errs = append(errs, h.mapping.Close())
	}
	if x := h.off.Load(); x != nil {
		errs = append(errs, x.Close())
	}
	if x := h.tim.Load(); x != nil {
		errs = append(errs, x.Close())
	}
	errs = append(errs, h.log.Close())
	return errors.Join(errs...)
}

// offset returns the offset index, opened, checked and if need be rebuilt on first use.
func (h *files) offset() (*index.Offset, error) {
	if x := h.off.Load(); x != nil {
		return x, nil
	}
	if err := h.openIndexes(); err != nil {
		return nil, err
	}
	return h.off.Load(), nil
}

// time returns the time index, see offset.
func (h *files) time() (*index.Time, error) {
	if x := h.tim.Load(); x != nil {
		return x, nil
	}
	if err := h.openIndexes(); err != nil {
		return nil, err
	}
	return h.tim.Load(), nil
}

func (h *files) openIndexes() error {
	h.s.openMu.Lock()
	defer h.s.openMu.Unlock()
	if h.off.Load() != nil {
		return nil
	}
	off, tim, err := h.s.openIndexes()
	if isUntrusted(err) {
		b, rerr := h.s.rebuildIndexes(h.log)
		if rerr != nil {
			return rerr
		}
		off = index.HeapOffset(h.s.name(indexSuffix), h.s.base, b.off)
		tim = index.HeapTime(h.s.name(timeSuffix), h.s.base, b.tim)
	} else if err != nil {
		return err
	}
	h.tim.Store(tim)
	h.off.Store(off)
	return nil
}

// openIndexes opens both index files of a segment for lookups.
func (s *segment) openIndexes() (*index.Offset, *index.Time, error) {
	next, size := s.end()
	off, err := index.OpenOffset(s.c.o.FS, s.name(indexSuffix), s.base, size)
	if err != nil {
		return nil, nil, err
	}
	tim, err := index.OpenTime(s.c.o.FS, s.name(timeSuffix), s.base, next)
	if err != nil {
		off.Close()
		return nil, nil, err
	}
	return off, tim, nil
}

// attachIndexes gives h the active segment's indexes with the counts known to the chain.
func (s *segment) attachIndexes(h *files, maxBytes int) error {
	fs := s.c.o.FS
	off, err := index.CreateOffset(fs, s.name(indexSuffix), s.base, maxBytes, s.offCount)
	if err != nil {
		return err
	}
	tim, err := index.CreateTime(fs, s.name(timeSuffix), s.base, maxBytes, s.timCount)
	if err != nil {
		return err
	}
	h.off.Store(off)
	h.tim.Store(tim)
	return nil
}

// isUntrusted tells whether an index file is absent or failed its check.
func isUntrusted(err error) bool {
	var corrupt *index.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, os.ErrNotExist)
}

// pin returns the segment's open files with a pin, opening them for reading if need be.
// os.ErrNotExist: the segment was deleted.
func (s *segment) pin() (*files, error) {
	s.pins.Add(1)
	for {
		if h := s.files.Load(); h != nil && h.tryPin() {
			return h, nil
		}
		h, err := s.openRead()
		if err != nil {
			s.pins.Add(-1)
			return nil, err
		}
		if h != nil {
			s.c.limitOpen(s)
			return h, nil
		}
	}
}

// openRead opens the log for reading and hangs it on the segment; nil when somebody else
// was faster.
func (s *segment) openRead() (*files, error) {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if h := s.files.Load(); h != nil {
		if h.tryPin() {
			return h, nil
		}
		return nil, nil
	}
	if s.c.closed.Load() {
		return nil, ErrClosed
	}
	if s.gone.Load() {
		return nil, os.ErrNotExist
	}
	f, err := s.c.o.FS.OpenFile(s.name(logSuffix), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	h := &files{s: s, log: f}
	if !s.sealed.Load() {
		// The writer may come back any time: look up what is published, never verify.
		if err := s.attachIndexes(h, 0); err != nil {
			f.Close()
			return nil, err
		}
	}
	h.refs.Store(2) // the segment's and the caller's
	s.files.Store(h)
	return h, nil
}

// limitOpen remembers that s was opened for reading and closes the sealed segment that was
// opened longest ago when there are too many: a consumer that reads a long log from its
// start must not leave all of it open.
func (c *Chain) limitOpen(s *segment) {
	if !s.sealed.Load() {
		return
	}
	c.openedMu.Lock()
	defer c.openedMu.Unlock()
	c.opened = append(c.opened, s)
	if len(c.opened) > maxOpenSealed {
		c.opened[0].dropSealed()
		c.opened = append(c.opened[:0], c.opened[1:]...)
	}
}

// maxOpenSealed is how many sealed segments of one log stay open, besides pinned ones.
const maxOpenSealed = 4

// dropSealed is drop, unless the segment is appended to.
func (s *segment) dropSealed() {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	if h := s.files.Load(); h != nil && s.sealed.Load() && !h.writer {
		s.files.Store(nil)
		h.release()
	}
}

// drop takes the files off the segment and gives the chain's pin back. Whoever still has a
// pin keeps them open.
func (s *segment) drop() {
	s.openMu.Lock()
	h := s.takeLocked()
	s.openMu.Unlock()
	if h != nil {
		h.release()
	}
}

// takeLocked takes the files off the segment; openMu is held.
func (s *segment) takeLocked() *files {
	h := s.files.Swap(nil)
	s.rememberCounts(h)
	return h
}

// rememberCounts keeps how many index entries a writer's files hold.
func (s *segment) rememberCounts(h *files) {
	if h != nil && h.writer {
		s.offCount, s.timCount = h.off.Load().Count(), h.tim.Load().Count()
	}
}
