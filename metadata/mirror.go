package metadata

import (
	"slices"
	"strings"
)

// mirror follows a tree from afar: a watch says which nodes changed, each is read, and what
// was read becomes transactions. It is pure; a ZKStore sends its reads and brings the answers
// in the order of the wire.
//
// Events are collected in batches. A batch is told once all of its reads are answered, so that
// the nodes of one multi, whose events come together, are told together as a rule. A server
// tells an event before any answer that shows the state after it; so when an answer carries
// zxid Z, the events of all transactions up to Z have come. A batch that ends then holds all
// of them, and is told as Z.
type mirror struct {
	told    map[string]*mirrored // what subscribers know
	zxid    int64                // that they know
	seen    int64                // the largest of an answer
	batches []*batch             // oldest first; events go into the last one
	todo    []*read              // not sent yet
	flying  int
}

// mirrored is a node as it was read.
type mirrored struct {
	data     []byte
	stat     Stat
	children int // that are told
}

// batch is events that are told together.
type batch struct {
	found  map[string]*mirrored // nil: there is no such node
	left   int                  // reads without an answer
	events int
	walk   bool  // it reads the whole tree: what it does not find is not there
	ended  bool  // takes no more events
	zxid   int64 // once ended
}

// read is a node that is to be read, and, in a walk, its children.
type read struct {
	path     string
	children bool // the names, not the node
	batch    *batch
}

const (
	// maxFlying is how many reads are under way at a time.
	maxFlying = 256
	// maxBatchEvents ends a batch under a load that never pauses.
	maxBatchEvents = 1024
)

func newMirror() *mirror { return &mirror{told: map[string]*mirrored{}} }

// reset forgets what is under way and reads the whole tree: a connection is new, and what
// happened before it was not told.
func (m *mirror) reset() {
	m.todo, m.flying = nil, 0
	walk := &batch{found: map[string]*mirrored{}, walk: true}
	m.batches = []*batch{walk}
	m.want("/", false, walk)
}

// stop forgets what is under way.
func (m *mirror) stop() { m.todo, m.flying, m.batches = nil, 0, nil }

func (m *mirror) want(path string, children bool, b *batch) {
	b.left++
	m.todo = append(m.todo, &read{path: path, children: children, batch: b})
}

// next returns reads that are to be sent now.
func (m *mirror) next() []*read {
	n := min(len(m.todo), maxFlying-m.flying)
	if n <= 0 {
		return nil
	}
	out := m.todo[:n:n]
	m.todo = m.todo[n:]
	m.flying += n
	return out
}

// changed notes that something happened to a node.
func (m *mirror) changed(path string) {
	var b *batch
	if n := len(m.batches); n > 0 && !m.batches[n-1].ended {
		b = m.batches[n-1]
	} else {
		b = &batch{found: map[string]*mirrored{}}
		m.batches = append(m.batches, b)
	}
	b.events++
	m.want(path, false, b)
	if parent, topic := split(path); parent == TopicsPath {
		// Whether its settings went with a topic is told with it (Image.RemovedByHand).
		m.want(TopicConfigPath(topic), false, b)
	}
	if !b.walk && b.events >= maxBatchEvents {
		b.ended, b.zxid = true, m.seen
	}
}

// answered takes the node that a read found, nil for none, with the zxid of the answer.
func (m *mirror) answered(r *read, n *mirrored, zxid int64) []Txn {
	m.flying--
	m.seen = max(m.seen, zxid)
	r.batch.left--
	r.batch.found[r.path] = n
	if r.batch.walk && n != nil && n.stat.NumChildren > 0 {
		m.want(r.path, true, r.batch)
	}
	return m.tell()
}

// listed takes the names of a node's children.
func (m *mirror) listed(r *read, names []string, zxid int64) []Txn {
	m.flying--
	m.seen = max(m.seen, zxid)
	r.batch.left--
	for _, name := range names {
		path := join(r.path, name)
		if _, known := r.batch.found[path]; !known {
			m.want(path, false, r.batch)
		}
	}
	return m.tell()
}

// saw notes the zxid of another answer of the same connection.
func (m *mirror) saw(zxid int64) []Txn {
	m.seen = max(m.seen, zxid)
	return m.tell()
}

