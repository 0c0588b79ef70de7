package record

import (
	"errors"
	"fmt"
	"io"
)

// Sentinels for errors.Is. A broker answers with the code of the first that matches, in this
// order: ErrUnsupportedMagic UNSUPPORTED_FOR_MESSAGE_FORMAT, ErrInvalidTimestamp
// INVALID_TIMESTAMP, ErrInvalidRecord INVALID_RECORD, ErrCorrupt CORRUPT_MESSAGE, ErrTooLarge
// MESSAGE_TOO_LARGE; a *compress.UnknownCodecError is UNSUPPORTED_COMPRESSION_TYPE.
var (
	// ErrCorrupt is under every *CorruptError: bytes that are no batch.
	ErrCorrupt = errors.New("record: corrupt batch")
	// ErrInvalidRecord: sending the same bytes again cannot help. It is under *InvalidError,
	// and under a *CorruptError found after the CRC was right.
	ErrInvalidRecord = errors.New("record: invalid record")
	// ErrInvalidTimestamp is under *TimestampError.
	ErrInvalidTimestamp = errors.New("record: invalid timestamp")
	// ErrNoKey: a record of a compacted topic has no key.
	ErrNoKey = errors.New("record: record without key in a compacted topic")
	// ErrUnsupportedMagic is under *UnsupportedMagicError.
	ErrUnsupportedMagic = errors.New("record: unsupported message format")
	// ErrTooLarge is under *TooLargeError.
	ErrTooLarge = errors.New("record: batch too large")
	// ErrShort: the buffer ends before the batch does; more bytes may help.
	ErrShort = fmt.Errorf("record: buffer ends within a batch: %w", io.ErrUnexpectedEOF)
	// ErrStop, returned by the function given to Iterate, ends it without an error.
	ErrStop = errors.New("record: stop")
)

// CorruptError tells which field of a batch cannot be right.
type CorruptError struct {
	Field     string // as in docs/format/record-batch.md
	Index     int    // which record, from 0; -1 for the header
	Got, Want int64  // Want is a bound or the expected value
	Err       error  // cause, when a codec has one
}

func (e *CorruptError) Error() string {
	at := "header"
	if e.Index >= 0 {
		at = fmt.Sprintf("record %d", e.Index)
	}
	if e.Err != nil {
		return fmt.Sprintf("record: corrupt batch: %s: %s: %v", at, e.Field, e.Err)
	}
	return fmt.Sprintf("record: corrupt batch: %s: %s is %d, want %d", at, e.Field, e.Got, e.Want)
}

// Is matches ErrCorrupt, and ErrInvalidRecord when it is about the records.
func (e *CorruptError) Is(target error) bool {
	return target == ErrCorrupt || target == ErrInvalidRecord && e.Index >= 0
}

func (e *CorruptError) Unwrap() error { return e.Err }

// InvalidError tells which rule for produced batches is broken by a batch that is whole.
type InvalidError struct {
	Index  int // which record, from 0; -1 for the whole batch
	Reason string
	Err    error // ErrNoKey, or nil
}

func (e *InvalidError) Error() string {
	if e.Index >= 0 {
		return fmt.Sprintf("record: invalid record %d: %s", e.Index, e.Reason)
	}
	return "record: invalid batch: " + e.Reason
}

// Is matches ErrInvalidRecord.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalidRecord }

func (e *InvalidError) Unwrap() error { return e.Err }

// TimestampError is a timestamp outside of what message.timestamp.before.max.ms and
// message.timestamp.after.max.ms allow, or set by a client that may not (LogAppendTime).
type TimestampError struct {
	Index                     int // which record, from 0; -1 for the whole batch
	TimestampMs, MinMs, MaxMs int64
	LogAppendTime             bool // the client claimed LogAppendTime
}

func (e *TimestampError) Error() string {
	if e.LogAppendTime {
		return "record: a producer may not send timestamps of type LogAppendTime"
	}
	return fmt.Sprintf("record: timestamp %d of record %d is outside of [%d, %d]", e.TimestampMs, e.Index, e.MinMs, e.MaxMs)
}

// Is matches ErrInvalidTimestamp.
func (e *TimestampError) Is(target error) bool { return target == ErrInvalidTimestamp }

// UnsupportedMagicError is a batch of the message formats before Kafka 0.11 (magic 0 and 1,
// dropped by KIP-724), or of a future one.
type UnsupportedMagicError struct{ Magic int8 }

func (e *UnsupportedMagicError) Error() string {
	if e.Magic == 0 || e.Magic == 1 {
		return fmt.Sprintf("record: message format v%d (magic %d, before Kafka 0.11) is not supported, only v2 is: "+
			"convert the topic with the Kafka version that wrote it", e.Magic, e.Magic)
	}
	return fmt.Sprintf("record: message format with magic %d is not known, only magic 2 is supported", e.Magic)
}

// Is matches ErrUnsupportedMagic.
func (e *UnsupportedMagicError) Is(target error) bool { return target == ErrUnsupportedMagic }

// TooLargeError is a batch, or its decompressed records, above a limit in bytes.
type TooLargeError struct {
	What                string // "batch" or "decompressed records"
	SizeBytes, MaxBytes int    // SizeBytes is 0 when unknown: reading stopped at the limit
}

func (e *TooLargeError) Error() string {
	if e.SizeBytes == 0 {
		return fmt.Sprintf("record: %s exceed %d bytes", e.What, e.MaxBytes)
	}
	return fmt.Sprintf("record: %s of %d bytes exceeds %d", e.What, e.SizeBytes, e.MaxBytes)
}

// Is matches ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }
