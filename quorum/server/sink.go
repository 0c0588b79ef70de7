package server

import (
	"time"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// sink is told of what is applied. Its methods run in one goroutine at a time.
type sink struct {
	srv   *Server
	dirty []*conn // have something to send since the last Published
	// state is what is applied to, during Applied.
	state *tree.State
	zxid  int64 // of the last Applied or Reset
	// looks is since when there is no leader to serve under, by Server.now, while looking.
	looks   int64
	looking bool
	wallMs  int64 // the time at which the batch under way is applied; 0: not looked at yet
}

// Applied implements node.Sink: events first, then the reply of the write that caused them,
// then the reads that waited behind it.
func (k *sink) Applied(s *tree.State, o *tree.Outcome) {
	k.state, k.zxid = s, s.Zxid()
	k.propagated(s)
	if !seededbug.On(seededbug.WatchAfterReply) {
		k.fire(o)
	}
	if o.Txn.Origin == k.srv.origin.Load() {
		if c := k.srv.find(o.Txn.Session); c != nil {
			k.answer(c, s, o)
		}
	}
	if seededbug.On(seededbug.WatchAfterReply) {
		k.fire(o)
	}
	if o.Closed != 0 {
		if o.Txn.Origin == 0 { // the leader's own doing
			k.srv.stats.expiredSessions.Add(1)
		}
		k.srv.expired(o.Closed)
	}
}

// propagated counts how long a transaction took from the leader's proposal to here, as ZooKeeper
// does: two clocks are compared, and where this one is behind nothing is counted. What is
// applied to catch up was proposed at another time.
func (k *sink) propagated(s *tree.State) {
	if k.looking {
		return
	}
	if k.wallMs == 0 {
		k.wallMs = k.srv.clock.Now().UnixMilli()
	}
	if ms := k.wallMs - s.TimeMs(); ms >= 0 {
		k.srv.stats.propagation.add(ms * int64(time.Millisecond))
	}
}

func (k *sink) fire(o *tree.Outcome) {
	st := &k.srv.stats
	for i := range o.Changes {
		ch := &o.Changes[i]
		n := watch.Node{Path: ch.Path, ACL: ch.ACL, ParentACL: ch.ParentACL}
		switch ch.Kind {
		case tree.NodeCreated:
			node, children := k.srv.watches.Created(n)
			st.createdWatches.add(int64(node))
			st.childrenWatches.add(int64(children))
		case tree.NodeDataChanged:
			st.changedWatches.add(int64(k.srv.watches.Changed(n)))
		case tree.NodeDeleted:
			node, children := k.srv.watches.Deleted(n)
			st.deletedWatches.add(int64(node))
			st.childrenWatches.add(int64(children))
		}
	}
}

// answer replies to the connection's oldest write, which this is the outcome of, and executes
// the reads behind it. An outcome of an older connection of the session is nobody's.
func (k *sink) answer(c *conn, s *tree.State, o *tree.Outcome) {
	c.mu.Lock()
	head := c.pending.front()
	if c.closed || head == nil || head.number != o.Txn.Req {
		c.mu.Unlock()
		return
	}
	w := *head
	switch {
	case moved(&o.Result):
		// The session is another connection's now. As in ZooKeeper there is no reply.
		c.killLocked("the session has moved to another server")
		c.mu.Unlock()
		return
	case w.op == jute.OpCreateSession && o.Result.Code != jute.OK:
		c.killLocked("the session was refused: " + o.Result.Code.Error())
		c.mu.Unlock()
		return
	case w.op == jute.OpCreateSession:
		c.welcomeLocked(&w.request, s.Zxid())
	case w.op == jute.OpReconfig && o.Result.Code == jute.OK:
		c.configLocked(s, &w.request)
	default:
		c.outcomeLocked(&w, &o.Result, s.Zxid())
	}
	if w.op == jute.OpCloseSession {
		c.closeLocked()
	}
	k.popLocked(c)
	for !c.closed {
		head := c.pending.front()
		if head == nil || head.number != 0 {
			break
		}
		q := head.request
		c.mu.Unlock()
		c.execute(s, &q)
		c.mu.Lock()
		if c.pending.len() > 0 {
			k.popLocked(c)
		}
	}
	c.changed.Broadcast()
	c.dirtyLocked()
	c.mu.Unlock()
}

func moved(r *tree.Result) bool {
	if r.Code == jute.SessionMoved {
		return true
	}
	for i := range r.Ops {
		if r.Ops[i].Code == jute.SessionMoved {
			return true
		}
	}
	return false
}

func (k *sink) popLocked(c *conn) {
	k.srv.outstandingBytes.Add(-int64(c.pending.front().bytes))
	c.pending.pop()
	k.srv.outstanding.Add(-1)
}

// Published implements node.Sink.
func (k *sink) Published() {
	k.wallMs = 0
	k.srv.behind.published(k.zxid)
	for i, c := range k.dirty {
		c.wake()
		k.dirty[i] = nil
	}
	k.dirty = k.dirty[:0]
}

// Reset implements node.Sink. The state is another one, and what the watches wait for may have
// happened on the way to it: the clients come again and arm them anew.
func (k *sink) Reset(s *tree.State) {
	k.zxid = s.Zxid()
	k.srv.partWithAll("the state was replaced by a snapshot")
}

// Serving implements node.Sink.
func (k *sink) Serving(on bool) {
	switch {
	case on && k.looking:
		took := k.srv.now() - k.looks
		k.srv.stats.elections.add(took)
		if k.srv.member.Status().Mode == node.Leader {
			k.srv.stats.headless.add(took)
		}
	case !on && !k.looking:
		k.looks = k.srv.now()
		k.srv.stats.lookings.Add(1)
	}
	k.looking = !on
	k.srv.setServing(on)
	if !on {
		k.srv.partWithAll("this server has no quorum and serves nobody")
	}
}

// WritesLost implements node.Sink: nobody may wait for what may never come, nor write on as
// if it had.
func (k *sink) WritesLost() {
	for _, c := range k.srv.all() {
		c.mu.Lock()
		waits := false
		for i := c.pending.first; i < len(c.pending.list); i++ {
			waits = waits || c.pending.list[i].number != 0
		}
		if waits {
			c.killLocked("the way to the leader broke while a write was on it")
		}
		c.mu.Unlock()
	}
}
