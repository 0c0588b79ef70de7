package server

import (
	"context"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// Member is what the port needs of its *node.Node. It is the seam for tests.
type Member interface {
	// Attach makes a sink be told of what is applied, and returns the way to write.
	Attach(node.Sink) Handle
	// Read calls f with the state's read lock held.
	Read(f func(*tree.State))
	NewSessionID() int64
	Password(session int64) [16]byte
	Status() Status
	// Reconfig changes the ensemble as a client's request asks, and returns when the change
	// is applied here. Errors that are a jute.Code are answered as such.
	Reconfig(ctx context.Context, r *jute.ReconfigRequest) error
	// ResetCounts lets Status.Counts begin anew.
	ResetCounts()
}

// Handle is what the port needs of its *node.Handle.
type Handle interface {
	Origin() uint64
	Submit(tree.Txn) error
	Touch(session int64)
	Reattach(ctx context.Context, session int64, password []byte) (node.Attached, error)
	Close()
}

// Status is what words and admin commands tell of the member.
type Status struct {
	Mode     node.Mode
	ID       int
	LeaderID int // 0: none known
	Term     uint64
	// Voters and Observers are how many of each the ensemble has, this server included.
	Voters, Observers int
	Voter             bool // this server is one
	// SyncedFollowers and SyncedObservers are those that have their stream to this leader.
	SyncedFollowers, SyncedObservers int
	Reign                            time.Duration // how long this server leads, 0: it does not
	Counts                           node.Counts
}
