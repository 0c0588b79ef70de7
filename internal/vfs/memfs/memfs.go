// Package memfs is a vfs.FS in memory that can lose power.
//
// Every file keeps two images: what readers see now, and what a power cut would leave
// (the synced image). Every name operation waits in a journal until SyncDir of its
// folder. CrashClone makes the file system that a machine would find after a power cut
// at this moment: the synced images and names, plus a random part of what was not synced.
// The rules, which are at least as harsh as ext4's and XFS's:
//
//   - File contents survive sector by sector (512 bytes): each unsynced sector is there
//     or not, independently of all others, so writes are torn and reordered.
//   - The size of a grown file is the synced one, the current one, or one in between;
//     a kept size over lost sectors reads as zeros.
//   - A shrinking Truncate that was not synced may be undone as a whole.
//   - Sync of a file does not make its name durable. A rename is atomic, but is kept or
//     lost independently of other names, and says nothing about the file's contents.
//   - Mapping.Sync covers its own pages and no others.
//
// Invariants: something becomes durable only inside Sync, SyncData, Mapping.Sync, SyncDir
// and Writeback; CrashClone excludes all of them, so that a clone is one instant. Everything random comes from the caller's generator, and one seed gives one clone.
//
// A mapping is a slice of the file's own content on the Go heap: the race detector sees
// mapped stores against ReadAt. Copies that stand for the kernel's writeback are hidden
// from it, because syncing bytes that are being stored to is legal.
//
// What the kernel would punish with a signal is recorded instead: Violations lists
// touches past the end of a file and stores into holes. Leaks lists open handles, locks
// and mappings. Lock order: power, then mu, then inode.mu, then space.mu.
package memfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

const (
	// SectorBytes is the unit that survives a power cut or does not.
	SectorBytes = 512
	// BlockBytes is the unit of space, and a page.
	BlockBytes = 4096

	defaultCapacityBytes = 1 << 40
	defaultReserveBytes  = 64 << 10
)

// Options sets what a disk is like. The zero value is a disk of 1 TiB.
type Options struct {
	// CapacityBytes is the size of the disk; Allocate, WriteAt and Populate fail with
	// ENOSPC beyond it. 0 means 1 TiB.
	CapacityBytes int64
	// ReserveBytes is how much content the first Map of a file makes room for at least.
	// A second, larger mapping made while the first is open must fit in it. 0 means 64 KiB.
	ReserveBytes int64
	// Now gives modification times; nil means time.Now.
	Now func() time.Time
}

// FS is a disk in memory.
type FS struct {
	opts Options

	// power is held for reading while something becomes durable and for writing while
	// CrashClone looks, so that a clone is one instant.
	power sync.RWMutex
	off   atomic.Bool

	mu         sync.Mutex
	root       *node             // the tree as it is seen
	pending    []nameOp          // name operations that no SyncDir has covered, oldest first
	handles    map[*file]string  // open files
	locks      map[*node]string  // held locks
	mappings   map[*mapping]bool // open mappings
	violations []string

	space struct {
		mu            sync.Mutex
		capacityBytes int64
		usedBytes     int64
	}
}

var _ vfs.FS = (*FS)(nil)

// New makes an empty disk of 1 TiB.
func New() *FS { return NewWith(Options{}) }