// tell returns what can be told now.
func (m *mirror) tell() []Txn {
	var out []Txn
	for len(m.batches) > 0 {
		b := m.batches[0]
		if b.left > 0 {
			return out
		}
		if !b.ended {
			b.ended, b.zxid = true, m.seen
		}
		if !b.walk && b.zxid <= m.zxid {
			if len(m.batches) == 1 && m.seen <= m.zxid {
				return out // nothing newer was seen, so the next answer ends it
			}
			m.merge(b)
			continue
		}
		m.batches = m.batches[1:]
		if txn, ok := m.commit(b); ok {
			out = append(out, txn)
		}
	}
	if m.seen > m.zxid && m.zxid > 0 {
		m.zxid = m.seen
		out = append(out, Txn{Zxid: m.seen})
	}
	return out
}

// merge gives what an ended batch found to the one after it: there was no newer zxid to tell
// it with.
func (m *mirror) merge(b *batch) {
	m.batches = m.batches[1:]
	if len(m.batches) == 0 {
		b.zxid = m.seen
		m.batches = append(m.batches, b)
		return
	}
	for path, n := range b.found {
		if _, newer := m.batches[0].found[path]; !newer {
			m.batches[0].found[path] = n
		}
	}
}

// commit makes a transaction of what a batch found.
func (m *mirror) commit(b *batch) (Txn, bool) {
	txn := Txn{Zxid: max(b.zxid, m.zxid)}
	if b.walk {
		for path := range m.told {
			if _, ok := b.found[path]; !ok {
				b.found[path] = nil
			}
		}
		if m.zxid == 0 || !sameNode(m.told[ClusterIDPath], b.found[ClusterIDPath]) {
			m.told, txn.Snapshot = map[string]*mirrored{}, true
		}
	}
	paths := sortedKeys(b.found)
	for _, path := range slices.Backward(paths) {
		was, is := m.told[path], b.found[path]
		if was != nil && (is == nil || is.stat.Czxid != was.stat.Czxid) {
			txn.Events = m.remove(path, txn.Events)
		}
	}
	for _, path := range paths {
		was, is := m.told[path], b.found[path]
		switch {
		case is == nil:
		case was == nil:
			m.insert(path, is)
			txn.Events = append(txn.Events, Event{Kind: Created, Path: path, Data: is.data, Stat: is.stat})
		case was.stat.Mzxid != is.stat.Mzxid:
			is.children = was.children
			m.told[path] = is
			txn.Events = append(txn.Events, Event{Kind: Changed, Path: path, Data: is.data, Stat: is.stat})
		}
	}
	if !txn.Snapshot && txn.Zxid <= m.zxid && len(txn.Events) == 0 {
		return txn, false
	}
	m.zxid = txn.Zxid
	return txn, true
}

func sameNode(a, b *mirrored) bool {
	return a != nil && b != nil && string(a.data) == string(b.data) || a == nil && b == nil
}

func (m *mirror) insert(path string, n *mirrored) {
	n.children = 0
	m.told[path] = n
	if parent, _ := split(path); path != "/" && m.told[parent] != nil {
		m.told[parent].children++
	}
}

// remove tells the end of a node, and before it that of all below it that was not told yet.
func (m *mirror) remove(path string, events []Event) []Event {
	n := m.told[path]
	if n.children > 0 {
		var below []string
		prefix := strings.TrimSuffix(path, "/") + "/"
		for p := range m.told {
			if p != path && strings.HasPrefix(p, prefix) {
				below = append(below, p)
			}
		}
		slices.Sort(below)
		for _, p := range slices.Backward(below) {
			events = append(events, Event{Kind: Deleted, Path: p})
			delete(m.told, p)
		}
	}
	delete(m.told, path)
	if parent, _ := split(path); path != "/" && m.told[parent] != nil {
		m.told[parent].children--
	}
	return append(events, Event{Kind: Deleted, Path: path})
}

// snapshot is the transaction that creates all that was told.
func (m *mirror) snapshot() Txn {
	txn := Txn{Zxid: m.zxid, Snapshot: true}
	for _, path := range sortedKeys(m.told) {
		n := m.told[path]
		txn.Events = append(txn.Events, Event{Kind: Created, Path: path, Data: n.data, Stat: n.stat})
	}
	return txn
}
