package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/tree"
)

// sessionIDs hands out session ids as ZooKeeper does: the server's id, then time and a counter.
type sessionIDs struct {
	mu   sync.Mutex
	next int64
}

// firstSessionID is SessionTrackerImpl.initializeNextSessionId.
func firstSessionID(myID int, nowMs int64) int64 {
	id := int64(uint64(nowMs<<24) >> 8)
	return id | int64(myID)<<56
}

// containerOwner marks a container node; as a session it would own all of them.
const containerOwner = -1 << 63

// NewSessionID returns an id that no session has or had. It must not be called within Read.
func (n *Node) NewSessionID() int64 {
	n.ids.mu.Lock()
	defer n.ids.mu.Unlock()
	n.mu.RLock()
	defer n.mu.RUnlock()
	for {
		id := n.ids.next
		n.ids.next++
		if _, taken := n.state.Session(id); !taken && id != 0 && id != containerOwner {
			return id
		}
	}
}

// Password returns what a client must show to have the session back. Before the ensemble has a
// secret, which is so only before the first Serving(true), it is all zeros.
func (n *Node) Password(session int64) [16]byte {
	var out [16]byte
	secret := n.secret.Load()
	if secret == nil {
		return out
	}
	mac := hmac.New(sha256.New, *secret)
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], uint64(session))
	mac.Write(id[:])
	copy(out[:], mac.Sum(nil))
	return out
}

// noteSecret remembers the state's secret, so that Password needs no lock. Under the write lock.
func (n *Node) noteSecret() {
	if secret := n.state.Secret(); len(secret) > 0 {
		kept := append([]byte(nil), secret...)
		n.secret.Store(&kept)
	}
}

// clusterID names the ensemble without giving its secret away; 0: not known yet.
func (n *Node) clusterID() uint64 {
	secret := n.secret.Load()
	if secret == nil {
		return 0
	}
	mac := hmac.New(sha256.New, *secret)
	mac.Write([]byte("millrace cluster id"))
	return binary.BigEndian.Uint64(mac.Sum(nil)) | 1
}

// touchSet collects the sessions that were heard of since the last report to the leader.
type touchSet struct {
	mu  sync.Mutex
	ids map[int64]struct{}
}

func (t *touchSet) add(id int64) {
	if seededbug.On(seededbug.PingsForgotten) {
		return
	}
	t.mu.Lock()
	if t.ids == nil {
		t.ids = map[int64]struct{}{}
	}
	t.ids[id] = struct{}{}
	t.mu.Unlock()
}

// take empties the set into buf.
func (t *touchSet) take(buf []int64) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.ids {
		buf = append(buf, id)
	}
	clear(t.ids)
	return buf
}

// closeSession is the transaction by which the leader ends a session.
func closeSession(id int64) tree.Txn {
	return tree.Txn{Session: id, Op: tree.Op{Kind: tree.CloseSession}}
}

// Reattach moves a session to this server and makes older connections of it powerless: when it
// returns, each of their writes is applied here or will be refused. The leader decides; while
// there is none Reattach waits, until this server stops serving. Errors are ErrSessionExpired,
// ErrBadPassword, ErrNotServing, ErrClosed and ctx's.
func (h *Handle) Reattach(ctx context.Context, session int64, password []byte) (Attached, error) {
	n := h.node
	if n.isStopped() {
		return Attached{}, ErrClosed
	}
	r, l, err := n.find(ctx)
	switch {
	case err != nil:
		return Attached{}, err
	case r != nil:
		a, _, err := r.reattach(session, password)
		return a, err
	}
	return n.askReattach(ctx, l, session, password)
}

// reattach is the leader's part of Reattach. It returns the index that has to be applied where
// the client is before the client may go on.
func (r *reign) reattach(session int64, password []byte) (Attached, uint64, error) {
	n := r.n
	var info tree.SessionInfo
	var alive bool
	n.Read(func(s *tree.State) { info, alive = s.Session(session) })
	if !alive {
		return Attached{}, 0, ErrSessionExpired
	}
	want := n.Password(session)
	if !hmac.Equal(want[:], password) {
		return Attached{}, 0, ErrBadPassword
	}
	r.mu.Lock()
	alive = r.tracker != nil && r.tracker.touch(session, n.steady())
	r.mu.Unlock()
	if !alive {
		return Attached{}, 0, ErrSessionExpired
	}
	gen, ok := n.proposer.move(session, max(info.ConnGen+1, firstGen(r.term)))
	if !ok {
		return Attached{}, 0, ErrNotServing
	}
	// What the old connection sent may have been the end of the session.
	if n.Read(func(s *tree.State) { _, alive = s.Session(session) }); !alive {
		return Attached{}, 0, ErrSessionExpired
	}
	return Attached{TimeoutMs: info.TimeoutMs, ConnGen: gen}, n.applied.Load(), nil
}

// firstGen is the lowest generation that the leader of a term hands out. The state learns of a
// generation with the first write only, so that two leaders would hand out the same.
func firstGen(term uint64) uint32 { return uint32(term << 10) }
