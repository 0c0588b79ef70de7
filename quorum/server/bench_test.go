package server

import (
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// nowhere is a connection that takes everything.
type nowhere struct{}

func (nowhere) Read([]byte) (int, error)         { select {} }
func (nowhere) Write(b []byte) (int, error)      { return len(b), nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (nowhere) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

// benchConn is a connection with a session, whose requests are given to it directly.
func benchConn(b testing.TB) *conn {
	p := startPort(b, func(o *Options) { o.Log = nil })
	p.e.do(tree.Op{Kind: tree.Create, Path: "/bench", ACL: jute.OpenACL()})
	p.e.do(tree.Op{Kind: tree.Create, Path: "/bench/node", Data: make([]byte, 100), ACL: jute.OpenACL()})
	c := p.s.newConn(nowhere{}, false)
	p.s.mu.Lock()
	p.s.conns[c] = struct{}{}
	p.s.mu.Unlock()
	b.Cleanup(c.finish)
	c.identify()
	m := jute.ConnectRequest{TimeoutMs: 10_000}
	if !c.connect(m.AppendTo(nil)) {
		b.Fatal("no session")
	}
	return c
}

func benchRequests(b *testing.B, op jute.OpCode, m jute.Record, after func(*conn)) {
	c := benchConn(b)
	packet := frame(1, op, m)[4:]
	b.ReportAllocs()
	for b.Loop() {
		if !c.handle(packet) {
			b.Fatal("refused")
		}
		after(c)
	}
}

func BenchmarkGet(b *testing.B) {
	benchRequests(b, jute.OpGetData, &jute.GetDataRequest{Path: "/bench/node"}, (*conn).flush)
}

func BenchmarkExists(b *testing.B) {
	benchRequests(b, jute.OpExists, &jute.ExistsRequest{Path: "/bench/node"}, (*conn).flush)
}

func BenchmarkPing(b *testing.B) {
	benchRequests(b, jute.OpPing, nil, (*conn).flush)
}

func BenchmarkSet(b *testing.B) {
	benchRequests(b, jute.OpSetData, &jute.SetDataRequest{Path: "/bench/node", Data: make([]byte, 100), Version: -1}, func(c *conn) { c.settle() })
}
