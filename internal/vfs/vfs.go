// Package vfs is the only door to the disk. Every package that stores something
// takes an FS, so that a power cut, a full disk or a failing sync is a unit test
// with a seed: osfs is the real thing, memfs loses what was not synced, errorfs
// fails where a test says.
//
// The contract follows the kernel's, faults included:
//
//   - Bytes written with WriteAt or stored through a Mapping are visible to every
//     reader at once (one page cache), and durable only after Sync, SyncData or
//     Mapping.Sync returned nil for them.
//   - A created, renamed or removed name is durable only after SyncDir of its folder.
//   - A failed sync is final: the kernel may have dropped the dirty pages, so a
//     caller must not retry it and must treat the file's unsynced part as unknown.
//   - A full disk shows at Allocate or WriteAt as ENOSPC, never as a signal.
//
// Everything here may be called from several goroutines at once, but Truncate and
// Close must not race with use of a Mapping of the same file.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Names are slash-separated paths as the os package takes them.
type FS interface {
	// OpenFile opens name with the flags of package os (O_RDWR, O_CREATE, O_EXCL, ...).
	// Errors wrap fs.ErrNotExist and fs.ErrExist as the os package's do.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldName, newName string) error
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir returns the entries of a folder sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive advisory lock on name, which is created if absent, and
	// fails at once with an error that wraps ErrLocked when another process holds it.
	Lock(name string) (io.Closer, error)
	// Usage tells the capacity of the volume that holds name.
	Usage(name string) (Usage, error)
}

// Usage is a volume's capacity. FreeBytes is what an unprivileged process may still write.
type Usage struct {
	TotalBytes int64
	FreeBytes  int64
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
	Size() (int64, error)
	Truncate(sizeBytes int64) error
	// Allocate reserves [off, off+lengthBytes) and grows the file to cover it; what is
	// new reads as zeros. It fails with ENOSPC instead of leaving a sparse hole.
	Allocate(off, lengthBytes int64) error
	// Sync makes contents and metadata durable, SyncData contents and size.
	Sync() error
	SyncData() error
	// Map maps [0, lengthBytes). The mapping may reach past the end of the file, but
	// bytes past the end must not be touched until Allocate covered them.
	Map(lengthBytes int64, writable bool) (Mapping, error)
	// Fd returns the descriptor for system calls such as sendfile, and false where
	// there is none: callers then copy.
	Fd() (fd uintptr, ok bool)
}

// Mapping is a file's contents in memory. Touching a page whose block cannot be read
// raises a fault: goroutines that touch a mapping call debug.SetPanicOnFault and recover.
type Mapping interface {
	Bytes() []byte
	// Populate faults [off, off+lengthBytes) in, for writing when the mapping is
	// writable. It reports a bad range or a full disk as an error, never as a signal.
	Populate(off, lengthBytes int64) error
	// Sync makes stores to [off, off+lengthBytes) durable.
	Sync(off, lengthBytes int64) error
	Close() error
}
