package differential

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/conformance/quorum/wire"
)

// kind says how a field is compared.
type kind int

const (
	exact   kind = iota
	zxid         // by order and equality among all that were seen
	atLeast      // a zxid that only may not go back
	timeMs       // by order to the others of the same record
	session      // by whose it is
	opaque       // not at all: shown only
)

// Field is a part of an answer.
type Field struct {
	Name string
	Kind kind
	Text string // exact
	N    int64  // the others
}

func (f Field) String() string {
	if f.Kind == exact {
		return f.Name + "=" + f.Text
	}
	return fmt.Sprintf("%s=0x%x", f.Name, f.N)
}

// decoder turns the body of an answer into fields.
type decoder struct {
	wire.Dec
	prefix string
	fields []Field
}

func (d *decoder) add(name string, v any) {
	d.fields = append(d.fields, Field{Name: name, Text: fmt.Sprint(v)})
}

func (d *decoder) number(name string, k kind, n int64) {
	d.fields = append(d.fields, Field{Name: name, Kind: k, N: n})
}

// path takes the script's own folder away.
func (d *decoder) path(name string) {
	d.add(name, fmt.Sprintf("%q", strings.Replace(d.String(), d.prefix, "$", 1)))
}

func (d *decoder) data(name string) {
	b := d.Buffer()
	switch {
	case b == nil:
		d.add(name, "null")
	case len(b) > 100:
		d.add(name, fmt.Sprintf("%d bytes, %q...", len(b), b[:20]))
	default:
		d.add(name, fmt.Sprintf("%q", b))
	}
}

func (d *decoder) stat(name string) {
	s := d.Stat()
	d.number(name+".czxid", zxid, s.Czxid)
	d.number(name+".mzxid", zxid, s.Mzxid)
	d.number(name+".pzxid", zxid, s.Pzxid)
	d.number(name+".ctime", timeMs, s.Ctime)
	d.number(name+".mtime", timeMs, s.Mtime)
	d.add(name+".version", s.Version)
	d.add(name+".cversion", s.Cversion)
	d.add(name+".aversion", s.Aversion)
	d.number(name+".ephemeralOwner", session, s.EphemeralOwner)
	d.add(name+".dataLength", s.DataLength)
	d.add(name+".numChildren", s.NumChildren)
}

func (d *decoder) names(name string) {
	list := d.Strings()
	for i := range list {
		list[i] = strings.Replace(list[i], d.prefix, "$", 1)
	}
	slices.Sort(list)
	d.add(name, fmt.Sprintf("%q", list))
}

func (d *decoder) acls(name string) {
	list := d.ACLs()
	slices.SortFunc(list, func(a, b wire.ACL) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	d.add(name, fmt.Sprintf("%q", list))
}

// answer reads the body of an answer to a step.
func (d *decoder) answer(op int32) {
	switch op {
	case opCreate, opSync:
		d.path("path")
	case opCreate2, opCreateContainer, opCreateTTL:
		d.path("path")
		d.stat("stat")
	case opExists, opSetData, opSetACL, opCheck:
		d.stat("stat")
	case opGetData:
		d.data("data")
		d.stat("stat")
	case opReconfig:
		d.data("data")
	case opGetACL:
		d.acls("acl")
		d.stat("stat")
	case opGetChildren:
		d.names("children")
	case opGetEphemerals:
		d.names("ephemerals")
	case opGetChildren2:
		d.names("children")
		d.stat("stat")
	case opGetAllChildrenNumber:
		d.add("total", d.Int())
	case opAddWatch:
		d.add("err", d.Int())
	case opMulti, opMultiRead:
		d.results()
	case opWhoAmI:
		d.clients()
	}
}

// results reads those of a multi.
func (d *decoder) results() {
	for i := 0; d.Err() == nil; i++ {
		op, done, code := d.Int(), d.Bool(), d.Int()
		name := fmt.Sprintf("result[%d]", i)
		d.add(name, fmt.Sprintf("{type %d, done %t, err %d}", op, done, code))
		if done {
			return
		}
		switch op {
		case -1:
			d.add(name+".err", d.Int())
		case opCreate:
			d.path(name + ".path")
		case opCreate2:
			d.path(name + ".path")
			d.stat(name + ".stat")
		case opSetData:
			d.stat(name + ".stat")
		case opGetData:
			d.data(name + ".data")
			d.stat(name + ".stat")
		case opGetChildren:
			d.names(name + ".children")
		case opDelete, opCheck:
		default:
			d.add(name, "a type that is not known")
			return
		}
	}
}

// clients reads the answer to whoAmI.
func (d *decoder) clients() {
	n := d.Count()
	var list []string
	for range n {
		list = append(list, d.String()+":"+d.String())
	}
	slices.Sort(list)
	d.add("clients", list)
}

// decodeAnswer is the fields of a whole answer.
func decodeAnswer(prefix string, op int32, r wire.Reply) []Field {
	d := &decoder{prefix: prefix, Dec: wire.Dec{B: r.Body}}
	d.add("err", r.Err)
	k := atLeast
	if writes(op) && r.Err == 0 {
		k = zxid
	}
	if r.Zxid <= 0 {
		d.add("header.zxid", r.Zxid)
	} else {
		d.number("header.zxid", k, r.Zxid)
	}
	if len(r.Body) > 0 {
		d.answer(op)
	} else {
		d.add("body", "none")
	}
	if err := d.Err(); err != nil {
		d.add("body", err)
	} else if len(d.B) > 0 {
		d.add("behind the body", fmt.Sprintf("%d bytes", len(d.B)))
	}
	return d.fields
}

// writes tells whether an operation makes a transaction when it succeeds. A multi may hold
// a failure with err 0 and is left out.
func writes(op int32) bool {
	switch op {
	case opCreate, opCreate2, opCreateContainer, opCreateTTL, opDelete, opSetData, opSetACL:
		return true
	}
	return false
}

// decodeEvent is what a watcher is told.
func decodeEvent(prefix string, r wire.Reply) string {
	d := &decoder{prefix: prefix, Dec: wire.Dec{B: r.Body}}
	text := fmt.Sprintf("event type %d state %d path %q", d.Int(), d.Int(), strings.Replace(d.String(), prefix, "$", 1))
	if r.Zxid != -1 || r.Err != 0 || d.Err() != nil || len(d.B) > 0 {
		text += fmt.Sprintf(" (zxid %d, err %d, %v, %d bytes more)", r.Zxid, r.Err, d.Err(), len(d.B))
	}
	return text
}
