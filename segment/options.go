package segment

import (
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
)

// Mode says how small batches reach the active segment's file.
type Mode uint8

const (
	// Mapped copies them into a mapping of the file; large ones still go by WriteAt.
	Mapped Mode = iota
	// Pwrite writes each batch with WriteAt.
	Pwrite
)

// Options are fixed for the life of a Chain.
type Options struct {
	FS    vfs.FS
	Clock clock.Clock
	Dir   string // exists
	Mode  Mode
	// Jitter returns a number in [0, max]; nil: no jitter.
	Jitter func(max int64) int64
	// Background runs work that needs not be done on the append path: the next segment's
	// file is made ahead, the old one is trimmed. It must neither wait for f nor block: it
	// is called with the log's lock held. nil: such work is done inline.
	Background func(func())
	// OnRoll is called by Append and Roll before the first batch of a new segment is
	// written, with that segment's base offset.
	OnRoll func(newBase int64)
}

// Config is what a topic may change while the chain is open.
type Config struct {
	SegmentBytes       int64
	SegmentMs          int64
	SegmentJitterMs    int64
	IndexIntervalBytes int
	IndexMaxBytes      int
	SyncEveryAppend    bool // each append waits for a sync: WriteAt and SyncData from the next segment on
	Preallocate        bool // take SegmentBytes at once
	FileDeleteDelayMs  int64
}

// Recovery says what a Chain may trust when it is opened.
type Recovery struct {
	Clean bool  // the last stop was clean: the sizes of all files are trusted
	Point int64 // everything below this offset was synced: segments that lie below it are trusted
	// Contiguous says that the log was never compacted: where offsets are missing between
	// two segments at or above Point, a power cut took them, and the log ends there.
	Contiguous bool
	// Visit gets every valid batch of the scanned segments, in order. The batch is valid
	// for the call only. nil: not called.
	Visit func(b record.Batch) error
	// VisitAt is Visit for who wants to know where the batch lies, too.
	VisitAt func(b record.Batch, name string, position int64) error
	// Behind gets every batch, whole by its CRC, that is still found behind the point where
	// the log is to be cut, before anything is cut there; for logs in which what follows
	// tells whether that is a torn tail or damage. Its error ends Open and leaves the files.
	// nil: what follows is cut unseen, as Kafka does.
	Behind func(d Damage, b record.Batch) error
	// Progress gets the scanned bytes and their total now and then. nil: not called.
	Progress func(doneBytes, totalBytes int64)
}

// Damage is where a recovery is about to cut the log.
type Damage struct {
	Name     string // of the file in which the good batches end
	Position int64
	Next     int64 // the offset that the log will end at
}

// RecoveryResult tells what opening a Chain took.
type RecoveryResult struct {
	ScannedBytes int64
	// TruncatedBytes held something that is no good batch. SpareBytes were zeros behind the
	// last batch, space taken ahead, which every crash leaves.
	TruncatedBytes  int64
	SpareBytes      int64
	RemovedSegments int
	RebuiltIndexes  int
}

// Info describes one segment.
type Info struct {
	Base         int64
	Next         int64 // the offset after its last record; the next segment's base for sealed ones
	SizeBytes    int64
	MaxTimestamp int64 // largest record timestamp in ms, -1 if there is none, math.MaxInt64 if it could not be read
	Active       bool
}
