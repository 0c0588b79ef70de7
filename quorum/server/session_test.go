package server

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

func TestSessionIsOpenedInEachForm(t *testing.T) {
	p := startPort(t, nil)
	for _, withByte := range []bool{false, true} {
		c := p.dial()
		r := c.connect(jute.ConnectRequest{TimeoutMs: 10_000, HasReadOnly: withByte, ReadOnly: withByte})
		if r.SessionID == 0 || r.TimeoutMs != 10_000 || len(r.Password) != 16 || bytes.Equal(r.Password, make([]byte, 16)) {
			t.Errorf("answered %+v", r)
		}
		if r.HasReadOnly != withByte || r.ReadOnly {
			t.Errorf("the answer has the byte: %v, it says %v", r.HasReadOnly, r.ReadOnly)
		}
	}
}

func TestTimeoutIsClamped(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.TickTime = time.Second })
	for _, c := range []struct{ asked, given int32 }{{0, 2000}, {-5, 2000}, {1999, 2000}, {7000, 7000}, {20_001, 20_000}, {1 << 30, 20_000}} {
		if r := p.dial().connect(jute.ConnectRequest{TimeoutMs: c.asked}); r.TimeoutMs != c.given {
			t.Errorf("asked for %d ms, got %d, want %d", c.asked, r.TimeoutMs, c.given)
		}
	}
}

func TestSessionMovesWithItsPassword(t *testing.T) {
	p := startPort(t, nil)
	first := p.client()
	first.create("/a", "1")
	id, password := first.session, first.passwd

	thief := p.dial()
	r := thief.connect(jute.ConnectRequest{TimeoutMs: 5000, SessionID: id, Password: bytes.Repeat([]byte{1}, 16)})
	if r.SessionID != 0 || r.TimeoutMs != 0 || !bytes.Equal(r.Password, make([]byte, 16)) {
		t.Errorf("a wrong password is answered %+v", r)
	}
	thief.closed()
	first.create("/b", "it was not disturbed")

	second := p.dial()
	r = second.connect(jute.ConnectRequest{TimeoutMs: 5000, SessionID: id, Password: password})
	if r.SessionID != id || r.TimeoutMs != 10_000 || !bytes.Equal(r.Password, password) {
		t.Errorf("the right password is answered %+v", r)
	}
	first.closed()
	second.create("/c", "")
	if _, _, code := second.get("/a", false); code != jute.OK {
		t.Error(code)
	}

	if r := p.dial().connect(jute.ConnectRequest{SessionID: 99, Password: passwordOf(p, 99)}); r.SessionID != 0 || r.TimeoutMs != 0 {
		t.Errorf("a session that never was is answered %+v", r)
	}
}

func passwordOf(p *testPort, id int64) []byte {
	pw := p.e.Password(id)
	return pw[:]
}

// What another server has answered reaches this one a moment later: its client waits here.
func TestClientFromTheNearFutureWaits(t *testing.T) {
	p := startPort(t, nil)
	other := p.client()
	var seen int64
	p.e.Read(func(s *tree.State) { seen = s.Zxid() })
	c := p.dial()
	c.sendRecord(&jute.ConnectRequest{TimeoutMs: 60_000, LastZxidSeen: seen + 1, Password: make([]byte, 16)})
	testkit.WaitFor(t, "the client to wait", func() bool { return p.s.behind.count() == 1 })
	other.create("/a", "")
	body, err := c.packet()
	var r jute.ConnectResponse
	if err != nil || r.Decode(jute.NewReader(body)) != nil || r.SessionID == 0 {
		t.Fatalf("%v, answer %+v", err, r)
	}
}

// TestOnlyWhoseTurnItIsIsWoken: clients that claim to come from the future cost nothing with each
// write of others.
func TestOnlyWhoseTurnItIsIsWoken(t *testing.T) {
	b := newBehind()
	var zxid, asked, came atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	const many = 50
	for i := range int64(many) {
		all.Go(func() {
			if b.wait(ctx, 1000+i, func() bool { asked.Add(1); return zxid.Load() >= 1000+i }) {
				came.Add(1)
			}
		})
	}
	testkit.WaitFor(t, "all to wait", func() bool { return b.count() == many && asked.Load() == many })
	for z := range int64(1000) {
		zxid.Store(z)
		b.published(z)
	}
	if n := asked.Load(); n != many {
		t.Errorf("asked %d times while nothing that they wait for was applied", n-many)
	}
	zxid.Store(1009)
	b.published(1009)
	testkit.WaitFor(t, "ten of them", func() bool { return came.Load() == 10 })
	cancel()
	all.Wait()
	if b.count() != 0 || came.Load() != 10 || asked.Load() != many+10 {
		t.Errorf("%d wait still, %d came, asked %d times", b.count(), came.Load(), asked.Load())
	}
	b.published(5000)
	if !b.wait(t.Context(), 2000, func() bool { return true }) {
		t.Error("what was reached before is waited for")
	}
}

