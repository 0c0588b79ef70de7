// Package errorfs wraps any vfs.FS and fails where a rule says: EIO, ENOSPC or EINTR, at
// the n-th call of a kind, on a path, once or from then on, with part of a write done, or
// with a sync that lies. Every call is numbered, so that a test can run the same work
// again and again and fail each of its calls in turn: EachCall.
//
// A call that fails has not reached the wrapped file system, with two exceptions: a short
// write has written its part, and Close and Unmap do close, since a program cannot retry
// them and a leak would hide what is tested.
package errorfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/internal/vfs"
)

// Kind is what a call does.
type Kind uint8

// The kinds of calls. Create is an OpenFile with os.O_CREATE, Open one without.
const (
	Open Kind = iota
	Create
	Remove
	RemoveAll
	Rename
	MkdirAll
	ReadDir
	Stat
	SyncDir
	Lock
	Usage
	Read
	Write
	Size
	Truncate
	Allocate
	Sync
	SyncData
	Map
	Populate
	MapSync
	Close
	Unmap
)

var kindNames = [...]string{
	"Open", "Create", "Remove", "RemoveAll", "Rename", "MkdirAll", "ReadDir", "Stat", "SyncDir", "Lock", "Usage",
	"Read", "Write", "Size", "Truncate", "Allocate", "Sync", "SyncData", "Map", "Populate", "MapSync", "Close", "Unmap",
}

// String is the kind's name.
func (k Kind) String() string { return kindNames[k] }

// Op is one call, before it is made.
type Op struct {
	Kind      Kind
	Path      string // the name that the file was opened by, or the call's name
	NewPath   string // Rename only
	Off       int64  // of a read, write, allocation, population or mapping sync
	SizeBytes int64  // how much of it; for Truncate the new size, for Map the length
}

// Fault is what a rule answers. The zero Fault lets the call through.
type Fault struct {
	// Err fails the call.
	Err error
	// PartBytes is how much of a failing Write is done before.
	PartBytes int
	// Lie reports success of a Sync, SyncData, SyncDir or MapSync that was not done.
	Lie bool
}

// Rule decides about each call; calls come from many goroutines. It may block, which is
// how a test stalls a disk.
type Rule func(Op) Fault

// FS wraps a file system.
type FS struct {
	inner vfs.FS
	rule  atomic.Pointer[Rule]
	calls atomic.Int64
}

var _ vfs.FS = (*FS)(nil)

// Wrap puts a rule before a file system. A nil rule lets everything through.
func Wrap(inner vfs.FS, rule Rule) *FS {
	w := &FS{inner: inner}
	w.SetRule(rule)
	return w
}

// SetRule replaces the rule, for files that are open too.
func (w *FS) SetRule(rule Rule) {
	if rule == nil {
		rule = func(Op) Fault { return Fault{} }
	}
	w.rule.Store(&rule)
}

// Calls tells how many calls were made.
func (w *FS) Calls() int64 { return w.calls.Load() }

func (w *FS) ask(op Op) Fault {
	w.calls.Add(1)
	f := (*w.rule.Load())(op)
	if f.Err != nil {
		f.Err = &fs.PathError{Op: "injected " + strings.ToLower(op.Kind.String()), Path: op.Path, Err: f.Err}
	}
	return f
}

// OpenFile implements vfs.FS.
func (w *FS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	kind := Open
	if flag&os.O_CREATE != 0 {
		kind = Create
	}
	if f := w.ask(Op{Kind: kind, Path: name}); f.Err != nil {
		return nil, f.Err
	}
	inner, err := w.inner.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &file{File: inner, fs: w}, nil
}

