package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/engine/flush"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// logDir is one log directory.
type logDir struct {
	store *Store
	host  *host
	lock  io.Closer
	meta  checkpoint.Meta
	// loaded: all partitions that lie here are known. Set before the store is in use.
	loaded bool
	count  int // partitions, those being created too; guarded by store.mu

	failed    atomic.Pointer[DirFailedError]
	limitedAt atomic.Int64 // when the log was told last of a want of descriptors, ns

	saveMu sync.Mutex // one writer of the checkpoint files at a time

	deletedMu sync.Mutex
	deleted   []deletedLog
	// renamesDue: the directory is to be synced before the files of deleted partitions go.
	renamesDue bool
}

// deletedLog is a partition's folder that was renamed and waits to be removed.
type deletedLog struct {
	path string
	due  time.Time
}

func (s *Store) newDir(path string) *logDir {
	d := &logDir{store: s}
	d.host = &host{
		fs: s.o.FS, clock: s.o.Clock, log: s.o.Log, dir: path, mode: s.o.Mode, codecs: s.codecs,
		jitter:               func(most int64) int64 { return s.o.Random(most + 1) },
		producerExpirationMs: &s.producerExpirationMs,
		tick:                 &s.tick,
		fail:                 d.fail,
		budget:               s.budget,
		limited:              d.limited,
		saveRecoveryPoints:   d.saveRecoveryPoints,
		saveLogStarts:        d.saveLogStarts,
		saveCleaned:          d.saveCleaned,
	}
	switch {
	case s.o.Background != nil:
		d.host.background = s.o.Background
	case !s.o.Inline:
		d.host.background = s.run
	}
	d.host.syncer = flush.New(flush.Options{
		Clock: s.o.Clock, OnFailure: d.syncFailed, DeadlineTick: flushTick(s.o.FlushSchedulerMs),
	})
	return d
}

// flushTick: Kafka's default of the scheduler's interval is the largest number, which would
// mean never; deadlines are then exact.
func flushTick(ms int64) time.Duration {
	if ms <= 0 || ms > int64(24*time.Hour/time.Millisecond) {
		return 0
	}
	return flushDelay(ms)
}

// open creates and locks the directory and checks whose it is.
func (d *logDir) open() error {
	fsys, path := d.host.fs, d.host.dir
	if err := makeDir(fsys, path); err != nil {
		return err
	}
	lock, err := fsys.Lock(filepath.Join(path, checkpoint.LockFile))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return &SetupError{Dir: path, Err: fmt.Errorf("another broker or process is using it: %w", err)}
	case segment.IsDiskFull(err):
		d.host.log.Warn("no lock file: the disk is full", "dir", path)
	case err != nil:
		return err
	default:
		d.lock = lock
	}
	return d.checkMeta()
}

// makeDir creates a folder and those above it that are missing, durably: without the sync
// of the folder above it, a power cut would take the directory with everything in it.
func makeDir(fsys vfs.FS, path string) error {
	var above []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		_, err := fsys.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		above = append(above, filepath.Dir(p))
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if seededbug.On(seededbug.NoDirSync) {
		return nil
	}
	for _, dir := range above {
		if err := fsys.SyncDir(dir); err != nil {
			// The next start must not take the folder for a durable one.
			return errors.Join(err, fsys.Remove(path))
		}
	}
	return nil
}

// checkMeta compares meta.properties with the broker's identity, and writes it where it is
// missing.
func (d *logDir) checkMeta() error {
	o := &d.store.o
	name := filepath.Join(d.host.dir, checkpoint.MetaPropertiesFile)
	data, err := checkpoint.Load(d.host.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		d.meta = checkpoint.Meta{NodeID: o.BrokerID, ClusterID: o.ClusterID, DirectoryID: d.store.newID()}
		return d.writeMeta(name)
	}
	if err != nil {
		return err
	}
	if d.meta, err = checkpoint.ParseMeta(data); err != nil {
		return &SetupError{Dir: d.host.dir, Err: err}
	}
	if d.meta.NodeID >= 0 && d.meta.NodeID != o.BrokerID {
		return &SetupError{Dir: d.host.dir, Err: fmt.Errorf("%s says that the directory belongs to broker.id %d, but this is broker.id %d", checkpoint.MetaPropertiesFile, d.meta.NodeID, o.BrokerID)}
	}
	if d.meta.ClusterID != "" && o.ClusterID != "" && d.meta.ClusterID != o.ClusterID {
		return &SetupError{Dir: d.host.dir, Err: fmt.Errorf("%s says that the directory belongs to cluster.id %s, but this is cluster.id %s", checkpoint.MetaPropertiesFile, d.meta.ClusterID, o.ClusterID)}
	}
	want := d.meta
	want.NodeID = o.BrokerID
	if o.ClusterID != "" {
		want.ClusterID = o.ClusterID
	}
	if want.DirectoryID == ([16]byte{}) {
		want.DirectoryID = d.store.newID()
	}
	if want == d.meta {
		return nil
	}
	d.meta = want
	return d.writeMeta(name)
}

func (d *logDir) writeMeta(name string) error {
	return d.warnIfFull("meta.properties not written", checkpoint.Replace(d.host.fs, name, d.meta.Append(nil)))
}

// limited makes the error of a call that got no descriptor, and logs it now and then: it
// concerns every partition, and comes with every request.
func (d *logDir) limited(err error) *TooManyFilesError {
	const every = 10 * time.Second
	e := &TooManyFilesError{Dir: d.host.dir, Limit: d.store.o.FileLimit, Err: err}
	now, last := d.host.clock.Now().UnixNano(), d.limitedAt.Load()
	if (last == 0 || now-last >= int64(every)) && d.limitedAt.CompareAndSwap(last, now) {
		d.host.log.Error("out of file descriptors: requests are refused, nothing is lost", "dir", d.host.dir,
			"held_by_logs", d.host.budget.files.Load(), "error", e)
	}
	return e
}

// warnIfFull lets a full disk, and a want of descriptors, pass with a warning: no start and no
// stop depends on what could not be written.
func (d *logDir) warnIfFull(what string, err error) error {
	if vfs.OutOfFiles(err) {
		d.limited(fmt.Errorf("%s: %w", what, err))
		return nil
	}
	if !segment.IsDiskFull(err) {
		return err
	}
	d.host.log.Warn(what+": the disk is full", "dir", d.host.dir, "error", err)
	return nil
}

// bestEffort is warnIfFull for a running directory: another error takes it offline.
func (d *logDir) bestEffort(what string, err error) {
	if err := d.warnIfFull(what, err); err != nil {
		d.fail(err)
	}
}

