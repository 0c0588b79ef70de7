package server

import (
	"context"
	"errors"
	"sync"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/server/watch"
	"github.com/millrace/millrace/quorum/tree"
)

// dispatch executes or starts a request; its body is what c.body has left. False: nothing more
// is read from this client.
func (c *conn) dispatch(h jute.RequestHeader, now int64) bool {
	q := request{xid: h.Xid, op: h.Op, body: c.body.Rest(), auth: c.auth, start: now}
	switch h.Op {
	case jute.OpAuth, jute.OpSASL:
		return c.identification(q)
	}
	if !c.mayAsk() {
		c.srv.log.Warn("client shows none of the identities that are asked for", "remote", c.remote, "session", hex(c.session.Load()), "wanted", c.srv.cfg.EnforceAuthSchemes)
		return c.refuse(q, jute.SessionClosedRequireSASL)
	}
	switch h.Op {
	case jute.OpPing, jute.OpExists, jute.OpGetData, jute.OpGetACL, jute.OpGetChildren, jute.OpGetChildren2,
		jute.OpGetEphemerals, jute.OpGetAllChildrenNumber, jute.OpMultiRead, jute.OpWhoAmI,
		jute.OpSetWatches, jute.OpSetWatches2, jute.OpAddWatch, jute.OpCheckWatches, jute.OpRemoveWatches:
		c.readInTurn(q)
		return true
	case jute.OpReconfig:
		return c.reconfig(q)
	}
	s, op, code := c.prepare(q)
	if code == jute.Unimplemented && h.Op != jute.OpDeleteContainer {
		return c.refuseUnknown(q)
	}
	if code != jute.OK {
		c.answerInTurn(q, code)
		return true
	}
	return c.submit(s, op) && h.Op != jute.OpCloseSession
}

// readInTurn executes a read now, or leaves it to the goroutine that applies if a write of
// this connection is not applied yet.
func (c *conn) readInTurn(q request) {
	c.mu.Lock()
	if c.pending.len() > 0 && !seededbug.On(seededbug.ReadOvertakesWrite) {
		q.body = append([]byte(nil), q.body...)
		c.pushLocked(slot{request: q, bytes: len(q.body)})
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.read = q
	c.srv.member.Read(c.step)
	c.read = request{}
	if seededbug.On(seededbug.WatchAfterRead) {
		if path, wanted, ok := pathWatch(&q); ok && wanted && q.op == jute.OpGetData {
			c.srv.watches.Add(c.watcher, path, watch.Data)
		}
	}
	c.mu.Lock()
	long := c.queueBytesLocked() > holdBytes
	c.mu.Unlock()
	if long {
		c.flush()
	}
}

// opRefused is a read that is an error: what keeps an answer in its turn.
const opRefused jute.OpCode = -1000

// answerInTurn answers with a code, after everything that was asked before.
func (c *conn) answerInTurn(q request, code jute.Code) {
	q.body = jute.AppendInt32(nil, int32(code))
	q.op = opRefused
	c.readInTurn(q)
}

// refuse answers with a code and ends the connection.
func (c *conn) refuse(q request, code jute.Code) bool {
	c.mu.Lock()
	c.replyCodeLocked(&q, 0, code)
	c.closeLocked()
	c.mu.Unlock()
	return false
}

// refuseUnknown answers an operation that there is not, and ends the connection, as ZooKeeper
// does: with a zxid of -1, and before what still waits.
func (c *conn) refuseUnknown(q request) bool {
	c.mu.Lock()
	c.replyCodeLocked(&q, -1, jute.Unimplemented)
	c.closeLocked()
	c.mu.Unlock()
	return false
}

// pushLocked puts a slot at the end of the queue.
func (c *conn) pushLocked(s slot) {
	c.pending.push(s)
	c.srv.outstanding.Add(1)
	c.srv.outstandingBytes.Add(int64(s.bytes))
}

// submit sends a write on its way. False: the connection is over.
func (c *conn) submit(s slot, op tree.Op) bool {
	s.number = c.srv.requests.Add(1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.pushLocked(s)
	c.mu.Unlock()
	t := tree.Txn{
		Origin: c.srv.origin.Load(), Req: s.number, Session: c.session.Load(),
		ConnGen: c.connGen, Auth: c.auth, Op: op,
	}
	if op.Kind != tree.CreateSession {
		c.seq++
		t.Seq = c.seq
	}
	if err := c.srv.handle.Submit(t); err != nil {
		c.kill("write refused: " + err.Error())
		return false
	}
	if seededbug.On(seededbug.ReplyBeforeCommit) {
		c.replyEarly(&s, &op)
	}
	return true
}

// throttle waits while this connection may not be read: when it gave the goroutine that
// applies enough to read, and when too many requests of all clients wait and one of them is
// its own. False: the connection is over.
func (c *conn) throttle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.overLocked() {
		return !c.closed
	}
	c.srv.stats.throttled.Add(1)
	c.reading.Store(false)
	defer c.reading.Store(true)
	for !c.closed && c.overLocked() {
		if !c.writing && c.queueBytesLocked() > 0 {
			c.writing = true
			c.drainLocked()
			continue
		}
		c.changed.Wait()
	}
	return !c.closed
}

func (c *conn) overLocked() bool {
	if c.pending.len() == 0 {
		return false
	}
	return c.pending.weight > maxWeight || c.srv.outstanding.Load() > int64(c.srv.cfg.GlobalOutstandingLimit) ||
		c.srv.outstandingBytes.Load() > c.srv.cfg.OutstandingBytes
}

// settle waits until nothing is outstanding. False: the connection is over.
func (c *conn) settle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.pending.len() > 0 {
		if !c.writing && c.queueBytesLocked() > 0 {
			c.writing = true
			c.drainLocked()
			continue
		}
		c.changed.Wait()
	}
	return !c.closed
}

