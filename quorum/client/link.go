package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/jute"
)

// errSilent breaks a connection over which nothing came.
var errSilent = errors.New("nothing was heard of the server for two thirds of the session timeout")

// link is one connection.
type link struct {
	c       *Client
	conn    net.Conn
	r       *bufio.Reader
	buf     []byte // for packets
	born    time.Time
	written chan struct{} // closed when the writer has ended
	stop    chan struct{} // tells it to

	// Under the client's mu.
	lastSend, lastHeard time.Time
	pingEvery, silence  time.Duration
	timer               clock.Timer
	broken              error // the first reason
}

// dial connects to one server and opens or continues the session. It ends within the time
// that a connection may take, or when the client does.
func (c *Client) dial(address string) (*link, error) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	limit := c.SessionTimeout() / time.Duration(len(c.addresses))
	timer := c.cfg.Clock.AfterFunc(limit, func() { cancel(fmt.Errorf("no answer within %v", limit)) })
	defer timer.Stop()
	plain, err := c.cfg.Dial(ctx, address)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	unhook := context.AfterFunc(ctx, func() { _ = plain.Close() })
	defer unhook()
	conn, err := c.secure(ctx, plain, address)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	l := &link{c: c, conn: conn, born: c.cfg.Clock.Now(), written: make(chan struct{}), stop: make(chan struct{})}
	l.r = bufio.NewReaderSize(l, 32<<10)
	resp, err := l.handshake()
	if err != nil {
		_ = conn.Close()
		return nil, causeOr(ctx, err)
	}
	if !unhook() {
		// Closed already.
		return nil, causeOr(ctx, net.ErrClosed)
	}
	return l, c.welcome(l, resp, address)
}

// causeOr is why ctx ended, or err while it has not.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *Client) secure(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if c.cfg.TLS == nil {
		return conn, nil
	}
	cfg := c.cfg.TLS
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

// handshake sends the ConnectRequest and reads the answer.
func (l *link) handshake() (*jute.ConnectResponse, error) {
	c := l.c
	c.mu.Lock()
	m := jute.ConnectRequest{
		LastZxidSeen: c.zxid, TimeoutMs: int32(c.cfg.SessionTimeout.Milliseconds()), Password: c.session.Password, HasReadOnly: true, ReadOnly: c.cfg.ReadOnly,
	}
	if c.seenReadWrite {
		m.SessionID = c.session.ID
	}
	c.mu.Unlock()
	b := m.AppendTo(jute.BeginFrame(nil))
	jute.EndFrame(b, 0)
	if _, err := l.conn.Write(b); err != nil {
		return nil, err
	}
	body, err := jute.ReadFrame(l.r, l.buf, c.cfg.MaxBuffer)
	if err == io.EOF {
		err = errors.New("the server closed the connection: it has no quorum, is behind what this session saw, or refuses this host")
	}
	if err != nil {
		return nil, err
	}
	l.buf = body
	var resp jute.ConnectResponse
	if err := resp.Decode(jute.NewReader(body)); err != nil {
		return nil, err
	}
	return &resp, nil
}

// errExpired says that the server does not know the session any more.
var errExpired = errors.New("the session has expired")

// welcome makes l the client's connection: identities and watches first, then what waited.
func (c *Client) welcome(l *link, resp *jute.ConnectResponse, address string) error {
	if resp.TimeoutMs <= 0 {
		_ = l.conn.Close()
		return errExpired
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = Session{ID: resp.SessionID, Password: append([]byte(nil), resp.Password...)}
	c.timeout = time.Duration(resp.TimeoutMs) * time.Millisecond
	c.seenReadWrite = c.seenReadWrite || !resp.ReadOnly
	c.server = address
	var head []byte
	c.authing = nil
	for _, a := range c.auths {
		head = c.appendAuth(head, a)
	}
	c.out = append(c.appendRearm(head, c.zxid), c.out...)
	l.lastSend = c.cfg.Clock.Now()
	l.lastHeard = l.lastSend
	l.pingEvery, l.silence = c.timeout/3, c.timeout*2/3
	l.timer = c.cfg.Clock.AfterFunc(l.pingEvery, l.tick)
	c.link = l
	state := Connected
	if resp.ReadOnly {
		state = ConnectedReadOnly
	}
	c.setState(state)
	go l.write()
	return nil
}

// Read reads from the connection and remembers when something came.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	if n > 0 {
		now := l.c.cfg.Clock.Now()
		l.c.mu.Lock()
		l.lastHeard = now
		l.c.mu.Unlock()
	}
	return n, err
}

// write sends what is queued until the connection ends.
func (l *link) write() {
	defer close(l.written)
	c := l.c
	var spare []byte
	for {
		c.mu.Lock()
		buf := c.out
		c.out, c.unsent = spare[:0], 0
		if len(buf) > 0 {
			l.lastSend = c.cfg.Clock.Now()
		}
		c.mu.Unlock()
		if len(buf) == 0 {
			spare = buf
			select {
			case <-c.wake:
				continue
			case <-l.stop:
				return
			}
		}
		if _, err := l.conn.Write(buf); err != nil {
			l.breakOff(err)
			return
		}
		if spare = buf; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

// tick pings when nothing was sent for a third of the timeout, and gives up on a server that
// says nothing.
func (l *link) tick() {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l || l.broken != nil {
		return
	}
	now := c.cfg.Clock.Now()
	if now.Sub(l.lastHeard) >= l.silence {
		l.broken = errSilent
		_ = l.conn.Close()
		return
	}
	if now.Sub(l.lastSend) >= l.pingEvery {
		start := len(c.out)
		h := jute.RequestHeader{Xid: jute.XidPing, Op: jute.OpPing}
		c.out = h.AppendTo(jute.BeginFrame(c.out))
		jute.EndFrame(c.out, start)
		l.lastSend = now
		c.wakeWriter()
	}
	l.timer.Reset(min(l.lastSend.Add(l.pingEvery).Sub(now), l.lastHeard.Add(l.silence).Sub(now)))
}

// breakOff closes the connection for the given reason, if it is the first one.
func (l *link) breakOff(err error) {
	l.c.mu.Lock()
	if l.broken == nil {
		l.broken = err
	}
	l.c.mu.Unlock()
	_ = l.conn.Close()
}
