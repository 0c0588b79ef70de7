package tree

import "github.com/millrace/millrace/quorum/jute"

// Kind is what an Op does.
type Kind uint8

// The kinds of operations in the log. Their numbers are part of its format.
const (
	Noop            Kind = 0 // sync: goes through the log and changes nothing
	Create          Kind = 1
	Delete          Kind = 2
	SetData         Kind = 3
	SetACL          Kind = 4
	Check           Kind = 5
	Multi           Kind = 6  // all of Ops or none
	CreateSession   Kind = 7  // the Txn's Session, with TimeoutMs
	CloseSession    Kind = 8  // removes its ephemerals in the same transaction
	DeleteContainer Kind = 9  // by the leader: a container or TTL node, if it is still due
	InitCluster     Kind = 10 // by the first leader: Data is the cluster's secret; later ones change nothing
	SetConfig       Kind = 11 // by the leader: Data replaces /zookeeper/config, past its ACL; a text without a line version= gets one with the zxid, in hex
	DigestCheck     Kind = 12 // by the leader: compares Digest with the state's as of Zxid
	SetFlags        Kind = 13 // by the leader: Flags replaces the state's, past any ACL
)

// Flags are settings that decide what a transaction does. They are part of the state, so that
// all servers agree on them: the leader proposes its own configuration's when they differ.
type Flags uint32

// The flags. None is set in a new state.
const (
	EnforceQuota Flags = 1 << iota // hard quotas refuse, soft ones are told (Outcome.Quota); without it they are only counted
	SkipACL                        // no ACL binds anybody
	RefuseTTL                      // a TTL node is Unimplemented, as in ZooKeeper without extendedTypesEnabled
)

// Op is one operation, as a client asked for it. Which fields count depends on Kind.
type Op struct {
	Kind      Kind
	Path      string
	Data      []byte
	ACL       []jute.ACL // Create and SetACL
	Mode      jute.CreateMode
	TTLMs     int64 // Create of a TTL node, else 0; DeleteContainer: how long a container may stay that never had a child, 0: for ever
	Version   int32 // Delete, SetData, Check; SetACL: of the ACL; -1: any
	TimeoutMs int32 // CreateSession
	// KeepResult, in CreateSession: the state remembers the last Result of this session, so
	// that a Txn sent again after an unknown outcome gets the answer of the first time.
	KeepResult bool
	Zxid       int64  // DigestCheck
	Digest     uint64 // DigestCheck
	Flags      Flags  // SetFlags
	Ops        []Op   // Multi
}

// Txn is an Op with who asked for it.
type Txn struct {
	// Origin and Req say whom the outcome is for: the server that took the request finds it
	// again when it applies the entry. Nothing in the state depends on them.
	Origin uint64
	Req    uint64
	// Session asked for it; 0: the ensemble itself, which no ACL binds.
	Session int64
	// ConnGen counts the connections that the session had, from 1, Seq the writes on this one, from 1.
	// A Txn of an older ConnGen (0 is older than all), or one that does not follow the last Seq, is refused with
	// SessionMoved; one that was applied before changes nothing (Result.Duplicate). Seq 0: not
	// guarded (CreateSession, CloseSession by the leader, Session 0).
	ConnGen uint32
	Seq     uint32
	Auth    []jute.ID // who the client is: part of the log, so that ACLs are judged alike everywhere
	Op      Op
}

// Entry is what one Raft log entry holds: transactions that are applied in this order, each
// for itself.
type Entry struct {
	TimeMs int64 // the proposer's wall clock, which may go back
	Txns   []Txn
}

// OpResult is what one Op did. In a Multi that was refused each Op has a code: OK before the
// one that failed, RuntimeInconsistency after it.
type OpResult struct {
	Kind Kind
	Code jute.Code
	Path string    // Create: the name that was made
	Stat jute.Stat // Create, SetData, SetACL, Check: right after this Op
}

// Result is the outcome of one Txn. Zxid is the one it got, or the last one applied when it
// changed nothing.
type Result struct {
	Zxid      int64
	Code      jute.Code // of the single Op; of a Multi: the code of the Op that failed
	Duplicate bool
	Op        OpResult
	Ops       []OpResult // Multi
}

// ChangeKind is what happened to a node.
type ChangeKind uint8

// The kinds of changes.
const (
	NodeCreated ChangeKind = iota + 1
	NodeDataChanged
	NodeDeleted
	NodeACLChanged
)

// Change is one change of one node, in the order in which they happened. Data and Stat are
// those after it (none for NodeDeleted), ACL too (of NodeDeleted: the one it had). ParentACL is
// there for NodeCreated and NodeDeleted, of a parent that the same transaction may delete. They
// are not written to; Data is mostly a part of the entry, so who keeps it copies it.
type Change struct {
	Kind      ChangeKind
	Path      string
	Ephemeral bool
	Data      []byte
	Stat      jute.Stat
	ACL       []jute.ACL
	ParentACL []jute.ACL
}

// Outcome is what became of one Txn. It and what it points to is valid during the call that
// hands it over only, Data, ACLs and strings apart.
type Outcome struct {
	Txn     *Txn
	Result  Result
	Changes []Change
	// Closed is the session that this Txn ended, 0 if none.
	Closed int64
	// Quota tells which quotas it went over, with EnforceQuota.
	Quota []QuotaExceeded
}

// QuotaExceeded is a limit that a write went over, or would have if it is Hard.
type QuotaExceeded struct {
	Path  string // the node that has the quota
	Bytes bool   // of data; else a count of nodes
	Hard  bool
	Have  int64 // with this write
	Limit int64
}
