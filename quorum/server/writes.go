package server

import (
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// prepare makes the operation of a write, or the code by which the request is refused without
// asking the ensemble. What the packet holds is copied: the operation outlives it.
func (c *conn) prepare(q request) (slot, tree.Op, jute.Code) {
	s := slot{request: q, bytes: len(q.body)}
	s.body = nil
	r := &c.body
	switch q.op {
	case jute.OpSetData:
		var m jute.SetDataRequest
		if m.Decode(r) == nil {
			return s, tree.Op{Kind: tree.SetData, Path: m.Path, Data: keep(m.Data), Version: m.Version}, jute.OK
		}
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer:
		var m jute.CreateRequest
		if m.Decode(r) == nil {
			op, code := create(q.op, m.Path, m.Data, m.ACL, m.Mode, 0)
			s.bytes += aclBytes * len(m.ACL)
			return s, op, code
		}
	case jute.OpCreateTTL:
		var m jute.CreateTTLRequest
		if m.Decode(r) == nil {
			op, code := create(q.op, m.Path, m.Data, m.ACL, m.Mode, m.TTLMs)
			s.bytes += aclBytes * len(m.ACL)
			return s, op, code
		}
	case jute.OpDelete, jute.OpCheck:
		var m jute.PathVersion
		if m.Decode(r) == nil {
			kind := tree.Delete
			if q.op == jute.OpCheck {
				kind = tree.Check
			}
			return s, tree.Op{Kind: kind, Path: m.Path, Version: m.Version}, jute.OK
		}
	case jute.OpSetACL:
		var m jute.SetACLRequest
		if m.Decode(r) == nil {
			s.bytes += aclBytes * len(m.ACL)
			return s, tree.Op{Kind: tree.SetACL, Path: m.Path, ACL: m.ACL, Version: m.Version}, jute.OK
		}
	case jute.OpSync:
		var m jute.SyncRequest
		if m.Decode(r) == nil {
			s.path = m.Path
			return s, tree.Op{Kind: tree.Noop}, jute.OK
		}
	case jute.OpCloseSession:
		return s, tree.Op{Kind: tree.CloseSession}, jute.OK
	case jute.OpMulti:
		return prepareMulti(s, r)
	default:
		return s, tree.Op{}, jute.Unimplemented
	}
	return s, tree.Op{}, jute.MarshallingError
}

// What an operation of a multi and an entry of an ACL take in memory besides their bytes in the
// packet, where they may be far smaller.
const (
	opBytes  = 512
	aclBytes = 64
)

// keep copies data out of a packet; null stays null.
func keep(data []byte) []byte {
	if data == nil {
		return nil
	}
	return append(make([]byte, 0, len(data)), data...)
}

// create makes a creation of what the request's type and flags say. As in ZooKeeper the type
// decides whether it is a container, whatever the flags.
func create(typ jute.OpCode, path string, data []byte, acl []jute.ACL, mode jute.CreateMode, ttlMs int64) (tree.Op, jute.Code) {
	if mode < jute.Persistent || mode > jute.PersistentSequentialTTL {
		return tree.Op{}, jute.BadArguments
	}
	switch {
	case typ == jute.OpCreateContainer:
		if mode != jute.Container && mode != jute.Persistent {
			return tree.Op{}, jute.BadArguments
		}
		mode = jute.Container
	case typ == jute.OpCreateTTL:
		if !mode.IsTTL() {
			return tree.Op{}, jute.BadArguments
		}
	case mode == jute.Container:
		mode = jute.Persistent
	}
	return tree.Op{Kind: tree.Create, Path: path, Data: keep(data), ACL: acl, Mode: mode, TTLMs: ttlMs}, jute.OK
}

// prepareMulti makes a multi. An operation in it that is refused here is one that the tree
// refuses too, with its code in its place.
func prepareMulti(s slot, r *jute.Reader) (slot, tree.Op, jute.Code) {
	var m jute.MultiRequest
	if m.Decode(r) != nil {
		return s, tree.Op{}, jute.MarshallingError
	}
	op := tree.Op{Kind: tree.Multi, Ops: make([]tree.Op, 0, len(m.Ops))}
	s.ops = make([]jute.OpCode, 0, len(m.Ops))
	for i := range m.Ops {
		o := &m.Ops[i]
		var sub tree.Op
		switch o.Type {
		case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			o.Type = createType(o)
			var code jute.Code
			if sub, code = create(o.Type, o.Path, o.Data, o.ACL, o.Mode, o.TTLMs); code != jute.OK {
				sub = tree.Op{Kind: tree.Create, Path: o.Path, Mode: -1} // BadArguments
			}
		case jute.OpDelete:
			sub = tree.Op{Kind: tree.Delete, Path: o.Path, Version: o.Version}
		case jute.OpSetData:
			sub = tree.Op{Kind: tree.SetData, Path: o.Path, Data: keep(o.Data), Version: o.Version}
		case jute.OpCheck:
			sub = tree.Op{Kind: tree.Check, Path: o.Path, Version: o.Version}
		default:
			return s, tree.Op{}, jute.MarshallingError
		}
		s.bytes += opBytes + aclBytes*len(o.ACL)
		op.Ops = append(op.Ops, sub)
		s.ops = append(s.ops, o.Type)
	}
	return s, op, jute.OK
}

// createType is the type that a creation in a multi has in the end. There the flags decide, and
// nobody gets a Stat for a plain create2 (MultiOperationRecord, Op.create).
func createType(o *jute.MultiOp) jute.OpCode {
	switch {
	case o.Mode == jute.Container:
		return jute.OpCreateContainer
	case o.Mode.IsTTL() && o.Type == jute.OpCreateTTL:
		return jute.OpCreateTTL
	}
	if !o.Mode.IsTTL() {
		o.TTLMs = 0
	}
	return jute.OpCreate
}

// outcomeLocked queues the reply to a write that was applied.
func (c *conn) outcomeLocked(s *slot, res *tree.Result, zxid int64) {
	q := &s.request
	if q.op == jute.OpMulti && len(res.Ops) == len(s.ops) {
		// Each operation has its own code; the whole has none.
		if b := c.beginLocked(q, zxid, jute.OK); b != nil {
			m := multiResponse(s.ops, res)
			c.endLocked(m.AppendTo(b), q, zxid)
		}
		return
	}
	b := c.beginLocked(q, zxid, res.Code)
	if b == nil {
		return
	}
	if res.Code == jute.OK {
		switch q.op {
		case jute.OpCreate:
			b = jute.AppendString(b, res.Op.Path)
		case jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
			b = res.Op.Stat.AppendTo(jute.AppendString(b, res.Op.Path))
		case jute.OpSetData, jute.OpSetACL, jute.OpCheck:
			b = res.Op.Stat.AppendTo(b)
		case jute.OpSync:
			b = jute.AppendString(b, s.path)
		}
	}
	c.endLocked(b, q, zxid)
}

// multiResponse has a result for each operation: what it gave, or, if one failed, the code of
// each.
func multiResponse(ops []jute.OpCode, res *tree.Result) *jute.MultiResponse {
	m := &jute.MultiResponse{Results: make([]jute.MultiResult, len(ops))}
	for i, typ := range ops {
		from, to := &res.Ops[i], &m.Results[i]
		if res.Code != jute.OK {
			to.Type, to.Err = jute.OpError, from.Code
			continue
		}
		to.Type = typ
		switch typ {
		case jute.OpCreate:
			to.Path = from.Path
		case jute.OpCreateContainer, jute.OpCreateTTL:
			to.Type = jute.OpCreate2
			to.Path, to.Stat = from.Path, from.Stat
		case jute.OpSetData:
			to.Stat = from.Stat
		}
	}
	return m
}
