package client

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// Event is what a watch tells. With EventNone the session has ended: State says how.
type Event struct {
	Type  jute.EventType
	State State
	Path  string
}

// setWatchesLimit is how long a packet that arms watches may be before another one is begun.
const setWatchesLimit = 128 << 10

// watches are a client's, by kind and the server's path.
type watches struct {
	data, exist, child, persistent, recursive watchMap
}

type watchMap map[string][]func(Event)

func (m *watchMap) add(path string, f func(Event)) {
	if *m == nil {
		*m = watchMap{}
	}
	(*m)[path] = append((*m)[path], f)
}

// take removes and returns those of a path.
func (m watchMap) take(path string) []func(Event) {
	fs := m[path]
	delete(m, path)
	return fs
}

// register keeps the watch of a call that was answered.
func (w *watches) register(k *call, code jute.Code) {
	if k.watch == nil {
		return
	}
	switch {
	case k.op == jute.OpExists && code == jute.NoNode:
		w.exist.add(k.node, k.watch)
	case code != jute.OK:
	case k.op == jute.OpExists || k.op == jute.OpGetData:
		w.data.add(k.node, k.watch)
	case k.op == jute.OpGetChildren || k.op == jute.OpGetChildren2:
		w.child.add(k.node, k.watch)
	case k.op == jute.OpAddWatch && k.addMode == jute.WatchPersistentRecursive:
		w.recursive.add(k.node, k.watch)
	case k.op == jute.OpAddWatch:
		w.persistent.add(k.node, k.watch)
	}
}

// fire tells an event at a node to those whom it concerns.
func (w *watches) fire(node string, e Event) {
	var fs []func(Event)
	switch e.Type {
	case jute.EventCreated, jute.EventDataChanged:
		fs = append(w.data.take(node), w.exist.take(node)...)
	case jute.EventDeleted:
		fs = append(w.data.take(node), w.exist.take(node)...)
		fs = append(fs, w.child.take(node)...)
	case jute.EventChildrenChanged:
		fs = w.child.take(node)
	}
	fs = append(fs, w.persistent[node]...)
	if e.Type != jute.EventChildrenChanged && len(w.recursive) > 0 {
		for path := node; ; path = parent(path) {
			fs = append(fs, w.recursive[path]...)
			if path == "/" || path == "" {
				break
			}
		}
	}
	for _, f := range fs {
		f(e)
	}
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// removed forgets the watches of a call that the server has removed, and tells them so. It
// fails when there is none of the kind here: a watch that stays has a part among the
// server's watches of data and one among those of children, and goes by WatcherAny only.
func (c *Client) removed(k *call) error {
	w, any := &c.watches, false
	tell := func(t jute.EventType, fs []func(Event)) {
		any = any || len(fs) > 0
		e := Event{Type: t, State: Connected, Path: k.path}
		if len(fs) > 0 && c.cfg.OnEvent != nil {
			c.cfg.OnEvent(e)
		}
		for _, f := range fs {
			f(e)
		}
	}
	if k.watchers == jute.WatcherData || k.watchers == jute.WatcherAny {
		tell(jute.EventDataWatchRemoved, append(w.data.take(k.node), w.exist.take(k.node)...))
	}
	if k.watchers == jute.WatcherChildren || k.watchers == jute.WatcherAny {
		tell(jute.EventChildWatchRemoved, w.child.take(k.node))
	}
	if k.watchers == jute.WatcherAny {
		tell(jute.EventPersistentRemoved, append(w.persistent.take(k.node), w.recursive.take(k.node)...))
	}
	if !any {
		return &Error{Op: k.op, Path: k.path, Code: jute.NoWatcher}
	}
	return nil
}

// end tells every watch that the session is over.
func (w *watches) end(state State) {
	for _, m := range []watchMap{w.data, w.exist, w.child, w.persistent, w.recursive} {
		for _, path := range m.paths() {
			for _, f := range m[path] {
				f(Event{Type: jute.EventNone, State: state})
			}
		}
	}
	*w = watches{}
}

func (m watchMap) paths() []string {
	out := make([]string, 0, len(m))
	for path := range m {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

// appendRearm appends the packets that arm the watches on another server, each no longer
// than setWatchesLimit by more than one path. Without watches that stay they are SetWatches,
// which servers before 3.6 know.
func (c *Client) appendRearm(dst []byte, zxid int64) []byte {
	kinds := []watchMap{c.watches.data, c.watches.exist, c.watches.child, c.watches.persistent, c.watches.recursive}
	var lists [5][]string
	size := 0
	flush := func() {
		m := jute.SetWatches2{SetWatches: jute.SetWatches{RelativeZxid: zxid, Data: lists[0], Exist: lists[1], Child: lists[2]}, Persistent: lists[3], PersistentRecursive: lists[4]}
		h := jute.RequestHeader{Xid: jute.XidSetWatches, Op: jute.OpSetWatches}
		var body jute.Record = &m.SetWatches
		if len(lists[3])+len(lists[4]) > 0 {
			h.Op, body = jute.OpSetWatches2, &m
		}
		start := len(dst)
		dst = body.AppendTo(h.AppendTo(jute.BeginFrame(dst)))
		jute.EndFrame(dst, start)
		lists, size = [5][]string{}, 0
	}
	for i, m := range kinds {
		for _, path := range m.paths() {
			lists[i] = append(lists[i], path)
			if size += len(path) + 4; size >= setWatchesLimit {
				flush()
			}
		}
	}
	if size > 0 {
		flush()
	}
	return dst
}
