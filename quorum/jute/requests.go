package jute

// PathWatch is a read of a node that may leave a watch.
type PathWatch struct {
	Path  string
	Watch bool
}

// The requests with a path and a watch.
type (
	ExistsRequest       = PathWatch
	GetDataRequest      = PathWatch
	GetChildrenRequest  = PathWatch
	GetChildren2Request = PathWatch
)

// AppendTo implements Record.
func (m *PathWatch) AppendTo(dst []byte) []byte {
	return AppendBool(AppendString(dst, m.Path), m.Watch)
}

// Decode implements Record.
func (m *PathWatch) Decode(r *Reader) error {
	*m = PathWatch{Path: r.String(), Watch: r.Bool()}
	return r.err
}

// PathOnly is a request, or a response, that is a path.
type PathOnly struct{ Path string }

// The records with a path alone.
type (
	GetACLRequest               = PathOnly
	SyncRequest                 = PathOnly
	GetEphemeralsRequest        = PathOnly // the path is a prefix
	GetAllChildrenNumberRequest = PathOnly
	DeleteContainerRequest      = PathOnly // from the ensemble itself only
	SyncResponse                = PathOnly
	CreateResponse              = PathOnly
)

// AppendTo implements Record.
func (m *PathOnly) AppendTo(dst []byte) []byte { return AppendString(dst, m.Path) }

// Decode implements Record.
func (m *PathOnly) Decode(r *Reader) error {
	*m = PathOnly{Path: r.String()}
	return r.err
}

// PathVersion is a request that holds for one version of a node; -1 is any.
type PathVersion struct {
	Path    string
	Version int32
}

// The requests with a path and a version.
type (
	DeleteRequest       = PathVersion
	CheckVersionRequest = PathVersion
)

// AppendTo implements Record.
func (m *PathVersion) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendString(dst, m.Path), m.Version)
}

// Decode implements Record.
func (m *PathVersion) Decode(r *Reader) error {
	*m = PathVersion{Path: r.String(), Version: r.Int32()}
	return r.err
}

// CreateRequest makes a node: OpCreate, OpCreate2, OpCreateContainer.
type CreateRequest struct {
	Path string
	Data []byte
	ACL  []ACL
	Mode CreateMode
}

// AppendTo implements Record.
func (m *CreateRequest) AppendTo(dst []byte) []byte {
	dst = AppendString(dst, m.Path)
	dst = AppendBuffer(dst, m.Data)
	dst = AppendACLs(dst, m.ACL)
	return AppendInt32(dst, int32(m.Mode))
}

// Decode implements Record.
func (m *CreateRequest) Decode(r *Reader) error {
	*m = CreateRequest{Path: r.String(), Data: r.Buffer(), ACL: r.ACLs(), Mode: CreateMode(r.Int32())}
	return r.err
}

// CreateTTLRequest is OpCreateTTL.
type CreateTTLRequest struct {
	Path  string
	Data  []byte
	ACL   []ACL
	Mode  CreateMode
	TTLMs int64
}

// AppendTo implements Record.
func (m *CreateTTLRequest) AppendTo(dst []byte) []byte {
	c := CreateRequest{Path: m.Path, Data: m.Data, ACL: m.ACL, Mode: m.Mode}
	return AppendInt64(c.AppendTo(dst), m.TTLMs)
}

// Decode implements Record.
func (m *CreateTTLRequest) Decode(r *Reader) error {
	*m = CreateTTLRequest{Path: r.String(), Data: r.Buffer(), ACL: r.ACLs(), Mode: CreateMode(r.Int32()), TTLMs: r.Int64()}
	return r.err
}

// SetDataRequest is OpSetData.
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// AppendTo implements Record.
func (m *SetDataRequest) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendBuffer(AppendString(dst, m.Path), m.Data), m.Version)
}

// Decode implements Record.
func (m *SetDataRequest) Decode(r *Reader) error {
	*m = SetDataRequest{Path: r.String(), Data: r.Buffer(), Version: r.Int32()}
	return r.err
}

// SetACLRequest is OpSetACL; Version is that of the ACL (Stat.Aversion).
type SetACLRequest struct {
	Path    string
	ACL     []ACL
	Version int32
}

// AppendTo implements Record.
func (m *SetACLRequest) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendACLs(AppendString(dst, m.Path), m.ACL), m.Version)
}

// Decode implements Record.
func (m *SetACLRequest) Decode(r *Reader) error {
	*m = SetACLRequest{Path: r.String(), ACL: r.ACLs(), Version: r.Int32()}
	return r.err
}

// ReconfigRequest changes the ensemble: servers that join and ids that leave, or all of the
// new members. What is empty is null on the wire: not given.
type ReconfigRequest struct {
	Joining, Leaving, NewMembers string
	CurConfigID                  int64 // the configuration that this is a change of; -1: any
}

// AppendTo implements Record.
func (m *ReconfigRequest) AppendTo(dst []byte) []byte {
	dst = appendNullable(dst, m.Joining)
	dst = appendNullable(dst, m.Leaving)
	dst = appendNullable(dst, m.NewMembers)
	return AppendInt64(dst, m.CurConfigID)
}

// Decode implements Record.
func (m *ReconfigRequest) Decode(r *Reader) error {
	*m = ReconfigRequest{Joining: r.String(), Leaving: r.String(), NewMembers: r.String(), CurConfigID: r.Int64()}
	return r.err
}

// WatcherType says which watches of a path are meant (Watcher.WatcherType).
type WatcherType int32

// The types of watches.
const (
	WatcherChildren WatcherType = 1
	WatcherData     WatcherType = 2
	WatcherAny      WatcherType = 3
)

// WatchesRequest asks for watches on a path, or takes them away: OpCheckWatches and
// OpRemoveWatches.
type WatchesRequest struct {
	Path string
	Type WatcherType
}

// The requests about watches.
type (
	CheckWatchesRequest  = WatchesRequest
	RemoveWatchesRequest = WatchesRequest
)

// AppendTo implements Record.
func (m *WatchesRequest) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendString(dst, m.Path), int32(m.Type))
}

// Decode implements Record.
func (m *WatchesRequest) Decode(r *Reader) error {
	*m = WatchesRequest{Path: r.String(), Type: WatcherType(r.Int32())}
	return r.err
}

// AddWatchMode is how a watch stays (AddWatchMode.java).
type AddWatchMode int32

// The modes of a watch that stays.
const (
	WatchPersistent          AddWatchMode = 0
	WatchPersistentRecursive AddWatchMode = 1
)

// AddWatchRequest is OpAddWatch.
type AddWatchRequest struct {
	Path string
	Mode AddWatchMode
}

// AppendTo implements Record.
func (m *AddWatchRequest) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendString(dst, m.Path), int32(m.Mode))
}

// Decode implements Record.
func (m *AddWatchRequest) Decode(r *Reader) error {
	*m = AddWatchRequest{Path: r.String(), Mode: AddWatchMode(r.Int32())}
	return r.err
}
