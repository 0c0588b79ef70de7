package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// Judge looks at everything that was written down. It is called when the world is closed, and
// outside of its bubble, since it takes real time.
func (w *World) Judge(t testing.TB) {
	t.Helper()
	j := &judge{t: t, w: w, hist: w.truth.histories(), txns: w.truth.all(), whole: w.truth.whole()}
	if !j.whole {
		t.Log("some transactions were told by no server: what depends on them is not judged")
	}
	for _, c := range w.clients {
		for _, l := range c.lives {
			j.reads(l)
			j.fresh(l)
			if j.whole {
				j.watches(l)
				j.order(l)
			}
			j.expiry(l)
		}
	}
	j.writes()
	j.workers()
	j.ephemerals()
	j.times()
	j.linear()
}

type judge struct {
	t     testing.TB
	w     *World
	hist  map[string][]version
	txns  []*applied
	whole bool
}

func (j *judge) fail(format string, args ...any) {
	j.t.Helper()
	j.t.Errorf(format, args...)
}

func (l *life) String() string { return fmt.Sprintf("client %d session %#x", l.client, l.session) }

func (o *op) String() string {
	return fmt.Sprintf("%s(%s %s v%d)=%v zxid %#x %q v%d", [...]string{"set", "create", "delete", "get", "exists", "sync+get", "multi", "ephemeral", "drop", "watch"}[o.kind],
		o.path, o.value, o.version, o.code, o.zxid, o.data, o.stat.Version)
}

// reads: zxids do not go back, and a reply shows the state as of its zxid.
func (j *judge) reads(l *life) {
	last := int64(0)
	for _, e := range l.events {
		if e.kind != gotReply && e.kind != gotError {
			continue
		}
		if e.zxid < last {
			j.fail("%v: %v came after zxid %#x", l, e.op, last)
		}
		last = e.zxid
		o := e.op
		if !j.whole || o.kind != opGet && o.kind != opExists && o.kind != opSyncGet {
			continue
		}
		v := asOf(j.hist[o.path], e.zxid)
		switch {
		case e.kind == gotError && o.code != jute.NoNode:
			j.fail("%v: %v", l, o)
		case (e.kind == gotReply) != v.there, v.there && o.stat.Version != v.ver, v.there && o.kind != opExists && o.data != v.data:
			j.fail("%v: %v, but at that zxid it was %+v", l, o, v)
		}
	}
}

// fresh: a server that has lost the others stops to serve, so that no reply is older than the
// time that this takes.
func (j *judge) fresh(l *life) {
	limit := time.Duration(j.w.o.SyncLimit+2)*j.w.o.Tick + 10*j.w.o.MaxDelay
	n, newest := 0, int64(0) // the newest transaction that must be known
	for _, e := range l.events {
		for ; n < len(j.txns) && j.txns[n].at.Add(limit).Before(e.at); n++ {
			newest = j.txns[n].zxid
		}
		// The reply may have waited on a link that was cut: what counts is when it was asked for.
		if e.kind == gotReply && e.zxid < newest && e.at.Sub(e.op.sent) < j.w.o.Tick {
			j.fail("%v: %v is older than %#x, which is %v old", l, e.op, newest, limit)
		}
	}
}

// order: what a session writes on one connection is done in that order, and nothing is left out.
func (j *judge) order(l *life) {
	done := int64(0)   // zxid of the last write that was
	var lost *op       // one that was not, and would have been
	var lostFrom int64 // zxid of the last before it
	connection := 0
	for _, o := range l.ops {
		if o.dropped || o.value == "" {
			continue
		}
		if o.connection != connection {
			lost, connection = nil, o.connection
		}
		v, applied := j.find(o)
		switch {
		case applied && v.zxid <= done:
			j.fail("%v: %v was done at %#x, the one before it at %#x", l, o, v.zxid, done)
		case applied && lost != nil && j.thereBetween(lost.path, lostFrom, v.zxid):
			j.fail("%v: %v was done, and %v before it on the same connection was not", l, o, lost)
		case !applied && lost == nil && o.kind == opSet && o.version == -1 && (o.unknown || o.ret == 0):
			lost, lostFrom = o, done
		}
		if applied {
			done = v.zxid
		}
	}
}

