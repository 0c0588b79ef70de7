package jute

// MultiHeader stands before each operation of a multi and each of its results, and ends both.
type MultiHeader struct {
	Type OpCode
	Done bool
	Err  Code
}

// AppendTo implements Record.
func (m *MultiHeader) AppendTo(dst []byte) []byte {
	return AppendInt32(AppendBool(AppendInt32(dst, int32(m.Type)), m.Done), int32(m.Err))
}

// Decode implements Record.
func (m *MultiHeader) Decode(r *Reader) error {
	*m = MultiHeader{Type: OpCode(r.Int32()), Done: r.Bool(), Err: Code(r.Int32())}
	return r.err
}

const multiHeaderSize = 9

// MultiOp is one operation of a multi. Which fields count depends on Type: OpCreate,
// OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpSetData, OpCheck in a multi that
// writes, OpGetData, OpGetChildren in one that reads.
type MultiOp struct {
	Type    OpCode
	Path    string
	Data    []byte
	ACL     []ACL
	Mode    CreateMode
	TTLMs   int64
	Version int32
}

// IsRead tells whether the operation belongs into an OpMultiRead.
func (o *MultiOp) IsRead() bool { return o.Type == OpGetData || o.Type == OpGetChildren }

// appendTo appends the operation without its header. An operation that no multi can have
// appends nothing, which no reader takes.
func (o *MultiOp) appendTo(dst []byte) []byte {
	switch o.Type {
	case OpCreate, OpCreate2, OpCreateContainer:
		m := CreateRequest{Path: o.Path, Data: o.Data, ACL: o.ACL, Mode: o.Mode}
		return m.AppendTo(dst)
	case OpCreateTTL:
		m := CreateTTLRequest{Path: o.Path, Data: o.Data, ACL: o.ACL, Mode: o.Mode, TTLMs: o.TTLMs}
		return m.AppendTo(dst)
	case OpDelete, OpCheck:
		m := PathVersion{Path: o.Path, Version: o.Version}
		return m.AppendTo(dst)
	case OpSetData:
		m := SetDataRequest{Path: o.Path, Data: o.Data, Version: o.Version}
		return m.AppendTo(dst)
	case OpGetData, OpGetChildren:
		m := PathWatch{Path: o.Path}
		return m.AppendTo(dst)
	}
	return dst
}

func (o *MultiOp) decode(r *Reader) {
	switch o.Type {
	case OpCreate, OpCreate2, OpCreateContainer:
		o.Path, o.Data, o.ACL, o.Mode = r.String(), r.Buffer(), r.ACLs(), CreateMode(r.Int32())
	case OpCreateTTL:
		o.Path, o.Data, o.ACL, o.Mode, o.TTLMs = r.String(), r.Buffer(), r.ACLs(), CreateMode(r.Int32()), r.Int64()
	case OpDelete, OpCheck:
		o.Path, o.Version = r.String(), r.Int32()
	case OpSetData:
		o.Path, o.Data, o.Version = r.String(), r.Buffer(), r.Int32()
	case OpGetData, OpGetChildren:
		// A watch is never left by an operation of a multi.
		o.Path = r.String()
		r.Bool()
	default:
		r.Failf("operation %d in a multi", o.Type)
	}
}

// MultiRequest is OpMulti, or OpMultiRead when its operations read. Both kinds in one are
// refused when it is decoded, as ZooKeeper does.
type MultiRequest struct{ Ops []MultiOp }

// AppendTo implements Record.
func (m *MultiRequest) AppendTo(dst []byte) []byte {
	for i := range m.Ops {
		h := MultiHeader{Type: m.Ops[i].Type, Err: -1}
		dst = m.Ops[i].appendTo(h.AppendTo(dst))
	}
	return appendMultiEnd(dst)
}

// Decode implements Record.
func (m *MultiRequest) Decode(r *Reader) error {
	m.Ops = nil
	for {
		var h MultiHeader
		if h.Decode(r) != nil || h.Done {
			break
		}
		o := MultiOp{Type: h.Type}
		o.decode(r)
		if r.err == nil && len(m.Ops) > 0 && o.IsRead() != m.Ops[0].IsRead() {
			r.Failf("a multi of reads and writes")
		}
		if r.err != nil {
			break
		}
		m.Ops = append(m.Ops, o)
	}
	if r.err != nil {
		m.Ops = nil
	}
	return r.err
}

func appendMultiEnd(dst []byte) []byte {
	h := MultiHeader{Type: OpError, Done: true, Err: -1}
	return h.AppendTo(dst)
}

// MultiResult is what one operation of a multi gave. Type is OpError when it failed, with
// the code in Err; OpCreate2 for each create that tells a Stat; else the operation's.
type MultiResult struct {
	Type     OpCode
	Err      Code     // OpError
	Path     string   // OpCreate, OpCreate2
	Stat     Stat     // OpCreate2, OpSetData, OpGetData
	Data     []byte   // OpGetData
	Children []string // OpGetChildren
}

// MultiResponse answers OpMulti and OpMultiRead. In a multi that was refused every result is
// an OpError: OK before the operation that failed, RuntimeInconsistency after it.
type MultiResponse struct{ Results []MultiResult }

// AppendTo implements Record.
func (m *MultiResponse) AppendTo(dst []byte) []byte {
	for i := range m.Results {
		dst = m.Results[i].appendTo(dst)
	}
	return appendMultiEnd(dst)
}

func (o *MultiResult) appendTo(dst []byte) []byte {
	h := MultiHeader{Type: o.Type}
	if o.Type == OpError {
		h.Err = o.Err
	}
	dst = h.AppendTo(dst)
	switch o.Type {
	case OpError:
		dst = AppendInt32(dst, int32(o.Err))
	case OpCreate:
		dst = AppendString(dst, o.Path)
	case OpCreate2:
		dst = o.Stat.AppendTo(AppendString(dst, o.Path))
	case OpSetData:
		dst = o.Stat.AppendTo(dst)
	case OpGetData:
		dst = o.Stat.AppendTo(AppendBuffer(dst, o.Data))
	case OpGetChildren:
		dst = AppendStrings(dst, o.Children)
	}
	return dst
}

// Decode implements Record.
func (m *MultiResponse) Decode(r *Reader) error {
	m.Results = nil
	for {
		var h MultiHeader
		if h.Decode(r) != nil || h.Done {
			break
		}
		o := MultiResult{Type: h.Type}
		o.decode(r)
		if r.err != nil {
			break
		}
		m.Results = append(m.Results, o)
	}
	if r.err != nil {
		m.Results = nil
	}
	return r.err
}

func (o *MultiResult) decode(r *Reader) {
	switch o.Type {
	case OpError:
		o.Err = Code(r.Int32())
	case OpCreate:
		o.Path = r.String()
	case OpCreate2:
		o.Path = r.String()
		_ = o.Stat.Decode(r)
	case OpSetData:
		_ = o.Stat.Decode(r)
	case OpGetData:
		o.Data = r.Buffer()
		_ = o.Stat.Decode(r)
	case OpGetChildren:
		o.Children = r.Strings()
	case OpDelete, OpCheck:
	default:
		r.Failf("result of operation %d in a multi", o.Type)
	}
}
