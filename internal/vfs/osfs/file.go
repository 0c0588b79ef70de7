package osfs

import (
	"errors"
	"fmt"
	"os"

	mmap "github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/vfs"
)

type file struct{ *os.File }

func (f *file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *file) Allocate(off, lengthBytes int64) error {
	for {
		err := unix.Fallocate(int(f.File.Fd()), 0, off, lengthBytes)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP:
			return f.allocateByWriting(off + lengthBytes)
		default:
			return fmt.Errorf("allocate %d bytes at %d of %s: %w", lengthBytes, off, f.Name(), err)
		}
	}
}

// allocateByWriting grows the file to end with zeros, where the file system has no
// fallocate (NFS 3, ramfs): slower, and as safe.
func (f *file) allocateByWriting(end int64) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(max(end-size, 0), 1<<20))
	for at := size; at < end; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-at)], at)
		if err != nil {
			return fmt.Errorf("allocate %d bytes at %d of %s: %w", end-size, size, f.Name(), err)
		}
		at += int64(n)
	}
	return nil
}

func (f *file) SyncData() error {
	for {
		err := unix.Fdatasync(int(f.File.Fd()))
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		default:
			return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
	}
}

func (f *file) Fd() (uintptr, bool) { return f.File.Fd(), true }

func (f *file) Map(lengthBytes int64, writable bool) (vfs.Mapping, error) {
	prot := mmap.RDONLY
	if writable {
		prot = mmap.RDWR
	}
	m, err := mmap.MapRegion(f.File, int(lengthBytes), prot, 0, 0)
	if errors.Is(err, unix.ENOMEM) {
		err = vfs.ErrNoMapping
	}
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %s: %w", lengthBytes, f.Name(), err)
	}
	return &mapping{m: m, name: f.Name(), writable: writable}, nil
}

type mapping struct {
	m        mmap.MMap
	name     string
	writable bool
}

var pageBytes = int64(os.Getpagesize())

func (m *mapping) Bytes() []byte { return m.m }

// pages widens a byte range to whole pages, as madvise and msync want it.
func (m *mapping) pages(off, lengthBytes int64) []byte {
	start := off &^ (pageBytes - 1)
	return m.m[start : off+lengthBytes]
}

func (m *mapping) Populate(off, lengthBytes int64) error {
	advice := unix.MADV_POPULATE_READ
	if m.writable {
		advice = unix.MADV_POPULATE_WRITE
	}
	if err := unix.Madvise(m.pages(off, lengthBytes), advice); err != nil {
		return fmt.Errorf("populate %d bytes at %d of %s: %w", lengthBytes, off, m.name, err)
	}
	return nil
}

func (m *mapping) Sync(off, lengthBytes int64) error {
	if lengthBytes == 0 {
		return nil
	}
	if err := unix.Msync(m.pages(off, lengthBytes), unix.MS_SYNC); err != nil {
		return fmt.Errorf("msync %d bytes at %d of %s: %w", lengthBytes, off, m.name, err)
	}
	return nil
}

func (m *mapping) Close() error {
	if err := m.m.Unmap(); err != nil {
		return fmt.Errorf("unmap %s: %w", m.name, err)
	}
	return nil
}
