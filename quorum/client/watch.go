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

// watches are a client's, by kind and path (the client's).
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
		w.exist.add(k.path, k.watch)
	case code != jute.OK:
	case k.op == jute.OpExists || k.op == jute.OpGetData:
		w.data.add(k.path, k.watch)
	case k.op == jute.OpGetChildren || k.op == jute.OpGetChildren2:
		w.child.add(k.path, k.watch)
	case k.op == jute.OpAddWatch && k.addMode == jute.WatchPersistentRecursive:
		w.recursive.add(k.path, k.watch)
	case k.op == jute.OpAddWatch:
		w.persistent.add(k.path, k.watch)
	}
}

// fire tells an event of the server to those whom it concerns.
func (w *watches) fire(e Event) {
	var fs []func(Event)
	switch e.Type {
	case jute.EventCreated, jute.EventDataChanged:
		fs = append(w.data.take(e.Path), w.exist.take(e.Path)...)
	case jute.EventDeleted:
		fs = append(w.data.take(e.Path), w.exist.take(e.Path)...)
		fs = append(fs, w.child.take(e.Path)...)
	case jute.EventChildrenChanged:
		fs = w.child.take(e.Path)
	}
	fs = append(fs, w.persistent[e.Path]...)
	if e.Type != jute.EventChildrenChanged && len(w.recursive) > 0 {
		for path := e.Path; ; path = parent(path) {
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

// remove takes away the watches of one path that the server has removed, and tells them so.
func (w *watches) remove(path string, which jute.WatcherType) {
	tell := func(t jute.EventType, fs []func(Event)) {
		for _, f := range fs {
			f(Event{Type: t, State: Connected, Path: path})
		}
	}
	if which == jute.WatcherChildren || which == jute.WatcherAny {
		tell(jute.EventChildWatchRemoved, w.child.take(path))
	}
	if which == jute.WatcherData || which == jute.WatcherAny {
		tell(jute.EventDataWatchRemoved, append(w.data.take(path), w.exist.take(path)...))
	}
	if which == jute.WatcherAny {
		tell(jute.EventPersistentRemoved, append(w.persistent.take(path), w.recursive.take(path)...))
	}
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
			path = c.serverPath(path)
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
