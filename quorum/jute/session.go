package jute

// Record is what packets are made of. Decode replaces everything that it finds, and fails
// with the reader's error; bytes after the record stay in the reader.
type Record interface {
	AppendTo(dst []byte) []byte
	Decode(r *Reader) error
}

// ConnectRequest opens a connection, without a RequestHeader.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	TimeoutMs       int32
	SessionID       int64
	Password        []byte
	// HasReadOnly tells whether ReadOnly was sent: clients of 3.3 and some others end before
	// it, and then the response has to.
	HasReadOnly bool
	ReadOnly    bool
}

// AppendTo implements Record.
func (m *ConnectRequest) AppendTo(dst []byte) []byte {
	dst = AppendInt32(dst, m.ProtocolVersion)
	dst = AppendInt64(dst, m.LastZxidSeen)
	dst = AppendInt32(dst, m.TimeoutMs)
	dst = AppendInt64(dst, m.SessionID)
	dst = AppendBuffer(dst, m.Password)
	if m.HasReadOnly {
		dst = AppendBool(dst, m.ReadOnly)
	}
	return dst
}

// Decode implements Record.
func (m *ConnectRequest) Decode(r *Reader) error {
	*m = ConnectRequest{ProtocolVersion: r.Int32(), LastZxidSeen: r.Int64(), TimeoutMs: r.Int32(), SessionID: r.Int64(), Password: r.Buffer()}
	if r.err == nil && r.Len() > 0 {
		m.HasReadOnly, m.ReadOnly = true, r.Bool()
	}
	return r.err
}

// ConnectResponse answers a ConnectRequest, without a ReplyHeader. TimeoutMs 0 refuses the
// session: it is expired or the password is wrong.
type ConnectResponse struct {
	ProtocolVersion int32
	TimeoutMs       int32
	SessionID       int64
	Password        []byte
	HasReadOnly     bool // as in the request
	ReadOnly        bool
}

// AppendTo implements Record.
func (m *ConnectResponse) AppendTo(dst []byte) []byte {
	dst = AppendInt32(dst, m.ProtocolVersion)
	dst = AppendInt32(dst, m.TimeoutMs)
	dst = AppendInt64(dst, m.SessionID)
	dst = AppendBuffer(dst, m.Password)
	if m.HasReadOnly {
		dst = AppendBool(dst, m.ReadOnly)
	}
	return dst
}

// Decode implements Record.
func (m *ConnectResponse) Decode(r *Reader) error {
	*m = ConnectResponse{ProtocolVersion: r.Int32(), TimeoutMs: r.Int32(), SessionID: r.Int64(), Password: r.Buffer()}
	if r.err == nil && r.Len() > 0 {
		m.HasReadOnly, m.ReadOnly = true, r.Bool()
	}
	return r.err
}

// RequestHeader starts every other packet of a client.
type RequestHeader struct {
	Xid int32
	Op  OpCode
}

// AppendTo implements Record.
func (m *RequestHeader) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendInt32(dst, m.Xid), int32(m.Op))
}

// Decode implements Record.
func (m *RequestHeader) Decode(r *Reader) error {
	*m = RequestHeader{Xid: r.Int32(), Op: OpCode(r.Int32())}
	return r.err
}

// ReplyHeader starts every other packet of a server. A record follows when Err is OK and the
// operation has one.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Err  Code
}

// AppendTo implements Record.
func (m *ReplyHeader) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendInt64(AppendInt32(dst, m.Xid), m.Zxid), int32(m.Err))
}

// Decode implements Record.
func (m *ReplyHeader) Decode(r *Reader) error {
	*m = ReplyHeader{Xid: r.Int32(), Zxid: r.Int64(), Err: Code(r.Int32())}
	return r.err
}

// WatcherEvent is a notification, after a ReplyHeader with XidNotification.
type WatcherEvent struct {
	Type  EventType
	State int32
	Path  string
}

// AppendTo implements Record.
func (m *WatcherEvent) AppendTo(dst []byte) []byte {
	return AppendString(AppendInt32(AppendInt32(dst, int32(m.Type)), m.State), m.Path)
}

// Decode implements Record.
func (m *WatcherEvent) Decode(r *Reader) error {
	*m = WatcherEvent{Type: EventType(r.Int32()), State: r.Int32(), Path: r.String()}
	return r.err
}

// AuthPacket shows who the client is (OpAuth, XidAuth).
type AuthPacket struct {
	Type   int32 // always 0
	Scheme string
	Auth   []byte
}

// AppendTo implements Record.
func (m *AuthPacket) AppendTo(dst []byte) []byte {
	return AppendBuffer(AppendString(AppendInt32(dst, m.Type), m.Scheme), m.Auth)
}

// Decode implements Record.
func (m *AuthPacket) Decode(r *Reader) error {
	*m = AuthPacket{Type: r.Int32(), Scheme: r.String(), Auth: r.Buffer()}
	return r.err
}

// SASLToken is one step of a SASL exchange: GetSASLRequest from the client and
// SetSASLResponse from the server.
type SASLToken struct{ Token []byte }

// AppendTo implements Record.
func (m *SASLToken) AppendTo(dst []byte) []byte { return AppendBuffer(dst, m.Token) }

// Decode implements Record.
func (m *SASLToken) Decode(r *Reader) error {
	*m = SASLToken{Token: r.Buffer()}
	return r.err
}

// SetWatches arms a client's watches on another server. What changed after RelativeZxid is
// told at once.
type SetWatches struct {
	RelativeZxid       int64
	Data, Exist, Child []string
}

// AppendTo implements Record.
func (m *SetWatches) AppendTo(dst []byte) []byte {
	dst = AppendInt64(dst, m.RelativeZxid)
	dst = AppendStrings(dst, m.Data)
	dst = AppendStrings(dst, m.Exist)
	return AppendStrings(dst, m.Child)
}

// Decode implements Record.
func (m *SetWatches) Decode(r *Reader) error {
	*m = SetWatches{RelativeZxid: r.Int64(), Data: r.Strings(), Exist: r.Strings(), Child: r.Strings()}
	return r.err
}

// SetWatches2 is SetWatches with the watches that stay.
type SetWatches2 struct {
	SetWatches
	Persistent, PersistentRecursive []string
}

// AppendTo implements Record.
func (m *SetWatches2) AppendTo(dst []byte) []byte {
	dst = m.SetWatches.AppendTo(dst)
	dst = AppendStrings(dst, m.Persistent)
	return AppendStrings(dst, m.PersistentRecursive)
}

// Decode implements Record.
func (m *SetWatches2) Decode(r *Reader) error {
	_ = m.SetWatches.Decode(r)
	m.Persistent, m.PersistentRecursive = r.Strings(), r.Strings()
	return r.err
}
