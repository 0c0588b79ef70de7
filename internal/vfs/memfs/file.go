package memfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/millrace/millrace/internal/vfs"
)

// file is one open handle.
type file struct {
	fs   *FS
	node *node
	name string
	flag int
}

var _ vfs.File = (*file)(nil)

func (f *file) Name() string { return f.name }

func (f *file) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// usable reports why the handle may not be used, or nil.
func (f *file) usable(op string) error {
	if err := f.fs.alive(op, f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, open := f.fs.handles[f]; !open {
		return f.fail(op, fs.ErrClosed)
	}
	return nil
}

func (f *file) writable(op string, refusal error) error {
	if err := f.usable(op); err != nil {
		return err
	}
	if f.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return f.fail(op, refusal)
	}
	return nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	switch {
	case off < 0:
		return 0, f.fail("readat", errNegativeOffset)
	case len(p) == 0:
		return 0, nil
	case f.flag&os.O_WRONLY != 0:
		return 0, f.fail("read", syscall.EBADF)
	}
	n := f.node
	n.mu.RLock()
	defer n.mu.RUnlock()
	if off >= n.sizeBytes {
		return 0, io.EOF
	}
	a, b := n.pieces(off, min(int64(len(p)), n.sizeBytes-off))
	got := copy(p, a)
	got += copy(p[got:], b)
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if f.flag&os.O_APPEND != 0 {
		return 0, errAppendMode
	}
	if off < 0 {
		return 0, f.fail("writeat", errNegativeOffset)
	}
	if err := f.usable("write"); err != nil || len(p) == 0 {
		return 0, err // writing nothing asks the system for nothing, not even the mode
	}
	if err := f.writable("write", syscall.EBADF); err != nil {
		return 0, err
	}
	n := f.node
	n.mu.Lock()
	fit, err := f.makeRoomLocked(off, int64(len(p)))
	violation := ""
	if fit > 0 {
		violation = n.growLocked(off + fit)
		a, b := n.pieces(off, fit)
		copied := copy(a, p)
		copy(b, p[copied:])
		n.dirtyLocked(off, off+fit)
		n.modTime = f.fs.opts.Now()
	}
	n.mu.Unlock()
	f.fs.violate(f.name, violation)
	if err != nil {
		return int(fit), f.fail("write", err)
	}
	return int(fit), nil
}

// makeRoomLocked takes space for [off, off+length) and returns how many bytes from off
// on have some: a write to a full disk does what it can, as write(2) does.
func (f *file) makeRoomLocked(off, length int64) (int64, error) {
	first, last := off/BlockBytes, (off+length+BlockBytes-1)/BlockBytes
	for block := first; block < last; block++ {
		if err := f.fs.reserve(f.node.blocks.missing(block, block+1)); err != nil {
			return max(0, block*BlockBytes-off), err
		}
		f.node.blocks.add(block, block+1)
	}
	return length, nil
}

func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, open := f.fs.handles[f]; !open {
		return f.fail("close", fs.ErrClosed)
	}
	delete(f.fs.handles, f)
	f.node.opens--
	f.fs.reclaimLocked(f.node)
	return nil
}

func (f *file) Size() (int64, error) {
	if err := f.usable("stat"); err != nil {
		return 0, err
	}
	f.node.mu.RLock()
	defer f.node.mu.RUnlock()
	return f.node.sizeBytes, nil
}

func (f *file) Truncate(sizeBytes int64) error {
	if err := f.writable("truncate", syscall.EINVAL); err != nil {
		return err
	}
	violation, err := f.node.truncate(f.fs, sizeBytes)
	f.fs.violate(f.name, violation)
	if err != nil {
		return f.fail("truncate", err)
	}
	return nil
}

func (f *file) Allocate(off, lengthBytes int64) error {
	err := f.usable("allocate")
	if err == nil && (off < 0 || lengthBytes <= 0) {
		err = syscall.EINVAL // seen before the mode, as by fallocate(2)
	}
	if err == nil {
		err = f.writable("allocate", syscall.EBADF)
	}
	if err == nil {
		err = f.allocate(off, lengthBytes)
	}
	if err != nil {
		return fmt.Errorf("allocate %d bytes at %d of %s: %w", lengthBytes, off, f.name, err)
	}
	return nil
}

func (f *file) allocate(off, lengthBytes int64) error {
	n := f.node
	n.mu.Lock()
	first, last := off/BlockBytes, (off+lengthBytes+BlockBytes-1)/BlockBytes
	if err := f.fs.reserve(n.blocks.missing(first, last)); err != nil {
		n.mu.Unlock()
		return err
	}
	n.blocks.add(first, last)
	violation := n.growLocked(off + lengthBytes)
	n.mu.Unlock()
	f.fs.violate(f.name, violation)
	return nil
}

func (f *file) Sync() error { return f.sync("sync") }

func (f *file) SyncData() error { return f.sync("fdatasync") }

func (f *file) sync(op string) error {
	if err := f.usable(op); err != nil {
		return err
	}
	f.fs.power.RLock()
	defer f.fs.power.RUnlock()
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	f.node.syncLocked()
	return nil
}

func (f *file) Fd() (uintptr, bool) { return 0, false }