// find is the version that o wrote.
func (j *judge) find(o *op) (version, bool) {
	for _, v := range j.hist[o.path] {
		if v.there && v.data == o.value {
			return v, true
		}
	}
	return version{}, false
}

// thereBetween tells whether a node was there all the time.
func (j *judge) thereBetween(path string, from, to int64) bool {
	if !asOf(j.hist[path], from).there {
		return false
	}
	for _, v := range j.hist[path] {
		if v.zxid > from && v.zxid <= to && !v.there {
			return false
		}
	}
	return true
}

// writes: what was acknowledged is there once, what was refused is not, anything at most once.
func (j *judge) writes() {
	found := make(map[string][]version) // by path and value
	for path, list := range j.hist {
		for _, v := range list {
			if v.there && v.data != "" {
				found[path+" "+v.data] = append(found[path+" "+v.data], v)
			}
		}
	}
	for _, c := range j.w.clients {
		for _, l := range c.lives {
			for _, o := range l.ops {
				if o.value == "" {
					continue
				}
				paths := []string{o.path}
				if o.kind == opMultiSet {
					paths = append(paths, o.path2)
				}
				for _, path := range paths {
					j.write(l, o, found[path+" "+o.value])
				}
			}
		}
	}
}

func (j *judge) write(l *life, o *op, found []version) {
	sure := o.ret != 0 && !o.unknown
	switch {
	case len(found) > 1:
		j.fail("%v: %v was done %d times: %+v", l, o, len(found), found)
	case sure && (o.code != jute.OK || o.dropped) && len(found) > 0:
		j.fail("%v: %v was done all the same: %+v", l, o, found)
	case sure && o.code == jute.OK && len(found) == 0:
		if j.whole {
			j.fail("%v: %v is lost", l, o)
		}
	case sure && o.code == jute.OK && (found[0].zxid > o.zxid || o.kind != opMultiSet && found[0].zxid != o.stat.Mzxid):
		j.fail("%v: %v was done at %#x", l, o, found[0].zxid)
	}
}

// watches: events come before what they tell of, once, and none is lost or made up.
func (j *judge) watches(l *life) {
	for i, e := range l.events {
		armed := e.op != nil && e.op.watch != nil && (e.kind == gotReply || e.kind == gotError && e.op.watch.exists && e.op.code == jute.NoNode)
		switch {
		case !armed:
		case e.op.watch.recursive:
			j.recursive(l, i, e)
		default:
			j.oneShot(l, i, e)
		}
	}
}

func (j *judge) oneShot(l *life, i int, armed event) {
	w := armed.op.watch
	first, changed := after(j.hist[w.path], armed.zxid, func(version) bool { return true })
	reconnected, told := false, false
	for _, e := range l.events[i+1:] {
		switch {
		case e.kind == gotState && e.state != client.Connected:
			reconnected = true
			if armed.kind == gotError {
				return // created and removed again meanwhile: nobody tells of that
			}
		case e.kind == gotEvent && e.watch == w:
			if told {
				j.fail("%v: the watch of %v fired twice", l, armed.op)
			}
			told = true
			if !changed || j.at(first.zxid).After(e.at) {
				j.fail("%v: the watch of %v fired (%v) without a change", l, armed.op, e.typ)
			} else if want := eventOf(first.kind); !reconnected && e.typ != want {
				j.fail("%v: the watch of %v fired with %v, want %v for %+v", l, armed.op, e.typ, want, first)
			}
		case (e.kind == gotReply || e.kind == gotError) && changed && !told && e.zxid >= first.zxid:
			j.fail("%v: %v came, but the watch of %v was not told of the change %+v", l, e.op, armed.op, first)
			return
		}
	}
}

// at is when a transaction was applied first.
func (j *judge) at(zxid int64) time.Time {
	for _, a := range j.txns {
		if a.zxid == zxid {
			return a.at
		}
	}
	return time.Time{}
}

