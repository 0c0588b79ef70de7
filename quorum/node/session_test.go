package node

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// session is a client of one server.
type session struct {
	t    *testing.T
	r    *recorder
	id   int64
	gen  uint32
	seq  uint32
	pass [16]byte
}

func newSession(t *testing.T, r *recorder, timeout time.Duration) *session {
	t.Helper()
	n := r.handle.node
	s := &session{t: t, r: r, id: n.NewSessionID(), gen: 1}
	res := r.do(t, tree.Txn{Session: s.id, Op: tree.Op{Kind: tree.CreateSession, TimeoutMs: int32(timeout.Milliseconds())}})
	if res.Code != jute.OK {
		t.Fatalf("create session: %+v", res)
	}
	s.pass = n.Password(s.id)
	return s
}

func (s *session) txn(path string, mode jute.CreateMode) tree.Txn {
	s.seq++
	t := createTxn(path)
	t.Session, t.ConnGen, t.Seq, t.Op.Mode = s.id, s.gen, s.seq, mode
	return t
}

// move attaches the session to another server.
func (s *session) move(r *recorder) error {
	a, err := r.handle.Reattach(context.Background(), s.id, s.pass[:])
	if err == nil {
		s.r, s.gen, s.seq = r, a.ConnGen, 0
	}
	return err
}

func (c *cluster) exists(path string) bool {
	found := false
	c.nodes[c.leader()].Read(func(s *tree.State) {
		_, err := s.Stat(path)
		found = err == nil
	})
	return found
}

func TestSessionsEndWithTheirEphemerals(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.leader()
		far := newSession(t, c.sinks[c.follower()], 10*time.Second)
		near := newSession(t, c.sinks[c.leader()], 10*time.Second)
		far.r.do(t, far.txn("/far", jute.Ephemeral))
		near.r.do(t, near.txn("/near", jute.Ephemeral))
		began := time.Now()
		for range 30 { // both are kept alive, far over its server's reports
			time.Sleep(time.Second)
			far.r.handle.Touch(far.id)
			near.r.handle.Touch(near.id)
		}
		if !c.exists("/far") || !c.exists("/near") {
			t.Fatal("a session that was touched ended")
		}
		began = time.Now()
		c.eventually("the end of the sessions", func() bool { return !c.exists("/far") && !c.exists("/near") })
		if took := time.Since(began); took < 10*time.Second || took > 10*time.Second+3*c.tick {
			t.Errorf("sessions of 10 s ended after %v", took)
		}
		if err := far.move(near.r); !errors.Is(err, ErrSessionExpired) {
			t.Errorf("reattach: %v", err)
		}
		c.agree()
	})
}

func TestANewLeaderGivesSessionsTheirWholeTimeout(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		old := c.leader()
		s := newSession(t, c.sinks[c.follower()], 10*time.Second)
		s.r.do(t, s.txn("/e", jute.Ephemeral))
		time.Sleep(8 * time.Second)
		c.kill(old)
		c.leader()
		began := time.Now()
		c.eventually("the end of the session", func() bool { return !c.exists("/e") })
		if took := time.Since(began); took < 9*time.Second {
			t.Errorf("it ended %v after the new leader came", took)
		}
	})
}

func TestASessionMovesBetweenServers(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		s := newSession(t, c.sinks[1], 20*time.Second)
		gens := map[uint32]bool{}
		for round := range 6 {
			s.r.do(t, s.txn(fmt.Sprintf("/n%d", round), jute.Ephemeral))
			if round == 3 {
				c.kill(c.leader())
				c.leader()
			}
			oldSink, oldGen, oldSeq := s.r, s.gen, s.seq
			for id, r := range c.sinks {
				if r != oldSink && c.nodes[id] != nil {
					r.serving(t, true)
					if err := s.move(r); err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					break
				}
			}
			if gens[s.gen] {
				t.Errorf("generation %d was handed out twice", s.gen)
			}
			gens[s.gen] = true
			late := createTxn(fmt.Sprintf("/late%d", round))
			late.Session, late.ConnGen, late.Seq = s.id, oldGen, oldSeq+1
			if oldSink.handle.Submit(late) == nil {
				s.r.make(t, fmt.Sprintf("/mark%d", round))
			}
			if c.exists(fmt.Sprintf("/late%d", round)) {
				t.Error("a write of the connection that was left was applied")
			}
		}
		c.agree()
	})
}

// When Reattach returns, what the old connection has sent is applied where the client is now.
func TestReattachWaitsForWhatTheOldConnectionSent(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.leader()
		for round := range 20 {
			s := newSession(t, c.sinks[c.leader()], 20*time.Second)
			for i := range 5 {
				s.r.start(t, s.txn(fmt.Sprintf("/r%d-%d", round, i), jute.Persistent))
			}
			f := c.follower()
			if err := s.move(c.sinks[f]); err != nil {
				t.Fatal(err)
			}
			c.nodes[f].Read(func(st *tree.State) {
				for i := range 5 {
					if _, err := st.Stat(fmt.Sprintf("/r%d-%d", round, i)); err != nil {
						t.Errorf("write %d is not there: %v", i, err)
					}
				}
			})
		}
	})
}

// Writes of a session that come through a follower keep their order while leaders come and go:
// what is applied is always the first so many of what was sent.
func TestSessionOrderOverLeaderChanges(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.leader()
		f := c.follower()
		for round := range 5 {
			c.serving()
			if f == c.leader() {
				f = c.follower()
			}
			r := c.sinks[f]
			s := newSession(t, r, 20*time.Second)
			for i := range 40 {
				if i == 20 {
					c.net.Break(host(f), host(c.leader()))
				}
				_ = r.handle.Submit(s.txn(fmt.Sprintf("/s%d-%d", round, i), jute.Persistent))
			}
			time.Sleep(10 * time.Second)
			gap := false
			for i := range 40 {
				there := c.exists(fmt.Sprintf("/s%d-%d", round, i))
				if there && gap {
					t.Errorf("round %d: write %d is there, one before it is not", round, i)
				}
				gap = gap || !there
			}
		}
	})
}

func TestContainersAndTTLNodesGo(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		r := c.sinks[c.follower()]
		container := createTxn("/c")
		container.Op.Mode = jute.Container
		r.do(t, container)
		r.do(t, createTxn("/c/child"))
		r.do(t, tree.Txn{Op: tree.Op{Kind: tree.Delete, Path: "/c/child", Version: -1}})
		ttl := createTxn("/ttl")
		ttl.Op.Mode, ttl.Op.TTLMs = jute.PersistentTTL, 5000
		r.do(t, ttl)
		c.eventually("the end of both", func() bool { return !c.exists("/c") && !c.exists("/ttl") })
		c.agree()
	})
}

// A session that its old connection has closed does not move.
func TestReattachAfterAClose(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		for range 20 {
			s := newSession(t, c.sinks[c.follower()], 20*time.Second)
			s.r.start(t, tree.Txn{Session: s.id, ConnGen: s.gen, Seq: 1, Op: tree.Op{Kind: tree.CloseSession}})
			to := c.sinks[c.leader()]
			err := s.move(to)
			if err != nil && !errors.Is(err, ErrSessionExpired) {
				t.Fatal(err)
			}
			if err == nil { // the close came later, and is powerless
				to.make(t, "/mark")
				c.agree()
				to.handle.node.Read(func(st *tree.State) {
					if _, alive := st.Session(s.id); !alive {
						t.Error("the session moved and was closed by the connection that it left")
					}
				})
			}
		}
	})
}
