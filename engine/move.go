package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/engine/producer"
)

// A Move takes a log to another directory of the store (AlterReplicaLogDirs, KIP-113), while
// it serves: its batches are copied to a future log, in a folder that Kafka names
// topic-partition.<id>-future, until that has come so near that the rest is copied under the
// log's locks. Then the folders change their names: the future log's becomes the log's, and
// the old one's is deleted.
//
// After a crash at any step the partition is in one place. Until the future log has its name
// the old one holds, and the next start removes the copy and begins anew. From then on, until
// the old folder is renamed, there are two folders of the partition: a file in the new one
// (movedFile) tells that this is no mistake of somebody's, and the one that was written to
// last stays.
type Move struct {
	s      *Store
	src    *Log
	dst    *logDir
	future *Log
	buf    []byte
	over   bool // finished or aborted
}

const (
	futureDirSuffix = "-future"
	// movedFile lies in the folder of a log that came from another directory, until the
	// folder that it came from has gone.
	movedFile = "millrace-moved"
	// moveStepBytes is how much is copied at a time.
	moveStepBytes = 1 << 20
)

// ErrMoved is why a log that was moved is closed: there is another one in its place. It is an
// ErrClosed.
var ErrMoved = fmt.Errorf("%w: the log was moved to another log directory", ErrClosed)

// UnknownDirError names a log directory that the store does not have (LOG_DIR_NOT_FOUND).
type UnknownDirError struct{ Dir string }

func (e *UnknownDirError) Error() string {
	return fmt.Sprintf("%s is not one of log.dirs", e.Dir)
}

// MoveTarget checks a directory for moves. Errors: *UnknownDirError, *DirFailedError.
func (s *Store) MoveTarget(dir string) error {
	_, err := s.dirAt(dir)
	return err
}

func (s *Store) dirAt(dir string) (*logDir, error) {
	for _, d := range s.dirs {
		if filepath.Clean(d.host.dir) == filepath.Clean(dir) {
			return d, d.failure()
		}
	}
	return nil, &UnknownDirError{Dir: dir}
}

// LogDir is the log directory that the log lies in.
func (l *Log) LogDir() string { return l.host.dir }

