package metadata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	. "github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/server"
)

// member is a node as a server wants it.
type member struct{ *node.Node }

func (m member) Attach(s node.Sink) server.Handle { return m.Node.Attach(s) }

func (m member) Status() server.Status { return server.Status{Mode: m.Node.Status().Mode, ID: 1} }

func (m member) Reconfig(context.Context, *jute.ReconfigRequest) error { return jute.ReconfigDisabled }

// startServer is a ZooKeeper server of ours in this process.
func startServer(t *testing.T) (address string) {
	t.Helper()
	n := startNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s, err := server.Start(server.Options{
		Member: member{n}, Listeners: []net.Listener{l}, Config: server.Config{TickTime: 100 * time.Millisecond, MaxSessionTimeout: time.Minute},
	})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return l.Addr().String()
}

var chroots atomic.Int64

func zkOptions(connect string) ZKOptions {
	var d net.Dialer
	return ZKOptions{
		Connect: connect, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler), SessionTimeout: 10 * time.Second,
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) },
	}
}

func openZK(t *testing.T, o ZKOptions) *ZKStore {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	s, err := OpenZKStore(ctx, o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestZKStore runs the suite against a server of ours.
func TestZKStore(t *testing.T) { zkSuite(t, startServer(t)) }

// TestZKStoreOnApacheZooKeeper runs it against Debian's ZooKeeper 3.8.
func TestZKStoreOnApacheZooKeeper(t *testing.T) {
	zkserver.Need(t)
	zkSuite(t, zkserver.Launch(t, zkserver.Options{Servers: 1}).ConnectString())
}

func zkSuite(t *testing.T, connect string) {
	suite(t, func(t *testing.T) func() Store {
		at := fmt.Sprintf("%s/suite/%d", connect, chroots.Add(1))
		return func() Store { return openZK(t, zkOptions(at)) }
	})
	for name, test := range map[string]func(*testing.T, string){
		"broken connections": testBrokenConnections, "expiry": testZKExpiry, "foreign writes": testForeignWrites, "large tree": testLargeTree,
	} {
		t.Run(name, func(t *testing.T) { test(t, fmt.Sprintf("%s/other/%d", connect, chroots.Add(1))) })
	}
}

// line is a network whose connections a test cuts.
type line struct {
	mu    sync.Mutex
	conns []net.Conn
	// fuse cuts a connection when so many more bytes were read from it; negative: never.
	fuse int
}

func (l *line) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c = &fused{Conn: c, l: l}
	l.conns = append(l.conns, c)
	return c, nil
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

type fused struct {
	net.Conn
	l *line
}

func (f *fused) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.l.fuse > 0 {
		if f.l.fuse -= n; f.l.fuse <= 0 {
			f.l.fuse = -1
			f.Conn.Close()
			return 0, errors.New("the line was cut")
		}
	}
	return n, err
}

// testBrokenConnections: connections break again and again under writes with versions; each
// write is done once, its outcome is told, and the stream ends where the tree does.
func testBrokenConnections(t *testing.T, connect string) {
	rng := testkit.Rand(t)
	l := &line{fuse: -1}
	o := zkOptions(connect)
	o.Dial = l.dial
	s := openZK(t, o)
	multi(t, s, Create("/n", []byte("0")), Create("/q", nil))
	v := follow(t, s, 0)
	other := openZK(t, zkOptions(connect))
	var last int64
	writes := int32(testkit.Rounds(t, "STORE_BROKEN_ROUNDS", 10))
	for i := range writes {
		if rng.IntN(2) == 0 {
			l.mu.Lock()
			l.fuse = 1 + rng.IntN(200) // somewhere in an answer or an event
			l.mu.Unlock()
		}
		r, err := s.Multi(t.Context(), Set("/n", fmt.Append(nil, i+1), i), Create(fmt.Sprintf("/q/%d", i), nil))
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if r.Ops[0].Stat.Version != i+1 || r.Zxid <= last {
			t.Fatalf("write %d: %+v after %d", i, r, last)
		}
		last = r.Zxid
		if rng.IntN(4) == 0 {
			l.cut()
			multi(t, other, Set("/q", fmt.Append(nil, i), AnyVersion)) // while nobody listens
		}
	}
	if _, err := s.Multi(t.Context(), Set("/n", nil, 7)); !errors.Is(err, ErrBadVersion) {
		t.Errorf("got %v", err)
	}
	end := multi(t, other, Set("/q", []byte("end"), AnyVersion))
	testkit.WaitFor(t, "the stream", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.nodes["/q"] == "end"
	})
	nodes := v.await(t, last)
	for i := range writes {
		if _, ok := nodes[fmt.Sprintf("/q/%d", i)]; !ok {
			t.Errorf("/q/%d is missing at %d", i, end.Zxid)
		}
	}
	if nodes["/n"] != fmt.Sprint(writes) {
		t.Errorf("/n is %s", nodes["/n"])
	}
}

