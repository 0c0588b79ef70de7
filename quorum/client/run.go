package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

// How long run waits after all servers were tried in vain.
const (
	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
)

// errNoServer fails calls that waited for a connection.
var errNoServer = errors.New("no server could be reached")

// errClosedByServer breaks a connection.
var errClosedByServer = errors.New("the server closed the connection")

// run keeps the session connected until it ends. It alone calls done, Watch and OnState
// functions.
func (c *Client) run() {
	defer close(c.stopped)
	failures, backoff := 0, backoffMin
	for c.ctx.Err() == nil {
		address := c.addresses[c.next%len(c.addresses)]
		c.next++
		l, err := c.dial(address)
		if err == nil {
			c.cfg.Log.Debug("connected to a ZooKeeper server", "server", address, "session", c.Session().ID)
			var final State
			if final, err = c.serve(l); final.Final() {
				c.end(final)
				return
			}
			if c.cfg.Clock.Now().Sub(l.born) >= backoffMax {
				failures, backoff = 0, backoffMin
				continue
			}
		}
		if errors.Is(err, errExpired) {
			c.end(Expired)
			return
		}
		c.cfg.Log.Debug("no connection to a ZooKeeper server", "server", address, "error", err)
		if failures++; failures%len(c.addresses) != 0 {
			continue
		}
		c.failPending(jute.ConnectionLoss, fmt.Errorf("%w: %w", errNoServer, err))
		wait := backoff/2 + time.Duration(c.cfg.Rand.Int64N(int64(backoff)/2+1))
		c.sleep(wait)
		backoff = min(2*backoff, backoffMax)
	}
	c.end(Closed)
}

// sleep waits for d or until the client ends.
func (c *Client) sleep(d time.Duration) {
	woken := make(chan struct{})
	t := c.cfg.Clock.AfterFunc(d, func() { close(woken) })
	defer t.Stop()
	select {
	case <-woken:
	case <-c.ctx.Done():
	}
}

// serve reads from l until it breaks. It returns a final state when the session ended with
// it, and else why it broke.
func (c *Client) serve(l *link) (State, error) {
	unhook := context.AfterFunc(c.ctx, func() { l.breakOff(ErrClosed) })
	defer unhook()
	if c.cfg.OnState != nil {
		c.cfg.OnState(c.State())
	}
	var r jute.Reader
	var err error
	for {
		if l.buf, err = jute.ReadFrame(l.r, l.buf, c.cfg.MaxBuffer); err != nil {
			break
		}
		r.Reset(l.buf)
		if err = c.handle(&r); err != nil {
			break
		}
		if cap(l.buf) > 1<<20 {
			l.buf = nil
		}
	}
	if err == io.EOF {
		err = errClosedByServer
	}
	l.breakOff(err)
	return c.farewell(l, errors.Is(err, errAuthFailed))
}

// farewell takes l away and fails what it owed.
func (c *Client) farewell(l *link, refused bool) (State, error) {
	close(l.stop)
	<-l.written
	c.mu.Lock()
	l.timer.Stop()
	c.link, c.authing = nil, nil
	cause, over := l.broken, c.ctx.Err() != nil || c.closing
	if !over && !refused {
		c.setState(Connecting)
	}
	c.mu.Unlock()
	switch {
	case refused:
		return AuthFailed, cause
	case over:
		c.failPending(jute.ConnectionLoss, cause)
		return Closed, cause
	}
	c.cfg.Log.Debug("the connection to a ZooKeeper server broke", "server", c.Server(), "error", cause)
	c.failPending(jute.ConnectionLoss, cause)
	if c.cfg.OnState != nil {
		c.cfg.OnState(Connecting)
	}
	return Connecting, cause
}

