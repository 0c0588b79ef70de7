package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience is far more than anything takes here: what runs into it is stuck.
const patience = 60 * time.Second

// port is a client port on loopback, of a fake member.
type testPort struct {
	t    testing.TB
	e    *ensemble
	s    *Server
	addr string
}

func startPort(t testing.TB, change func(*Options)) *testPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newEnsemble(t)
	o := Options{Member: e, Listeners: []net.Listener{l}, Config: Config{TickTime: 2 * time.Second, Words: []string{"*"}}, Log: testkit.Logger(t)}
	if inLanes(t) {
		// Nobody looks after the lane: a machine that is slow has nobody leave it.
		o.lanes, o.swiftRun = netx.NewLanes(1, testkit.NewClock(time.Unix(0, 0))), 1
	}
	if change != nil {
		change(&o)
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testPort{t, e, s, l.Addr().String()}
}

// rawClient speaks packets.
type rawClient struct {
	t       testing.TB
	nc      net.Conn
	xid     int32
	session int64
	passwd  []byte
	timeout int32
	buf     []byte
	events  []jute.WatcherEvent // that came before replies
}

func (p *testPort) dial() *rawClient {
	p.t.Helper()
	return dial(p.t, p.addr)
}

func dial(t testing.TB, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &rawClient{t: t, nc: nc}
}

// client opens a session.
func (p *testPort) client() *rawClient {
	p.t.Helper()
	return session(p.t, p.addr)
}

func session(t testing.TB, addr string) *rawClient {
	t.Helper()
	c := dial(t, addr)
	if r := c.connect(jute.ConnectRequest{TimeoutMs: 10_000, Password: make([]byte, 16)}); r.SessionID == 0 {
		t.Fatal("no session")
	}
	return c
}

func (c *rawClient) connect(m jute.ConnectRequest) jute.ConnectResponse {
	c.t.Helper()
	c.sendRecord(&m)
	var r jute.ConnectResponse
	body, err := c.packet()
	if err != nil {
		c.t.Fatal("no answer to the connect request: ", err)
	}
	rd := jute.NewReader(body)
	if err := r.Decode(rd); err != nil || rd.Len() > 0 {
		c.t.Fatalf("connect response: %v, %d bytes more", err, rd.Len())
	}
	c.session, c.passwd, c.timeout = r.SessionID, append([]byte(nil), r.Password...), r.TimeoutMs
	return r
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) sendRecord(m jute.Record) {
	c.t.Helper()
	b := m.AppendTo(jute.BeginFrame(nil))
	jute.EndFrame(b, 0)
	c.write(b)
}

func frame(xid int32, op jute.OpCode, m jute.Record) []byte {
	h := jute.RequestHeader{Xid: xid, Op: op}
	b := h.AppendTo(jute.BeginFrame(nil))
	if m != nil {
		b = m.AppendTo(b)
	}
	jute.EndFrame(b, 0)
	return b
}

// send sends a request and returns its xid.
func (c *rawClient) send(op jute.OpCode, m jute.Record) int32 {
	c.t.Helper()
	c.xid++
	c.write(frame(c.xid, op, m))
	return c.xid
}

func (c *rawClient) packet() ([]byte, error) {
	var err error
	c.buf, err = jute.ReadFrame(c.nc, nil, 64<<20)
	return c.buf, err
}

// message is one packet from the server, an event or a reply.
type message struct {
	head  jute.ReplyHeader
	event *jute.WatcherEvent
	body  []byte
}

func (m message) String() string {
	if m.event != nil {
		return fmt.Sprintf("event %d %s", m.event.Type, m.event.Path)
	}
	return fmt.Sprintf("reply %d err %d", m.head.Xid, m.head.Err)
}

func (c *rawClient) next() message {
	c.t.Helper()
	m, err := c.tryNext()
	if err != nil {
		c.t.Fatal("connection: ", err)
	}
	return m
}

func (c *rawClient) tryNext() (message, error) {
	b, err := c.packet()
	if err != nil {
		return message{}, err
	}
	var m message
	r := jute.NewReader(b)
	if err := m.head.Decode(r); err != nil {
		return message{}, err
	}
	if m.head.Xid == jute.XidNotification {
		m.event = &jute.WatcherEvent{}
		if err := m.event.Decode(r); err != nil || m.head.Zxid != -1 || m.event.State != jute.StateSyncConnected {
			return message{}, fmt.Errorf("event %+v %+v: %v", m.head, m.event, err)
		}
	}
	m.body = r.Rest()
	return m, nil
}

// reply reads until the next reply; events on the way are kept.
func (c *rawClient) reply(xid int32, into jute.Record) jute.ReplyHeader {
	c.t.Helper()
	for {
		m := c.next()
		if m.event != nil {
			c.events = append(c.events, *m.event)
			continue
		}
		if m.head.Xid != xid {
			c.t.Fatalf("reply to %d, want %d", m.head.Xid, xid)
		}
		if m.head.Err != jute.OK && len(m.body) > 0 {
			c.t.Fatalf("a body with the error %v", m.head.Err)
		}
		if into != nil && m.head.Err == jute.OK {
			r := jute.NewReader(m.body)
			if err := into.Decode(r); err != nil || r.Len() > 0 {
				c.t.Fatalf("reply %T: %v, %d bytes more", into, err, r.Len())
			}
		}
		return m.head
	}
}

func (c *rawClient) call(op jute.OpCode, m, into jute.Record) jute.Code {
	c.t.Helper()
	return c.reply(c.send(op, m), into).Err
}

// must is call for what may not fail.
func (c *rawClient) must(op jute.OpCode, m, into jute.Record) {
	c.t.Helper()
	if code := c.call(op, m, into); code != jute.OK {
		c.t.Fatalf("operation %d of %+v: %v", op, m, code)
	}
}

func (c *rawClient) create(path, data string) {
	c.t.Helper()
	c.must(jute.OpCreate, &jute.CreateRequest{Path: path, Data: []byte(data), ACL: jute.OpenACL()}, nil)
}

func (c *rawClient) get(path string, watch bool) (string, jute.Stat, jute.Code) {
	c.t.Helper()
	var m jute.GetDataResponse
	code := c.call(jute.OpGetData, &jute.GetDataRequest{Path: path, Watch: watch}, &m)
	return string(m.Data), m.Stat, code
}

// closed waits until the server has closed the connection, and fails if anything comes before.
func (c *rawClient) closed() {
	c.t.Helper()
	if m, err := c.tryNext(); err == nil {
		c.t.Fatalf("%v came, want the end of the connection", m)
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatal("the connection stays open")
	}
}

// drain reads to the end and returns what came.
func (c *rawClient) drain() []message {
	var list []message
	for {
		m, err := c.tryNext()
		if err != nil {
			return list
		}
		list = append(list, m)
	}
}

// word asks a four-letter word.
func (p *testPort) word(w string) string {
	p.t.Helper()
	return askWord(p.t, p.addr, w)
}

func askWord(t testing.TB, addr, w string) string {
	t.Helper()
	c := dial(t, addr)
	c.write([]byte(w))
	b, err := io.ReadAll(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func int32Bytes(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
