package client

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fakeNet is a network in memory.
type fakeNet struct {
	mu    sync.Mutex
	ports map[string]*fakeServer
	dials []string
}

func (n *fakeNet) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, address)
	s := n.ports[address]
	n.mu.Unlock()
	if s == nil {
		return nil, errors.New("connection refused")
	}
	if s.deaf {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a, b := net.Pipe()
	go s.serve(b)
	return a, nil
}

// fakeServer speaks ZooKeeper's protocol as far as a test wants: each request goes to on,
// which answers by the connection.
type fakeServer struct {
	t    *testing.T
	deaf bool // accepts no connection, and does not say so
	// hello answers a ConnectRequest; nil: a session is opened or continued.
	hello func(*jute.ConnectRequest) *jute.ConnectResponse
	on    func(c *fakeConn, h jute.RequestHeader, r *jute.Reader)
	wrap  func(net.Conn) net.Conn

	mu     sync.Mutex
	conns  []*fakeConn
	hellos []jute.ConnectRequest
	seen   []jute.RequestHeader
}

type fakeConn struct {
	net.Conn
	s    *fakeServer
	zxid int64
}

func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	if s.wrap != nil {
		conn = s.wrap(conn)
	}
	c := &fakeConn{Conn: conn, s: s}
	body, err := jute.ReadFrame(conn, nil, jute.DefaultMaxBuffer)
	if err != nil {
		return
	}
	var req jute.ConnectRequest
	if err := req.Decode(jute.NewReader(body)); err != nil {
		s.t.Errorf("ConnectRequest: %v", err)
		return
	}
	req.Password = append([]byte(nil), req.Password...)
	s.mu.Lock()
	s.hellos = append(s.hellos, req)
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	resp := &jute.ConnectResponse{TimeoutMs: req.TimeoutMs, SessionID: 77, Password: []byte("0123456789abcdef"), HasReadOnly: true}
	if s.hello != nil {
		resp = s.hello(&req)
	}
	if resp == nil {
		return
	}
	c.packet(resp)
	for {
		if body, err = jute.ReadFrame(conn, body, 4*jute.DefaultMaxBuffer); err != nil {
			return
		}
		var h jute.RequestHeader
		r := jute.NewReader(body)
		if err := h.Decode(r); err != nil {
			s.t.Errorf("RequestHeader: %v", err)
			return
		}
		s.mu.Lock()
		s.seen = append(s.seen, h)
		s.mu.Unlock()
		if s.on != nil {
			s.on(c, h, r)
		} else {
			c.reply(h, jute.OK, nil)
		}
	}
}

// packet sends records as one packet.
func (c *fakeConn) packet(records ...jute.Record) {
	b := jute.BeginFrame(nil)
	for _, r := range records {
		b = r.AppendTo(b)
	}
	jute.EndFrame(b, 0)
	if _, err := c.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.s.t.Logf("fake server: %v", err)
	}
}

func (c *fakeConn) reply(h jute.RequestHeader, code jute.Code, body jute.Record) {
	c.zxid++
	head := &jute.ReplyHeader{Xid: h.Xid, Zxid: c.zxid, Err: code}
	if body == nil {
		body = jute.NewResponse(h.Op)
	}
	if body == nil || code != jute.OK {
		c.packet(head)
		return
	}
	c.packet(head, body)
}

func (c *fakeConn) event(t jute.EventType, path string) {
	c.packet(&jute.ReplyHeader{Xid: jute.XidNotification, Zxid: -1}, &jute.WatcherEvent{Type: t, State: jute.StateSyncConnected, Path: path})
}

// cut ends all connections.
func (s *fakeServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// requests returns the headers that came, pings apart.
func (s *fakeServer) requests() (ops []jute.OpCode, pings int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.seen {
		if h.Op == jute.OpPing {
			pings++
		} else {
			ops = append(ops, h.Op)
		}
	}
	return ops, pings
}

// start returns a client of the servers, which are named a, b, ...
func start(t *testing.T, change func(*Config), servers ...*fakeServer) (*Client, *fakeNet) {
	t.Helper()
	n := &fakeNet{ports: map[string]*fakeServer{}}
	list := ""
	for i, s := range servers {
		name := string(rune('a' + i))
		if i > 0 {
			list += ","
		}
		list += name
		if s != nil {
			s.t = t
			n.ports[name+":2181"] = s
		}
	}
	cfg := Config{Servers: list, SessionTimeout: 6 * time.Second, Dial: n.dial, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(1, 2))}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	return c, n
}

// newIdle returns a client that connects to nothing.
func newIdle() (*Client, error) {
	return &Client{cfg: Config{MaxBuffer: jute.DefaultMaxBuffer, Log: slog.New(slog.DiscardHandler)}, wake: make(chan struct{}, 1), changed: make(chan struct{})}, nil
}
