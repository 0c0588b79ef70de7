package raftlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/segment"
)

// ErrClosed is returned by every call after Close or Kill.
var ErrClosed = errors.New("raft log is closed")

// ErrCorrupt is under every *CorruptError.
var ErrCorrupt = errors.New("corrupt raft log")

// CorruptError says that a file holds what it must not: something that was acknowledged is
// lost. This server can only come back as a new one, with empty folders and another id.
type CorruptError struct {
	File     string
	Position int64 // -1: the whole file
	Err      error
}

func (e *CorruptError) Error() string {
	if e.Position < 0 {
		return fmt.Sprintf("corrupt file %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("corrupt file %s at position %d: %v", e.File, e.Position, e.Err)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

// FailedError is returned by every change after the first one that failed.
type FailedError struct {
	Op  string // what failed first
	Err error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("raft storage failed: %s: %v", e.Op, e.Err)
}

// Unwrap returns the first failure.
func (e *FailedError) Unwrap() error { return e.Err }

// StalledError says that the disk did not answer.
type StalledError struct {
	After time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("the disk did not answer within %v", e.After)
}

// GapError refuses entries that do not follow the last one.
type GapError struct {
	Index, Last uint64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("entry %d does not follow entry %d, the last of the log", e.Index, e.Last)
}

// IsDiskFull tells whether err means that the volume or quota is full. The call changed
// nothing and may be made again.
func IsDiskFull(err error) bool {
	var failed *FailedError
	return segment.IsDiskFull(err) && !errors.As(err, &failed)
}