// newID makes a random id in the form of version 4 UUIDs, as Kafka's are.
func (s *Store) newID() (id [16]byte) {
	for i := range id {
		id[i] = byte(s.o.Random(256))
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// failure is why the directory is offline, nil when it is not.
func (d *logDir) failure() error {
	if f := d.failed.Load(); f != nil {
		return f
	}
	return nil
}

// fail takes the directory offline for good, with all its logs. It may be called from any
// goroutine, also under a log's locks.
func (d *logDir) fail(err error) {
	if errors.Is(err, ErrClosed) || errors.Is(err, segment.ErrClosed) || errors.Is(err, flush.ErrClosed) {
		return
	}
	failed := &DirFailedError{Dir: d.host.dir, Err: err}
	if !d.failed.CompareAndSwap(nil, failed) {
		return
	}
	d.host.log.Error("log directory is offline", "dir", d.host.dir, "error", err)
	d.host.syncer.Fail(failed)
	s := d.store
	s.mu.RLock()
	for _, l := range s.logs {
		if l.host == d.host {
			l.fail(failed)
		}
	}
	for _, m := range s.moves {
		if m.dst == d && m.future != nil {
			m.future.fail(failed)
		}
	}
	s.mu.RUnlock()
	if s.o.OnDirFailed != nil {
		s.o.OnDirFailed(d.host.dir, err)
	}
}

// syncFailed takes the directory offline after a failed sync.
func (d *logDir) syncFailed(err error) error {
	d.fail(err)
	return d.failure()
}

// create makes the folder and the files of a new partition.
func (d *logDir) create(tp TopicPartition, topicID [16]byte, cfg Config) (*Log, error) {
	return d.createIn(filepath.Join(d.host.dir, tp.String()), tp, topicID, cfg)
}

// createIn is create in a folder of another name.
func (d *logDir) createIn(dir string, tp TopicPartition, topicID [16]byte, cfg Config) (*Log, error) {
	l, err := d.createLog(dir, tp, topicID, cfg)
	switch {
	case segment.IsDiskFull(err):
		// What was made is empty: it must not come back as a partition.
		d.host.fs.RemoveAll(dir)
		return nil, diskFull(d.host, err)
	case vfs.OutOfFiles(err):
		d.removeEmpty(dir)
		return nil, d.limited(err)
	case err != nil:
		d.fail(err)
		return nil, d.failure()
	}
	if err := d.failure(); err != nil {
		l.kill(err)
		return nil, err
	}
	return l, nil
}

// removeEmpty removes the folder of a partition that was not made after all. RemoveAll needs
// a descriptor, and there may be none. What stays is found when the partition is made again.
func (d *logDir) removeEmpty(dir string) {
	name := filepath.Join(dir, checkpoint.PartitionMetadataFile)
	for _, path := range []string{name + ".tmp", name, dir} {
		if err := d.host.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.host.log.Warn("folder of a partition that could not be made is left", "path", path, "error", err)
		}
	}
}

func (d *logDir) createLog(dir string, tp TopicPartition, topicID [16]byte, cfg Config) (*Log, error) {
	fsys := d.host.fs
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if topicID != ([16]byte{}) {
		name := filepath.Join(dir, checkpoint.PartitionMetadataFile)
		if err := checkpoint.Replace(fsys, name, checkpoint.AppendPartitionMetadata(nil, topicID)); err != nil {
			return nil, err
		}
	}
	if !seededbug.On(seededbug.NoDirSync) {
		if err := fsys.SyncDir(d.host.dir); err != nil {
			return nil, err
		}
	}
	l, _, err := openLog(d.host, openSpec{tp: tp, dir: dir, cfg: cfg, cleanedTo: never})
	return l, err
}

// close flushes and closes the logs, writes the checkpoints and marks the directory clean.
func (d *logDir) close(ctx context.Context, logs []*Log) error {
	d.host.syncer.Close()
	if d.failure() != nil {
		for _, l := range logs {
			l.kill(d.failure())
		}
		return nil
	}
	err := d.closeLogs(ctx, logs)
	if err == nil {
		err = errors.Join(d.save(checkpoint.RecoveryPointFile, logs, recoveryPointOf),
			d.save(checkpoint.LogStartFile, logs, logStartOf), d.save(checkpoint.HighWatermarkFile, logs, highWatermarkOf))
	}
	if err == nil {
		err = d.markClean()
	}
	if err != nil {
		return fmt.Errorf("log directory %s was not stopped cleanly: %w", d.host.dir, err)
	}
	return nil
}

func (d *logDir) closeLogs(ctx context.Context, logs []*Log) error {
	var errs []error
	for _, l := range logs {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			l.kill(ErrClosed)
			continue
		}
		if err := l.close(); err != nil {
			var unavailable *UnavailableError
			if !errors.As(err, &unavailable) {
				errs = append(errs, fmt.Errorf("%s: %w", l.tp, err))
			}
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return errors.Join(errs...)
}

func (d *logDir) markClean() error {
	f, err := d.host.fs.OpenFile(filepath.Join(d.host.dir, checkpoint.CleanShutdownFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.host.fs.SyncDir(d.host.dir)
}

func (d *logDir) unlock() {
	if d.lock != nil {
		d.lock.Close()
		d.lock = nil
	}
}

func recoveryPointOf(l *Log) (int64, bool) { return l.RecoveryPoint(), true }

func highWatermarkOf(l *Log) (int64, bool) { return l.HighWatermark(), true }

// logStartOf: only a log start inside of the log needs to be written down (Kafka's rule).
func logStartOf(l *Log) (int64, bool) {
	start := l.LogStartOffset()
	return start, start > l.chainStart()
}

// cleanedToOf: only logs that were cleaned have a place in that file.
func cleanedToOf(l *Log) (int64, bool) {
	offset := l.cleanedTo.Load()
	return offset, offset != never
}

func (d *logDir) saveCleaned() error {
	return d.save(checkpoint.CleanerFile, d.store.logsOf(d), cleanedToOf)
}

func (d *logDir) saveRecoveryPoints() error {
	return d.save(checkpoint.RecoveryPointFile, d.store.logsOf(d), recoveryPointOf)
}

func (d *logDir) saveLogStarts() error {
	return d.save(checkpoint.LogStartFile, d.store.logsOf(d), logStartOf)
}

func (d *logDir) saveHighWatermarks() error {
	return d.save(checkpoint.HighWatermarkFile, d.store.logsOf(d), highWatermarkOf)
}

// save writes one checkpoint file.
func (d *logDir) save(file string, logs []*Log, value func(*Log) (int64, bool)) error {
	d.saveMu.Lock()
	defer d.saveMu.Unlock()
	var entries []checkpoint.Offset
	for _, l := range logs {
		if offset, ok := value(l); ok {
			entries = append(entries, checkpoint.Offset{Topic: l.tp.Topic, Partition: l.tp.Partition, Offset: offset})
		}
	}
	slices.SortFunc(entries, func(a, b checkpoint.Offset) int {
		return compareTP(TopicPartition{a.Topic, a.Partition}, TopicPartition{b.Topic, b.Partition})
	})
	return checkpoint.Replace(d.host.fs, filepath.Join(d.host.dir, file), checkpoint.AppendOffsets(nil, entries))
}

// SetupError says that a log directory must not be used as it was given: the start stops.
type SetupError struct {
	Dir string
	Err error
}

func (e *SetupError) Error() string { return fmt.Sprintf("log directory %s: %v", e.Dir, e.Err) }

// Unwrap returns the reason.
func (e *SetupError) Unwrap() error { return e.Err }
