package metadata

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// node is one node of the tree. A node that a tree holds is never written to: a draft
// copies it first.
type node struct {
	data         []byte
	czxid, mzxid int64
	pzxid        int64
	ctimeMs      int64
	mtimeMs      int64
	version      int32
	creates      int32 // children ever created; names the next sequential one
	owner        int64
	children     map[string]struct{}
}

// stat shows the node as clients see it: Cversion counts creations and removals, which is
// twice the creations less the children that are left (ZooKeeper's DataNode.copyStat).
func (n *node) stat() Stat {
	return Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, CtimeMs: n.ctimeMs, MtimeMs: n.mtimeMs,
		Version: n.version, Cversion: n.creates*2 - int32(len(n.children)), EphemeralOwner: n.owner,
		DataBytes: int32(len(n.data)), NumChildren: int32(len(n.children)),
	}
}

func (n *node) clone() *node {
	c := *n
	c.children = make(map[string]struct{}, len(n.children)+1)
	for name := range n.children {
		c.children[name] = struct{}{}
	}
	return &c
}

// tree is the state at one zxid. It has no lock, no clock and no I/O.
type tree struct {
	nodes map[string]*node
	zxid  int64
}

func newTree() *tree {
	return &tree{nodes: map[string]*node{"/": {}}}
}

// lookup is what a draft can lie upon: a tree, or another draft.
type lookup interface{ get(path string) *node }

func (t *tree) get(path string) *node { return t.nodes[path] }

// paths returns all paths sorted, so that a parent comes before its children.
func (t *tree) paths() []string { return sortedKeys(t.nodes) }

// draft is a set of changes on top of a tree that is not touched: readers go on in the
// tree, and a draft that could not be made durable is dropped.
type draft struct {
	under   lookup
	changed map[string]*node // nil: deleted
	zxid    int64
	nowMs   int64
}

func newDraft(under lookup, zxid, nowMs int64) *draft {
	return &draft{under: under, changed: map[string]*node{}, zxid: zxid, nowMs: nowMs}
}

func (d *draft) get(path string) *node {
	if n, ok := d.changed[path]; ok {
		return n
	}
	return d.under.get(path)
}

// own returns a copy of an existing node that the draft may write to.
func (d *draft) own(path string) *node {
	if n := d.changed[path]; n != nil {
		return n
	}
	n := d.under.get(path).clone()
	d.changed[path] = n
	return n
}

// mergeInto moves the draft's changes to the draft that it lies upon.
func (d *draft) mergeInto(below *draft) {
	for path, n := range d.changed {
		below.changed[path] = n
	}
	below.zxid = d.zxid
}

// commit moves the draft's changes into the tree.
func (t *tree) commit(d *draft) {
	for path, n := range d.changed {
		if n == nil {
			delete(t.nodes, path)
		} else {
			t.nodes[path] = n
		}
	}
	t.zxid = d.zxid
}

// apply runs the ops of one transaction for a session. On an error the draft is of no use
// any more. The result and the events are in the order of the ops.
func (d *draft) apply(session int64, ops []Op) ([]OpResult, []Event, error) {
	results := make([]OpResult, len(ops))
	events := make([]Event, 0, len(ops))
	for i, op := range ops {
		result, event, err := d.step(session, op)
		if err != nil {
			return nil, nil, &MultiError{Index: i, Op: op, Err: err}
		}
		results[i] = result
		if event.Kind != 0 {
			events = append(events, event)
		}
	}
	return results, events, nil
}

func (d *draft) step(session int64, op Op) (OpResult, Event, error) {
	if op.Kind == OpCreate {
		return d.create(session, op)
	}
	if err := checkPath(op.Path); err != nil {
		return OpResult{}, Event{}, err
	}
	n := d.get(op.Path)
	switch {
	case n == nil:
		return OpResult{}, Event{}, ErrNoNode
	case op.Version != AnyVersion && op.Version != n.version:
		return OpResult{}, Event{}, fmt.Errorf("%w: it is %d, not %d", ErrBadVersion, n.version, op.Version)
	}
	switch op.Kind {
	case OpCheck:
		return OpResult{Path: op.Path, Stat: n.stat()}, Event{}, nil
	case OpSet:
		n = d.own(op.Path)
		n.data, n.version, n.mzxid, n.mtimeMs = op.Data, nextVersion(n.version), d.zxid, d.nowMs
		return OpResult{Path: op.Path, Stat: n.stat()}, Event{Kind: Changed, Path: op.Path, Data: n.data, Stat: n.stat()}, nil
	case OpDelete:
		return d.remove(op.Path, n)
	}
	return OpResult{}, Event{}, ErrBadArguments
}

