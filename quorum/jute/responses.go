package jute

// StatResponse is a response that is a Stat.
type StatResponse struct{ Stat Stat }

// The responses with a Stat alone.
type (
	ExistsResponse  = StatResponse
	SetDataResponse = StatResponse
	SetACLResponse  = StatResponse
	CheckResponse   = StatResponse
)

// AppendTo implements Record.
func (m *StatResponse) AppendTo(dst []byte) []byte { return m.Stat.AppendTo(dst) }

// Decode implements Record.
func (m *StatResponse) Decode(r *Reader) error { return m.Stat.Decode(r) }

// Create2Response answers OpCreate2, OpCreateContainer and OpCreateTTL.
type Create2Response struct {
	Path string
	Stat Stat
}

// AppendTo implements Record.
func (m *Create2Response) AppendTo(dst []byte) []byte {
	return m.Stat.AppendTo(AppendString(dst, m.Path))
}

// Decode implements Record.
func (m *Create2Response) Decode(r *Reader) error {
	m.Path = r.String()
	return m.Stat.Decode(r)
}

// DataResponse is what a node holds.
type DataResponse struct {
	Data []byte
	Stat Stat
}

// The responses with data.
type (
	GetDataResponse  = DataResponse
	ReconfigResponse = DataResponse // the new /zookeeper/config
)

// AppendTo implements Record.
func (m *DataResponse) AppendTo(dst []byte) []byte {
	return m.Stat.AppendTo(AppendBuffer(dst, m.Data))
}

// Decode implements Record.
func (m *DataResponse) Decode(r *Reader) error {
	m.Data = r.Buffer()
	return m.Stat.Decode(r)
}

// GetACLResponse answers OpGetACL.
type GetACLResponse struct {
	ACL  []ACL
	Stat Stat
}

// AppendTo implements Record.
func (m *GetACLResponse) AppendTo(dst []byte) []byte {
	return m.Stat.AppendTo(AppendACLs(dst, m.ACL))
}

// Decode implements Record.
func (m *GetACLResponse) Decode(r *Reader) error {
	m.ACL = r.ACLs()
	return m.Stat.Decode(r)
}

// StringsResponse is a list of names or paths.
type StringsResponse struct{ Strings []string }

// The responses with a list alone.
type (
	GetChildrenResponse   = StringsResponse // names
	GetEphemeralsResponse = StringsResponse // paths
)

// AppendTo implements Record.
func (m *StringsResponse) AppendTo(dst []byte) []byte { return AppendStrings(dst, m.Strings) }

// Decode implements Record.
func (m *StringsResponse) Decode(r *Reader) error {
	m.Strings = r.Strings()
	return r.err
}

// GetChildren2Response answers OpGetChildren2.
type GetChildren2Response struct {
	Children []string
	Stat     Stat
}

// AppendTo implements Record.
func (m *GetChildren2Response) AppendTo(dst []byte) []byte {
	return m.Stat.AppendTo(AppendStrings(dst, m.Children))
}

// Decode implements Record.
func (m *GetChildren2Response) Decode(r *Reader) error {
	m.Children = r.Strings()
	return m.Stat.Decode(r)
}

// GetAllChildrenNumberResponse answers OpGetAllChildrenNumber.
type GetAllChildrenNumberResponse struct{ TotalNumber int32 }

// AppendTo implements Record.
func (m *GetAllChildrenNumberResponse) AppendTo(dst []byte) []byte {
	return AppendInt32(dst, m.TotalNumber)
}

// Decode implements Record.
func (m *GetAllChildrenNumberResponse) Decode(r *Reader) error {
	m.TotalNumber = r.Int32()
	return r.err
}

// ErrorResponse is a code: what answers OpAddWatch, and what stands for an operation that
// failed in the results of a multi.
type ErrorResponse struct{ Err Code }

// AppendTo implements Record.
func (m *ErrorResponse) AppendTo(dst []byte) []byte { return AppendInt32(dst, int32(m.Err)) }

// Decode implements Record.
func (m *ErrorResponse) Decode(r *Reader) error {
	m.Err = Code(r.Int32())
	return r.err
}

// ClientInfo is one identity that a client has, as OpWhoAmI tells it.
type ClientInfo struct{ Scheme, User string }

// WhoAmIResponse answers OpWhoAmI.
type WhoAmIResponse struct{ Infos []ClientInfo }

// AppendTo implements Record.
func (m *WhoAmIResponse) AppendTo(dst []byte) []byte {
	dst = AppendInt32(dst, int32(len(m.Infos)))
	for _, i := range m.Infos {
		dst = AppendString(AppendString(dst, i.Scheme), i.User)
	}
	return dst
}

// Decode implements Record.
func (m *WhoAmIResponse) Decode(r *Reader) error {
	m.Infos = nil
	for range r.Count(8) {
		info := ClientInfo{Scheme: r.String(), User: r.String()}
		if r.err != nil {
			break
		}
		m.Infos = append(m.Infos, info)
	}
	return r.err
}
