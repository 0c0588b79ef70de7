package engine

import (
	"cmp"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/vfs"
)

// budget bounds the descriptors and the mappings that the logs of a Store hold at a time, so
// that there may be any number of partitions: when one more is opened and the share is used
// up, the logs that were used longest ago are closed. Their next append or read opens them
// again.
//
// Whoever closes other logs may hold locks of its own log. It therefore waits for no lock of
// theirs: a log that is in use is passed over.
type budget struct {
	maxFiles, maxMaps int64 // 0: no bound
	files, maps       atomic.Int64

	turn atomic.Int64 // moves when a log is opened: what Log.turn compares by

	store   *Store
	reaping sync.Mutex  // one at a time; who holds it waits for nobody
	queued  atomic.Bool // somebody will reap in the background
}

const (
	// reapMost is how many logs are closed at a time: a pause of a few milliseconds.
	reapMost = 64
	// earlyShare of the bound is when closing begins in the background.
	earlyShare = 0.9
)

// newBudget takes the system's limits; clients' connections, checkpoint files and the runtime
// get the rest.
func newBudget(s *Store, fileLimit, mappingLimit int64) *budget {
	const mostForOthers = 32 << 10
	b := &budget{store: s}
	if fileLimit > 0 {
		b.maxFiles = max(fileLimit-min(fileLimit*2/5, mostForOthers), 1)
	}
	if mappingLimit > 0 {
		b.maxMaps = max(mappingLimit*3/5, 1) // a runtime that gets no memory ends the process
	}
	return b
}

// used is the part of the budget that is held, 1 for all of it.
func (b *budget) used() float64 {
	var used float64
	if b.maxFiles > 0 {
		used = float64(b.files.Load()) / float64(b.maxFiles)
	}
	if b.maxMaps > 0 {
		used = max(used, float64(b.maps.Load())/float64(b.maxMaps))
	}
	return used
}

// makeRoom is called before l opens a file, maybe under locks of l.
func (b *budget) makeRoom(l *Log) {
	switch used := b.used(); {
	case used < earlyShare:
	case used >= 1:
		b.reap(l, false)
	case l.host.background != nil && b.queued.CompareAndSwap(false, true):
		l.host.background(func() {
			b.queued.Store(false)
			b.reap(l, true)
		})
	}
}

// reap closes the logs that were used longest ago, but not keep, and tells whether it may be
// of use to try again. Unless forced, it has nothing to do when somebody else made room.
func (b *budget) reap(keep *Log, force bool) (closed bool) {
	b.reaping.Lock()
	defer b.reaping.Unlock()
	if !force && b.used() < 1 {
		return true
	}
	type candidate struct {
		l    *Log
		turn int64
	}
	var open []candidate
	b.store.mu.RLock()
	for _, l := range b.store.logs {
		if l != keep && l.open.Load() > 0 {
			open = append(open, candidate{l, l.turn.Load()})
		}
	}
	b.store.mu.RUnlock()
	slices.SortFunc(open, func(x, y candidate) int { return cmp.Compare(x.turn, y.turn) })
	left := min(max(len(open)/8, 1), reapMost)
	for _, c := range open {
		if left == 0 {
			break
		}
		if c.l.release() {
			closed = true
			left--
		}
	}
	return closed
}

// release gives the log's files back unless it is in use, and tells whether any was closed.
// It waits for nobody.
func (l *Log) release() bool {
	if l.chain == nil || l.Failure() != nil || !l.appendMu.TryLock() {
		return false
	}
	defer l.appendMu.Unlock()
	l.releasing.Store(true)
	defer l.releasing.Store(false)
	before := l.open.Load()
	if err := l.chain.TryIdle(); err != nil && !vfs.OutOfFiles(err) {
		l.host.log.Warn("closing a log that was not used lately", "partition", l.tp.String(), "error", err)
	}
	return l.open.Load() < before
}

// logFS is the file system of one log's chain: it counts what the log holds, and makes room
// where nothing more can be had.
type logFS struct {
	vfs.FS
	l *Log
}

// OpenFile implements vfs.FS.
func (f *logFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	b := f.l.host.budget
	if !f.l.releasing.Load() {
		b.makeRoom(f.l)
	}
	file, err := f.FS.OpenFile(name, flag, perm)
	if vfs.OutOfFiles(err) && f.l.reapOthers() {
		file, err = f.FS.OpenFile(name, flag, perm)
	}
	if err != nil {
		return nil, err
	}
	b.files.Add(1)
	if f.l.open.Add(1) == 1 {
		f.l.turn.Store(b.turn.Add(1))
	}
	return &logFile{File: file, l: f.l}, nil
}

// SyncDir implements vfs.FS.
func (f *logFS) SyncDir(name string) error {
	err := f.FS.SyncDir(name)
	if vfs.OutOfFiles(err) && f.l.reapOthers() {
		err = f.FS.SyncDir(name)
	}
	return err
}

// reapOthers closes logs after the system refused a file. A log that is being closed itself
// must not wait for that.
func (l *Log) reapOthers() bool {
	return !l.releasing.Load() && l.host.budget.reap(l, true)
}

type logFile struct {
	vfs.File
	l *Log
}

// Close implements vfs.File.
func (f *logFile) Close() error {
	err := f.File.Close()
	f.l.host.budget.files.Add(-1)
	f.l.open.Add(-1)
	return err
}

// Map implements vfs.File.
func (f *logFile) Map(lengthBytes int64, writable bool) (vfs.Mapping, error) {
	b := f.l.host.budget
	m, err := f.File.Map(lengthBytes, writable)
	if vfs.OutOfFiles(err) && f.l.reapOthers() {
		m, err = f.File.Map(lengthBytes, writable)
	}
	if err != nil {
		return nil, err
	}
	b.maps.Add(1)
	return &logMapping{Mapping: m, b: b}, nil
}

type logMapping struct {
	vfs.Mapping
	b *budget
}

// Close implements vfs.Mapping.
func (m *logMapping) Close() error {
	err := m.Mapping.Close()
	m.b.maps.Add(-1)
	return err
}
