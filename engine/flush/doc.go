// Package flush makes appends durable in groups: each log directory has one syncer
// goroutine, and everything that was appended to a log before its sync starts is covered by
// it, whoever waits. A thousand appenders share one sync, which waits a little for those of
// them who were just answered and come back (await.go).
//
// Invariants:
//   - Waiter.Synced is called exactly once for each WhenSynced, from the syncer goroutine, or
//     at once by WhenSynced itself; with nil only when a sync that began after the append has
//     succeeded.
//   - The waiters of a log stand in offset order, so a sync wakes a prefix.
//   - A failed sync is final: the kernel may have dropped the pages, and a second sync would
//     lie (fsyncgate). The syncer fails for good, every waiter and every later one gets the
//     error, and OnFailure is told so that the directory goes offline.
//
// engine.Store makes a Syncer for each directory and a Log for each partition in it.
// replication waits through engine.Log.WhenSynced.
package flush

import (
	"errors"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// Waiter is told when its records are durable, or that they never will be known to be. It
// must not block: other waiters stand behind it.
type Waiter interface{ Synced(err error) }

// Target is what a Log syncs: one partition's files.
type Target interface {
	// SyncLog makes everything appended before the call durable and returns the offset
	// below which all is. A *LogError concerns this log only, after a *LaterError it is
	// tried again soon, and any other concerns the directory.
	SyncLog() (upTo int64, err error)
	// SyncSealed is SyncLog for the segments that were complete before an offset.
	SyncSealed(below int64) (upTo int64, err error)
	// SyncedOffset is the offset below which all is durable.
	SyncedOffset() int64
}

// Options of a Syncer.
type Options struct {
	Clock clock.Clock
	// OnFailure is told of the first failed sync, from the syncer goroutine; waiters get
	// the error that it returns.
	OnFailure func(err error) error
	// DeadlineTick rounds deadlines up, so that many logs share a wake-up
	// (log.flush.scheduler.interval.ms). 0: exact.
	DeadlineTick time.Duration
}

// ErrClosed is what waiters get when the directory closes before their sync.
var ErrClosed = errors.New("flush: the log directory is closed")

// LogError is a failed sync that says nothing about the other logs of the directory: the log
// was closed or deleted, or a mapping of it faulted.
type LogError struct{ Err error }

func (e *LogError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *LogError) Unwrap() error { return e.Err }

// LaterError says that a sync could not be begun, for want of a descriptor: nothing failed.
type LaterError struct{ Err error }

func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *LaterError) Unwrap() error { return e.Err }
