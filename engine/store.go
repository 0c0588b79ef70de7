package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// StoreOptions configure a Store. Intervals of 0 switch a periodic task off: its work is
// then done at Close only, or when somebody calls for it.
type StoreOptions struct {
	FS    vfs.FS
	Clock clock.Clock
	Log   *slog.Logger
	Dirs  []string // log.dirs
	// OtherFolders are names of folders in them that are somebody else's.
	OtherFolders []string

	BrokerID  int32
	ClusterID string // "": not checked, and not written

	DefaultConfig Config
	// ConfigFor gives the configuration of a topic's logs found on disk; nil: DefaultConfig.
	ConfigFor func(topic string) Config

	RecoveryThreads         int   // a directory, num.recovery.threads.per.data.dir; 0: 1
	RetentionCheckMs        int64 // log.retention.check.interval.ms
	FlushSchedulerMs        int64 // log.flush.scheduler.interval.ms: flush.ms is rounded up to it; 0: exact
	CheckpointMs            int64 // log.flush.offset.checkpoint.interval.ms
	StartOffsetCheckpointMs int64 // log.flush.start.offset.checkpoint.interval.ms
	HighWatermarkMs         int64 // replica.high.watermark.checkpoint.interval.ms
	ProducerExpirationMs    int64 // producer.id.expiration.ms; 0: never
	ProducerExpiryCheckMs   int64 // producer.id.expiration.check.interval.ms
	IdleAfterMs             int64 // an untouched log gives its files back

	Cleaner CleanerConfig // of compacted logs; see SetCleanerConfig

	// The process's limits of open files (RLIMIT_NOFILE) and of mappings (vm.max_map_count).
	// Logs hold a part of them at most: those that were used longest ago are closed. 0: no bound.
	FileLimit, MappingLimit int64

	Mode segment.Mode // how small batches are written

	// Random returns a number in [0, n), for ids and jitter. It is called from several
	// goroutines.
	Random func(n int64) int64
	// Background runs preparation work off the append path; nil: a goroutine each.
	// Inline keeps everything on the caller's goroutine, for deterministic tests.
	Background func(func())
	Inline     bool

	// Progress is told how loading goes, from several goroutines.
	Progress func(RecoveryProgress)
	// OnDirFailed is told when a directory goes offline, once for each, while the others go on.
	OnDirFailed func(dir string, err error)
	// OnCleaned is told of each cleaning, also of those that failed.
	OnCleaned func(Cleaning)
}

// RecoveryProgress tells how far the loading of a directory is.
type RecoveryProgress struct {
	Dir             string
	Clean           bool
	Logs, LogsDone  int
	DoneBytes       int64 // scanned so far by recovery
	TruncatedBytes  int64
	RebuiltIndexes  int
	RemovedSegments int
}

// DirStatus describes a log directory (DescribeLogDirs).
type DirStatus struct {
	Path       string
	TotalBytes int64
	FreeBytes  int64
	Logs       int
	SizeBytes  int64 // of all logs
	Err        error // why it is offline
}

// Store holds all partitions of a broker in its log directories.
type Store struct {
	o      StoreOptions
	dirs   []*logDir
	tick   atomic.Int64
	budget *budget

	producerExpirationMs atomic.Int64 // StoreOptions.ProducerExpirationMs, or what was set since

	codecs chan struct{} // see host.codecs

	mu       sync.RWMutex
	logs     map[TopicPartition]*Log
	creating map[TopicPartition]*logDir // being created: counted, not served
	moves    map[TopicPartition]*Move
	closed   bool

	twins       []*Log // loaded beside another of their partition; until the start is over
	interrupted []InterruptedMove

	background sync.WaitGroup
	tasks      tasks
	cleaners   cleaners
}

// OpenStore locks the directories, checks whose they are, and loads what lies in them. A
// directory that fails is offline and the rest go on; the error is for a wrong setup (a
// lock held, another broker's or cluster's directory, a partition found twice) or when no
// directory is left. A cancelled ctx stops the loading.
func OpenStore(ctx context.Context, o StoreOptions) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Store{
		o: o, codecs: make(chan struct{}, runtime.GOMAXPROCS(0)),
		logs: make(map[TopicPartition]*Log), creating: make(map[TopicPartition]*logDir),
		moves: make(map[TopicPartition]*Move),
	}
	s.producerExpirationMs.Store(o.ProducerExpirationMs)
	s.budget = newBudget(s, o.FileLimit, o.MappingLimit)
	s.cleaners.init(o.Cleaner)
	if err := s.openDirs(ctx); err != nil {
		s.Kill()
		return nil, err
	}
	s.startTasks()
	s.startCleaners()
	return s, nil
}