// BeginMove makes the future log of a partition in another directory. There is at most one
// for a partition. Errors: ErrUnknownPartition, *UnknownDirError, *DirFailedError,
// *DiskFullError, and why the log is not served.
func (s *Store) BeginMove(tp TopicPartition, dir string) (*Move, error) {
	d, err := s.dirAt(dir)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	src, ok := s.logs[tp]
	switch {
	case s.closed:
		err = ErrClosed
	case !ok:
		err = fmt.Errorf("%w: %s", ErrUnknownPartition, tp)
	case s.moves[tp] != nil:
		err = fmt.Errorf("engine: %s is being moved already", tp)
	case src.host == d.host:
		err = fmt.Errorf("engine: %s lies in %s already", tp, dir)
	case src.Failure() != nil:
		err = src.Failure()
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	m := &Move{s: s, src: src, dst: d, buf: make([]byte, 0, moveStepBytes)}
	s.moves[tp] = m
	d.count++
	s.mu.Unlock()
	// A cleaning between two pieces of the copy could take away a tombstone whose key is in
	// the first.
	s.cleaners.abortAndPause(src)
	if err := m.makeFuture(); err != nil {
		m.Abort()
		return nil, err
	}
	return m, nil
}

// makeFuture makes the future log, empty.
func (m *Move) makeFuture() error {
	id := m.s.newID()
	name := dirName(m.src.tp, hex.EncodeToString(id[:]), futureDirSuffix)
	path := filepath.Join(m.dst.host.dir, name)
	cfg := m.src.Config()
	// Nobody waits for a copy to be durable before its end.
	cfg.FlushMessages, cfg.FlushMs = math.MaxInt64, math.MaxInt64
	l, err := m.dst.createIn(path, m.src.tp, m.src.TopicID(), cfg)
	if err != nil {
		return err
	}
	m.s.mu.Lock()
	m.future = l
	m.s.mu.Unlock()
	return m.restart()
}

// restart empties the future log, and lets it begin with the batch that holds the log's start.
func (m *Move) restart() error {
	base := m.src.LogStartOffset()
	if base < m.src.LogEndOffset() {
		b, err := m.src.ReadBatch(base, m.buf)
		if err != nil {
			return err
		}
		base = min(base, b.BaseOffset())
	}
	return m.future.TruncateFullyAndStartAt(base)
}

// Copy copies until the future log has caught up with what the log had when its last step
// began. next is told after each step how much it copied; the copy goes on when it returns
// true, and ends with ErrClosed else. Errors: those of either log; the move is then to be
// aborted.
func (m *Move) Copy(next func(copiedBytes int) bool) error {
	for {
		before := m.future.SizeBytes()
		done, err := m.step()
		if err != nil {
			return err
		}
		if !next(int(max(m.future.SizeBytes()-before, 0))) {
			return ErrClosed
		}
		if done {
			return nil
		}
	}
}

// step copies a piece, and tells whether nothing was left of what there was at its begin.
func (m *Move) step() (done bool, err error) {
	src, future := m.src, m.future
	if err := src.Failure(); err != nil {
		return false, err
	}
	start, end, at := src.LogStartOffset(), src.LogEndOffset(), future.LogEndOffset()
	switch {
	case at > end: // the log was truncated
		return false, future.TruncateTo(end)
	case at == end:
		return true, nil
	case at < start && start == end: // all that is left to copy was deleted
		return false, ignoreOutOfRange(m.restart())
	case at < start: // retention or somebody else deleted what was to come next
		b, err := src.ReadBatch(start, m.buf)
		if err != nil {
			return false, ignoreOutOfRange(err)
		}
		if at < b.BaseOffset() {
			return false, ignoreOutOfRange(m.restart())
		}
		at = start
	}
	rng, err := src.Read(at, moveStepBytes, end, true)
	if err != nil {
		return false, ignoreOutOfRange(err)
	}
	defer rng.Release()
	if cap(m.buf) < rng.LenBytes {
		m.buf = make([]byte, 0, rng.LenBytes)
	}
	piece := m.buf[:rng.LenBytes]
	if err := rng.CopyTo(piece); err != nil {
		return false, err
	}
	if _, err := future.AppendAsFollower(piece); err != nil {
		return false, err
	}
	return future.LogEndOffset() >= end, nil
}

// ignoreOutOfRange: an end of the log moved under the step; the next one sees where it is.
func ignoreOutOfRange(err error) error {
	if outside := (*OffsetOutOfRangeError)(nil); errors.As(err, &outside) {
		return nil
	}
	return err
}

// Finish copies the rest and puts the future log in the log's place: from then on the returned
// log is the partition's, and every call of the old one is refused with ErrMoved. The caller
// sees to it that the partition is not deleted meanwhile. After an error the old log is what
// it was, and the move is to be aborted; where the directory that it was to go to failed, that
// is offline.
func (m *Move) Finish() (*Log, error) {
	src := m.src
	src.metaMu.Lock()
	defer src.metaMu.Unlock()
	src.appendMu.Lock()
	defer src.appendMu.Unlock()
	for done := false; !done; {
		var err error
		if done, err = m.step(); err != nil {
			return nil, err
		}
	}
	if !m.s.holds(src) {
		return nil, ErrClosed
	}
	if err := m.seal(); err != nil {
		return nil, err
	}
	next, err := m.takeName()
	if err != nil {
		return nil, err
	}
	m.handOver(next)
	m.retire()
	return next, nil
}

func (s *Store) holds(l *Log) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.logs[l.tp] == l && !s.closed
}

// seal makes the future log whole and durable, with all that is known of the log besides its
// batches, and closes it. metaMu and appendMu of the old log are held, here and below.
func (m *Move) seal() error {
	src, f := m.src, m.future
	end := f.LogEndOffset()
	f.appendMu.Lock()
	f.epochs.Clear()
	for _, e := range src.EpochEntries() {
		f.epochs.Assign(e.Epoch, e.Start)
	}
	err := f.dropSnapshots(func(offset int64) bool { return offset >= end })
	if err == nil {
		err = f.producers.LoadSnapshot(src.producers.AppendSnapshot(nil), end)
	}
	f.logStart.Store(src.logStart.Load())
	f.hw.Store(src.hw.Load())
	f.cleanedTo.Store(src.cleanedTo.Load())
	f.appendMu.Unlock()
	if err == nil {
		err = f.close()
	}
	fsys := m.dst.host.fs
	if err == nil {
		err = checkpoint.Replace(fsys, filepath.Join(f.Dir(), movedFile), []byte(src.Dir()+"\n"))
	}
	if err == nil {
		// Before the folder has its name: a start must not find older values there.
		logs := append(m.s.logsOf(m.dst), f)
		for file, value := range map[string]func(*Log) (int64, bool){
			checkpoint.RecoveryPointFile: recoveryPointOf, checkpoint.LogStartFile: logStartOf, checkpoint.HighWatermarkFile: highWatermarkOf,
			checkpoint.CleanerFile: cleanedToOf,
		} {
			err = errors.Join(err, m.dst.save(file, logs, value))
		}
	}
	if err != nil {
		return f.truncateError(err)
	}
	return nil
}

