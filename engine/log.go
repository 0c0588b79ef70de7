package engine

import (
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/engine/epoch"
	"github.com/millrace/millrace/engine/flush"
	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is also the name of the partition's folder: topic-partition.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// Log is one partition's log. See the package comment for its watermarks and locks. All
// methods may be called from several goroutines.
type Log struct {
	tp   TopicPartition
	host *host

	dir     atomic.Pointer[string]   // the partition's folder; changes when it is deleted
	topicID atomic.Pointer[[16]byte] // nil: unknown, as in folders of Kafka before 2.8

	chain *segment.Chain // nil when unavailable
	queue *flush.Log
	cfg   atomic.Pointer[Config]

	// The watermarks, all offsets: logStart <= LSO <= hw <= chain.NextOffset(), where
	// LSO = min(hw, firstUnstable).
	logStart      atomic.Int64
	hw            atomic.Int64
	firstUnstable atomic.Int64 // of open or unreplicated transactions; MaxInt64 when none
	recoveryPoint atomic.Int64 // <= chain.SyncedOffset()

	// cleanedTo is the offset that the cleaner has come to, never when it was not here yet.
	cleanedTo atomic.Int64

	epochs        epoch.Cache
	epochsDamaged bool // the checkpoint was unreadable at open
	moved         bool // it came from another directory; looked at by the start only

	failed       atomic.Pointer[error] // why every call is refused
	sealedBefore int64                 // the active segment's base at the last look of syncSealed
	touched      atomic.Int64          // the host's tick at the last append or read
	turn         atomic.Int64          // the budget's turn at the last append or read
	open         atomic.Int64          // descriptors that the chain holds

	releasing atomic.Bool // the budget is closing the log: opening waits for nobody

	metaMu sync.Mutex // syncs, checkpoint and snapshot files, truncation

	appendMu    sync.Mutex
	producers   producer.Manager
	flushedFrom int64              // records from here on count for flush.messages
	truncating  bool               // producer state is behind the chain: no snapshots
	replayed    []index.AbortedTxn // not in the transaction index yet

	snapMu    sync.Mutex
	snapshots []int64       // offsets of the snapshot files, ascending
	pending   []snapshotDue // taken, not written yet

	legacyEnd, legacySize int64 // what a log in an old format has, while chain is nil

	owner *Store // of a log that OpenLog opened: closed with it
}

type snapshotDue struct {
	offset int64
	data   []byte
}

// host is what a log shares with the others of its directory.
type host struct {
	fs         vfs.FS
	clock      clock.Clock
	log        *slog.Logger
	dir        string // the log directory
	mode       segment.Mode
	jitter     func(max int64) int64
	background func(func())
	syncer     *flush.Syncer

	// codecs has a place for each batch that may be decompressed at a time: a small one can
	// claim record.DefaultMaxDecompressedBytes.
	codecs chan struct{}

	producerExpirationMs *atomic.Int64

	tick   *atomic.Int64 // moves with each look for idle logs
	budget *budget
	// fail takes the whole directory offline.
	fail func(err error)
	// limited is told of what could not be done for want of a descriptor.
	limited func(err error) *TooManyFilesError
	// saveRecoveryPoints, saveLogStarts and saveCleaned write the directory's checkpoints.
	saveRecoveryPoints func() error
	saveLogStarts      func() error
	saveCleaned        func() error
}

// TopicPartition is the log's name.
func (l *Log) TopicPartition() TopicPartition { return l.tp }

// TopicID is the id of the topic that the log belongs to; zero in a folder written by a
// Kafka that had none.
func (l *Log) TopicID() [16]byte {
	if id := l.topicID.Load(); id != nil {
		return *id
	}
	return [16]byte{}
}

// Dir is the partition's folder.
func (l *Log) Dir() string { return *l.dir.Load() }

// Config is the configuration in force.
func (l *Log) Config() Config { return *l.cfg.Load() }

// SetConfig changes the configuration from the next append on. A shorter flush.ms holds for
// what was appended before, too.
func (l *Log) SetConfig(c Config) {
	old := l.cfg.Swap(&c)
	if l.chain == nil {
		return
	}
	l.chain.SetConfig(c.segmentConfig())
	if c.FlushMs < old.FlushMs && l.Failure() == nil && l.SyncedOffset() < l.LogEndOffset() {
		l.queue.Request() // a deadline that is pending was for the longer time
	}
}

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.logStart.Load() }

