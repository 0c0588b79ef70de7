package server

import (
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// setWatches arms the watches of a client that comes from another connection, and tells it
// what it missed since the zxid that it saw last.
func (c *conn) setWatches(s *tree.State, q *request) {
	var r jute.Reader
	r.Reset(q.body)
	var m jute.SetWatches2
	var err error
	if q.op == jute.OpSetWatches2 {
		err = m.Decode(&r)
	} else {
		err = m.SetWatches.Decode(&r)
	}
	if err != nil {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	for _, p := range m.Data {
		st, err := s.Stat(p)
		switch {
		case err != nil:
			c.tell(jute.EventDeleted, p)
		case st.Mzxid > m.RelativeZxid:
			c.tell(jute.EventDataChanged, p)
		default:
			if !c.arm(p, watch.Data) {
				return
			}
		}
	}
	for _, p := range m.Exist {
		if _, err := s.Stat(p); err == nil {
			c.tell(jute.EventCreated, p)
		} else if !c.arm(p, watch.Data) {
			return
		}
	}
	for _, p := range m.Child {
		st, err := s.Stat(p)
		switch {
		case err != nil:
			c.tell(jute.EventDeleted, p)
		case st.Pzxid > m.RelativeZxid:
			c.tell(jute.EventChildrenChanged, p)
		default:
			if !c.arm(p, watch.Children) {
				return
			}
		}
	}
	for _, p := range m.Persistent {
		if !c.arm(p, watch.Persistent) {
			return
		}
	}
	for _, p := range m.PersistentRecursive {
		if !c.arm(p, watch.Recursive) {
			return
		}
	}
	c.answer(s, q, jute.OK)
}

// tell queues one event to this connection alone.
func (c *conn) tell(typ jute.EventType, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.roomLocked()
	if b == nil {
		return
	}
	before := len(b)
	b = appendEvent(b, typ, path)
	c.sent++
	c.srv.stats.watchBytes.Add(int64(len(b) - before))
	c.srv.stats.packetsSent.Add(1)
	c.queuedLocked(b)
}

// watches are the requests that are about watches alone.
func (c *conn) watches(s *tree.State, q *request) {
	var r jute.Reader
	r.Reset(q.body)
	if q.op == jute.OpAddWatch {
		c.addWatch(s, q, &r)
		return
	}
	path, typ := pathOf(&r), jute.WatcherType(r.Int32())
	var kind watch.Kind
	switch typ {
	case jute.WatcherChildren:
		kind = watch.AllChildren
	case jute.WatcherData:
		kind = watch.AllData
	case jute.WatcherAny:
		kind = watch.Any
	}
	if r.Err() != nil || kind == 0 {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	found := false
	if q.op == jute.OpCheckWatches {
		found = c.srv.watches.Has(c.watcher, path, kind)
	} else {
		found = c.srv.watches.Remove(c.watcher, path, kind)
	}
	if !found {
		c.answer(s, q, jute.NoWatcher)
		return
	}
	c.answer(s, q, jute.OK)
}

func (c *conn) addWatch(s *tree.State, q *request, r *jute.Reader) {
	path, mode := pathOf(r), jute.AddWatchMode(r.Int32())
	kind := watch.Persistent
	if mode == jute.WatchPersistentRecursive {
		kind = watch.Recursive
	}
	if r.Err() != nil || mode != jute.WatchPersistent && mode != jute.WatchPersistentRecursive {
		c.answer(s, q, jute.MarshallingError)
		return
	}
	if c.arm(path, kind) {
		c.reply(s, q, &jute.ErrorResponse{})
	}
}
