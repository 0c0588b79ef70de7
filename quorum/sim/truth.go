package sim

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// truth is what the servers applied. They must agree on it.
type truth struct {
	t testing.TB

	mu      sync.Mutex
	txns    map[int64]*applied
	order   []int64 // the zxids in txns, ascending
	digests map[int64]uint64
}

// applied is one transaction that changed something.
type applied struct {
	zxid    int64
	before  int64  // the zxid that the state had before it
	digest  uint64 // of the state after it
	session int64  // that asked for it
	kind    tree.Kind
	changes []change
	closed  int64 // the session that it ended
	at      time.Time
}

type change struct {
	kind  tree.ChangeKind
	path  string
	data  string
	owner int64
	ver   int32
	// wrote is the node's mtime when this made or wrote it; zero otherwise.
	wrote time.Time
}

func newTruth(t testing.TB) *truth {
	return &truth{t: t, txns: make(map[int64]*applied), digests: make(map[int64]uint64)}
}

// observer is a sink that tells the truth what one server applies.
type observer struct {
	truth *truth
	id    int
	h     *node.Handle

	mu   sync.Mutex
	gone bool
	zxid int64 // the last that it applied
}

var _ node.Sink = (*observer)(nil)

func (tr *truth) observe(id int, n *node.Node) *observer {
	o := &observer{truth: tr, id: id}
	h := n.Attach(o)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.h = h
	return o
}

// detach lets what is still applied on a server that was killed be of no matter.
func (o *observer) detach() {
	o.mu.Lock()
	o.gone = true
	h := o.h
	o.mu.Unlock()
	if h != nil {
		h.Close()
	}
}

// Applied implements node.Sink.
func (o *observer) Applied(s *tree.State, out *tree.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return
	}
	if out.Result.Duplicate {
		return // the answer of the first time, with its zxid
	}
	zxid := out.Result.Zxid
	if zxid < o.zxid {
		o.truth.t.Errorf("server %d applied %#x after %#x", o.id, zxid, o.zxid)
	}
	if zxid == o.zxid {
		return // it changed nothing
	}
	before := o.zxid
	o.zxid = zxid
	a := &applied{zxid: zxid, before: before, digest: s.Digest(), session: out.Txn.Session, kind: out.Txn.Op.Kind, closed: out.Closed, at: time.Now()}
	for _, c := range out.Changes {
		ch := change{kind: c.Kind, path: c.Path, data: string(c.Data), owner: c.Stat.EphemeralOwner, ver: c.Stat.Version}
		if c.Kind == tree.NodeCreated || c.Kind == tree.NodeDataChanged {
			ch.wrote = time.UnixMilli(c.Stat.MtimeMs)
		}
		a.changes = append(a.changes, ch)
	}
	o.truth.add(o.id, a)
}

// Reset implements node.Sink.
func (o *observer) Reset(s *tree.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.zxid = s.Zxid()
	if !o.gone {
		o.truth.check(o.id, s.Zxid(), s.Digest())
	}
}

// Published, Serving and WritesLost implement node.Sink.
func (o *observer) Published()   {}
func (o *observer) Serving(bool) {}
func (o *observer) WritesLost()  {}

func (tr *truth) add(id int, a *applied) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if was, ok := tr.txns[a.zxid]; ok {
		if fmt.Sprint(was.digest, was.session, was.kind, was.changes, was.closed) != fmt.Sprint(a.digest, a.session, a.kind, a.changes, a.closed) {
			tr.t.Errorf("server %d applied another transaction %#x than others:\n  %+v\n  %+v", id, a.zxid, a, was)
		}
		return
	}
	tr.txns[a.zxid] = a
	// A server that lags may be the first that tells of it, when those ahead were started from
	// their logs.
	at, _ := slices.BinarySearch(tr.order, a.zxid)
	tr.order = slices.Insert(tr.order, at, a.zxid)
}

// whole tells whether no transaction is missing: those that a server applied from its log while
// it started are told by others, if there were any.
func (tr *truth) whole() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i, zxid := range tr.order {
		if i > 0 && tr.txns[zxid].before != tr.order[i-1] {
			return false
		}
	}
	return true
}

func (tr *truth) check(id int, zxid int64, digest uint64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if was, ok := tr.txns[zxid]; ok && was.digest != digest {
		tr.t.Errorf("server %d starts with another state at %#x: %#x, want %#x", id, zxid, digest, was.digest)
	}
}

// version is a node's state from a zxid on.
type version struct {
	zxid  int64
	there bool
	data  string
	ver   int32
	owner int64
	kind  tree.ChangeKind
}

// histories are the versions of each path, oldest first.
func (tr *truth) histories() map[string][]version {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	out := make(map[string][]version)
	for _, zxid := range tr.order {
		for _, c := range tr.txns[zxid].changes {
			if c.kind == tree.NodeACLChanged {
				continue
			}
			out[c.path] = append(out[c.path], version{zxid, c.kind != tree.NodeDeleted, c.data, c.ver, c.owner, c.kind})
		}
	}
	return out
}

// asOf is the version in force at zxid.
func asOf(list []version, zxid int64) version {
	i := sort.Search(len(list), func(i int) bool { return list[i].zxid > zxid })
	if i == 0 {
		return version{}
	}
	return list[i-1]
}

// after is the first version behind zxid that satisfies f.
func after(list []version, zxid int64, f func(version) bool) (version, bool) {
	for _, v := range list[sort.Search(len(list), func(i int) bool { return list[i].zxid > zxid }):] {
		if f(v) {
			return v, true
		}
	}
	return version{}, false
}

// all are the transactions in order.
func (tr *truth) all() []*applied {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	out := make([]*applied, len(tr.order))
	for i, zxid := range tr.order {
		out[i] = tr.txns[zxid]
	}
	return out
}
