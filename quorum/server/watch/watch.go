// Package watch is the table of watches of one server: who wants to hear of which path, and
// who hears of a change.
//
// It keeps ZooKeeper's rules. A watch is of data or of children, one-shot, persistent or
// recursive; each is a mark of its own on the pair of watcher and path, so that watches of
// different kinds on one path do not disturb each other (ZOOKEEPER-4466). One event reaches a
// watcher once, however many of its watches match. A recursive watch hears of its path and of
// everything below it, but never that children changed: it hears of the children themselves.
//
// The caller fires events while it holds the lock under which the state changes, and adds
// watches while it holds the same lock for reading: then no change falls between a read and
// its watch. The table's own lock orders those who add with those who leave. A Receiver is
// called with it held and may take its connection's lock, which nobody holds who calls here.
//
// Memory is charged to watchers in bytes; an Add beyond the limit is refused, and it is the
// caller's duty to part with who asked.
package watch

import (
	"strings"
	"sync"

	"github.com/millrace/millrace/quorum/jute"
)

// Kind is a kind of watch: a set of marks.
type Kind uint8

// The kinds. Data and Children are one-shot; Persistent and Recursive are of both, data and
// children.
const (
	Data Kind = 1 << iota
	Children
	persistentData
	persistentChildren
	recursiveData
	recursiveChildren

	Persistent = persistentData | persistentChildren
	Recursive  = recursiveData | recursiveChildren

	// AllData and AllChildren are what a client means that removes its data or its child
	// watches on a path; Any is both.
	AllData     = Data | persistentData | recursiveData
	AllChildren = Children | persistentChildren | recursiveChildren
	Any         = AllData | AllChildren
)

// Event is one event on its way to all who are told.
type Event struct {
	Type jute.EventType
	Path string
	// ACL is that of the node at Path: who may not read it is not to be told.
	ACL []jute.ACL
	// Frame is for the receivers: what the first of them encoded, for the others.
	Frame []byte
}

// Receiver is told of events, and judges whether they may be passed on. It must not block, nor
// call the table.
type Receiver interface {
	Notify(*Event)
}

// Limits bounds the memory of watches, in bytes as cost counts them.
type Limits struct {
	PerWatcherBytes int64
	// TotalBytes is of all watchers together. Beyond it those are refused that hold more than
	// a sixty-fourth of it, so that one greedy client does not cost the modest ones.
	TotalBytes int64
}

// Watcher is one connection in the table. It is made by Table.Watcher.
type Watcher struct {
	receiver Receiver
	index    map[*path]int32 // its place in path.subs
	bytes    int64
	dataN    int // paths with a data mark
	stamp    uint64
	gone     bool
}

// sub is a watcher's marks on a path.
type sub struct {
	w     *Watcher
	marks Kind
}

type path struct {
	name  string
	subs  []sub
	dataN int // subs with a data mark
}

// Table is the watches of one server.
type Table struct {
	limits Limits

	mu        sync.Mutex
	paths     map[string]*path
	bytes     int64
	stamp     uint64 // of the event that goes out
	recursive int    // subs with a recursive mark
	dataSubs  int    // subs with a data mark
	childSubs int
	dataPaths int // paths with a data mark
	watchers  int // watchers with a data mark
}

// New makes an empty table.
func New(limits Limits) *Table {
	return &Table{limits: limits, paths: map[string]*path{}}
}

// Watcher makes a watcher without watches.
func (t *Table) Watcher(r Receiver) *Watcher { return &Watcher{receiver: r} }

// cost is what a watch is charged: about what it takes when nobody shares its path.
func cost(name string) int64 { return int64(len(name)) + 160 }

// Add marks the path for w; the name is copied if it is kept. False: w holds too much. A
// watcher that left is ignored.
func (t *Table) Add(w *Watcher, name string, kind Kind) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.gone {
		return true
	}
	p := t.paths[name]
	if p != nil {
		if i, ok := w.index[p]; ok {
			t.mark(p, i, p.subs[i].marks|kind)
			return true
		}
	}
	c := cost(name)
	if w.bytes+c > t.limits.PerWatcherBytes || t.bytes+c > t.limits.TotalBytes && w.bytes+c > t.limits.TotalBytes/64 {
		return false
	}
	if p == nil {
		p = &path{name: strings.Clone(name)}
		t.paths[p.name] = p
	}
	if w.index == nil {
		w.index = map[*path]int32{}
	}
	i := int32(len(p.subs))
	p.subs = append(p.subs, sub{w: w})
	w.index[p] = i
	w.bytes += c
	t.bytes += c
	t.mark(p, i, kind)
	return true
}

// mark gives a sub its marks and keeps the counters; without marks the sub goes, and with the
// last sub the path.
func (t *Table) mark(p *path, i int32, marks Kind) {
	s := &p.subs[i]
	was, w := s.marks, s.w
	s.marks = marks
	t.recursive += step(was, marks, Recursive)
	t.childSubs += step(was, marks, AllChildren)
	if d := step(was, marks, AllData); d != 0 {
		t.dataSubs += d
		t.dataPaths += crosses(p.dataN, d)
		p.dataN += d
		t.watchers += crosses(w.dataN, d)
		w.dataN += d
	}
	if marks != 0 {
		return
	}
	last := int32(len(p.subs) - 1)
	if i != last {
		p.subs[i] = p.subs[last]
		p.subs[i].w.index[p] = i
	}
	p.subs[last] = sub{}
	p.subs = p.subs[:last]
	if cap(p.subs) > 64 && len(p.subs) < cap(p.subs)/4 {
		p.subs = append(make([]sub, 0, 2*len(p.subs)), p.subs...)
	}
	delete(w.index, p)
	if len(w.index) == 0 {
		w.index = nil
	}
	c := cost(p.name)
	w.bytes -= c
	t.bytes -= c
	if len(p.subs) == 0 {
		delete(t.paths, p.name)
		if len(t.paths) == 0 {
			t.paths = map[string]*path{} // a map keeps the room that it once needed
		}
	}
}

// step is 1 if the set was entered, -1 if it was left.
func step(was, is, set Kind) int {
	switch {
	case was&set == 0 && is&set != 0:
		return 1
	case was&set != 0 && is&set == 0:
		return -1
	}
	return 0
}

// crosses tells how a count of those above zero changes when n moves by d.
func crosses(n, d int) int {
	switch {
	case n == 0 && d > 0:
		return 1
	case n == 1 && d < 0:
		return -1
	}
	return 0
}

// Has tells whether w has one of these marks on the path.
func (t *Table) Has(w *Watcher, name string, kind Kind) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[name]
	if p == nil {
		return false
	}
	i, ok := w.index[p]
	return ok && p.subs[i].marks&kind != 0
}

// Remove takes these marks from w's pair with the path and tells whether there was one.
func (t *Table) Remove(w *Watcher, name string, kind Kind) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[name]
	if p == nil {
		return false
	}
	i, ok := w.index[p]
	if !ok || p.subs[i].marks&kind == 0 {
		return false
	}
	t.mark(p, i, p.subs[i].marks&^kind)
	return true
}

// Leave takes all watches of w, and all that it may still ask for.
func (t *Table) Leave(w *Watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.gone = true
	for len(w.index) > 0 {
		for p, i := range w.index {
			t.mark(p, i, 0)
		}
	}
}
