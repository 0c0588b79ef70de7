package metadata

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// This file is the receiving half of a TreeStore: what the server tells it, with the state
// locked (node.Sink). It only takes the store's own lock.

// Applied implements node.Sink.
func (s *TreeStore) Applied(st *tree.State, o *tree.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Txn.Origin == s.origin && o.Txn.Req != 0 {
		s.answer(st, o)
	}
	if o.Closed != 0 && o.Closed == s.session.ID && s.alive {
		if !s.closing {
			s.o.Log.Warn("the quorum ended the session of this process; another one is opened", "session", fmt.Sprintf("0x%x", o.Closed))
		}
		s.endSession()
		s.signal()
	}
	if o.Result.Zxid > s.feed.zxid {
		s.feed.add(Txn{Zxid: o.Result.Zxid, Events: eventsOf(o.Changes)})
	}
}

// answer gives the outcome to who waits for it.
func (s *TreeStore) answer(st *tree.State, o *tree.Outcome) {
	if s.opening != nil && s.opening.txn.Req == o.Txn.Req {
		s.opened(st, o)
		return
	}
	for i, c := range s.sent {
		if c.txn.Req != o.Txn.Req && !(c.sequenced && sameWrite(&c.txn, o.Txn)) {
			continue
		}
		if o.Result.Code == jute.SessionMoved && c.sequenced && s.lost(st, c) {
			if c.txn.Req == o.Txn.Req {
				s.resend = true // one before it did not arrive: all go again, in order
				s.signal()
			}
			return
		}
		s.sent = append(s.sent[:i:i], s.sent[i+1:]...)
		c.finish(s.outcome(st, c, o))
		s.signal() // the window has room
		return
	}
}

// sameWrite tells whether two transactions are two sendings of one.
func sameWrite(a, b *tree.Txn) bool {
	return a.Session == b.Session && a.ConnGen == b.ConnGen && a.Seq == b.Seq
}

// lost tells whether a refused call only came too early.
func (s *TreeStore) lost(st *tree.State, c *call) bool {
	info, ok := st.Session(c.txn.Session)
	return ok && info.ConnGen <= c.txn.ConnGen && info.Seq < c.txn.Seq
}

func (s *TreeStore) outcome(st *tree.State, c *call, o *tree.Outcome) (Result, error) {
	r := &o.Result
	if c.ops == nil { // a session's end: one that is gone already has ended
		return Result{}, nil
	}
	if info, ok := st.Session(c.txn.Session); r.Duplicate && (!ok || info.Seq != c.txn.Seq) {
		return Result{}, fmt.Errorf("%w: this server was given a snapshot while several transactions were under way", ErrUnknownOutcome)
	}
	if r.Code != jute.OK {
		if err := refusedOp(c.ops, func(i int) jute.Code {
			if i < len(r.Ops) {
				return r.Ops[i].Code
			}
			return jute.OK
		}); err != nil {
			return Result{}, err
		}
		return Result{}, codeError(r.Code)
	}
	out := Result{Zxid: r.Zxid, Ops: make([]OpResult, len(c.ops))}
	for i := range min(len(c.ops), len(r.Ops)) {
		out.Ops[i].Path = r.Ops[i].Path
		if out.Ops[i].Path == "" {
			out.Ops[i].Path = c.ops[i].Path
		}
		if kind := c.ops[i].Kind; kind == OpCreate || kind == OpSet {
			out.Ops[i].Stat = statOf(r.Ops[i].Stat)
		}
	}
	return out, nil
}

// opened is the outcome of making a session.
func (s *TreeStore) opened(st *tree.State, o *tree.Outcome) {
	c := s.opening
	s.opening = nil
	info, ok := st.Session(c.txn.Session)
	if o.Result.Code != jute.OK || !ok {
		s.o.Log.Error("the quorum gives this process no session", "err", o.Result.Code)
		s.signal()
		return
	}
	s.done = make(chan struct{})
	s.session, s.alive = Session{ID: c.txn.Session, Done: s.done}, true
	s.gen, s.seq = max(info.ConnGen, 1), 0
	s.signal()
}

// Published implements node.Sink.
func (s *TreeStore) Published() {}

// Reset implements node.Sink: the state was replaced by a snapshot.
func (s *TreeStore) Reset(st *tree.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed.restart(st.Zxid(), func() Txn { return snapshotOf(st) })
	if _, ok := st.Session(s.session.ID); !ok {
		s.endSession()
	}
	s.resend, s.opening = true, nil
	s.signal()
}

// Serving implements node.Sink.
func (s *TreeStore) Serving(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = on
	s.signal()
}

// WritesLost implements node.Sink.
func (s *TreeStore) WritesLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resend, s.opening = true, nil
	s.signal()
}

// ownNodes is where a server keeps what is its own: no part of what a Store tells.
const ownNodes = "/zookeeper"

func isOwn(path string) bool { return path == ownNodes || strings.HasPrefix(path, ownNodes+"/") }

// eventsOf copies the data: it is a part of the entry, and events stay for long.
func eventsOf(changes []tree.Change) []Event {
	var events []Event
	for i := range changes {
		c := &changes[i]
		if isOwn(c.Path) {
			continue
		}
		switch c.Kind {
		case tree.NodeCreated:
			events = append(events, Event{Kind: Created, Path: c.Path, Data: bytes.Clone(c.Data), Stat: statOf(c.Stat)})
		case tree.NodeDataChanged:
			events = append(events, Event{Kind: Changed, Path: c.Path, Data: bytes.Clone(c.Data), Stat: statOf(c.Stat)})
		case tree.NodeDeleted:
			events = append(events, Event{Kind: Deleted, Path: c.Path})
		}
	}
	return events
}

// snapshotOf is the transaction that creates the whole tree.
func snapshotOf(st *tree.State) Txn {
	txn := Txn{Zxid: st.Zxid(), Snapshot: true}
	st.Walk(func(path string, data []byte, stat jute.Stat, _ []jute.ACL) bool {
		if !isOwn(path) {
			txn.Events = append(txn.Events, Event{Kind: Created, Path: path, Data: bytes.Clone(data), Stat: statOf(stat)})
		}
		return true
	})
	return txn
}
