package tree

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/jute"
)

// session is one client of the ensemble, wherever it is connected.
type session struct {
	id        int64
	timeoutMs int32
	connGen   uint32 // of the connection that wrote last
	seq       uint32 // of its last write
	keep      bool
	last      []byte // with keep: the Result of that write, encoded
	owned     map[nodeID]struct{}
}

// SessionInfo is what the state knows of a session.
type SessionInfo struct {
	TimeoutMs    int32
	ConnGen, Seq uint32 // of its last write, 0 before the first
	KeepResult   bool
}

func (sess *session) info() SessionInfo {
	return SessionInfo{sess.timeoutMs, sess.connGen, sess.seq, sess.keep}
}

func (sess *session) digest() uint64 {
	keep := uint64(0)
	if sess.keep {
		keep = 1
	}
	return hashNumbers(hashString(hashC, string(sess.last)), uint64(sess.id), uint64(uint32(sess.timeoutMs))|keep<<32,
		uint64(sess.connGen)<<32|uint64(sess.seq))
}

func (sess *session) own(id nodeID) {
	if sess.owned == nil {
		sess.owned = map[nodeID]struct{}{}
	}
	sess.owned[id] = struct{}{}
}

// Session returns what is known of a session, if it is alive.
func (s *State) Session(id int64) (SessionInfo, bool) {
	if sess := s.sessions[id]; sess != nil {
		return sess.info(), true
	}
	return SessionInfo{}, false
}

// SessionCount counts the sessions that are alive.
func (s *State) SessionCount() int { return len(s.sessions) }

// Sessions yields the sessions that are alive, by id.
func (s *State) Sessions(yield func(int64, SessionInfo) bool) {
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		if !yield(id, s.sessions[id].info()) {
			return
		}
	}
}

// verdict is what the guard of a session says of a transaction.
type verdict uint8

const (
	refused   verdict = iota
	repeated          // it was applied before
	unguarded         // to be applied
	guarded           // to be applied; the session counts it
)

// guard judges a transaction by its session: whether it is alive, and whether this is the
// next write of its newest connection.
func (s *State) guard(t *Txn) (*session, verdict, jute.Code) {
	if t.Session == 0 || t.Op.Kind == CreateSession {
		return nil, unguarded, jute.OK
	}
	sess := s.sessions[t.Session]
	switch {
	case sess == nil && t.Op.Kind == CloseSession:
		return nil, unguarded, jute.OK
	case sess == nil:
		return nil, refused, jute.SessionExpired
	case t.Seq == 0:
		return sess, unguarded, jute.OK
	case seededbug.On(seededbug.SeqGuardOff):
		return sess, guarded, jute.OK
	case t.ConnGen < sess.connGen || t.ConnGen == 0:
		return sess, refused, jute.SessionMoved
	case t.ConnGen > sess.connGen:
		if t.Seq != 1 {
			return sess, refused, jute.SessionMoved
		}
	case t.Seq <= sess.seq:
		return sess, repeated, jute.OK
	case t.Seq != sess.seq+1:
		return sess, refused, jute.SessionMoved
	}
	return sess, guarded, jute.OK
}

// createSession begins a session; one that exists already stays as it is.
func (s *State) createSession(t *Txn, r *Result) jute.Code {
	if t.Session == 0 || kindOf(t.Session) != ownedBySession || t.Op.TimeoutMs <= 0 {
		return jute.BadArguments
	}
	if s.sessions[t.Session] != nil {
		r.Duplicate = true
		return jute.OK
	}
	sess := &session{id: t.Session, timeoutMs: t.Op.TimeoutMs, keep: t.Op.KeepResult}
	s.sessions[sess.id] = sess
	s.digest += sess.digest()
	s.step.changed = true
	return jute.OK
}

// closeSession ends a session and deletes what it owns, in the order of the paths.
func (s *State) closeSession(sess *session) {
	type doomed struct {
		path string
		node nodeID
	}
	gone := make([]doomed, 0, len(sess.owned))
	for id := range sess.owned {
		gone = append(gone, doomed{s.path(id), id})
	}
	slices.SortFunc(gone, func(a, b doomed) int {
		if a.path < b.path {
			return -1
		}
		return 1
	})
	if seededbug.On(seededbug.ExpiredKeepsEphemerals) {
		gone = nil
	}
	var n node
	for _, d := range gone {
		s.load(d.node, &n)
		s.remove(d.path, &n)
	}
	s.digest -= sess.digest()
	delete(s.sessions, sess.id)
	s.step.out.Closed = sess.id
	s.step.changed = true
}
