package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// client is one of go-zookeeper/zk that can vanish as a program does that is killed.
type client struct {
	*zk.Conn
	name  string
	ended chan struct{}

	mu    sync.Mutex
	conns []net.Conn
	gone  bool
}

// connect returns once the client has a session, or nil when ctx is over before.
func connect(ctx context.Context, t *testing.T, name string, servers []string, timeout time.Duration) *client {
	c := &client{name: name, ended: make(chan struct{})}
	conn, events, err := zk.Connect(servers, timeout, zk.WithLogInfo(false), zk.WithLogger(silent{}), zk.WithDialer(c.dial))
	if err != nil {
		t.Error(err)
		return nil
	}
	c.Conn = conn
	ready := make(chan struct{})
	go func() {
		defer close(c.ended)
		first := true
		for ev := range events {
			if ev.State == zk.StateHasSession && first {
				first = false
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
		return c
	case <-ctx.Done():
		c.vanish()
		return nil
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (c *client) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// vanish breaks the connection for good: the servers do not hear of the session's end.
func (c *client) vanish() {
	c.mu.Lock()
	c.gone = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.Conn.Close()
	<-c.ended
}

// close ends the session, if a server is there to hear of it.
func (c *client) close() {
	c.Conn.Close()
	c.vanish()
}

// unknown tells whether an error leaves open what became of a request: all that the client
// says itself, those of its connection too.
func unknown(err error) bool {
	if network := net.Error(nil); errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	for _, e := range []error{zk.ErrConnectionClosed, zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrClosing} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// certain repeats a read until it is answered.
func certain(ctx context.Context, read func() error) error {
	for {
		err := read()
		if err == nil || !unknown(err) || ctx.Err() != nil {
			return err
		}
	}
}
