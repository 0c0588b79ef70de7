package zkdata

import (
	"fmt"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// header is what every transaction begins with (TxnHeader).
type header struct {
	session int64
	cxid    int32
	zxid    int64
	timeMs  int64
	op      jute.OpCode
}

func readHeader(r *jute.Reader) header {
	return header{r.Int64(), r.Int32(), r.Int64(), r.Int64(), jute.OpCode(r.Int32())}
}

// apply does what one record of the log says (SerializeUtils.deserializeTxn and
// DataTree.processTxn) and returns the last digest that the server wrote, which was digest
// before.
func (d *data) apply(b []byte, digest *digestAt) (*digestAt, error) {
	r := jute.NewReader(b)
	h := readHeader(r)
	if h.op == jute.OpMulti {
		d.multi(h, r)
	} else {
		r = d.one(h, r)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("transaction %#x of type %v: %w", h.zxid, h.op, err)
	}
	if h.op == jute.OpError && digest != nil && digest.zxid == d.zxid {
		digest.zxid = h.zxid // it has none, and changed nothing
	}
	d.zxid, d.timeMs = max(d.zxid, h.zxid), max(d.timeMs, h.timeMs)
	if r.Len() < 4+8 {
		return digest, nil
	}
	return &digestAt{zxid: h.zxid, version: r.Int32(), sum: r.Int64()}, nil
}

// one does one operation and returns the reader behind it.
func (d *data) one(h header, r *jute.Reader) *jute.Reader {
	switch h.op {
	case jute.OpCreateSession:
		if timeoutMs := r.Int32(); r.Err() == nil {
			d.sessions[h.session] = timeoutMs
		}
	case jute.OpCloseSession:
		return d.closeSession(h, r)
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateTTL, jute.OpCreateContainer:
		return d.createTxn(h, r)
	case jute.OpDelete, jute.OpDeleteContainer:
		if path := r.String(); r.Err() == nil {
			d.delete(path, h.zxid)
		}
	case jute.OpSetData, jute.OpReconfig:
		if path, b, version := r.String(), r.Buffer(), r.Int32(); r.Err() == nil {
			d.setData(path, b, version, h.zxid, h.timeMs)
		}
	case jute.OpSetACL:
		if path, list, version := r.String(), r.ACLs(), r.Int32(); r.Err() == nil {
			d.setACL(path, list, version)
		}
	case jute.OpCheck:
		_, _ = r.String(), r.Int32() // was good, or there would be an error
	case jute.OpError:
		r.Int32() // a request that was refused has a zxid too
	default:
		r.Failf("no transaction has this type")
	}
	return r
}

// createTxn makes a node as it was made: with the whole name, and with the parent's count of
// creations after it, which logs of 3.3 lack.
func (d *data) createTxn(h header, r *jute.Reader) *jute.Reader {
	path := r.String()
	info := tree.NodeInfo{
		Data: r.Buffer(), ACL: r.ACLs(),
		Czxid: h.zxid, Mzxid: h.zxid, Pzxid: h.zxid, CtimeMs: h.timeMs, MtimeMs: h.timeMs,
	}
	creates := int32(-1)
	switch h.op {
	case jute.OpCreateTTL:
		creates = r.Int32()
		info.Owner = ttlBits | r.Int64()
	case jute.OpCreateContainer:
		creates, info.Owner = r.Int32(), container
	default:
		if r.Bool() {
			info.Owner = h.session
		}
		if r.Len() == 0 && h.op == jute.OpCreate && r.Err() == nil {
			break // 3.3
		}
		creates = r.Int32()
	}
	if r.Err() == nil {
		d.create(path, info, creates, h.op == jute.OpCreate)
	}
	return r
}

// closeSession ends a session. Since 3.6 the record names the nodes that go with it; before,
// and where that is turned off, it is empty, and a digest may follow at once. Eight zeros
// cannot be told from no nodes and no digest, and need not.
func (d *data) closeSession(h header, r *jute.Reader) *jute.Reader {
	var named []string
	if r.Len() > 0 {
		try := jute.NewReader(r.Rest())
		if named = try.Strings(); try.Err() != nil {
			named = nil
		} else {
			r = try
		}
	}
	d.close(h.session, named, h.zxid)
	return r
}

// multi does all its operations, or none if one of them is an error.
func (d *data) multi(h header, r *jute.Reader) {
	type part struct {
		op   jute.OpCode
		body []byte
	}
	var parts []part
	failed := false
	for n := r.Count(8); n > 0 && r.Err() == nil; n-- {
		p := part{jute.OpCode(r.Int32()), r.Buffer()}
		failed = failed || p.op == jute.OpError
		parts = append(parts, p)
	}
	if failed || r.Err() != nil {
		return
	}
	for _, p := range parts {
		one := h
		one.op = p.op
		if p.op == jute.OpCreateSession || p.op == jute.OpCloseSession || p.op == jute.OpMulti {
			r.Failf("type %v in a multi", p.op)
			return
		}
		if inner := d.one(one, jute.NewReader(p.body)); inner.Err() != nil {
			r.Failf("in a multi: %v", inner.Err())
			return
		}
	}
}
