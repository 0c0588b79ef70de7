// Package osfs is the real file system behind vfs.FS: mappings by mmap-go, allocation,
// population and locks by system calls.
package osfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/vfs"
)

// FS is the machine's file system. The zero value is ready.
type FS struct{}

var _ vfs.FS = FS{}

// OpenFile implements vfs.FS.
func (FS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &file{File: f}, nil
}

// Remove implements vfs.FS.
func (FS) Remove(name string) error { return os.Remove(name) }

// RemoveAll implements vfs.FS.
func (FS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename implements vfs.FS.
func (FS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// MkdirAll implements vfs.FS.
func (FS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// ReadDir implements vfs.FS.
func (FS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat implements vfs.FS.
func (FS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir implements vfs.FS.
func (FS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", name, err)
	}
	return nil
}

// Lock implements vfs.FS by flock.
func (FS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", name, vfs.ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// Usage implements vfs.FS.
func (FS) Usage(name string) (vfs.Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return vfs.Usage{}, fmt.Errorf("statfs %s: %w", name, err)
	}
	return vfs.Usage{
		TotalBytes: int64(st.Blocks) * st.Bsize,
		FreeBytes:  int64(st.Bavail) * st.Bsize,
	}, nil
}
