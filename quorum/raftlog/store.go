package raftlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// Names in Options.Dir.
const (
	stableFile  = "stable"
	reserveFile = "reserve"
	lockFile    = "lock"
	logDir      = "log"
	snapshotDir = "snapshots"
	tempSuffix  = ".tmp"
)

// Options say where the files are and how they are kept.
type Options struct {
	FS    vfs.FS
	Clock clock.Clock
	Log   *slog.Logger
	// Dir holds log and stable state; it is made if need be.
	Dir string
	// SnapshotDir holds the snapshots; "": a folder in Dir.
	SnapshotDir string
	// Retain is how many snapshots are kept, ZooKeeper's autopurge.snapRetainCount. 0: 3.
	Retain int
	// SegmentBytes is the size of a file of the log. 0: 64 MiB.
	SegmentBytes int64
	// ReserveBytes is space that is held back, so that on a full disk there is some left for
	// what must still be written: 0: 2 MiB, negative: none.
	ReserveBytes int64
	// StallWarn and StallFail are how long a call may take before it is logged, and before
	// it is a failure. 0: 5 s and 10 s.
	StallWarn, StallFail time.Duration
}

func (o *Options) setDefaults() {
	if o.SnapshotDir == "" {
		o.SnapshotDir = path.Join(o.Dir, snapshotDir)
	}
	if o.Retain <= 0 {
		o.Retain = 3
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 2 << 20
	}
	if o.StallWarn <= 0 {
		o.StallWarn = 5 * time.Second
	}
	if o.StallFail <= o.StallWarn {
		o.StallFail = max(10*time.Second, 2*o.StallWarn)
	}
}

// Store is the three stores of one server.
type Store struct {
	o         Options
	latch     *latch
	lock      io.Closer
	reserve   *reserve
	stable    *Stable
	logs      *Logs
	snapshots *Snapshots
}

// Open opens what is in the folders, or begins anew where they are empty. After a power cut
// it ends the log at the last entry that is whole. A *CorruptError says that something that
// was acknowledged is damaged or lost, in which file and where.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	if err := makeDirs(o); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(path.Join(o.Dir, lockFile))
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, lock: lock, latch: newLatch(o.Log)}
	if err := s.open(); err != nil {
		s.kill()
		return nil, fmt.Errorf("raft storage in %s: %w", o.Dir, err)
	}
	return s, nil
}