// takeName gives the future log's folder the partition's name and opens it anew.
func (m *Move) takeName() (*Log, error) {
	src, f, fsys := m.src, m.future, m.dst.host.fs
	final := filepath.Join(m.dst.host.dir, src.tp.String())
	if err := fsys.Rename(f.Dir(), final); err != nil {
		return nil, f.appendError(err)
	}
	err := fsys.SyncDir(m.dst.host.dir)
	var next *Log
	if err == nil {
		next, _, err = openLog(m.dst.host, openSpec{
			tp: src.tp, dir: final, cfg: src.Config(), clean: true,
			recoveryPoint: f.RecoveryPoint(), logStart: src.LogStartOffset(), highWatermark: src.HighWatermark(),
			cleanedTo: src.cleanedTo.Load(),
		})
	}
	if err == nil {
		if err = next.Failure(); err == nil {
			return next, nil
		}
		next.kill(ErrClosed)
	}
	if back := errors.Join(fsys.Rename(final, f.Dir()), fsys.SyncDir(m.dst.host.dir)); back != nil {
		// Nobody knows which name the next start finds: the file in it tells.
		m.dst.fail(back)
	}
	return nil, f.appendError(err)
}

// handOver puts the new log in the old one's place.
func (m *Move) handOver(next *Log) {
	src := m.src
	// The snapshot knows less: only the last batch of each producer.
	next.appendMu.Lock()
	next.producers, src.producers = src.producers, producer.Manager{}
	next.firstUnstable.Store(src.firstUnstable.Load())
	next.flushedFrom = src.flushedFrom
	next.appendMu.Unlock()
	m.s.mu.Lock()
	m.s.logs[src.tp] = next
	delete(m.s.moves, src.tp)
	m.s.dirOf(src).count--
	m.over = true
	failure := m.dst.failure()
	m.s.mu.Unlock()
	m.s.cleaners.resume(src)
	if failure != nil {
		next.fail(failure) // it failed before it knew this log
	}
}

// retire deletes the old log.
func (m *Move) retire() {
	d := m.s.dirOf(m.src)
	if err := d.renameDeletedLocked(m.src, ErrMoved); err != nil {
		d.fail(err) // the folder may come back: the file in the new one tells what to do
		return
	}
	final := filepath.Join(m.dst.host.dir, m.src.tp.String())
	m.dst.bestEffort("mark of a moved log not removed", m.dst.host.fs.Remove(filepath.Join(final, movedFile)))
	m.s.saveAll(m.dst)
	m.s.saveAll(d)
}

func (s *Store) saveAll(d *logDir) {
	if d.failure() == nil {
		d.bestEffort("checkpoint not written", errors.Join(d.saveRecoveryPoints(), d.saveLogStarts(), d.saveHighWatermarks(), d.saveCleaned()))
	}
}

// Abort gives the move up and removes the copy.
func (m *Move) Abort() {
	m.s.mu.Lock()
	if m.over {
		m.s.mu.Unlock()
		return
	}
	m.over = true
	delete(m.s.moves, m.src.tp)
	m.dst.count--
	future := m.future
	m.s.mu.Unlock()
	m.s.cleaners.resume(m.src)
	if future == nil {
		return
	}
	future.kill(ErrClosed)
	if m.dst.failure() == nil {
		if err := m.dst.host.fs.RemoveAll(future.Dir()); err != nil {
			m.dst.deleteLater(future.Dir(), 0)
		}
	}
}

// Leave gives the move up and leaves the copy: the next start of the store finds it and tells
// of it (InterruptedMoves).
func (m *Move) Leave() {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if m.over {
		return
	}
	m.over = true
	m.s.cleaners.resume(m.src)
	delete(m.s.moves, m.src.tp)
	m.dst.count--
	if m.future != nil {
		m.future.kill(ErrClosed)
	}
}

// leaveMoves ends the moves that nobody ended before the store.
func (s *Store) leaveMoves() {
	s.mu.RLock()
	var list []*Move
	for _, m := range s.moves {
		list = append(list, m)
	}
	s.mu.RUnlock()
	for _, m := range list {
		m.Leave()
	}
}

// MoveStatus is how far a move is (DescribeLogDirs).
type MoveStatus struct {
	TopicPartition TopicPartition
	Dir            string // where it goes
	SizeBytes      int64  // of the copy
	OffsetLag      int64  // how far the copy is behind
}

// Moves lists the moves under way, by partition.
func (s *Store) Moves() []MoveStatus {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []MoveStatus
	for _, tp := range sortedPartitions(s.moves) {
		m := s.moves[tp]
		if m.future == nil {
			continue
		}
		list = append(list, MoveStatus{
			TopicPartition: tp, Dir: m.dst.host.dir, SizeBytes: m.future.SizeBytes(),
			OffsetLag: max(m.src.LogEndOffset()-m.future.LogEndOffset(), 0),
		})
	}
	return list
}

// InterruptedMove is one that the last stop of the store interrupted; its copy is gone.
type InterruptedMove struct {
	TopicPartition TopicPartition
	Dir            string
}

// InterruptedMoves lists them.
func (s *Store) InterruptedMoves() []InterruptedMove {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]InterruptedMove(nil), s.interrupted...)
}
