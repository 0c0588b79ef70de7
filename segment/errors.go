package segment

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrClosed is returned by every call on a closed chain.
var ErrClosed = errors.New("log is closed")

// ErrOutOfRange matches *OutOfRangeError.
var ErrOutOfRange = errors.New("offset out of range")

// ErrChanged tells a cleaning that the segments it works on were cut or removed meanwhile.
var ErrChanged = errors.New("the log was changed meanwhile")

// OutOfRangeError says that an offset is not in [Start, End].
type OutOfRangeError struct {
	Offset, Start, End int64
}

func (e *OutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is not in [%d, %d]", e.Offset, e.Start, e.End)
}

// Is makes errors.Is(err, ErrOutOfRange) true.
func (e *OutOfRangeError) Is(target error) bool { return target == ErrOutOfRange }

// PoisonedError is returned by every append and sync after a write or a sync failed: what
// the disk holds past the synced offset is unknown.
type PoisonedError struct {
	Dir string
	Err error
}

func (e *PoisonedError) Error() string { return "log " + e.Dir + " failed: " + e.Err.Error() }

// Unwrap returns the first failure.
func (e *PoisonedError) Unwrap() error { return e.Err }

// FaultError says that touching a mapped file raised a fault: its disk failed or the file
// was cut underneath.
type FaultError struct {
	Name string
	Addr uintptr
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("fault in mapping of %s at %#x", e.Name, e.Addr)
}

// CorruptError says that a file of the log holds what it must not.
type CorruptError struct {
	Name     string
	Position int64
	Err      error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt log %s at %d: %v", e.Name, e.Position, e.Err)
}

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

// IsDiskFull tells whether err means that the volume or quota is full. Nothing was changed
// by the call that returned it.
func IsDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
