package zootls

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// Listener returns a listener of encrypted connections over l. The handshake happens with the
// first read or write of each, so that accepting waits for nobody. With either, a plain
// connection is taken as well (port unification): the first byte tells them apart.
func (s *Source) Listener(l net.Listener, either bool) net.Listener {
	return &listener{Listener: l, source: s, config: s.Server(), either: either}
}

type listener struct {
	net.Listener
	source *Source
	config *tls.Config
	either bool
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, l: l, in: unread{Conn: raw}}
	if !l.either {
		c.tls, c.known = tls.Server(raw, l.config), true
	}
	return c, nil
}

// Conn is a connection that was taken by Listener.
type Conn struct {
	net.Conn // the socket
	l        *listener

	ready atomic.Bool // settled and, if encrypted, shaken hands; tls does not change any more
	mu    sync.Mutex  // held over the first read and the handshake
	in    unread      // the socket with the byte that was looked at
	known bool        // whether the peer is known to speak TLS or not
	tls   *tls.Conn   // nil: plain
	bad   error       // the peer comes from the wrong host
}

// recordHandshake is the first byte of every TLS connection. Plain connections begin with
// the length of a packet, whose first byte it cannot be (that would be 352 MiB), or with a
// letter.
const recordHandshake = 22

// settle finds out what the peer speaks, and shakes hands.
func (c *Conn) settle() error {
	if c.ready.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad != nil || c.ready.Load() {
		return c.bad
	}
	if !c.known {
		if err := c.in.look(); err != nil {
			return err // a deadline may pass, and reading go on
		}
		c.known = true
		if c.in.first[0] == recordHandshake {
			c.tls = tls.Server(&c.in, c.l.config)
		}
	}
	if c.tls != nil {
		if err := c.tls.Handshake(); err != nil {
			return err
		}
		if c.bad = c.l.source.VerifyPeer(c.tls.ConnectionState(), c.RemoteAddr()); c.bad != nil {
			return c.bad
		}
	}
	c.ready.Store(true)
	return nil
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.settle(); err != nil {
		return 0, err
	}
	if c.tls != nil {
		return c.tls.Read(b)
	}
	return c.in.Read(b)
}

// Write implements net.Conn. Before the peer has said anything it waits for that.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.settle(); err != nil {
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
