package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	firstStepBytes = 4 << 10
	maxStepBytes   = 256 << 10
	blockBytes     = 4 << 10
)

// table is what the offset and the time index share: a file of fixed-size entries. It is
// backed by a mapping (being written), by a file (pread), by heap bytes (an index that
// could not be stored because the disk is full), or by its name alone: prepared for
// writing, but not written to yet.
type table struct {
	name       string
	entryBytes int
	maxEntries int

	fs   vfs.FS
	file vfs.File               // opened for reading
	live atomic.Pointer[[]byte] // the mapping's bytes, or heap bytes; nil: read the file

	// The writer's. A mapping outlives its descriptor: the file is opened again for the few
	// calls that need one, so that an active segment holds no descriptor for its indexes.
	mapping   vfs.Mapping
	mem       []byte
	allocated int64 // bytes of the file that may be touched through mem
	step      int64
	shrunk    bool // the file may hold more entries than count, with no mapping to trim it by

	count atomic.Int64 // published entries
	top   []byte       // of a verified file: the first entry of each block
}

// create prepares an index for writing that holds count entries already. Nothing is
// opened before the first reserve.
func (t *table) create(fs vfs.FS, name string, entryBytes, maxBytes, count int) {
	t.fs, t.name, t.entryBytes = fs, name, entryBytes
	t.maxEntries = max(maxBytes/entryBytes, count+1)
	t.count.Store(int64(count))
}

// openRead opens an index for lookups and derives its count: a zero tail, which is what
// preallocation leaves after a crash, is not counted.
func (t *table) openRead(fs vfs.FS, name string, entryBytes int) error {
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	t.fs, t.name, t.entryBytes, t.file = fs, name, entryBytes, f
	if err := t.deriveCount(); err != nil {
		f.Close()
		return err
	}
	return nil
}

func (t *table) deriveCount() error {
	size, err := t.file.Size()
	if err != nil {
		return err
	}
	if size%int64(t.entryBytes) != 0 {
		// A preallocated file may end anywhere once its entries are over; a torn entry
		// shows as non-zero bytes there.
		tail := make([]byte, size%int64(t.entryBytes))
		if err := readFull(t.file, tail, size-int64(len(tail))); err != nil {
			return err
		}
		if !allZero(tail) {
			return t.corrupt("size %d is no multiple of %d", size, t.entryBytes)
		}
	}
	n := size / int64(t.entryBytes)
	buf := make([]byte, blockBytes/t.entryBytes*t.entryBytes)
	for n > 0 {
		start := max(0, n-int64(len(buf)/t.entryBytes))
		block := buf[:(n-start)*int64(t.entryBytes)]
		if err := readFull(t.file, block, start*int64(t.entryBytes)); err != nil {
			return err
		}
		for ; n > start; n-- {
			if !allZero(block[(n-1-start)*int64(t.entryBytes):][:t.entryBytes]) {
				t.count.Store(n)
				return nil
			}
		}
	}
	t.count.Store(0)
	return nil
}