func (o *StoreOptions) check() error {
	o.Cleaner = o.Cleaner.orDefaults()
	if o.FS == nil || o.Clock == nil || o.Log == nil || o.Random == nil {
		return errors.New("engine: FS, Clock, Log and Random are needed")
	}
	if len(o.Dirs) == 0 {
		return errors.New("engine: no log directory")
	}
	seen := make(map[string]bool)
	for _, d := range o.Dirs {
		clean := filepath.Clean(d)
		if seen[clean] {
			return fmt.Errorf("engine: log directory %s is named twice", d)
		}
		seen[clean] = true
	}
	o.RecoveryThreads = max(o.RecoveryThreads, 1)
	if o.DefaultConfig.SegmentBytes == 0 {
		o.DefaultConfig = DefaultConfig()
	}
	return nil
}

// openDirs opens all directories first, so that a wrong setup is found before anything is
// changed, and then loads them at the same time.
func (s *Store) openDirs(ctx context.Context) error {
	for _, path := range s.o.Dirs {
		d := s.newDir(path)
		s.dirs = append(s.dirs, d)
		if err := d.open(); err != nil {
			var setup *SetupError
			if errors.As(err, &setup) {
				return err
			}
			if vfs.OutOfFiles(err) {
				return d.limited(err) // nothing is wrong with the directory
			}
			d.fail(err)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(s.dirs))
	for i, d := range s.dirs {
		if d.failure() != nil {
			continue
		}
		wg.Go(func() { errs[i] = d.load(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := s.settleTwins(); err != nil {
		return err
	}
	s.forgetMoves()
	for _, d := range s.dirs {
		if d.failure() == nil {
			return nil
		}
	}
	return fmt.Errorf("engine: every log directory failed: %w", s.dirs[0].failure())
}

// Get returns a partition's log.
func (s *Store) Get(tp TopicPartition) (*Log, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.logs[tp]
	return l, ok
}

// Logs iterates over the logs, by topic and partition, as of the call.
func (s *Store) Logs() iter.Seq[*Log] {
	return func(yield func(*Log) bool) {
		for _, l := range s.sortedLogs() {
			if !yield(l) {
				return
			}
		}
	}
}

func (s *Store) sortedLogs() []*Log {
	s.mu.RLock()
	list := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		list = append(list, l)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Log) int { return compareTP(a.tp, b.tp) })
	return list
}

// Create makes a partition's log in the online directory that has fewest, or returns the
// one that exists when its topic id agrees (or is unknown; it is then written down).
// Errors: ErrExists, *DiskFullError, *DirFailedError. When a directory could not be loaded,
// a partition that is not found may lie there, and an empty one must not take its place:
// Create then answers with that directory's error, as Kafka does. For a partition that has
// just come into being there is CreateNew.
func (s *Store) Create(tp TopicPartition, topicID [16]byte, cfg Config) (*Log, error) {
	return s.create(tp, topicID, cfg, false)
}

// CreateNew is Create for a partition that cannot have a log yet.
func (s *Store) CreateNew(tp TopicPartition, topicID [16]byte, cfg Config) (*Log, error) {
	return s.create(tp, topicID, cfg, true)
}

func (s *Store) create(tp TopicPartition, topicID [16]byte, cfg Config, isNew bool) (*Log, error) {
	d, existing, err := s.reserve(tp, topicID, isNew)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		existing.SetConfig(cfg)
		return existing, existing.adoptTopicID(topicID)
	}
	l, err := d.create(tp, topicID, cfg)
	s.mu.Lock()
	delete(s.creating, tp)
	if err == nil && s.closed {
		err = ErrClosed
		l.kill(ErrClosed)
	}
	if err == nil {
		s.logs[tp] = l
		if failure := d.failure(); failure != nil {
			l.fail(failure) // it failed before it knew this log
			err = failure
		}
	} else {
		d.count--
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return l, nil
}

// reserve finds the log or a place for it.
func (s *Store) reserve(tp TopicPartition, topicID [16]byte, isNew bool) (*logDir, *Log, error) {
	if err := checkName(tp); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	if l, ok := s.logs[tp]; ok {
		if id := l.TopicID(); id != ([16]byte{}) && topicID != ([16]byte{}) && id != topicID {
			return nil, nil, fmt.Errorf("%w: %s", ErrExists, tp)
		}
		return nil, l, nil
	}
	if s.creating[tp] != nil {
		return nil, nil, fmt.Errorf("%w: %s is being created", ErrExists, tp)
	}
	if !isNew {
		for _, d := range s.dirs {
			if err := d.failure(); err != nil && !d.loaded {
				return nil, nil, err
			}
		}
	}
	d, err := s.leastLoadedLocked()
	if err != nil {
		return nil, nil, err
	}
	s.creating[tp] = d
	d.count++
	return d, nil, nil
}

func (s *Store) leastLoadedLocked() (*logDir, error) {
	var best *logDir
	var lastErr error
	for _, d := range s.dirs {
		if err := d.failure(); err != nil {
			lastErr = err
			continue
		}
		if best == nil || d.count < best.count {
			best = d
		}
	}
	if best == nil {
		return nil, lastErr
	}
	return best, nil
}

// Dirs describes the directories.
func (s *Store) Dirs() []DirStatus {
	sizes, counts := make(map[string]int64), make(map[string]int)
	for _, l := range s.sortedLogs() {
		sizes[l.host.dir] += l.SizeBytes()
		counts[l.host.dir]++
	}
	list := make([]DirStatus, len(s.dirs))
	for i, d := range s.dirs {
		list[i] = DirStatus{Path: d.host.dir, Err: d.failure(), Logs: counts[d.host.dir], SizeBytes: sizes[d.host.dir]}
		if usage, err := s.o.FS.Usage(d.host.dir); err == nil {
			list[i].TotalBytes, list[i].FreeBytes = usage.TotalBytes, usage.FreeBytes
		} else if list[i].Err == nil {
			list[i].Err = err
		}
	}
	return list
}

// Close stops cleanly: every log is flushed and closed, the checkpoints are written, and
// the directories in which all that succeeded are marked, so that the next start has
// nothing to recover. A cancelled ctx leaves the rest to recovery.
func (s *Store) Close(ctx context.Context) error {
	if !s.shut() {
		return nil
	}
	s.tasks.stop()
	s.leaveMoves()
	errs := make([]error, len(s.dirs))
	var wg sync.WaitGroup
	for i, d := range s.dirs {
		wg.Go(func() { errs[i] = d.close(ctx, s.logsOf(d)) })
	}
	wg.Wait()
	s.background.Wait()
	for _, d := range s.dirs {
		d.unlock()
	}
	return errors.Join(errs...)
}

// Kill stops without leaving anything clean, as a crash would, for tests.
func (s *Store) Kill() {
	if !s.shut() {
		return
	}
	s.tasks.stop()
	s.leaveMoves()
	for _, l := range s.sortedLogs() {
		l.kill(ErrClosed)
	}
	for _, d := range s.dirs {
		d.host.syncer.Fail(ErrClosed)
		d.host.syncer.Close()
	}
	s.background.Wait()
	for _, d := range s.dirs {
		d.unlock()
	}
}

func (s *Store) shut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.closed
	s.closed = true
	s.cleaners.cancel()
	return !was
}

func (s *Store) logsOf(d *logDir) []*Log {
	var list []*Log
	for _, l := range s.sortedLogs() {
		if l.host == d.host {
			list = append(list, l)
		}
	}
	return list
}

// run does preparation work off the append path.
func (s *Store) run(f func()) {
	s.background.Go(f)
}

// adoptTopicID notes the id of a topic whose folder had none.
func (l *Log) adoptTopicID(id [16]byte) error {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	if id == ([16]byte{}) || l.TopicID() != ([16]byte{}) || l.Failure() != nil {
		return nil
	}
	name := filepath.Join(l.Dir(), checkpoint.PartitionMetadataFile)
	if err := checkpoint.Replace(l.host.fs, name, checkpoint.AppendPartitionMetadata(nil, id)); err != nil {
		return l.appendError(err)
	}
	l.topicID.Store(&id)
	return nil
}

// SetProducerExpirationMs changes producer.id.expiration.ms from the next look on.
func (s *Store) SetProducerExpirationMs(ms int64) { s.producerExpirationMs.Store(ms) }

// every runs f each intervalMs until the store stops.
func (s *Store) every(intervalMs int64, f func()) {
	if intervalMs > 0 {
		s.tasks.every(s.o.Clock, time.Duration(intervalMs)*time.Millisecond, f)
	}
}
