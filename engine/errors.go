package engine

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/engine/producer"
)

// Errors of producer state, see package producer. Errors of package record pass through as
// they are.
type (
	SequenceError          = producer.SequenceError
	ProducerFencedError    = producer.FencedError
	TxnStateError          = producer.TxnStateError
	CoordinatorFencedError = producer.CoordinatorFencedError
)

var (
	// ErrClosed is returned by calls on a log or store that is closed or deleted.
	ErrClosed = errors.New("engine: closed")
	// ErrUnknownProducer is Kafka's UNKNOWN_PRODUCER_ID. Since Kafka 2.x a leader accepts any
	// sequence number from a producer that it does not remember, and so does AppendAsLeader:
	// it is here for what asks about producers.
	ErrUnknownProducer = errors.New("engine: unknown producer id")
	// ErrExists is returned by Create for a partition that exists with another topic id.
	ErrExists = errors.New("engine: partition exists with another topic id")
	// ErrUnknownPartition is returned for a partition that the store does not hold.
	ErrUnknownPartition = errors.New("engine: unknown partition")
)

// OffsetOutOfRangeError refuses an offset outside of [Start, End].
type OffsetOutOfRangeError struct{ Offset, Start, End int64 }

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is not in [%d, %d]", e.Offset, e.Start, e.End)
}

// UnexpectedOffsetError refuses replicated batches that do not follow the log's end.
type UnexpectedOffsetError struct{ First, LogEnd int64 }

func (e *UnexpectedOffsetError) Error() string {
	return fmt.Sprintf("replicated batch at offset %d, but the log ends at %d", e.First, e.LogEnd)
}

// RecordTooLargeError refuses a batch above max.message.bytes (MESSAGE_TOO_LARGE) or, with
// Segment set, above segment.bytes (RECORD_LIST_TOO_LARGE).
type RecordTooLargeError struct {
	SizeBytes, MaxBytes int
	Segment             bool
}

func (e *RecordTooLargeError) Error() string {
	limit := "max.message.bytes"
	if e.Segment {
		limit = "segment.bytes"
	}
	return fmt.Sprintf("batch of %d bytes is larger than %s=%d", e.SizeBytes, limit, e.MaxBytes)
}

// DirFailedError says that a log directory went offline with an I/O error, and the log in
// question with it (KAFKA_STORAGE_ERROR).
type DirFailedError struct {
	Dir string
	Err error
}

func (e *DirFailedError) Error() string {
	return fmt.Sprintf("log directory %s is offline: %v", e.Dir, e.Err)
}

// Unwrap returns the first failure.
func (e *DirFailedError) Unwrap() error { return e.Err }

// DiskFullError refuses an append or a creation; nothing was changed, and reads go on.
type DiskFullError struct {
	Dir       string
	FreeBytes int64
	Err       error
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("the disk of log directory %s is full (%d bytes free)", e.Dir, e.FreeBytes)
}

// Unwrap returns the system's error.
func (e *DiskFullError) Unwrap() error { return e.Err }

// TooManyFilesError refuses a call for which a file could not be opened or mapped, because the
// process or the system holds too many. Nothing was changed, and it may be made again.
type TooManyFilesError struct {
	Dir   string
	Limit int64 // of the process's open files, 0 when it is not known
	Err   error
}

func (e *TooManyFilesError) Error() string {
	return fmt.Sprintf("a file in log directory %s cannot be opened (limit of open files: %s): %v; close connections, or start the broker with a higher limit (ulimit -n, LimitNOFILE of its service; fs.file-max and vm.max_map_count of the system)", e.Dir, e.limit(), e.Err)
}

func (e *TooManyFilesError) limit() string {
	if e.Limit <= 0 {
		return "unknown"
	}
	return strconv.FormatInt(e.Limit, 10)
}

// Unwrap returns the system's error.
func (e *TooManyFilesError) Unwrap() error { return e.Err }

// UnavailableError says why a partition on disk is not served: an old message format
// (record.ErrUnsupportedMagic), or damage that recovery does not repair.
type UnavailableError struct {
	TopicPartition TopicPartition
	Err            error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("partition %s cannot be served: %v", e.TopicPartition, e.Err)
}

// Unwrap returns the reason.
func (e *UnavailableError) Unwrap() error { return e.Err }