func TestClientFromTheFutureIsSentAway(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.TickTime = 20 * time.Millisecond })
	c := p.dial()
	c.sendRecord(&jute.ConnectRequest{TimeoutMs: 5000, LastZxidSeen: 1 << 50})
	c.closed()
}

func TestCloseSessionIsAnsweredAndEndsTheConnection(t *testing.T) {
	p := startPort(t, nil)
	c, other := p.client(), p.client()
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/e", ACL: jute.OpenACL(), Mode: jute.Ephemeral}, nil)
	if _, _, code := other.get("/e", true); code != jute.OK {
		t.Fatal(code)
	}
	c.must(jute.OpCloseSession, nil, nil)
	c.closed()
	if m := other.next(); m.event == nil || m.event.Type != jute.EventDeleted {
		t.Errorf("%v came", m)
	}
	if _, _, code := other.get("/e", false); code != jute.NoNode {
		t.Errorf("the ephemeral node: %v", code)
	}
	if r := p.dial().connect(jute.ConnectRequest{SessionID: c.session, Password: c.passwd}); r.TimeoutMs != 0 {
		t.Error("a closed session was taken over")
	}
}

// The reader of a connection that closes its session has nothing more to read: it must not end
// before the answer is sent, however late Published comes.
func TestCloseSessionIsAnsweredBeforeItIsPublished(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	answered := make(chan struct{})
	defer close(answered)
	wait := func() { <-answered }
	p.e.beforePublished.Store(&wait)
	c.must(jute.OpCloseSession, nil, nil)
	c.closed()
}

func TestExpiredSessionLosesItsConnection(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.apply([]tree.Txn{{Session: c.session, Op: tree.Op{Kind: tree.CloseSession}}})
	c.closed()
}

// TestSessionThatEndsWhileItMovesIsRefused: the end is applied after the leader agreed and
// before the new connection could be told.
func TestSessionThatEndsWhileItMovesIsRefused(t *testing.T) {
	p := startPort(t, nil)
	first := p.client()
	p.e.qmu.Lock()
	p.e.agreed = func(session int64) {
		p.e.apply([]tree.Txn{{Session: session, Op: tree.Op{Kind: tree.CloseSession}}})
	}
	p.e.qmu.Unlock()
	second := p.dial()
	r := second.connect(jute.ConnectRequest{TimeoutMs: 5000, SessionID: first.session, Password: first.passwd})
	if r.SessionID != 0 || r.TimeoutMs != 0 {
		t.Errorf("a session that has ended is answered %+v", r)
	}
	second.closed()
	first.closed()
}

// TestLostQuorumPartsWithWhoTakesASessionOver: the leader that is to agree is gone.
func TestLostQuorumPartsWithWhoTakesASessionOver(t *testing.T) {
	p := startPort(t, nil)
	first := p.client()
	asked, answer := make(chan struct{}), make(chan struct{})
	p.e.qmu.Lock()
	p.e.agreed = func(int64) { close(asked); <-answer }
	p.e.qmu.Unlock()
	second := p.dial()
	second.sendRecord(&jute.ConnectRequest{TimeoutMs: 5000, SessionID: first.session, Password: first.passwd})
	<-asked
	p.e.each(func(s node.Sink) { s.Serving(false) })
	second.closed()
	close(answer)
}

func TestMovedSessionLosesItsConnectionWithoutAReply(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	// The session writes through another server, with a newer connection.
	p.e.apply([]tree.Txn{{Session: c.session, ConnGen: 5, Seq: 1, Op: tree.Op{Kind: tree.Noop}}})
	c.send(jute.OpCreate, &jute.CreateRequest{Path: "/a", ACL: jute.OpenACL()})
	c.closed()
}