const configPath = "/zookeeper/config"

// reconfig changes the ensemble. It is rare, so the reader waits for it. The reply comes when
// this server has applied what the leader had when the change was done.
func (c *conn) reconfig(q request) bool {
	if !c.settle() {
		return false
	}
	var r jute.ReconfigRequest
	err := r.Decode(&c.body)
	if err == nil && !c.srv.cfg.Reconfig {
		err = jute.ReconfigDisabled
	}
	if err == nil {
		c.srv.member.Read(func(s *tree.State) { err = s.Allowed(configPath, jute.PermWrite, c.auth) })
	}
	if err == nil {
		c.flush()
		ctx, cancel := context.WithTimeout(c.srv.ctx, c.srv.cfg.MaxSessionTimeout)
		stop := c.keepAlive()
		err = c.srv.member.Reconfig(ctx, &r)
		stop()
		cancel()
	}
	if err != nil {
		c.answerInTurn(q, codeOf(err))
		return true
	}
	return c.submit(slot{request: request{xid: q.xid, op: q.op, start: q.start}}, tree.Op{Kind: tree.Noop})
}

// keepAlive lets the session live on while the reader waits for something else and hears nobody,
// until stop.
func (c *conn) keepAlive() (stop func()) {
	var mu sync.Mutex
	var timer clock.Timer
	over := false
	beat := func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		c.heard.Store(c.srv.now())
		c.srv.handle.Touch(c.session.Load())
		timer.Reset(c.srv.sweepEvery())
	}
	mu.Lock()
	defer mu.Unlock()
	timer = c.srv.clock.AfterFunc(c.srv.sweepEvery(), beat)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
		c.heard.Store(c.srv.now())
	}
}

// configLocked answers a reconfig with the configuration that is valid now.
func (c *conn) configLocked(s *tree.State, q *request) {
	data, st, err := s.Get(configPath)
	if err != nil {
		c.replyCodeLocked(q, s.Zxid(), codeOf(err))
		return
	}
	if b := c.beginLocked(q, s.Zxid(), jute.OK); b != nil {
		m := jute.ReconfigResponse{Data: data, Stat: st}
		c.endLocked(m.AppendTo(b), q, s.Zxid())
	}
}

// codeOf is what a client is told of an error.
func codeOf(err error) jute.Code {
	if err == nil {
		return jute.OK
	}
	if code, ok := err.(jute.Code); ok {
		return code
	}
	var code jute.Code
	switch {
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return jute.OperationTimeout
	}
	return jute.SystemError
}
