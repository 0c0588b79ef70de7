package jute

import "strconv"

// OpCode is the type of a request (ZooDefs.OpCode).
type OpCode int32

// The operations of ZooKeeper 3.4 to 3.8.
const (
	OpNotification         OpCode = 0
	OpCreate               OpCode = 1
	OpDelete               OpCode = 2
	OpExists               OpCode = 3
	OpGetData              OpCode = 4
	OpSetData              OpCode = 5
	OpGetACL               OpCode = 6
	OpSetACL               OpCode = 7
	OpGetChildren          OpCode = 8
	OpSync                 OpCode = 9
	OpPing                 OpCode = 11
	OpGetChildren2         OpCode = 12
	OpCheck                OpCode = 13
	OpMulti                OpCode = 14
	OpCreate2              OpCode = 15
	OpReconfig             OpCode = 16
	OpCheckWatches         OpCode = 17
	OpRemoveWatches        OpCode = 18
	OpCreateContainer      OpCode = 19
	OpDeleteContainer      OpCode = 20
	OpCreateTTL            OpCode = 21
	OpMultiRead            OpCode = 22
	OpAuth                 OpCode = 100
	OpSetWatches           OpCode = 101
	OpSASL                 OpCode = 102
	OpGetEphemerals        OpCode = 103
	OpGetAllChildrenNumber OpCode = 104
	OpSetWatches2          OpCode = 105
	OpAddWatch             OpCode = 106
	OpWhoAmI               OpCode = 107
	OpCreateSession        OpCode = -10
	OpCloseSession         OpCode = -11
	OpError                OpCode = -1
)

// The transaction ids that clients reserve: such a request or reply belongs to no call.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
	XidAuth         int32 = -4
	XidSetWatches   int32 = -8
)

// Code is ZooKeeper's error code (KeeperException.Code). OK is not an error; every other
// value may be returned as one.
type Code int32

// ZooKeeper's codes.
const (
	OK                       Code = 0
	SystemError              Code = -1
	RuntimeInconsistency     Code = -2
	DataInconsistency        Code = -3
	ConnectionLoss           Code = -4
	MarshallingError         Code = -5
	Unimplemented            Code = -6
	OperationTimeout         Code = -7
	BadArguments             Code = -8
	UnknownSession           Code = -12
	NewConfigNoQuorum        Code = -13
	ReconfigInProgress       Code = -14
	APIError                 Code = -100
	NoNode                   Code = -101
	NoAuth                   Code = -102
	BadVersion               Code = -103
	NoChildrenForEphemerals  Code = -108
	NodeExists               Code = -110
	NotEmpty                 Code = -111
	SessionExpired           Code = -112
	InvalidCallback          Code = -113
	InvalidACL               Code = -114
	AuthFailed               Code = -115
	SessionMoved             Code = -118
	NotReadOnly              Code = -119
	EphemeralOnLocalSession  Code = -120
	NoWatcher                Code = -121
	RequestTimeout           Code = -122
	ReconfigDisabled         Code = -123
	SessionClosedRequireSASL Code = -124
	QuotaExceeded            Code = -125
	Throttled                Code = -127
)

var codeNames = map[Code]string{
	OK: "OK", SystemError: "SystemError", RuntimeInconsistency: "RuntimeInconsistency", DataInconsistency: "DataInconsistency",
	ConnectionLoss: "ConnectionLoss", MarshallingError: "MarshallingError", Unimplemented: "Unimplemented", OperationTimeout: "OperationTimeout",
	BadArguments: "BadArguments", UnknownSession: "UnknownSession", NewConfigNoQuorum: "NewConfigNoQuorum", ReconfigInProgress: "ReconfigInProgress",
	APIError: "APIError", NoNode: "NoNode", NoAuth: "NoAuth", BadVersion: "BadVersion", NoChildrenForEphemerals: "NoChildrenForEphemerals",
	NodeExists: "NodeExists", NotEmpty: "Directory not empty", SessionExpired: "Session expired", InvalidCallback: "Invalid callback",
	InvalidACL: "InvalidACL", AuthFailed: "AuthFailed", SessionMoved: "Session moved", NotReadOnly: "Not a read-only call",
	EphemeralOnLocalSession: "Ephemeral node on local session", NoWatcher: "No such watcher", RequestTimeout: "RequestTimeout",
	ReconfigDisabled: "Reconfig is disabled", SessionClosedRequireSASL: "Session closed because client failed to authenticate",
	QuotaExceeded: "Quota has exceeded", Throttled: "Op throttled due to high load",
}

// Error implements error with the text of ZooKeeper's own client.
func (c Code) Error() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "ZooKeeper error " + strconv.Itoa(int(c))
}

// Stat is what ZooKeeper tells of a znode. Cversion is shown as twice the creations of
// children less the children that are left (DataNode.copyStat).
type Stat struct {
	Czxid, Mzxid                int64
	CtimeMs, MtimeMs            int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

// ID is an identity: of a client, or in an ACL.
type ID struct{ Scheme, ID string }

// ACL grants Perms to an identity.
type ACL struct {
	Perms int32
	ID    ID
}

// The permissions (ZooDefs.Perms).
const (
	PermRead   int32 = 1
	PermWrite  int32 = 2
	PermCreate int32 = 4
	PermDelete int32 = 8
	PermAdmin  int32 = 16
	PermAll    int32 = 31
)

// WorldAnyone is what everybody is.
var WorldAnyone = ID{"world", "anyone"}

// OpenACL returns the list that lets everybody do everything (ZooDefs.Ids.OPEN_ACL_UNSAFE).
func OpenACL() []ACL { return []ACL{{Perms: PermAll, ID: WorldAnyone}} }

// CreateMode is the flags of a create request.
type CreateMode int32

// The modes (CreateMode.java).
const (
	Persistent              CreateMode = 0
	Ephemeral               CreateMode = 1
	PersistentSequential    CreateMode = 2
	EphemeralSequential     CreateMode = 3
	Container               CreateMode = 4
	PersistentTTL           CreateMode = 5
	PersistentSequentialTTL CreateMode = 6
)

// IsEphemeral tells whether the node goes with its session.
func (m CreateMode) IsEphemeral() bool { return m == Ephemeral || m == EphemeralSequential }

// IsSequential tells whether ten digits are added to the name.
func (m CreateMode) IsSequential() bool {
	return m == PersistentSequential || m == EphemeralSequential || m == PersistentSequentialTTL
}

// IsTTL tells whether the node goes when it was not touched for a while.
func (m CreateMode) IsTTL() bool { return m == PersistentTTL || m == PersistentSequentialTTL }

// EventType is what a watch event tells (Watcher.Event.EventType).
type EventType int32

// The types of events.
const (
	EventNone              EventType = -1
	EventCreated           EventType = 1
	EventDeleted           EventType = 2
	EventDataChanged       EventType = 3
	EventChildrenChanged   EventType = 4
	EventDataWatchRemoved  EventType = 5
	EventChildWatchRemoved EventType = 6
	EventPersistentRemoved EventType = 7
)

// StateSyncConnected is the state of every event that a server sends.
const StateSyncConnected int32 = 3
