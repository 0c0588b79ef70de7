package zootls

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// Listener returns a listener of encrypted connections over l: *tls.Conn. With either, it takes
// plain connections as well (port unification), and gives *Conn, which waits for the first byte
// to tell them apart. Accepting waits for nobody: a handshake comes with the first read.
func (s *Source) Listener(l net.Listener, either bool) net.Listener {
	if !either {
		return tls.NewListener(l, s.Server())
	}
	return &listener{Listener: l, config: s.Server()}
}

type listener struct {
	net.Listener
	config *tls.Config
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: raw, in: unread{Conn: raw}, config: l.config}, nil
}

// Conn is a connection that was taken by Listener.
type Conn struct {
	net.Conn // the socket
	config   *tls.Config

	ready atomic.Bool // settled and, if encrypted, shaken hands; tls does not change any more
	mu    sync.Mutex  // held over the first read and the handshake
	in    unread      // the socket with the byte that was looked at
	known bool        // whether the peer is known to speak TLS or not
	tls   *tls.Conn   // nil: plain
}

// recordHandshake is the first byte of every TLS connection. Plain connections begin with
// the length of a packet, whose first byte it cannot be (that would be 352 MiB), or with a
// letter.
const recordHandshake = 22

// settle finds out what the peer speaks, and shakes hands.
func (c *Conn) settle(ctx context.Context) error {
	if c.ready.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready.Load() {
		return nil
	}
	if !c.known {
		if err := c.in.look(); err != nil {
			return err // a deadline may pass, and reading go on
		}
		c.known = true
		if c.in.first[0] == recordHandshake {
			c.tls = tls.Server(&c.in, c.config)
		}
	}
	if c.tls != nil {
		if err := c.tls.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	c.ready.Store(true)
	return nil
}

// HandshakeContext waits for the first byte and shakes hands, if the peer wants that.
func (c *Conn) HandshakeContext(ctx context.Context) error { return c.settle(ctx) }

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.settle(context.Background()); err != nil {
		return 0, err
	}
	if c.tls != nil {
		return c.tls.Read(b)
	}
	return c.in.Read(b)
}

// Write implements net.Conn. Before the peer has said anything it waits for that.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.settle(context.Background()); err != nil {
		return 0, err
	}
	if c.tls != nil {
		return c.tls.Write(b)
	}
	return c.Conn.Write(b)
}

// Close ends the connection. It waits for no handshake.
func (c *Conn) Close() error {
	if c.ready.Load() && c.tls != nil {
		return c.tls.Close()
	}
	return c.Conn.Close()
}

// NetConn is the socket, as that of a tls.Conn: closing it waits for nothing.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// ConnectionState tells what the handshake agreed on. HandshakeComplete is false for a plain
// connection, and before the first Read has returned.
func (c *Conn) ConnectionState() tls.ConnectionState {
	if !c.ready.Load() || c.tls == nil {
		return tls.ConnectionState{}
	}
	return c.tls.ConnectionState()
}

// unread is a socket whose first byte may have been looked at.
type unread struct {
	net.Conn
	first [1]byte
	left  bool // first is still to be read; only the reader looks
}

func (u *unread) look() error {
	_, err := u.Conn.Read(u.first[:])
	u.left = err == nil
	return err
}

func (u *unread) Read(b []byte) (int, error) {
	if u.left && len(b) > 0 {
		u.left = false
		b[0] = u.first[0]
		return 1, nil
	}
	return u.Conn.Read(b)
}