func (d *draft) create(session int64, op Op) (OpResult, Event, error) {
	path := op.Path
	if op.Sequential {
		// The suffix may be the whole last part ("/queue/"), so check the path with it.
		path += "0000000000"
	}
	if err := checkPath(path); err != nil {
		return OpResult{}, Event{}, err
	}
	if path == "/" {
		return OpResult{}, Event{}, ErrNodeExists
	}
	parentPath, _ := split(path)
	parent := d.get(parentPath)
	switch {
	case parent == nil:
		return OpResult{}, Event{}, fmt.Errorf("parent: %w", ErrNoNode)
	case parent.owner != 0:
		return OpResult{}, Event{}, ErrNoChildrenForEphemerals
	case op.Sequential:
		path = fmt.Sprintf("%s%010d", op.Path, parent.creates)
	}
	if d.get(path) != nil {
		return OpResult{}, Event{}, ErrNodeExists
	}
	_, name := split(path)
	parent = d.own(parentPath)
	parent.children[name] = struct{}{}
	parent.creates++ // wraps as ZooKeeper's does
	parent.pzxid = d.zxid
	n := &node{
		data: op.Data, czxid: d.zxid, mzxid: d.zxid, pzxid: d.zxid,
		ctimeMs: d.nowMs, mtimeMs: d.nowMs, children: map[string]struct{}{},
	}
	if op.Ephemeral {
		n.owner = session
	}
	d.changed[path] = n
	return OpResult{Path: path, Stat: n.stat()}, Event{Kind: Created, Path: path, Data: n.data, Stat: n.stat()}, nil
}

func (d *draft) remove(path string, n *node) (OpResult, Event, error) {
	switch {
	case path == "/":
		return OpResult{}, Event{}, ErrBadArguments
	case len(n.children) > 0:
		return OpResult{}, Event{}, ErrNotEmpty
	}
	parentPath, name := split(path)
	parent := d.own(parentPath)
	delete(parent.children, name)
	parent.pzxid = d.zxid
	d.changed[path] = nil
	return OpResult{Path: path}, Event{Kind: Deleted, Path: path}, nil
}

// nextVersion grows a version. -1 means "any" in a request, so a wrapped counter skips it
// (ZOOKEEPER-4743).
func nextVersion(v int32) int32 {
	if v == math.MaxInt32 {
		return math.MinInt32
	}
	if v == -2 {
		return 0
	}
	return v + 1
}

// ephemerals returns the ops that end a session, or allSessions, as a draft on a tree
// shows them: its nodes in path order.
func ephemerals(d *draft, t *tree, session int64) []Op {
	var ops []Op
	add := func(path string, n *node) {
		if n != nil && n.owner != 0 && (session == allSessions || n.owner == session) {
			ops = append(ops, Delete(path, AnyVersion))
		}
	}
	for path, n := range t.nodes {
		if _, ok := d.changed[path]; !ok {
			add(path, n)
		}
	}
	for path, n := range d.changed {
		add(path, n)
	}
	slices.SortFunc(ops, func(a, b Op) int { return strings.Compare(a.Path, b.Path) })
	return ops
}

// snapshot is the transaction that creates the whole tree.
func (t *tree) snapshot() Txn {
	paths := t.paths()
	txn := Txn{Zxid: t.zxid, Snapshot: true, Events: make([]Event, len(paths))}
	for i, path := range paths {
		n := t.nodes[path]
		txn.Events[i] = Event{Kind: Created, Path: path, Data: n.data, Stat: n.stat()}
	}
	return txn
}