// setState changes the state and wakes who waits for that. The caller holds mu.
func (c *Client) setState(s State) {
	c.state = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// failPending fails all calls that were made so far, and drops what was to be sent.
func (c *Client) failPending(code jute.Code, cause error) {
	c.mu.Lock()
	calls, sent := c.pending, len(c.pending)-c.unsent
	c.pending, c.out, c.unsent = nil, nil, 0
	c.mu.Unlock()
	for i, k := range calls {
		k.done(nil, &Error{Op: k.op, Path: k.path, Code: code, Sent: i < sent, Cause: cause})
	}
}

// end makes the state final.
func (c *Client) end(s State) {
	c.mu.Lock()
	c.setState(s)
	auths := c.auths
	c.mu.Unlock()
	c.cancel()
	var cause error
	if s == Closed {
		cause = ErrClosed
	}
	c.failPending(s.code(), cause)
	for _, a := range auths {
		a.tell(&Error{Op: jute.OpAuth, Code: s.code(), Cause: cause})
	}
	c.watches.end(s)
	if c.cfg.OnState != nil {
		c.cfg.OnState(s)
	}
}

// errAuthFailed breaks a connection whose server refused an identity.
var errAuthFailed = errors.New("the server refused an identity (addauth)")

// errNotRearmed breaks a connection whose server does not arm the session's watches.
var errNotRearmed = errors.New("the server did not take the watches over")

// errOrder breaks a connection whose server answers something else than it was asked.
var errOrder = errors.New("the server answers out of order")

// handle takes one packet.
func (c *Client) handle(r *jute.Reader) error {
	var h jute.ReplyHeader
	if err := h.Decode(r); err != nil {
		return err
	}
	switch h.Xid {
	case jute.XidPing:
		return nil
	case jute.XidAuth:
		return c.authAnswered(h.Err)
	case jute.XidSetWatches:
		if h.Err != jute.OK {
			// Nothing would tell of what they wait for: another server has to take them.
			c.cfg.Log.Warn("the ZooKeeper server did not take the watches over", "server", c.Server(), "error", h.Err)
			return fmt.Errorf("%w: %w", errNotRearmed, h.Err)
		}
		return nil
	case jute.XidNotification:
		var m jute.WatcherEvent
		if err := m.Decode(r); err != nil {
			return err
		}
		e := Event{Type: m.Type, State: Connected, Path: c.clientPath(m.Path)}
		if c.cfg.OnEvent != nil {
			c.cfg.OnEvent(e)
		}
		c.watches.fire(m.Path, e)
		return nil
	}
	return c.answered(&h, r)
}

func (c *Client) authAnswered(code jute.Code) error {
	c.mu.Lock()
	var a *auth
	if len(c.authing) > 0 {
		a = c.authing[0]
		c.authing = c.authing[1:]
	}
	c.mu.Unlock()
	if code != jute.OK {
		// end tells who waits, when the state is final.
		return errAuthFailed
	}
	if a != nil {
		a.tell(nil)
	}
	return nil
}

// answered hands an answer to the call that is first in line.
func (c *Client) answered(h *jute.ReplyHeader, r *jute.Reader) error {
	c.mu.Lock()
	if len(c.pending) == c.unsent || c.pending[0].xid != h.Xid {
		c.mu.Unlock()
		return errOrder
	}
	k := c.pending[0]
	c.pending[0] = nil
	c.pending = c.pending[1:]
	c.zxid = max(c.zxid, h.Zxid)
	c.mu.Unlock()
	p := &Reply{Zxid: h.Zxid}
	if h.Err == jute.OK {
		if err := c.decode(k.op, r, p); err != nil {
			k.done(nil, &Error{Op: k.op, Path: k.path, Code: jute.ConnectionLoss, Sent: true, Cause: err})
			return err
		}
	}
	c.watches.register(k, h.Err)
	switch {
	case h.Err != jute.OK:
		k.done(nil, &Error{Op: k.op, Path: k.path, Code: h.Err})
	case k.op == jute.OpMulti:
		k.done(p, multiError(k.multiOps, k.paths, p.Results))
	case k.op == jute.OpRemoveWatches:
		k.done(p, c.removed(k))
	default:
		k.done(p, nil)
	}
	return nil
}
