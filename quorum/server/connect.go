package server

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// encrypted is a *tls.Conn, or a connection that finds out with its first bytes whether it is
// one; then a plain one has no certificates.
type encrypted interface {
	HandshakeContext(context.Context) error
	ConnectionState() tls.ConnectionState
}

// identify finds out who is there before anything is read: the address, and with TLS the
// certificate.
func (c *conn) identify() bool {
	if c.remote.IsValid() {
		c.addAuth(jute.ID{Scheme: jute.SchemeIP, ID: javaAddr(c.remote.Addr())})
	}
	t, ok := c.nc.(encrypted)
	if !ok {
		return true
	}
	c.srv.stats.handshakes.Add(1)
	defer c.srv.stats.handshakes.Add(-1)
	if err := t.HandshakeContext(c.srv.ctx); err != nil {
		c.srv.stats.handshakeFailures.Add(1)
		c.kill("TLS handshake: " + err.Error())
		return false
	}
	if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
		c.addX509(subjectOf(certs[0]))
	}
	return true
}

// connect opens a session or takes one over: the first packet of a connection. False: it is
// refused, and nothing more is read.
func (c *conn) connect(frame []byte) bool {
	srv := c.srv
	if !srv.serving.Load() {
		srv.stats.unserved.Add(1)
		c.kill("this server has no quorum and serves nobody")
		return false
	}
	srv.stats.connects.Add(1)
	c.body.Reset(frame)
	var r jute.ConnectRequest
	if r.Decode(&c.body) != nil {
		c.kill("no ZooKeeper client: the first packet is no connect request")
		return false
	}
	c.readOnly = r.HasReadOnly
	if zxid, ok := c.catchUp(&r); !ok {
		c.kill("the client has seen zxid " + hex(r.LastZxidSeen) + ", this server is at " + hex(zxid) + ": it must try another server")
		return false
	}
	if r.SessionID == 0 {
		return c.newSession(c.clamp(r.TimeoutMs))
	}
	return c.takeOver(r.SessionID, r.Password)
}

// catchUp waits until this server has applied what the client has seen elsewhere. A follower
// hears of a commit a moment later than the client of another server, and of the last one of a
// leader that died only from the next: a client that was sent away at once would find every
// server behind. A state that this one will never have ends the wait by its limit.
func (c *conn) catchUp(r *jute.ConnectRequest) (zxid int64, ok bool) {
	srv := c.srv
	reached := func() bool {
		srv.member.Read(func(s *tree.State) { zxid = s.Zxid() })
		return r.LastZxidSeen <= zxid
	}
	if reached() {
		return zxid, true
	}
	limit := min(2*srv.cfg.TickTime, time.Duration(c.clamp(r.TimeoutMs))*time.Millisecond/3)
	ctx, cancel := context.WithTimeout(srv.spell.Load().ctx, limit)
	defer cancel()
	return zxid, srv.behind.wait(ctx, r.LastZxidSeen, reached)
}

// clamp keeps a timeout within minSessionTimeout and maxSessionTimeout.
func (c *conn) clamp(ms int32) int32 {
	cfg := &c.srv.cfg
	return int32(min(max(time.Duration(ms)*time.Millisecond, cfg.MinSessionTimeout), cfg.MaxSessionTimeout).Milliseconds())
}

// newSession asks the ensemble for a session. The reply is given when that is applied here;
// until then nothing more is read.
func (c *conn) newSession(timeoutMs int32) bool {
	c.connGen = 1
	id := c.srv.member.NewSessionID()
	c.settleOn(id, timeoutMs)
	q := request{op: jute.OpCreateSession, xid: -1, start: c.srv.now()}
	if !c.submit(slot{request: q}, tree.Op{Kind: tree.CreateSession, TimeoutMs: timeoutMs}) {
		return false
	}
	return c.settle()
}

// takeOver moves a session to this connection, if its password is right and it is alive.
func (c *conn) takeOver(id int64, password []byte) bool {
	c.srv.stats.revalidations.Add(1)
	ctx, cancel := context.WithTimeout(c.srv.spell.Load().ctx, c.srv.cfg.SessionlessTimeout)
	defer cancel()
	c.joining.Store(true)
	a, err := c.srv.handle.Reattach(ctx, id, password)
	q := request{op: jute.OpCreateSession, xid: -1, start: c.srv.now()}
	switch {
	case errors.Is(err, node.ErrSessionExpired), errors.Is(err, node.ErrBadPassword):
		return c.refuseSession(&q, id, err)
	case err != nil:
		// Nobody knows: the client tries again, here or elsewhere.
		c.kill("session " + hex(id) + " cannot be taken over now: " + err.Error())
		return false
	}
	c.connGen = a.ConnGen
	c.settleOn(id, a.TimeoutMs)
	// It may have ended after the leader agreed and before there was a connection to be told
	// of it. What the leader had applied when it agreed is applied here.
	alive := false
	c.srv.member.Read(func(s *tree.State) { _, alive = s.Session(id) })
	if !alive {
		return c.refuseSession(&q, id, node.ErrSessionExpired)
	}
	c.mu.Lock()
	c.welcomeLocked(&q, 0)
	c.mu.Unlock()
	return true
}

// refuseSession tells the client that there is no such session for it, and parts with it.
func (c *conn) refuseSession(q *request, id int64, reason error) bool {
	c.srv.log.Info("session refused", "session", hex(id), "remote", c.remote, "reason", reason)
	c.mu.Lock()
	c.connectedLocked(q, 0, &jute.ConnectResponse{Password: make([]byte, 16)})
	c.closeLocked()
	c.mu.Unlock()
	return false
}

// settleOn makes the session this connection's; an older connection of it ends.
func (c *conn) settleOn(id int64, timeoutMs int32) {
	c.session.Store(id)
	c.timeoutMs.Store(timeoutMs)
	c.touchNs = int64(timeoutMs) * int64(time.Millisecond) / 64
	c.touched = c.srv.now()
	c.heard.Store(c.touched)
	if old := c.srv.enter(c, id); old != nil {
		old.kill("the session was taken over by another connection")
	}
}

// welcomeLocked tells the client its session.
func (c *conn) welcomeLocked(q *request, zxid int64) {
	id := c.session.Load()
	password := c.srv.member.Password(id)
	c.open = true
	c.connectedLocked(q, zxid, &jute.ConnectResponse{TimeoutMs: c.timeoutMs.Load(), SessionID: id, Password: password[:]})
	c.changed.Broadcast()
}

// connectedLocked queues the answer to a connect request, which has no reply header.
func (c *conn) connectedLocked(q *request, zxid int64, m *jute.ConnectResponse) {
	b := c.roomLocked()
	if b == nil {
		return
	}
	m.HasReadOnly = c.readOnly
	c.replyAt = len(b)
	c.endLocked(m.AppendTo(jute.BeginFrame(b)), q, zxid)
}
