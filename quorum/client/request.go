package client

import (
	"bytes"

	"github.com/millrace/millrace/quorum/jute"
)

// Request is one operation. Which fields count depends on Op, as in jute.MultiOp. Paths are
// below the chroot.
type Request struct {
	Op   jute.OpCode
	Path string
	// NoChroot says that Path is the ensemble's, not below the chroot: /zookeeper/config.
	NoChroot bool
	Data     []byte
	ACL      []jute.ACL // on a create nil is jute.OpenACL
	Mode     jute.CreateMode
	TTLMs    int64
	Version  int32
	// Watch is called once for OpExists, OpGetData, OpGetChildren and OpGetChildren2, and for
	// each event for OpAddWatch. When the session ends, a watch that is left gets an EventNone
	// with the state.
	Watch       func(Event)
	AddMode     jute.AddWatchMode
	WatcherType jute.WatcherType
	Ops         []jute.MultiOp
	Reconfig    jute.ReconfigRequest
}

// Reply is what an operation gave. It belongs to the function that gets it.
type Reply struct {
	Zxid     int64
	Path     string
	Data     []byte
	Stat     jute.Stat
	Children []string // or paths of OpGetEphemerals
	ACL      []jute.ACL
	Count    int32
	Results  []jute.MultiResult // also when a multi failed
	Infos    []jute.ClientInfo
}

// check says what is wrong with the request before it is sent.
func (q *Request) check() *Error {
	bad := func(path string, err error) *Error {
		return &Error{Op: q.Op, Path: path, Code: jute.BadArguments, Cause: err}
	}
	if !jute.Known(q.Op) || q.Op == jute.OpAuth || q.Op == jute.OpSASL || q.Op == jute.OpSetWatches || q.Op == jute.OpSetWatches2 || q.Op == jute.OpPing {
		return &Error{Op: q.Op, Path: q.Path, Code: jute.Unimplemented}
	}
	switch q.Op {
	case jute.OpCloseSession, jute.OpWhoAmI, jute.OpReconfig:
		return nil
	case jute.OpMulti, jute.OpMultiRead:
		for i := range q.Ops {
			o := &q.Ops[i]
			if err := jute.CheckPath(o.Path, o.Mode.IsSequential()); err != nil {
				return bad(o.Path, err)
			}
			if o.IsRead() != (q.Op == jute.OpMultiRead) {
				return &Error{Op: o.Type, Path: o.Path, Code: jute.BadArguments}
			}
		}
		return nil
	}
	if err := jute.CheckPath(q.Path, q.Mode.IsSequential()); err != nil {
		return bad(q.Path, err)
	}
	return nil
}

// appendBody appends the record of the request. path is the server's.
func (c *Client) appendBody(dst []byte, q *Request, path string) []byte {
	switch q.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer:
		m := jute.CreateRequest{Path: path, Data: q.Data, ACL: aclOr(q.ACL), Mode: q.Mode}
		return m.AppendTo(dst)
	case jute.OpCreateTTL:
		m := jute.CreateTTLRequest{Path: path, Data: q.Data, ACL: aclOr(q.ACL), Mode: q.Mode, TTLMs: q.TTLMs}
		return m.AppendTo(dst)
	case jute.OpDelete, jute.OpCheck:
		m := jute.PathVersion{Path: path, Version: q.Version}
		return m.AppendTo(dst)
	case jute.OpExists, jute.OpGetData, jute.OpGetChildren, jute.OpGetChildren2:
		m := jute.PathWatch{Path: path, Watch: q.Watch != nil}
		return m.AppendTo(dst)
	case jute.OpSetData:
		m := jute.SetDataRequest{Path: path, Data: q.Data, Version: q.Version}
		return m.AppendTo(dst)
	case jute.OpGetACL, jute.OpSync, jute.OpGetEphemerals, jute.OpGetAllChildrenNumber, jute.OpDeleteContainer:
		return jute.AppendString(dst, path)
	case jute.OpSetACL:
		m := jute.SetACLRequest{Path: path, ACL: q.ACL, Version: q.Version}
		return m.AppendTo(dst)
	case jute.OpMulti, jute.OpMultiRead:
		return c.appendMulti(dst, q.Ops)
	case jute.OpReconfig:
		return q.Reconfig.AppendTo(dst)
	case jute.OpCheckWatches, jute.OpRemoveWatches:
		m := jute.WatchesRequest{Path: path, Type: q.WatcherType}
		return m.AppendTo(dst)
	case jute.OpAddWatch:
		m := jute.AddWatchRequest{Path: path, Mode: q.AddMode}
		return m.AppendTo(dst)
	}
	return dst
}

func (c *Client) appendMulti(dst []byte, ops []jute.MultiOp) []byte {
	m := jute.MultiRequest{Ops: make([]jute.MultiOp, len(ops))}
	copy(m.Ops, ops)
	for i := range m.Ops {
		o := &m.Ops[i]
		o.Path = c.serverPath(o.Path)
		o.ACL = aclOr(o.ACL)
	}
	return m.AppendTo(dst)
}

func aclOr(acl []jute.ACL) []jute.ACL {
	if acl == nil {
		return jute.OpenACL()
	}
	return acl
}

// decode reads the body of the answer to q. Nothing of it aliases the packet.
func (c *Client) decode(op jute.OpCode, r *jute.Reader, p *Reply) error {
	switch op {
	case jute.OpCreate, jute.OpSync:
		p.Path = c.clientPath(r.String())
	case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		p.Path = c.clientPath(r.String())
		_ = p.Stat.Decode(r)
	case jute.OpExists, jute.OpSetData, jute.OpSetACL, jute.OpCheck:
		_ = p.Stat.Decode(r)
	case jute.OpGetData, jute.OpReconfig:
		p.Data = bytes.Clone(r.Buffer())
		_ = p.Stat.Decode(r)
	case jute.OpGetACL:
		p.ACL = r.ACLs()
		_ = p.Stat.Decode(r)
	case jute.OpGetChildren:
		p.Children = r.Strings()
	case jute.OpGetChildren2:
		p.Children = r.Strings()
		_ = p.Stat.Decode(r)
	case jute.OpGetEphemerals:
		p.Children = r.Strings()
		for i, path := range p.Children {
			p.Children[i] = c.clientPath(path)
		}
	case jute.OpGetAllChildrenNumber:
		p.Count = r.Int32()
	case jute.OpMulti, jute.OpMultiRead:
		c.decodeMulti(r, p)
	case jute.OpWhoAmI:
		var m jute.WhoAmIResponse
		_ = m.Decode(r)
		p.Infos = m.Infos
	}
	return r.Err()
}

func (c *Client) decodeMulti(r *jute.Reader, p *Reply) {
	var m jute.MultiResponse
	_ = m.Decode(r)
	p.Results = m.Results
	for i := range p.Results {
		o := &p.Results[i]
		o.Data = bytes.Clone(o.Data)
		if o.Type == jute.OpCreate || o.Type == jute.OpCreate2 {
			o.Path = c.clientPath(o.Path)
		}
	}
}

// multiError is the error of a multi whose answer is results, nil when it was done. The
// operation that failed is the first with a code: those after it have RuntimeInconsistency.
func multiError(ops []jute.OpCode, paths []string, results []jute.MultiResult) error {
	for i := range results {
		if results[i].Type == jute.OpError && results[i].Err != jute.OK {
			e := &Error{Op: jute.OpMulti, Code: results[i].Err}
			if i < len(ops) {
				e.Op, e.Path = ops[i], paths[i]
			}
			return e
		}
	}
	return nil
}