func TestSilentClientIsPartedWithButKeepsItsSession(t *testing.T) {
	clk := testkit.NewClock(time.Unix(1_700_000_000, 0))
	p := startPort(t, func(o *Options) { o.Clock, o.Config.TickTime = clk, time.Second })
	c, pinger := p.client(), p.client()
	unborn := p.dial()
	testkit.WaitFor(t, "connections", func() bool { return p.s.Stats().Connections == 3 })
	for range 3 {
		clk.Advance(4 * time.Second)
		pinger.write(frame(jute.XidPing, jute.OpPing, nil))
		pinger.reply(jute.XidPing, nil)
	}
	c.closed()
	unborn.closed()
	pinger.create("/a", "")
	if r := p.dial().connect(jute.ConnectRequest{SessionID: c.session, Password: c.passwd}); r.SessionID != c.session {
		t.Error("the session is gone")
	}
	if n, ok := p.e.touches.Load(pinger.session); !ok || n == nil {
		t.Error("the ensemble was not told that the client lives")
	}
}

func TestTooManyConnectionsOfOneAddress(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.MaxClientCnxns = 2 })
	a := p.client()
	p.client()
	p.dial().closed()
	a.must(jute.OpCloseSession, nil, nil)
	a.closed()
	testkit.WaitFor(t, "room", func() bool { return p.s.Stats().Connections == 1 })
	p.client()
	if n := p.s.Stats().ConnectionsRejected; n != 1 {
		t.Errorf("%d were refused", n)
	}
}

func TestServerWithoutAQuorumServesNobody(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.each(func(s node.Sink) { s.Serving(false) })
	c.closed()
	late := p.dial()
	late.sendRecord(&jute.ConnectRequest{TimeoutMs: 5000})
	late.closed()
	for word, want := range map[string]string{"srvr": notServing + "\n", "ruok": "imok", "isro": "null", "mntr": notServing + "\n"} {
		if got := p.word(word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	p.e.each(func(s node.Sink) { s.Serving(true) })
	p.client().create("/a", "")
}

func TestWhoWaitsForALeaderIsLetGoWithTheQuorum(t *testing.T) {
	p := startPort(t, nil)
	old := p.client()
	p.e.leaderless.Store(true)
	c := p.dial()
	c.sendRecord(&jute.ConnectRequest{TimeoutMs: 5000, SessionID: old.session, Password: old.passwd})
	testkit.WaitFor(t, "the request", func() bool { return p.s.Stats().ConnectionRevalidations == 1 })
	p.e.each(func(s node.Sink) { s.Serving(false) })
	c.closed()
	p.e.leaderless.Store(false)
	p.e.each(func(s node.Sink) { s.Serving(true) })
	again := p.dial()
	if r := again.connect(jute.ConnectRequest{TimeoutMs: 5000, SessionID: old.session, Password: old.passwd}); r.SessionID != old.session {
		t.Errorf("%+v", r)
	}
}

func TestSnapshotPartsWithAllClients(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.each(func(s node.Sink) {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		s.Reset(p.e.state)
	})
	c.closed()
}

func TestLostWritesCostTheirClientsOnly(t *testing.T) {
	p := startPort(t, nil)
	writer, reader := p.client(), p.client()
	p.e.hold()
	writer.send(jute.OpCreate, &jute.CreateRequest{Path: "/a", ACL: jute.OpenACL()})
	testkit.WaitFor(t, "the write", func() bool { return p.e.waiting() == 1 })
	p.e.lose()
	p.e.release()
	writer.closed()
	reader.create("/b", "")
}

func TestRefusedSubmitCostsTheConnection(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.qmu.Lock()
	p.e.refusing = true
	p.e.qmu.Unlock()
	c.send(jute.OpSync, &jute.SyncRequest{Path: "/"})
	c.closed()
}

func TestPipe(t *testing.T) {
	// What cannot tell when it sleeps works too.
	p := startPort(t, nil)
	here, there := net.Pipe()
	p.s.admit(there, false)
	c := &rawClient{t: t, nc: here}
	defer here.Close()
	_ = here.SetDeadline(time.Now().Add(patience))
	if r := c.connect(jute.ConnectRequest{TimeoutMs: 5000}); r.SessionID == 0 {
		t.Fatal("no session")
	}
	big := string(bytes.Repeat([]byte("x"), 100_000))
	c.create("/a", big)
	if got, _, code := c.get("/a", false); got != big {
		t.Errorf("%d bytes, %v", len(got), code)
	}
}