// NewWith makes an empty disk.
func NewWith(o Options) *FS {
	if o.CapacityBytes == 0 {
		o.CapacityBytes = defaultCapacityBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = defaultReserveBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &FS{opts: o, handles: map[*file]string{}, locks: map[*node]string{}, mappings: map[*mapping]bool{}}
	m.root = newDir(o.Now())
	m.space.capacityBytes = o.CapacityBytes
	return m
}

// OpenFile implements vfs.FS.
func (m *FS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if err := m.alive("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := &file{fs: m, node: n, name: name, flag: flag}
	n.opens++
	m.handles[f] = name
	return f, nil
}

func (m *FS) openLocked(name string, flag int, perm fs.FileMode) (*node, error) {
	dir, base, err := m.parentLocked(name)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	if base == "" {
		n = m.root
	}
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		n = newFile(perm, m.opts.Now())
		m.linkLocked(dir, base, n)
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, syscall.EEXIST
	case n.isDir():
		// The os package opens folders for reading; nothing here has a use for that.
		return nil, syscall.EISDIR
	case flag&os.O_TRUNC != 0:
		if _, err := n.truncate(m, 0); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Remove implements vfs.FS.
func (m *FS) Remove(name string) error {
	if err := m.alive("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	if err == nil {
		n := dir.entries[base]
		switch {
		case n == nil:
			err = syscall.ENOENT
		case n.isDir() && len(n.entries) > 0:
			err = syscall.ENOTEMPTY
		default:
			m.unlinkLocked(dir, base)
			return nil
		}
	}
	return &fs.PathError{Op: "remove", Path: name, Err: err}
}

// RemoveAll implements vfs.FS. The names below name go one by one, so that a power cut
// can bring back any part of the tree.
func (m *FS) RemoveAll(name string) error {
	if err := m.alive("removeall", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked(name)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return &fs.PathError{Op: "unlinkat", Path: name, Err: err}
	case err != nil || dir.entries[base] == nil:
		return nil // as os.RemoveAll: what is not there is removed
	}
	m.removeTreeLocked(dir, base)
	return nil
}

func (m *FS) removeTreeLocked(dir *node, base string) {
	n := dir.entries[base]
	for _, child := range n.names() {
		m.removeTreeLocked(n, child)
	}
	m.unlinkLocked(dir, base)
}

// Rename implements vfs.FS.
func (m *FS) Rename(oldName, newName string) error {
	if err := m.alive("rename", oldName); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.renameLocked(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *FS) renameLocked(oldName, newName string) error {
	from, oldBase, err := m.parentLocked(oldName)
	if err != nil {
		return err
	}
	to, newBase, err := m.parentLocked(newName)
	if err != nil {
		return err
	}
	n, over := from.entries[oldBase], to.entries[newBase]
	switch {
	case n == nil:
		return syscall.ENOENT
	case over != nil && over.isDir():
		return syscall.EEXIST // os.Rename checks this before the kernel does
	case newBase == "" || n.isDir() && n.holds(to):
		return syscall.EINVAL
	case n == over:
		return nil
	case over != nil && n.isDir():
		return syscall.ENOTDIR
	}
	if over != nil {
		m.droppedLocked(over)
	}
	delete(from.entries, oldBase)
	to.entries[newBase] = n
	m.pending = append(m.pending, nameOp{dir: to, name: newBase, node: n, fromDir: from, fromName: oldBase})
	return nil
}

// MkdirAll implements vfs.FS.
func (m *FS) MkdirAll(name string, perm fs.FileMode) error {
	if err := m.alive("mkdir", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, part := range split(name) {
		n := dir.entries[part]
		if n == nil {
			n = newDir(m.opts.Now())
			m.linkLocked(dir, part, n)
		}
		if !n.isDir() {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		dir = n
	}
	return nil
}

// ReadDir implements vfs.FS.
func (m *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := m.alive("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.lookupLocked(name)
	if err == nil && !dir.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var out []fs.DirEntry
	for _, base := range dir.names() {
		out = append(out, fs.FileInfoToDirEntry(dir.entries[base].info(base)))
	}
	return out, nil
}

// Stat implements vfs.FS.
func (m *FS) Stat(name string) (fs.FileInfo, error) {
	if err := m.alive("stat", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookupLocked(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return n.info(path.Base(path.Clean("/" + name))), nil
}

// SyncDir implements vfs.FS.
func (m *FS) SyncDir(name string) error {
	if err := m.alive("open", name); err != nil {
		return err
	}
	m.power.RLock()
	defer m.power.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.lookupLocked(name)
	switch {
	case err != nil:
		return &fs.PathError{Op: "open", Path: name, Err: err}
	case dir.isDir():
		m.settleLocked(dir)
	default: // fsync does not mind what it is given
		dir.mu.Lock()
		defer dir.mu.Unlock()
		dir.syncLocked()
	}
	return nil
}

// Lock implements vfs.FS.
func (m *FS) Lock(name string) (io.Closer, error) {
	if err := m.alive("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if _, held := m.locks[n]; held {
		return nil, fmt.Errorf("%s: %w", name, vfs.ErrLocked)
	}
	n.opens++
	m.locks[n] = name
	return &lock{fs: m, node: n, name: name}, nil
}

type lock struct {
	fs   *FS
	node *node
	name string
	done bool // guarded by fs.mu
}

func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.done {
		return &fs.PathError{Op: "close", Path: l.name, Err: fs.ErrClosed}
	}
	l.done = true
	delete(l.fs.locks, l.node)
	l.node.opens--
	l.fs.reclaimLocked(l.node)
	return nil
}

// Usage implements vfs.FS.
func (m *FS) Usage(name string) (vfs.Usage, error) {
	if _, err := m.Stat(name); err != nil {
		return vfs.Usage{}, fmt.Errorf("statfs: %w", err)
	}
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	return vfs.Usage{
		TotalBytes: m.space.capacityBytes,
		FreeBytes:  max(0, m.space.capacityBytes-m.space.usedBytes),
	}, nil
}

// SetCapacity changes the size of the disk. It may be set below what is used: then
// nothing more can be allocated until enough was removed.
func (m *FS) SetCapacity(bytes int64) {
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	m.space.capacityBytes = bytes
}

// reserve takes blocks of the disk, or fails with ENOSPC and takes none.
func (m *FS) reserve(blocks int64) error {
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	if blocks > 0 && m.space.usedBytes+blocks*BlockBytes > m.space.capacityBytes {
		return syscall.ENOSPC
	}
	m.space.usedBytes += blocks * BlockBytes
	return nil
}

// OpenHandles lists the names of open files and held locks, sorted.
func (m *FS) OpenHandles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, name := range m.handles {
		out = append(out, name)
	}
	for _, name := range m.locks {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// OpenMappings lists the names of mapped files, one per mapping, sorted.
func (m *FS) OpenMappings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for mp := range m.mappings {
		out = append(out, mp.name)
	}
	sort.Strings(out)
	return out
}

// Leaks lists everything that is still open, in words.
func (m *FS) Leaks() []string {
	var out []string
	for _, name := range m.OpenHandles() {
		out = append(out, "open file "+name)
	}
	for _, name := range m.OpenMappings() {
		out = append(out, "mapping of "+name)
	}
	return out
}

// Violations lists what the kernel would have answered with a fault or lost silently:
// stores past the end of a file and stores into holes. It looks at all open mappings.
func (m *FS) Violations() []string {
	m.mu.Lock()
	open := make([]*mapping, 0, len(m.mappings))
	for mp := range m.mappings {
		open = append(open, mp)
	}
	m.mu.Unlock()
	for _, mp := range open {
		mp.node.mu.Lock()
		found := mp.node.inspectLocked()
		mp.node.mu.Unlock()
		m.violate(mp.name, found)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.violations)
}

// violate records what inspectLocked found in a file. The caller holds no lock.
func (m *FS) violate(name, what string) {
	if what == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if line := name + ": " + what; !slices.Contains(m.violations, line) {
		m.violations = append(m.violations, line)
	}
}

// PowerOff makes every later operation fail with ErrPowerOff, so that what still runs
// on this disk after a CrashClone stops. Handles can still be closed.
func (m *FS) PowerOff() { m.off.Store(true) }

func (m *FS) alive(op, name string) error {
	if m.off.Load() {
		return &fs.PathError{Op: op, Path: name, Err: ErrPowerOff}
	}
	return nil
}

// Writeback makes each unsynced sector durable with the given probability, as the
// kernel does on its own whenever it likes. Tests call it between operations to reach
// states in which an older content of a sector survives.
func (m *FS) Writeback(rng *rand.Rand, percent int) {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.filesLocked() {
		n.mu.Lock()
		n.writebackLocked(rng, percent)
		n.mu.Unlock()
	}
}

// ErrPowerOff is what every operation wraps after PowerOff.
var ErrPowerOff = fmt.Errorf("the power is off: %w", syscall.EIO)
