package client

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

// Client is one session. Its methods may be called by any goroutine.
type Client struct {
	cfg       Config
	addresses []string
	chroot    string
	ctx       context.Context // ends with Close and Abandon
	cancel    context.CancelFunc
	wake      chan struct{} // of cap 1: there is something to write
	stopped   chan struct{} // closed when run has ended

	// What only run touches.
	watches       watches
	next          int  // of addresses
	seenReadWrite bool // the session is one of a server that has a quorum

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced when state changes
	closing bool          // by Close: no more calls
	link    *link         // nil while there is no connection
	server  string        // of link, or the last one
	session Session
	timeout time.Duration // as negotiated
	zxid    int64         // the last that was seen
	xid     int32
	out     []byte  // packets that no writer took yet
	pending []*call // in order of xid
	unsent  int     // how many of them are in out
	auths   []*auth
	authing []*auth // shown on this connection and not answered yet
}

// call is a request that waits for its answer.
type call struct {
	xid      int32
	op       jute.OpCode
	path     string // the client's
	node     string // path, as the server knows it
	watch    func(Event)
	addMode  jute.AddWatchMode
	watchers jute.WatcherType
	multiOps []jute.OpCode
	paths    []string // of multiOps
	done     func(*Reply, error)
}

// auth is an identity and those who wait for it to be accepted.
type auth struct {
	Auth
	answered chan error // of cap 1
}

func newAuth(a Auth) *auth {
	return &auth{Auth: Auth{a.Scheme, append([]byte(nil), a.Auth...)}, answered: make(chan error, 1)}
}

// tell hands over the outcome, once.
func (a *auth) tell(err error) {
	select {
	case a.answered <- err:
	default:
	}
}

// Send makes a call. Its outcome is told to done, exactly once, by the goroutine that tells
// all outcomes and events; an error of Send itself says that nothing was sent and done will
// not be called. What q holds is not kept.
//
// Without a connection the call waits for one. It fails when all servers were tried in vain.
func (c *Client) Send(q *Request, done func(*Reply, error)) error {
	if err := q.check(); err != nil {
		return err
	}
	k := &call{op: q.Op, path: q.Path, watch: q.Watch, addMode: q.AddMode, watchers: q.WatcherType, done: done}
	for i := range q.Ops {
		k.multiOps, k.paths = append(k.multiOps, q.Ops[i].Type), append(k.paths, q.Ops[i].Path)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.state.Final() {
		return &Error{Op: q.Op, Path: q.Path, Code: c.state.code(), Cause: c.finalCause()}
	}
	return c.enqueue(q, k)
}

// enqueue appends the packet of k. The caller holds mu.
func (c *Client) enqueue(q *Request, k *call) error {
	start := len(c.out)
	k.xid = c.xid + 1
	if k.xid <= 0 {
		k.xid = 1
	}
	if k.node = q.Path; !q.NoChroot {
		k.node = c.serverPath(q.Path)
	}
	h := jute.RequestHeader{Xid: k.xid, Op: q.Op}
	c.out = c.appendBody(h.AppendTo(jute.BeginFrame(c.out)), q, k.node)
	if n := len(c.out) - start - 4; n > c.cfg.MaxBuffer {
		c.out = c.out[:start]
		return &Error{Op: q.Op, Path: q.Path, Code: jute.MarshallingError, Cause: &jute.FrameSizeError{Length: int32(min(n, 1<<31-1)), Max: c.cfg.MaxBuffer}}
	}
	jute.EndFrame(c.out, start)
	c.xid = k.xid
	c.pending = append(c.pending, k)
	c.unsent++
	c.wakeWriter()
	return nil
}

func (c *Client) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// finalCause is why calls fail in a final state, besides its code. The caller holds mu.
func (c *Client) finalCause() error {
	if c.closing || c.state == Closed {
		return ErrClosed
	}
	return nil
}

// Do makes a call and waits for its outcome. When ctx ends first, the call may still be done
// (Error.Sent).
func (c *Client) Do(ctx context.Context, q *Request) (*Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: q.Op, Path: q.Path, Code: jute.OperationTimeout, Cause: err}
	}
	type outcome struct {
		reply *Reply
		err   error
	}
	ch := make(chan outcome, 1)
	if err := c.Send(q, func(p *Reply, err error) { ch <- outcome{p, err} }); err != nil {
		return nil, err
	}
	select {
	case o := <-ch:
		return o.reply, o.err
	case <-ctx.Done():
		return nil, &Error{Op: q.Op, Path: q.Path, Code: jute.OperationTimeout, Sent: true, Cause: ctx.Err()}
	}
}

// State is the client's state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Session is the session, with ID 0 before the first connection.
func (c *Client) Session() Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Session{ID: c.session.ID, Password: append([]byte(nil), c.session.Password...)}
}

// SessionTimeout is what the server granted, or what is asked for before that.
func (c *Client) SessionTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timeout
}

// Server is the address of the server that the client is, or was last, connected to.
func (c *Client) Server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// LastZxid is the last transaction that the client saw.
func (c *Client) LastZxid() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.zxid
}

// WaitConnected waits for a connection. It fails when ctx ends or the state is final.
func (c *Client) WaitConnected(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		switch {
		case state == Connected || state == ConnectedReadOnly:
			return nil
		case state.Final():
			return &Error{Op: jute.OpCreateSession, Code: state.code()}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &Error{Op: jute.OpCreateSession, Code: jute.ConnectionLoss, Cause: ctx.Err()}
		}
	}
}

// Close ends the session on the server and stops the client. nil says that the session is
// gone; after an error it may live until its timeout. Not to be called from a done, Watch or
// OnState function.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing || c.state.Final() {
		c.mu.Unlock()
		select {
		case <-c.stopped:
			return nil
		case <-ctx.Done():
			return &Error{Op: jute.OpCloseSession, Code: jute.OperationTimeout, Sent: true, Cause: ctx.Err()}
		}
	}
	var err error = &Error{Op: jute.OpCloseSession, Code: jute.ConnectionLoss}
	told := make(chan struct{})
	if c.link == nil {
		if c.session.ID == 0 {
			err = nil
		}
		c.cancel()
	} else if e := c.enqueue(&Request{Op: jute.OpCloseSession}, &call{op: jute.OpCloseSession, done: func(_ *Reply, e error) {
		err = e
		close(told)
		c.cancel()
	}}); e != nil {
		c.cancel()
	}
	c.closing = true
	c.mu.Unlock()
	select {
	case <-told:
	case <-c.stopped:
	case <-ctx.Done():
		c.cancel()
	}
	<-c.stopped
	return err
}

// Abandon stops the client and leaves the session on the server, until its timeout or until
// another client goes on with it. Not to be called from a done, Watch or OnState function.
func (c *Client) Abandon() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.cancel()
	<-c.stopped
}

// serverPath puts a path below the chroot.
func (c *Client) serverPath(path string) string {
	switch {
	case c.chroot == "":
		return path
	case path == "/":
		return c.chroot
	}
	return c.chroot + path
}

// clientPath takes the chroot off.
func (c *Client) clientPath(path string) string {
	n := len(c.chroot)
	switch {
	case n == 0 || len(path) < n || path[:n] != c.chroot:
		return path
	case len(path) == n:
		return "/"
	case path[n] == '/':
		return path[n:]
	}
	return path
}