func eventOf(kind tree.ChangeKind) jute.EventType {
	switch kind {
	case tree.NodeCreated:
		return jute.EventCreated
	case tree.NodeDeleted:
		return jute.EventDeleted
	}
	return jute.EventDataChanged
}

// told is a change that a recursive watch tells of.
type told struct {
	zxid int64
	typ  jute.EventType
	path string
}

func (j *judge) recursive(l *life, i int, armed event) {
	var all []told
	for _, a := range j.txns {
		for _, c := range a.changes {
			if c.kind != tree.NodeACLChanged {
				all = append(all, told{a.zxid, eventOf(c.kind), c.path})
			}
		}
	}
	behind := func(zxid int64) int {
		n := 0
		for n < len(all) && all[n].zxid <= zxid {
			n++
		}
		return n
	}
	next, known := behind(armed.zxid), true
	for _, e := range l.events[i+1:] {
		switch {
		case e.kind == gotState:
			known = false // until a reply tells where the watch stands again
		case e.kind == gotEvent && e.watch == armed.op.watch && known:
			if next >= len(all) || all[next].typ != e.typ || all[next].path != e.path {
				j.fail("%v: the recursive watch told %v %s, want %+v", l, e.typ, e.path, at(all, next))
				return
			}
			next++
		case e.kind == gotReply && !known:
			next, known = behind(e.zxid), true
		case e.kind == gotReply && next < len(all) && all[next].zxid <= e.zxid:
			j.fail("%v: %v came, but the recursive watch was not told of %+v", l, e.op, all[next])
			return
		}
	}
}

func at(all []told, i int) any {
	if i < len(all) {
		return all[i]
	}
	return "nothing"
}

// expiry: nobody expires who was answered not long ago.
func (j *judge) expiry(l *life) {
	if l.session == 0 || l.closing || l.next != nil {
		return
	}
	for _, a := range j.txns {
		if a.closed != l.session {
			continue
		}
		// A server that was cut off from the leader may go on to answer pings for so long.
		slack := time.Duration(j.w.o.SyncLimit+2)*j.w.o.Tick + 10*j.w.o.MaxDelay
		if lasted := a.at.Sub(l.lastWord); lasted < l.timeout-slack {
			j.fail("%v: it expired %v after its last reply, with a timeout of %v (abandoned %v, told of it %v, at %v by %+v)", l, lasted, l.timeout, l.abandoned, l.expired, a.at, a)
		}
	}
}

// times: a node's times are what the wall clock of a server showed when the write was on its way.
func (j *judge) times() {
	limit := 100 * j.w.o.Tick
	for _, a := range j.txns {
		for _, c := range a.changes {
			if c.wrote.IsZero() || slices.ContainsFunc(j.w.clocks, func(k *hostClock) bool { return k.showed(c.wrote, a.at.Add(-limit), a.at) }) {
				continue
			}
			j.fail("%s has the time %v at %#x, applied %v, which no server's clock showed", c.path, c.wrote.UTC(), a.zxid, a.at.UTC())
		}
	}
}

// ephemerals go in the transaction that ends their session, and before only when somebody
// deletes them.
func (j *judge) ephemerals() {
	if !j.whole {
		return
	}
	owners := make(map[string]int64)
	ended := make(map[int64]int64)
	for _, a := range j.txns {
		for _, c := range a.changes {
			switch {
			case c.kind == tree.NodeDeleted:
				if owner := owners[c.path]; owner != 0 && a.closed != owner && a.kind == tree.CloseSession {
					j.fail("%s of session %#x went with session %#x", c.path, owner, a.closed)
				}
				delete(owners, c.path)
			case c.owner != 0:
				owners[c.path] = c.owner
				if zxid, gone := ended[c.owner]; gone {
					j.fail("%s was made at %#x for session %#x, which ended at %#x", c.path, a.zxid, c.owner, zxid)
				}
			}
		}
		if a.closed == 0 {
			continue
		}
		ended[a.closed] = a.zxid
		for path, owner := range owners {
			if owner == a.closed {
				j.fail("%s is still there after session %#x ended at %#x", path, owner, a.zxid)
			}
		}
	}
}
