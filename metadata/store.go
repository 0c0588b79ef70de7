package metadata

import (
	"context"
	"errors"
	"fmt"
)

// AnyVersion in an Op matches every version.
const AnyVersion int32 = -1

// Stat describes a node, with ZooKeeper's fields.
type Stat struct {
	Czxid   int64 // zxid that created the node
	Mzxid   int64 // zxid that last set its data
	Pzxid   int64 // zxid that last added or removed a child
	CtimeMs int64
	MtimeMs int64
	// Version counts the changes of the data, Cversion the creations and removals of
	// children.
	Version        int32
	Cversion       int32
	EphemeralOwner int64 // session that owns the node, 0 for a persistent one
	DataBytes      int32
	NumChildren    int32
}

// OpKind is what an Op does.
type OpKind uint8

// The kinds of operations of a Multi.
const (
	OpCreate OpKind = iota + 1
	OpSet
	OpDelete
	OpCheck
)

// String names the kind as ZooKeeper does.
func (k OpKind) String() string {
	switch k {
	case OpCreate:
		return "create"
	case OpSet:
		return "setData"
	case OpDelete:
		return "delete"
	case OpCheck:
		return "check"
	}
	return fmt.Sprintf("OpKind(%d)", uint8(k))
}

// Op is one step of a Multi; Create, CreateEphemeral, CreateSequential, Set, Delete and
// Check build it. The data belongs to the store from then on.
type Op struct {
	Kind       OpKind
	Path       string
	Data       []byte
	Version    int32
	Ephemeral  bool
	Sequential bool
}

// Create makes a persistent node; its parent must exist.
func Create(path string, data []byte) Op { return Op{Kind: OpCreate, Path: path, Data: data} }

// CreateEphemeral makes a node that goes with the store's session.
func CreateEphemeral(path string, data []byte) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Ephemeral: true}
}

// CreateSequential makes a persistent node whose name is path and ten digits that grow
// with every child the parent ever had.
func CreateSequential(path string, data []byte) Op {
	return Op{Kind: OpCreate, Path: path, Data: data, Sequential: true}
}

// Set replaces the data if the node's version is the given one, or AnyVersion.
func Set(path string, data []byte, version int32) Op {
	return Op{Kind: OpSet, Path: path, Data: data, Version: version}
}

// Delete removes a node without children if its version is the given one, or AnyVersion.
func Delete(path string, version int32) Op {
	return Op{Kind: OpDelete, Path: path, Version: version}
}

// Check lets the Multi go on only if the node's version is the given one, or, with
// AnyVersion, if it exists.
func Check(path string, version int32) Op {
	return Op{Kind: OpCheck, Path: path, Version: version}
}

// OpResult is what one Op of a successful Multi did. Path is the created name, the suffix
// included; Stat is the node's after the whole step (zero for Delete and Check).
type OpResult struct {
	Path string
	Stat Stat
}

// Result is a successful Multi: the zxid that it got and what each op did.
type Result struct {
	Zxid int64
	Ops  []OpResult
}

// EventKind is what happened to a node.
type EventKind uint8

// The kinds of events of a transaction.
const (
	Created EventKind = iota + 1
	Changed
	Deleted
)

// String implements fmt.Stringer.
func (k EventKind) String() string {
	switch k {
	case Created:
		return "created"
	case Changed:
		return "changed"
	case Deleted:
		return "deleted"
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Event is one change of one node. Data is shared: do not write to it. Both Data and Stat
// are those after the event; a Deleted event carries neither.
type Event struct {
	Kind EventKind
	Path string
	Data []byte
	Stat Stat
}

// Txn is one transaction of the stream. With Snapshot set it replaces everything that the
// subscriber knows: its events create every node of the tree, parents first.
type Txn struct {
	Zxid     int64
	Snapshot bool
	Events   []Event
}

// Session is the life line of ephemerals. They vanish when it ends.
type Session struct {
	ID int64
	// Done is closed when the session ended: by Close, or because the store lost it.
	Done <-chan struct{}
}

// Store is the tree. All methods may be called from several goroutines.
type Store interface {
	// Get returns a node's data, which must not be written to. ErrNoNode.
	Get(ctx context.Context, path string) ([]byte, Stat, error)
	// Children returns the sorted names of a node's children. ErrNoNode.
	Children(ctx context.Context, path string) ([]string, Stat, error)
	// Multi applies all ops as one transaction, or none of them. It returns once the
	// result is durable and visible. The error is a *MultiError when an op was refused;
	// otherwise nothing is known to have changed, except where the error wraps
	// ErrUnknownOutcome.
	Multi(ctx context.Context, ops ...Op) (Result, error)
	// Subscribe calls f for each transaction after fromZxid, in order, from one goroutine
	// that belongs to the subscription. When the store no longer has all of them (always
	// for 0) the first call is a Snapshot. It returns the zxid that the tree had when the
	// subscription began. After cancel returned, f is not called again; cancel must not be
	// called from f.
	Subscribe(fromZxid int64, f func(Txn)) (cancel func(), snapshotZxid int64)
	// Session is the session that owns the ephemerals this Store creates.
	Session() Session
	// Close ends the session, and with it its ephemerals and all subscriptions.
	Close() error
}

// ZooKeeper's errors, as errors.Is targets.
var (
	ErrNoNode                  = errors.New("node does not exist")
	ErrNodeExists              = errors.New("node exists")
	ErrBadVersion              = errors.New("version does not match")
	ErrNotEmpty                = errors.New("node has children")
	ErrNoChildrenForEphemerals = errors.New("ephemeral nodes may not have children")
	ErrBadArguments            = errors.New("invalid path or operation")
	ErrSessionExpired          = errors.New("session expired")
	ErrClosed                  = errors.New("store is closed")
	// ErrUnknownOutcome is wrapped when a Multi may or may not have happened.
	ErrUnknownOutcome = errors.New("outcome is unknown")
)

// PathError is a refused access to one node.
type PathError struct {
	Path string
	Err  error
}

func (e *PathError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }
func (e *PathError) Unwrap() error { return e.Err }

// MultiError tells which op of a Multi was refused. Nothing was changed.
type MultiError struct {
	Index int
	Op    Op
	Err   error
}

func (e *MultiError) Error() string {
	return fmt.Sprintf("%s %s (operation %d): %v", e.Op.Kind, e.Op.Path, e.Index, e.Err)
}
func (e *MultiError) Unwrap() error { return e.Err }