func (f *file) Map(lengthBytes int64, writable bool) (vfs.Mapping, error) {
	m, err := f.mapFile(lengthBytes, writable)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %s: %w", lengthBytes, f.name, err)
	}
	return m, nil
}

func (f *file) mapFile(lengthBytes int64, writable bool) (*mapping, error) {
	if err := f.usable("map"); err != nil {
		return nil, err
	}
	if lengthBytes <= 0 {
		return nil, syscall.EINVAL
	}
	if f.flag&os.O_WRONLY != 0 || writable && f.flag&os.O_RDWR == 0 {
		return nil, syscall.EACCES
	}
	m := f.fs
	m.mu.Lock()
	defer m.mu.Unlock()
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.maps == 0 {
		n.joinLocked(max(lengthBytes, m.opts.ReserveBytes))
	}
	if lengthBytes > int64(len(n.buf)) {
		return nil, fmt.Errorf("%w: it has room for %d bytes", errRemap, len(n.buf))
	}
	n.maps++
	if writable {
		n.writableMaps++
	}
	n.opens++
	mp := &mapping{fs: m, node: n, name: f.name, writable: writable, bytes: n.buf[:lengthBytes:lengthBytes]}
	m.mappings[mp] = true
	return mp, nil
}

// mapping is a slice of a file's content.
type mapping struct {
	fs       *FS
	node     *node
	name     string
	writable bool
	bytes    []byte
}

var _ vfs.Mapping = (*mapping)(nil)

func (m *mapping) Bytes() []byte { return m.bytes }

func (m *mapping) Populate(off, lengthBytes int64) error {
	if err := m.populate(off, lengthBytes); err != nil {
		return fmt.Errorf("populate %d bytes at %d of %s: %w", lengthBytes, off, m.name, err)
	}
	return nil
}

func (m *mapping) populate(off, lengthBytes int64) error {
	if err := m.check("populate", off, lengthBytes); err != nil || lengthBytes == 0 {
		return err
	}
	n := m.node
	n.mu.Lock()
	defer n.mu.Unlock()
	pages := (n.sizeBytes + BlockBytes - 1) &^ (BlockBytes - 1)
	if off+lengthBytes > pages {
		return syscall.EFAULT
	}
	if !m.writable {
		return nil
	}
	first, last := off/BlockBytes, (off+lengthBytes+BlockBytes-1)/BlockBytes
	if err := m.fs.reserve(n.blocks.missing(first, last)); err != nil {
		return err
	}
	n.blocks.add(first, last)
	return nil
}

func (m *mapping) check(op string, off, lengthBytes int64) error {
	if err := m.fs.alive(op, m.name); err != nil {
		return err
	}
	if off < 0 || lengthBytes < 0 || off+lengthBytes > int64(len(m.bytes)) {
		return syscall.ENOMEM
	}
	return nil
}

func (m *mapping) Sync(off, lengthBytes int64) error {
	if err := m.check("msync", off, lengthBytes); err != nil {
		return fmt.Errorf("msync %d bytes at %d of %s: %w", lengthBytes, off, m.name, err)
	}
	if lengthBytes == 0 {
		return nil
	}
	m.fs.power.RLock()
	defer m.fs.power.RUnlock()
	m.node.mu.Lock()
	defer m.node.mu.Unlock()
	lo := off &^ (BlockBytes - 1)
	hi := (off + lengthBytes + BlockBytes - 1) &^ (BlockBytes - 1)
	m.node.syncRangeLocked(lo, min(hi, int64(len(m.node.buf)), m.node.sizeBytes))
	return nil
}

// Close ends the mapping. When it was the file's last one, the content moves, and what
// the slices still show is overwritten: a use after it is seen, by its effect and by
// the race detector.
func (m *mapping) Close() error {
	violation, err := m.close()
	m.fs.violate(m.name, violation)
	return err
}

func (m *mapping) close() (violation string, err error) {
	m.fs.mu.Lock()
	defer m.fs.mu.Unlock()
	if !m.fs.mappings[m] {
		return "", fmt.Errorf("unmap %s: %w", m.name, syscall.EINVAL)
	}
	delete(m.fs.mappings, m)
	n := m.node
	n.mu.Lock()
	violation = n.inspectLocked()
	if m.writable {
		n.writableMaps--
		n.dirtyLocked(0, min(int64(len(m.bytes)), n.sizeBytes))
	}
	n.maps--
	if n.maps == 0 {
		old := n.buf
		n.buf = append(make([]byte, 0, n.sizeBytes), old[:min(n.sizeBytes, int64(len(old)))]...)
		poison(old[:len(n.buf)])
	}
	n.mu.Unlock()
	n.opens--
	m.fs.reclaimLocked(n)
	return violation, nil
}

// poison fills b, which no mapping shows any more.
func poison(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = 0xDB
	for filled := 1; filled < len(b); filled *= 2 {
		copy(b[filled:], b[:filled])
	}
}

var (
	errNegativeOffset = errors.New("negative offset")
	errAppendMode     = errors.New("memfs: invalid use of WriteAt on file opened with O_APPEND")
	// errRemap is the one thing that a machine does and memfs does not.
	errRemap = errors.New("memfs cannot map a mapped file beyond its reserve (Options.ReserveBytes)")
)
