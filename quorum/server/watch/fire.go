package watch

import (
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// Node is one that changed. Of a deleted node ACL is the one that it had.
type Node struct {
	Path      string
	ACL       []jute.ACL
	ParentACL []jute.ACL // but for Changed
}

// Created fires what the making of a node fires, and returns how many were told of it, and
// of its parent's children.
func (t *Table) Created(n Node) (created, children int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.paths) == 0 {
		return 0, 0
	}
	t.stamp++
	created = t.node(&Event{Type: jute.EventCreated, Path: n.Path, ACL: n.ACL}, Data, persistentData, recursiveData)
	return created, t.children(&n)
}

// Changed fires what new data fires.
func (t *Table) Changed(n Node) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.paths) == 0 {
		return 0
	}
	t.stamp++
	return t.node(&Event{Type: jute.EventDataChanged, Path: n.Path, ACL: n.ACL}, Data, persistentData, recursiveData)
}

// Deleted fires what the end of a node fires. Who watched its data and its children is told
// once.
func (t *Table) Deleted(n Node) (deleted, children int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.paths) == 0 {
		return 0, 0
	}
	t.stamp++
	e := &Event{Type: jute.EventDeleted, Path: n.Path, ACL: n.ACL}
	deleted = t.node(e, Data, persistentData, recursiveData)
	deleted += t.node(e, Children, persistentChildren, recursiveChildren)
	return deleted, t.children(&n)
}

// children tells who watches the children of the node's parent.
func (t *Table) children(n *Node) int {
	up := parent(n.Path)
	p := t.paths[up]
	if p == nil {
		return 0
	}
	t.stamp++
	return t.tell(p, &Event{Type: jute.EventChildrenChanged, Path: up, ACL: n.ParentACL}, Children, persistentChildren)
}

// node tells who watches the event's path, and who watches everything below one of its
// ancestors.
func (t *Table) node(e *Event, once, stays, recursive Kind) int {
	told := 0
	if p := t.paths[e.Path]; p != nil {
		told = t.tell(p, e, once, stays|recursive)
	}
	if t.recursive == 0 {
		return told
	}
	for at := e.Path; at != "/"; {
		at = parent(at)
		if p := t.paths[at]; p != nil {
			told += t.tell(p, e, 0, recursive)
		}
	}
	return told
}

// tell goes through the subs from the end, so that one may go on the way.
func (t *Table) tell(p *path, e *Event, once, stays Kind) int {
	told := 0
	for i := len(p.subs) - 1; i >= 0; i-- {
		s := p.subs[i]
		if s.marks&(once|stays) == 0 {
			continue
		}
		if s.marks&once != 0 {
			t.mark(p, int32(i), s.marks&^once)
		}
		if s.w.stamp == t.stamp {
			continue
		}
		s.w.stamp = t.stamp
		s.w.receiver.Notify(e)
		told++
	}
	return told
}

// parent is the path above; that of the root is the root.
func parent(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i <= 0 {
		return "/"
	}
	return name[:i]
}

// Summary is what the words wchs and mntr tell. ZooKeeper counts pairs of watcher and path;
// the first three are of data watches, as in its wchs.
type Summary struct {
	Watchers, Paths, Watches int
	All                      int // data and child watches
	Bytes                    int64
}

// Summary counts.
func (t *Table) Summary() Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Summary{Watchers: t.watchers, Paths: t.dataPaths, Watches: t.dataSubs, All: t.dataSubs + t.childSubs, Bytes: t.bytes}
}

// Walk calls yield for each pair of a path and a watcher with a data mark, path by path, in
// no order, with the table's lock held.
func (t *Table) Walk(yield func(path string, r Receiver)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.paths {
		for _, s := range p.subs {
			if s.marks&AllData != 0 {
				yield(name, s.w.receiver)
			}
		}
	}
}