// reserve makes room for n more entries, so that the next n appends cannot fail. A full
// disk is an error here and changes nothing.
func (t *table) reserve(n int) error {
	need := (t.count.Load() + int64(n)) * int64(t.entryBytes)
	if need <= t.allocated {
		return nil
	}
	limit := int64(t.maxEntries) * int64(t.entryBytes)
	if need > limit {
		return ErrFull
	}
	flag := os.O_RDWR
	if t.mapping == nil {
		flag |= os.O_CREATE
	}
	f, err := t.fs.OpenFile(t.name, flag, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.mapping == nil {
		if err := t.mapForWriting(f, limit); err != nil {
			return err
		}
		if need <= t.allocated {
			return nil
		}
	}
	t.step = min(max(t.step*2, firstStepBytes), maxStepBytes)
	grown := min(max(t.allocated+t.step, need), limit)
	if err := f.Allocate(t.allocated, grown-t.allocated); err != nil {
		return err
	}
	if err := t.mapping.Populate(t.allocated, grown-t.allocated); err != nil {
		return err
	}
	t.allocated = grown
	return nil
}

// mapForWriting cuts the file to its published entries (what lies behind them is stale)
// and maps its greatest size.
func (t *table) mapForWriting(f vfs.File, limit int64) error {
	size := t.count.Load() * int64(t.entryBytes)
	if err := f.Truncate(size); err != nil {
		return err
	}
	m, err := f.Map(limit, true)
	if err != nil {
		return err
	}
	if size > 0 {
		if err := m.Populate(0, size); err != nil {
			m.Close()
			return err
		}
	}
	t.mapping, t.mem, t.allocated = m, m.Bytes(), size
	t.live.Store(&t.mem)
	return nil
}

// slot is where the next entry goes; publish makes it visible.
func (t *table) slot() []byte {
	i := t.count.Load() * int64(t.entryBytes)
	return t.mem[i : i+int64(t.entryBytes)]
}

func (t *table) publish() { t.count.Add(1) }

// find returns the greatest published entry whose key is at most target, and its number;
// -1 when there is none.
func (t *table) find(k kind, target int64, entry []byte) (int, error) {
	n := int(t.count.Load())
	if seededbug.On(seededbug.IndexPastPublished) && t.mapping != nil {
		n = int(t.allocated / int64(t.entryBytes))
	}
	if n == 0 {
		return -1, nil
	}
	if live := t.live.Load(); live != nil {
		mem := *live
		i := search(mem, n, k, target)
		if i >= 0 {
			copy(entry, mem[i*t.entryBytes:])
		}
		return i, nil
	}
	if t.file == nil {
		return t.findOpening(k, target, entry)
	}
	if len(t.top) > 0 {
		return t.findVerified(n, k, target, entry)
	}
	return findBlocks(t.file, n, k, target, entry)
}

// findVerified looks in the one block that the first entries of all blocks tell.
func (t *table) findVerified(n int, k kind, target int64, entry []byte) (int, error) {
	j := search(t.top, len(t.top)/t.entryBytes, k, target)
	if j < 0 {
		return -1, nil
	}
	buf := blocks.Get().(*[blockBytes]byte)
	defer blocks.Put(buf)
	per := blockBytes / t.entryBytes
	start := j * per
	cnt := min(per, n-start)
	block := buf[:cnt*t.entryBytes]
	if err := readFull(t.file, block, int64(start*t.entryBytes)); err != nil {
		return -1, err
	}
	i := search(block, cnt, k, target)
	if i < 0 {
		return -1, t.corrupt("it changed since it was checked")
	}
	copy(entry, block[i*t.entryBytes:])
	return start + i, nil
}

// blocks is a cache, not state.
var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// findOpening serves a lookup in an index that is prepared for writing but was not written
// to since: its entries are on disk only.
func (t *table) findOpening(k kind, target int64, entry []byte) (int, error) {
	f, err := t.fs.OpenFile(t.name, os.O_RDONLY, 0)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return findBlocks(f, int(t.count.Load()), k, target, entry)
}

// findBlocks is search over a file: it reads the block where interpolation puts the
// target and narrows to one side until a block brackets it.
func findBlocks(f vfs.File, n int, k kind, target int64, entry []byte) (int, error) {
	size := k.entryBytes()
	buf := blocks.Get().(*[blockBytes]byte)
	defer blocks.Put(buf)
	per := blockBytes / size
	lo, hi := 0, n // the answer is in [lo-1, hi)
	guess := n - per
	for probe := 0; lo < hi; probe++ {
		start := min(max(guess, lo), hi-1)
		cnt := min(per, hi-start)
		block := buf[:cnt*size]
		if err := readFull(f, block, int64(start*size)); err != nil {
			return -1, err
		}
		i := search(block, cnt, k, target)
		switch {
		case i < 0:
			hi = start
		case i < cnt-1 || start+cnt == hi:
			copy(entry, block[i*size:])
			return start + i, nil
		default:
			copy(entry, block[i*size:])
			lo = start + cnt
		}
		guess = (lo+hi)/2 - per/2
	}
	return lo - 1, nil
}

// at reads published entry i.
func (t *table) at(i int, entry []byte) error {
	if i < 0 || i >= int(t.count.Load()) {
		return fmt.Errorf("entry %d of %d in %s", i, t.count.Load(), t.name)
	}
	if live := t.live.Load(); live != nil {
		copy(entry, (*live)[i*t.entryBytes:(i+1)*t.entryBytes])
		return nil
	}
	f := t.file
	if f == nil {
		var err error
		if f, err = t.fs.OpenFile(t.name, os.O_RDONLY, 0); err != nil {
			return err
		}
		defer f.Close()
	}
	return readFull(f, entry, int64(i*t.entryBytes))
}

// each calls f with every published entry in order, reading in large pieces, and keeps
// the first entry of each block for findVerified.
func (t *table) each(f func(entry []byte) error) error {
	n := t.count.Load() * int64(t.entryBytes)
	per := blockBytes / t.entryBytes
	buf := make([]byte, min(n, int64(64<<10/t.entryBytes*t.entryBytes)))
	i := 0
	for pos := int64(0); pos < n; pos += int64(len(buf)) {
		piece := buf[:min(n-pos, int64(len(buf)))]
		if err := readFull(t.file, piece, pos); err != nil {
			return err
		}
		for ; len(piece) > 0; piece = piece[t.entryBytes:] {
			if err := f(piece[:t.entryBytes]); err != nil {
				return err
			}
			if i%per == 0 {
				t.top = append(t.top, piece[:t.entryBytes]...)
			}
			i++
		}
	}
	return nil
}

// truncate forgets the entries from number n on. The caller sees to it that nobody looks
// up meanwhile, or that nothing is appended afterwards.
func (t *table) truncate(n int) {
	t.shrunk = t.shrunk || t.mapping == nil && int64(n) < t.count.Load()
	t.count.Store(int64(n))
}

// trim cuts the file to its published entries: space that was taken ahead, and entries
// that were dropped while the file was not mapped, which the next start would count again.
func (t *table) trim() error {
	size := t.count.Load() * int64(t.entryBytes)
	if t.mapping == nil && !t.shrunk || t.mapping != nil && t.allocated == size {
		return nil
	}
	if err := t.reopened(func(f vfs.File) error { return f.Truncate(size) }); err != nil {
		return err
	}
	if t.mapping != nil {
		t.allocated = size
	}
	t.shrunk = false
	return nil
}

// sync makes the entries durable.
func (t *table) sync() error {
	if t.mapping == nil {
		return nil
	}
	return t.reopened(vfs.File.SyncData)
}

// reopened calls f with the file, unless it is gone: its segment was removed then.
func (t *table) reopened(f func(vfs.File) error) error {
	file, err := t.fs.OpenFile(t.name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

func (t *table) close() error {
	var errs []error
	if t.mapping != nil {
		errs = append(errs, t.mapping.Close())
	}
	if t.file != nil {
		errs = append(errs, t.file.Close())
	}
	t.mapping, t.file, t.mem = nil, nil, nil
	t.live.Store(nil)
	return errors.Join(errs...)
}

func (t *table) corrupt(format string, args ...any) error {
	return &CorruptError{Name: t.name, Reason: fmt.Sprintf(format, args...)}
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ErrFull says that an index has no room for another entry: its segment must roll.
var ErrFull = errors.New("index is full")

// CorruptError says why an index file cannot be trusted. It is rebuilt from the log.
type CorruptError struct {
	Name   string
	Reason string
}

func (e *CorruptError) Error() string { return "corrupt index " + e.Name + ": " + e.Reason }