// Remove implements vfs.FS.
func (w *FS) Remove(name string) error {
	return w.do(Op{Kind: Remove, Path: name}, func() error { return w.inner.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (w *FS) RemoveAll(name string) error {
	return w.do(Op{Kind: RemoveAll, Path: name}, func() error { return w.inner.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (w *FS) Rename(oldName, newName string) error {
	return w.do(Op{Kind: Rename, Path: oldName, NewPath: newName}, func() error { return w.inner.Rename(oldName, newName) })
}

// MkdirAll implements vfs.FS.
func (w *FS) MkdirAll(name string, perm fs.FileMode) error {
	return w.do(Op{Kind: MkdirAll, Path: name}, func() error { return w.inner.MkdirAll(name, perm) })
}

// ReadDir implements vfs.FS.
func (w *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if f := w.ask(Op{Kind: ReadDir, Path: name}); f.Err != nil {
		return nil, f.Err
	}
	return w.inner.ReadDir(name)
}

// Stat implements vfs.FS.
func (w *FS) Stat(name string) (fs.FileInfo, error) {
	if f := w.ask(Op{Kind: Stat, Path: name}); f.Err != nil {
		return nil, f.Err
	}
	return w.inner.Stat(name)
}

// SyncDir implements vfs.FS.
func (w *FS) SyncDir(name string) error {
	return w.do(Op{Kind: SyncDir, Path: name}, func() error { return w.inner.SyncDir(name) })
}

// Lock implements vfs.FS.
func (w *FS) Lock(name string) (io.Closer, error) {
	if f := w.ask(Op{Kind: Lock, Path: name}); f.Err != nil {
		return nil, f.Err
	}
	return w.inner.Lock(name)
}

// Usage implements vfs.FS.
func (w *FS) Usage(name string) (vfs.Usage, error) {
	if f := w.ask(Op{Kind: Usage, Path: name}); f.Err != nil {
		return vfs.Usage{}, f.Err
	}
	return w.inner.Usage(name)
}

func (w *FS) do(op Op, call func() error) error {
	f := w.ask(op)
	if f.Err != nil || f.Lie {
		return f.Err
	}
	return call()
}

type file struct {
	vfs.File
	fs *FS
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if fault := f.fs.ask(Op{Kind: Read, Path: f.Name(), Off: off, SizeBytes: int64(len(p))}); fault.Err != nil {
		return 0, fault.Err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	fault := f.fs.ask(Op{Kind: Write, Path: f.Name(), Off: off, SizeBytes: int64(len(p))})
	if fault.Err == nil {
		return f.File.WriteAt(p, off)
	}
	n, err := f.File.WriteAt(p[:min(fault.PartBytes, len(p))], off)
	if err != nil {
		return n, err
	}
	return n, fault.Err
}

func (f *file) Size() (int64, error) {
	if fault := f.fs.ask(Op{Kind: Size, Path: f.Name()}); fault.Err != nil {
		return 0, fault.Err
	}
	return f.File.Size()
}

func (f *file) Truncate(sizeBytes int64) error {
	return f.fs.do(Op{Kind: Truncate, Path: f.Name(), SizeBytes: sizeBytes}, func() error { return f.File.Truncate(sizeBytes) })
}

func (f *file) Allocate(off, lengthBytes int64) error {
	op := Op{Kind: Allocate, Path: f.Name(), Off: off, SizeBytes: lengthBytes}
	return f.fs.do(op, func() error { return f.File.Allocate(off, lengthBytes) })
}

func (f *file) Sync() error { return f.fs.do(Op{Kind: Sync, Path: f.Name()}, f.File.Sync) }

func (f *file) SyncData() error { return f.fs.do(Op{Kind: SyncData, Path: f.Name()}, f.File.SyncData) }

func (f *file) Map(lengthBytes int64, writable bool) (vfs.Mapping, error) {
	if fault := f.fs.ask(Op{Kind: Map, Path: f.Name(), SizeBytes: lengthBytes}); fault.Err != nil {
		return nil, fault.Err
	}
	m, err := f.File.Map(lengthBytes, writable)
	if err != nil {
		return nil, err
	}
	return &mapping{Mapping: m, fs: f.fs, name: f.Name()}, nil
}

func (f *file) Close() error {
	fault := f.fs.ask(Op{Kind: Close, Path: f.Name()})
	if err := f.File.Close(); err != nil {
		return err
	}
	return fault.Err
}

type mapping struct {
	vfs.Mapping
	fs   *FS
	name string
}

func (m *mapping) Populate(off, lengthBytes int64) error {
	op := Op{Kind: Populate, Path: m.name, Off: off, SizeBytes: lengthBytes}
	return m.fs.do(op, func() error { return m.Mapping.Populate(off, lengthBytes) })
}

func (m *mapping) Sync(off, lengthBytes int64) error {
	op := Op{Kind: MapSync, Path: m.name, Off: off, SizeBytes: lengthBytes}
	return m.fs.do(op, func() error { return m.Mapping.Sync(off, lengthBytes) })
}

func (m *mapping) Close() error {
	fault := m.fs.ask(Op{Kind: Unmap, Path: m.name})
	if err := m.Mapping.Close(); err != nil {
		return err
	}
	return fault.Err
}

// String describes an op for test failures.
func (op Op) String() string {
	s := fmt.Sprintf("%v %s", op.Kind, path.Base(op.Path))
	if op.NewPath != "" {
		s += " to " + path.Base(op.NewPath)
	}
	if op.Off != 0 || op.SizeBytes != 0 {
		s += fmt.Sprintf(" [%d, +%d)", op.Off, op.SizeBytes)
	}
	return s
}
