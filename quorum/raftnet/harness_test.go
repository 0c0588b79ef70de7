package raftnet

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// wire is a Network over loopback, where servers are known by their names.
type wire struct {
	net.Listener
	ports *sync.Map // by name

	mu    sync.Mutex
	greet error // nobody is heard
	conns []net.Conn
	dials int
}

type socket struct {
	*netx.Conn
	x *netx.Conn
}

func newSocket(c net.Conn) *socket                { x := netx.Wrap(c); return &socket{x, x} }
func (s *socket) WritePieces(v netx.Pieces) error { return s.x.WritePieces(v) }

func (w *wire) Greet(Conn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.greet
}

func (w *wire) Accept() (Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.keep(c)
	return newSocket(c), nil
}

func (w *wire) Dial(to raft.ServerAddress) (Conn, error) {
	port, ok := w.ports.Load(to)
	if !ok {
		return nil, fmt.Errorf("nobody is called %s", to)
	}
	c, err := net.Dial("tcp", port.(string))
	if err != nil {
		return nil, err
	}
	w.keep(c)
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	return newSocket(c), nil
}

func (w *wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
}

// sever breaks all connections.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// peer is a transport, and what its Raft would do.
type peer struct {
	*Transport
	wire *wire
}

const testTimeout = testkit.Patience

func newPeer(t testing.TB, name string, ports *sync.Map, adjust func(*Options)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, ports: ports}
	ports.Store(raft.ServerAddress(name), l.Addr().String())
	o := Options{
		Network: w, Local: raft.ServerAddress(name), Timeout: testTimeout, Idle: 2, MaxMessageBytes: 8 << 20, MaxSendBytes: 4 << 20,
		Clock: clock.Real{},
	}
	if adjust != nil {
		adjust(&o)
	}
	p := &peer{New(o), w}
	t.Cleanup(func() {
		p.Stop()
		w.sever()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// pair is two servers; b's Raft is answer, called for one request at a time.
func pair(t testing.TB, answer func(raft.RPC)) (a, b *peer) {
	t.Helper()
	ports := &sync.Map{}
	a, b = newPeer(t, "a", ports, nil), newPeer(t, "b", ports, nil)
	if answer != nil {
		b.raft(t, answer)
	}
	return a, b
}

// raft answers what comes until the test ends.
func (p *peer) raft(t testing.TB, answer func(raft.RPC)) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case rpc := <-p.Consumer():
				answer(rpc)
			case <-over:
				return
			}
		}
	}()
	t.Cleanup(func() { close(over); <-done })
}

var header = raft.RPCHeader{ProtocolVersion: 3, ID: []byte("a"), Addr: []byte("a")}

func appendRequest(sizes ...int) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{RPCHeader: header, Term: 7, Leader: []byte("a"), PrevLogEntry: 41, PrevLogTerm: 6, LeaderCommitIndex: 40}
	for i, n := range sizes {
		r.Entries = append(r.Entries, &raft.Log{
			Index: 42 + uint64(i), Term: 7, Data: bytes.Repeat([]byte{byte(i + 1)}, n), AppendedAt: time.Unix(1_700_000_000, int64(i)),
		})
	}
	return r
}

// show is all of a message; pointers to entries are followed.
func show(m any) string {
	if r, ok := m.(*raft.AppendEntriesRequest); ok {
		s := fmt.Sprintf("%v %d %s %d %d %d", r.RPCHeader, r.Term, r.Leader, r.PrevLogEntry, r.PrevLogTerm, r.LeaderCommitIndex)
		for _, e := range r.Entries {
			s += fmt.Sprintf(" %d %d %v %x %x %d", e.Index, e.Term, e.Type, e.Data, e.Extensions, e.AppendedAt.UnixNano())
		}
		return s
	}
	return fmt.Sprintf("%+v", m)
}
