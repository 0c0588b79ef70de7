package node

import (
	"errors"

	"github.com/millrace/millrace/quorum/tree"
)

// Sink is told of everything that is applied on this server. The client port has one, and so
// has each in-process store. Its methods are called from one goroutine at a time and must
// not block.
type Sink interface {
	// Applied is called for each transaction, in zxid order, with the state's write lock
	// held: what a Read sees later includes it, what a Read saw before does not.
	Applied(s *tree.State, o *tree.Outcome)
	// Published is called after each batch of Applied calls, without the lock: time to wake
	// writers.
	Published()
	// Reset is called with the write lock held when the sink is attached, and when a snapshot
	// replaced the state: whatever was derived from it is void.
	Reset(s *tree.State)
	// Serving tells that this server may (or may no longer) serve clients. It is false until
	// told otherwise.
	Serving(on bool)
	// WritesLost tells that transactions which this handle submitted and which were not
	// applied yet may never be: the way to the leader broke. Their clients' connections must
	// be closed; none of them may be sent again except with the same ConnGen and Seq.
	WritesLost()
}

// What a Handle refuses.
var (
	ErrNotServing     = errors.New("this server has no quorum and serves nobody")
	ErrSessionExpired = errors.New("session expired")
	ErrBadPassword    = errors.New("the session's password is wrong")
	ErrClosed         = errors.New("node is closed")
)

// Attached is a session that moved to this server.
type Attached struct {
	TimeoutMs int32
	ConnGen   uint32 // for the transactions of this connection
}

// Mode is the part that a server plays, in ZooKeeper's words.
type Mode uint8

// The modes.
const (
	Looking Mode = iota
	Leader
	Follower
	Observer
	Standalone
)

// String is the word that four-letter commands print.
func (m Mode) String() string {
	switch m {
	case Leader:
		return "leader"
	case Follower:
		return "follower"
	case Observer:
		return "observer"
	case Standalone:
		return "standalone"
	}
	return "looking"
}
