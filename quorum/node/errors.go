package node

import (
	"errors"
	"fmt"
)

// What ends a node, besides Close.
var (
	// ErrDiverged: this server's state differs from the leader's. Its data must be thrown away
	// (it joins again by itself) and the difference is a bug.
	ErrDiverged = errors.New("the state of this server differs from the leader's")
	// ErrStuck: the leader sends the same snapshot again and again, since Raft's memory and its log
	// disagree here (hashicorp/raft issue 697). A new start mends it.
	ErrStuck = errors.New("this server takes the leader's snapshot but no entries after it; it has to be started again")
	// ErrRemoved: this server was taken out of the ensemble.
	ErrRemoved = errors.New("this server was removed from the ensemble")
)

// What an administrative call refuses.
var (
	ErrNotLeader  = errors.New("this server does not lead")
	ErrOverloaded = errors.New("too much waits for the leader")
	ErrTooLarge   = errors.New("the transaction is larger than servers take from each other")
)

// StoreError ends a node whose disk failed: what was written last is unknown, so nothing may
// be written or answered any more.
type StoreError struct {
	Op  string
	Err error
}

func (e *StoreError) Error() string { return fmt.Sprintf("the quorum could not %s: %v", e.Op, e.Err) }
func (e *StoreError) Unwrap() error { return e.Err }

// EntryError ends a node that met a committed entry which it cannot apply: it was written by a
// newer version, or is damaged.
type EntryError struct {
	Index uint64
	Err   error
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("entry %d of the log cannot be applied (was it written by a newer version?): %v", e.Index, e.Err)
}
func (e *EntryError) Unwrap() error { return e.Err }