// testZKExpiry: the ensemble ends the session, another one takes its place.
func testZKExpiry(t *testing.T, connect string) {
	l := &line{fuse: -1}
	o := zkOptions(connect)
	o.Dial = l.dial
	s := openZK(t, o)
	v := follow(t, s, 0)
	multi(t, s, Create("/ids", nil), CreateEphemeral("/ids/1", nil))
	was := s.Session()
	killSession(t, s, connect)
	l.cut()
	<-was.Done
	r := multi(t, s, CreateEphemeral("/ids/1", []byte("again")))
	if now := s.Session(); now.ID == was.ID || r.Ops[0].Stat.EphemeralOwner != now.ID {
		t.Errorf("session %x, then %x", was.ID, now.ID)
	}
	if nodes := v.await(t, r.Zxid); nodes["/ids/1"] != "again" {
		t.Errorf("the stream: %v", nodes)
	}
}

// killSession closes a store's session from another connection, as the ensemble does when it
// hears nothing.
func killSession(t *testing.T, s *ZKStore, connect string) {
	t.Helper()
	o := zkOptions(connect)
	session := SessionOf(s)
	c, err := client.New(client.Config{Servers: connect, Dial: o.Dial, Clock: o.Clock, Rand: o.Rand, Session: &session})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	must(t, c.WaitConnected(ctx))
	must(t, c.Close(ctx))
}

// testForeignWrites: another client's writes below the chroot are told, those beside it not.
func testForeignWrites(t *testing.T, connect string) {
	s := openZK(t, zkOptions(connect))
	v := follow(t, s, 0)
	o := zkOptions(connect)
	servers, chroot, err := client.ParseServers(connect)
	must(t, err)
	c, err := client.New(client.Config{Servers: servers[0], Dial: o.Dial, Clock: o.Clock, Rand: o.Rand})
	must(t, err)
	defer c.Abandon()
	ctx := t.Context()
	create := func(path, data string) {
		t.Helper()
		if _, err := c.Create(ctx, path, []byte(data), nil, jute.Persistent); err != nil {
			t.Fatal(err)
		}
	}
	beside := chroot + "x"
	create(beside, "")
	create(chroot+"/a", "1")
	create(chroot+"/a/b", "2")
	must(t, c.Delete(ctx, chroot+"/a/b", -1))
	must(t, c.Delete(ctx, chroot+"/a", -1))
	create(chroot+"/a", "3") // the same name, another node
	create(chroot+"/a/c", "4")
	_, err = c.Set(ctx, beside, []byte("z"), -1)
	must(t, err)
	create(chroot+"/last", "")
	testkit.WaitFor(t, "the stream", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		_, ok := v.nodes["/last"]
		return ok
	})
	nodes := v.await(t, 0)
	if nodes["/a"] != "3" || nodes["/a/c"] != "4" || len(nodes) != 4 {
		t.Errorf("got %v", nodes)
	}
}

// testLargeTree: a late store reads what is there, while others write.
func testLargeTree(t *testing.T, connect string) {
	s := openZK(t, zkOptions(connect))
	for i := range 20 {
		ops := []Op{Create(fmt.Sprintf("/t%d", i), nil)}
		for j := range 100 {
			ops = append(ops, Create(fmt.Sprintf("/t%d/%d", i, j), fmt.Append(nil, j)))
		}
		multi(t, s, ops...)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Multi(context.Background(), Delete(fmt.Sprintf("/t%d/%d", i%20, i/20%100), AnyVersion), Create(fmt.Sprintf("/t%d/new%d", i%20, i), nil)); err != nil && !errors.Is(err, ErrNoNode) {
				t.Error(err)
				return
			}
		}
	})
	late := openZK(t, zkOptions(connect))
	v := follow(t, late, 0)
	close(stop)
	writer.Wait()
	r := multi(t, late, Create("/end", nil))
	nodes := v.await(t, r.Zxid)
	want := map[string]bool{"/": true, "/end": true}
	for i := range 20 {
		parent := fmt.Sprintf("/t%d", i)
		names, _, err := s.Children(t.Context(), parent)
		must(t, err)
		want[parent] = true
		for _, name := range names {
			want[parent+"/"+name] = true
		}
	}
	for path := range want {
		if _, ok := nodes[path]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
	for path := range nodes {
		if !want[path] {
			t.Errorf("%s is too much", path)
		}
	}
}

func TestZKStoreSaysWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := l.Addr().String()
	must(t, l.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := OpenZKStore(ctx, zkOptions(nobody+"/kafka")); err == nil || !strings.Contains(err.Error(), "zookeeper.connect "+nobody+"/kafka") || !strings.Contains(err.Error(), "leave the key out") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenZKStore(t.Context(), zkOptions("a:b:c")); err == nil || !strings.Contains(err.Error(), "a:b:c") {
		t.Errorf("got %v", err)
	}
}