// makeDirs makes the folders, durably.
func makeDirs(o Options) error {
	for _, dir := range []string{o.Dir, path.Join(o.Dir, logDir), o.SnapshotDir} {
		var parents []string // of what is missing, the lowest first
		for at := path.Clean(dir); ; at = path.Dir(at) {
			if _, err := o.FS.Stat(at); err == nil || path.Dir(at) == at {
				break
			}
			parents = append(parents, path.Dir(at))
		}
		if len(parents) > 0 {
			if err := o.FS.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		} else {
			parents = append(parents, path.Dir(path.Clean(dir))) // made by a start that was cut short, perhaps
		}
		for _, parent := range parents {
			if err := o.FS.SyncDir(parent); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) open() error {
	s.reserve = newReserve(s.o)
	snapshots, damaged, err := s.openSnapshots()
	if err != nil {
		return err
	}
	s.snapshots = snapshots
	blank, err := s.isBlank(damaged)
	if err != nil {
		return err
	}
	s.stable = &Stable{latch: s.latch, stall: s.newStall()}
	err = openStable(s.o.FS, s.o.Dir, s.stable, blank)
	if segment.IsDiskFull(err) && s.reserve.use() {
		err = openStable(s.o.FS, s.o.Dir, s.stable, blank)
	}
	if err != nil {
		return err
	}
	if s.logs, err = s.openLogs(); err != nil {
		return err
	}
	if err := s.checkCoverage(damaged); err != nil {
		return err
	}
	s.reserve.take()
	return s.stable.setClosed(0)
}

// isBlank tells whether nothing was ever kept here.
func (s *Store) isBlank(damaged []snapshotName) (bool, error) {
	if len(s.snapshots.list) > 0 || len(damaged) > 0 {
		return false, nil
	}
	entries, err := s.o.FS.ReadDir(path.Join(s.o.Dir, logDir))
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		if err == nil && strings.HasSuffix(e.Name(), ".log") && info.Size() > 0 {
			return false, nil
		}
	}
	return true, nil
}

// checkCoverage sees to it that the newest good snapshot and the log make one whole.
func (s *Store) checkCoverage(damaged []snapshotName) error {
	newest := s.snapshots.newest()
	first, last := s.logs.files()
	if last > 0 && newest > last {
		// It came from the leader, and the log was not removed any more. All of it lies
		// below the snapshot.
		s.o.Log.Warn("removing a log that ends below the newest snapshot", "last", last, "snapshot", newest)
		if err := s.logs.DeleteRange(1, math.MaxUint64); err != nil {
			return err
		}
		first, last = 0, 0
	}
	if last > 0 && first > newest+1 {
		err := fmt.Errorf("the log begins at entry %d, but the newest good snapshot ends at %d", first, newest)
		return &CorruptError{File: s.culprit(damaged), Position: -1, Err: err}
	}
	for _, d := range damaged {
		if d.index > max(last, newest) {
			err := fmt.Errorf("damaged, and the log ends at entry %d, below it", last)
			return &CorruptError{File: path.Join(s.o.SnapshotDir, d.file()), Position: -1, Err: err}
		}
	}
	s.snapshots.setAside(damaged)
	kept, _ := s.stable.numbers()
	s.logs.startAt(kept, newest)
	return nil
}

// culprit is the file to name when log and snapshots do not meet.
func (s *Store) culprit(damaged []snapshotName) string {
	if len(damaged) > 0 {
		return path.Join(s.o.SnapshotDir, damaged[0].file())
	}
	return path.Join(s.o.Dir, logDir)
}

func (s *Store) newStall() stall {
	return stall{clock: s.o.Clock, latch: s.latch, warn: s.o.StallWarn, give: s.o.StallFail}
}

// Logs is the log store. Keep a raft.LogCache above it: it reads files.
func (s *Store) Logs() *Logs { return s.logs }

// Stable is the stable store.
func (s *Store) Stable() *Stable { return s.stable }

// Snapshots is the snapshot store.
func (s *Store) Snapshots() *Snapshots { return s.snapshots }

// Failed is closed by the first failure: the process must end then, and not wait for calls
// that may hang.
func (s *Store) Failed() <-chan struct{} { return s.latch.failed }

// Err is the first failure, a *FailedError, or nil.
func (s *Store) Err() error {
	if err := s.latch.first.Load(); err != nil {
		return err
	}
	return nil
}

// Stats are figures of a running store.
type Stats struct {
	FirstIndex, LastIndex uint64
	LogBytes              int64  // of all entries that are still on disk
	AppendedBytes         uint64 // since Open
	Syncs                 uint64 // of the log since Open: one each StoreLogs
	Snapshots             int
	// ReserveInUse: the disk is or was full, and what was held back is being used. A snapshot
	// makes room in the log.
	ReserveInUse bool
}

// Stats may be called at any time before Close.
func (s *Store) Stats() Stats {
	st := Stats{
		FirstIndex: s.logs.first.Load(), LastIndex: s.logs.last.Load(),
		LogBytes: s.logs.chain.SizeBytes(), AppendedBytes: s.logs.appended.Load(), Syncs: s.logs.syncs.Load(),
		ReserveInUse: s.reserve.inUse(),
	}
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	st.Snapshots = len(s.snapshots.list)
	return st
}

// Close stops cleanly. Raft must be shut down.
func (s *Store) Close() error {
	err := s.latch.check()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	if err == nil {
		err = s.stable.setClosed(s.logs.last.Load() + 1)
	}
	if err == nil {
		err = s.logs.chain.Close()
	}
	s.kill()
	return err
}

// Kill drops everything as a crash would: nothing is written.
func (s *Store) Kill() {
	if !s.latch.closed.Load() {
		s.kill()
	}
}

// kill closes what is open, in any state of Open.
func (s *Store) kill() {
	s.latch.closed.Store(true)
	if s.logs != nil {
		s.logs.chain.Kill()
	}
	if s.stable != nil && s.stable.f != nil {
		_ = s.stable.close() // all that was acknowledged is synced
	}
	_ = s.lock.Close() // the lock ends with its descriptor
}
