// Package seededbug switches deliberate bugs on, so that the tests can prove that they
// would catch them. Without the build tag seededbugs, On is the constant false and the
// compiler drops what it guards; with the tag, the environment variable SEEDED_BUG names
// the one bug that is on.
//
// A product build never carries the tag. Package conformance runs its crash rounds against
// a binary that does; engine, segment and quorum run their own tests under each name.
package seededbug

// Bug is the name of one deliberate bug.
type Bug string

// The bugs. Each stands where its comment says and breaks one promise of the design.
const (
	// AckBeforeSync tells waiters that their records are durable before the sync (engine/flush).
	AckBeforeSync Bug = "ack-before-sync"
	// NoDirSync leaves out the sync of a folder after a file was created or renamed
	// (engine/checkpoint, engine, segment).
	NoDirSync Bug = "no-dir-sync"
	// RecoverWithoutCRC accepts a batch in recovery whatever its CRC says (segment).
	RecoverWithoutCRC Bug = "recover-without-crc"
	// IndexPastPublished lets an index lookup see entries that are not published yet (index, segment).
	IndexPastPublished Bug = "index-past-published"
	// ProducerStateNotRebuilt trusts the newest producer snapshot and does not read the
	// log's tail behind it (engine).
	ProducerStateNotRebuilt Bug = "producer-state-not-rebuilt"
	// TornBatchServed leaves a torn batch at the end of a log where readers find it (segment).
	TornBatchServed Bug = "torn-batch-served"
	// SwapNotDurable removes the segments that were cleaned before the names of those that
	// take their place are durable (segment).
	SwapNotDurable Bug = "swap-not-durable"
	// RaftAckBeforeSync tells raft that entries are stored before the sync (quorum/raftlog).
	RaftAckBeforeSync Bug = "raft-ack-before-sync"
	// RaftLeaderInDoubt lets a leader apply, and tell its followers of, what its own disk may not have (quorum/node).
	RaftLeaderInDoubt Bug = "raft-leader-in-doubt"
	// ReplyBeforeCommit answers a write before it is in the log (quorum/server).
	ReplyBeforeCommit Bug = "reply-before-commit"
	// WatchAfterReply tells watches of a write after its reply (quorum/server).
	WatchAfterReply Bug = "watch-after-reply"
	// ServesWithoutQuorum lets a server that lost the others go on to serve (quorum/node).
	ServesWithoutQuorum Bug = "serves-without-quorum"
	// ExpiredKeepsEphemerals leaves the ephemeral nodes of a session that ended (quorum/tree).
	ExpiredKeepsEphemerals Bug = "expired-keeps-ephemerals"
	// SeqGuardOff applies the writes of a session whatever their number (quorum/tree).
	SeqGuardOff Bug = "seq-guard-off"
	// PingsForgotten does not tell the leader which sessions are alive (quorum/node).
	PingsForgotten Bug = "pings-forgotten"
	// ExpiryByWallClock lets the leader count the time of sessions by a clock that somebody may
	// set (quorum/node).
	ExpiryByWallClock Bug = "expiry-by-wall-clock"
	// WipedServerIsItself lets a server that lost its data come back under its old name (quorum/node).
	WipedServerIsItself Bug = "wiped-server-is-itself"
	// OldConnectionWrites lets a connection write whose session has moved on (quorum/node).
	OldConnectionWrites Bug = "old-connection-writes"
	// ReadOvertakesWrite executes a read before the writes of its session that came before it
	// (quorum/server).
	ReadOvertakesWrite Bug = "read-overtakes-write"
	// WatchAfterRead leaves the watch of a read when the state may have changed (quorum/server).
	WatchAfterRead Bug = "watch-after-read"
)

// Storage lists the bugs of the broker's storage.
func Storage() []Bug {
	return []Bug{AckBeforeSync, NoDirSync, RecoverWithoutCRC, IndexPastPublished, ProducerStateNotRebuilt, TornBatchServed, SwapNotDurable}
}

// Quorum lists the bugs of the quorum.
func Quorum() []Bug {
	return []Bug{RaftAckBeforeSync, RaftLeaderInDoubt, ReplyBeforeCommit, WatchAfterReply, ServesWithoutQuorum, ExpiredKeepsEphemerals, SeqGuardOff, PingsForgotten, ExpiryByWallClock}
}