// LogEndOffset is the offset that the next record gets.
func (l *Log) LogEndOffset() int64 {
	if l.chain == nil {
		return l.legacyEnd
	}
	return l.chain.NextOffset()
}

// HighWatermark is the offset up to which consumers may read.
func (l *Log) HighWatermark() int64 { return l.hw.Load() }

// LastStableOffset is the offset up to which consumers in read_committed may read.
func (l *Log) LastStableOffset() int64 {
	// In this order: a transaction is noted before its first batch can be below hw.
	hw := l.hw.Load()
	return max(min(hw, l.firstUnstable.Load()), l.logStart.Load())
}

// SyncedOffset is the offset below which all records are durable.
func (l *Log) SyncedOffset() int64 {
	if l.chain == nil {
		return l.legacyEnd
	}
	return l.chain.SyncedOffset()
}

// RecoveryPoint is the offset below which recovery has nothing to do.
func (l *Log) RecoveryPoint() int64 { return l.recoveryPoint.Load() }

// SizeBytes is the length of all batches on disk.
func (l *Log) SizeBytes() int64 {
	if l.chain == nil {
		return l.legacySize
	}
	return l.chain.SizeBytes()
}

// SetHighWatermark raises the high watermark to hw, at most to the log's end, and reports
// whether it moved. Only truncation lowers it.
func (l *Log) SetHighWatermark(hw int64) (moved bool) {
	hw = min(hw, l.LogEndOffset())
	for {
		old := l.hw.Load()
		if hw <= old {
			return false
		}
		if l.hw.CompareAndSwap(old, hw) {
			break
		}
	}
	if l.firstUnstable.Load() < hw {
		l.appendMu.Lock()
		l.producers.OnHighWatermark(l.hw.Load())
		if len(l.replayed) == 0 {
			l.firstUnstable.Store(l.producers.FirstUnstable())
		}
		l.appendMu.Unlock()
	}
	return true
}

// ActiveProducers lists the producers that the log remembers, by id.
func (l *Log) ActiveProducers() []producer.Producer {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	return l.producers.Active()
}

// Failure tells why the log is not served, nil when it is.
func (l *Log) Failure() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Log) fail(err error) {
	if l.failed.CompareAndSwap(nil, &err) && l.queue != nil {
		l.queue.Fail(err)
	}
}

// touch tells the look for idle logs that this one is in use.
func (l *Log) touch() {
	if now := l.host.tick.Load(); l.touched.Load() != now {
		l.touched.Store(now)
	}
	if now := l.host.budget.turn.Load(); l.turn.Load() != now {
		l.turn.Store(now)
	}
}

// goIdle gives back open files and mappings when the log was not touched lately.
func (l *Log) goIdle(tick int64) error {
	if l.Failure() != nil || l.chain == nil || tick-l.touched.Load() < 2 || l.open.Load() == 0 {
		return nil
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	return l.chain.Idle()
}

// expireProducers forgets producers that wrote nothing for long.
func (l *Log) expireProducers() {
	after := l.host.producerExpirationMs.Load()
	if after <= 0 {
		return
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.producers.Expire(clock.UnixMs(l.host.clock), after)
}

// LatestEpoch is the newest leader epoch that wrote to the log.
func (l *Log) LatestEpoch() (int32, bool) { return l.epochs.Latest() }

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest epoch not above the asked one
// and where it ended; -1, -1 when that is not known (KIP-279).
func (l *Log) EndOffsetForEpoch(epoch int32) (foundEpoch int32, endOffset int64) {
	return l.epochs.EndOffsetFor(epoch, l.LogEndOffset())
}

// AssignEpochStart notes that a leader of this epoch begins at start, which a new leader
// does before its first append.
func (l *Log) AssignEpochStart(epoch int32, start int64) error {
	if err := l.Failure(); err != nil {
		return err
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.epochs.Assign(epoch, start)
	return nil
}

// EpochEntries lists the leader epochs with their first offsets.
func (l *Log) EpochEntries() []checkpoint.Epoch {
	entries, _ := l.epochs.Entries()
	return append([]checkpoint.Epoch(nil), entries...)
}

const (
	allStable = math.MaxInt64
	never     = -1
)
