package server

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// inLanes tells whether a test is to be run with connections that go to a lane after one request.
func inLanes(t testing.TB) bool { return strings.HasPrefix(t.Name(), "TestInLanes/") }

// What holds of connections holds of those in a lane.
func TestInLanes(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"writes":            TestEachWriteIsAnswered,
		"reads":             TestEachReadIsAnswered,
		"multi":             TestMultiAnswersEachOperation,
		"unknown":           TestUnknownOperationEndsTheConnection,
		"identities":        TestIdentities,
		"identity in time":  TestIdentityIsThatOfTheTimeOfTheRequest,
		"reconfig":          TestReconfigIsLeftToTheEnsemble,
		"reconfig lives":    TestASessionOutlivesItsReconfig,
		"who hears":         TestWhoMayNotReadDoesNotHear,
		"order":             TestReadWaitsForTheWritesBeforeItAndForNoOthers,
		"own event":         TestEventComesBeforeTheReplyOfItsOwnWrite,
		"delete":            TestEventsOfADelete,
		"armed":             TestWatchIsArmedTogetherWithTheRead,
		"no lag":            TestWatchNeverLagsBehindWhatIsRead,
		"pipeline":          TestRepliesOfAPipelineAreInOrder,
		"outstanding":       TestTooManyOutstandingRequestsStopTheReading,
		"armed again":       TestWatchesAreArmedAgain,
		"watches":           TestWatchesAreAskedForAndTakenAway,
		"hostile":           TestHostilePacketsCostTheirConnectionOnly,
		"does not read":     TestClientThatDoesNotReadIsPartedWith,
		"large reads":       TestPipelineOfLargeReadsWaitsForItsReader,
		"greedy":            TestGreedyWatcherIsPartedWith,
		"multis":            TestMultisOfManyOperationsAreBounded,
		"behind a write":    TestReadsBehindAWriteAreBounded,
		"lists":             TestLongListsBehindAWriteAreBounded,
		"too much":          TestMultiReadOfTooMuchIsRefused,
		"one large reply":   TestOneLargeReplyIsGiven,
		"session moves":     TestSessionMovesWithItsPassword,
		"moved":             TestMovedSessionLosesItsConnectionWithoutAReply,
		"session ends":      TestCloseSessionIsAnsweredAndEndsTheConnection,
		"end is answered":   TestCloseSessionIsAnsweredBeforeItIsPublished,
		"expired":           TestExpiredSessionLosesItsConnection,
		"silent":            TestSilentClientIsPartedWithButKeepsItsSession,
		"one address":       TestTooManyConnectionsOfOneAddress,
		"no quorum":         TestServerWithoutAQuorumServesNobody,
		"snapshot":          TestSnapshotPartsWithAllClients,
		"lost writes":       TestLostWritesCostTheirClientsOnly,
		"refused":           TestRefusedSubmitCostsTheConnection,
		"gozk":              TestGoZookeeper,
		"words":             TestWordsOfTheWhitelist,
		"slow peer":         testSlowPeerInALane,
		"slow watcher":      testSlowWatcherInALane,
		"events":            testEventsInALane,
		"leaves":            testWhatLeavesALane,
		"waits outside":     testThrottledOutsideOfTheLane,
		"comes and goes":    testComesAndGoes,
		"half a request":    testHalfARequestInALane,
		"ends in its lane":  testEachEndInALane,
		"closes with lanes": testServerEndsWithConnectionsInLanes,
	} {
		t.Run(name, test)
	}
}

// guest is a client whose connection is in a lane.
func (p *testPort) guest() *rawClient {
	p.t.Helper()
	c := p.client()
	p.enter(c)
	return c
}

// enter has a connection go to a lane. It does not while a sender has not quite done with it.
func (p *testPort) enter(c *rawClient) {
	p.t.Helper()
	before := p.s.lanes.Guests()
	testkit.WaitFor(p.t, "the connection is in a lane", func() bool {
		c.ping()
		return p.s.lanes.Guests() > before
	})
}

func (p *testPort) wantGuests(n int64) {
	p.t.Helper()
	testkit.WaitFor(p.t, fmt.Sprint(n, " connections in lanes"), func() bool { return p.s.lanes.Guests() == n })
}

func (c *rawClient) ping() {
	c.t.Helper()
	c.write(frame(jute.XidPing, jute.OpPing, nil))
	c.reply(jute.XidPing, nil)
}

// narrow is a client for which the sockets hold little.
func (p *testPort) narrow() *rawClient {
	p.t.Helper()
	c := p.client()
	if err := c.nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		p.t.Fatal(err)
	}
	if err := p.s.find(c.session).nc.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		p.t.Fatal(err)
	}
	p.enter(c)
	return c
}

// A client that does not read for a while gets everything, in order, and has its connection leave
// the lane.
func testSlowPeerInALane(t *testing.T) {
	p := startPort(t, nil)
	p.e.do(tree.Op{Kind: tree.Create, Path: "/a", Data: bytes.Repeat([]byte("x"), 4000), ACL: jute.OpenACL()})
	c := p.narrow()
	const many = 3000
	go func() {
		var out []byte
		for xid := range int32(many) {
			out = append(out, frame(xid, jute.OpGetData, &jute.GetDataRequest{Path: "/a"})...)
		}
		_, _ = c.nc.Write(out)
	}()
	p.wantGuests(0)
	for xid := range int32(many) {
		var m jute.GetDataResponse
		if c.reply(xid, &m); len(m.Data) != 4000 {
			t.Fatalf("reply %d has %d bytes", xid, len(m.Data))
		}
	}
}

// The senders are who finds out that a watcher does not read.
func testSlowWatcherInALane(t *testing.T) {
	p := startPort(t, nil)
	long := "/" + strings.Repeat("n", 4000)
	p.e.do(tree.Op{Kind: tree.Create, Path: long, ACL: jute.OpenACL()})
	c := p.narrow()
	c.must(jute.OpAddWatch, &jute.AddWatchRequest{Path: long}, nil)
	sets := 0
	for ; sets < 3000 && p.s.lanes.Guests() > 0; sets++ {
		p.e.do(tree.Op{Kind: tree.SetData, Path: long, Version: -1})
	}
	p.wantGuests(0)
	for i := range sets {
		if m := c.next(); m.event == nil || m.event.Type != jute.EventDataChanged || m.event.Path != long {
			t.Fatalf("%v came, want event %d of %d", m, i, sets)
		}
	}
}

// Events reach who sleeps in a lane, and do not end its stay.
func testEventsInALane(t *testing.T) {
	p := startPort(t, nil)
	p.e.do(tree.Op{Kind: tree.Create, Path: "/a", ACL: jute.OpenACL()})
	c := p.guest()
	other := p.guest()
	for i := range int32(300) {
		if _, st, code := c.get("/a", true); code != jute.OK || st.Version != i {
			t.Fatalf("version %d, %v", st.Version, code)
		}
		other.must(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Version: i}, nil)
		if m := c.next(); m.event == nil || m.event.Type != jute.EventDataChanged {
			t.Fatalf("%v came", m)
		}
	}
	p.wantGuests(2)
}

// What a lane does not serve is answered all the same, in the order of the requests.
func testWhatLeavesALane(t *testing.T) {
	p := startPort(t, nil)
	p.e.do(tree.Op{Kind: tree.Create, Path: "/a", ACL: jute.OpenACL()})
	get := func(xid int32) []byte { return frame(xid, jute.OpGetData, &jute.GetDataRequest{Path: "/a"}) }
	for name, outside := range map[string][]byte{
		"large":       frame(2, jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: make([]byte, maxSwiftBytes), Version: -1}),
		"auth":        frame(2, jute.OpAuth, &jute.AuthPacket{Scheme: jute.SchemeDigest, Auth: []byte("a:b")}),
		"reconfig":    frame(2, jute.OpReconfig, &jute.ReconfigRequest{Joining: "x"}),
		"set watches": frame(2, jute.OpSetWatches, &jute.SetWatches{Data: []string{"/a"}, RelativeZxid: 1 << 40}),
		"count":       frame(2, jute.OpGetAllChildrenNumber, &jute.PathOnly{Path: "/"}),
	} {
		c := p.guest()
		c.write(append(append(get(1), outside...), get(3)...))
		for xid := range int32(3) {
			c.reply(xid+1, nil)
		}
		if n := p.s.lanes.Guests(); n != 0 {
			t.Errorf("%s: was served in the lane", name)
		}
		c.must(jute.OpCloseSession, nil, nil)
		c.closed()
	}
	// Half of a large one has it leave, half of a small one not.
	c := p.guest()
	large := frame(1, jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: make([]byte, maxSwiftBytes), Version: -1})
	c.write(get(0)[:6])
	other := p.guest() // the lane has looked at what came before
	c.write(get(0)[6:])
	c.reply(0, nil)
	other.must(jute.OpCloseSession, nil, nil)
	other.closed()
	p.wantGuests(1)
	c.write(large[:6])
	p.wantGuests(0)
	c.write(large[6:])
	c.reply(1, nil)
}

// Who waits for its writes does not do it in the lane.
func testThrottledOutsideOfTheLane(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.GlobalOutstandingLimit = 10 })
	c, other := p.guest(), p.guest()
	p.e.hold()
	for range 30 {
		c.send(jute.OpSync, &jute.SyncRequest{Path: "/"})
	}
	p.wantGuests(1)
	testkit.WaitFor(t, "the reader to stop", func() bool { return p.s.Stats().ThrottleWaits > 0 })
	if n := p.e.waiting(); n != 11 {
		t.Errorf("%d writes are on their way", n)
	}
	other.ping()
	p.e.release()
	for xid := range int32(30) {
		c.reply(xid+1, nil)
	}
}

// Leaving is dear: a connection that often has to comes back later each time, and at once when a
// stay was worth it.
func testComesAndGoes(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	leave := func() {
		c.must(jute.OpGetAllChildrenNumber, &jute.PathOnly{Path: "/"}, nil)
		if p.s.lanes.Guests() != 0 {
			t.Fatal("the connection did not leave")
		}
	}
	p.enter(c)
	leave()
	for wanted := 2; wanted <= 64; wanted *= 2 {
		for range wanted {
			c.ping()
		}
		p.wantGuests(1)
		leave()
	}
	for range 127 {
		c.ping()
	}
	if p.s.lanes.Guests() != 0 {
		t.Fatal("the connection is in a lane again already")
	}
	c.ping()
	p.wantGuests(1)
	for range netx.ShortStay {
		c.ping()
	}
	leave()
	p.enter(c)
}

// A client that goes in the middle of a request leaves no buffer.
func testHalfARequestInALane(t *testing.T) {
	p := startPort(t, nil)
	c := p.guest()
	s := p.s.find(c.session)
	c.write(frame(1, jute.OpExists, &jute.ExistsRequest{Path: "/"})[:9])
	_ = c.nc.(*net.TCPConn).CloseWrite()
	c.closed()
	testkit.WaitFor(t, "the end", func() bool { return p.s.Stats().Connections == 0 })
	if s.in.buf != nil || s.out != nil || s.rest != nil {
		t.Error("a connection that has ended holds buffers")
	}
}

// Each way by which a connection ends from outside reaches one that sleeps in its lane, and leaves
// nothing of it.
func testEachEndInALane(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.MaxClientCnxns = 2 })
	keeper := p.guest()
	for name, end := range map[string]func(c *rawClient, s *conn){
		"killed": func(_ *rawClient, s *conn) { s.kill("a test") },
		"expired": func(c *rawClient, _ *conn) {
			p.e.apply([]tree.Txn{{Session: c.session, Op: tree.Op{Kind: tree.CloseSession}}})
		},
		"gone":  func(c *rawClient, _ *conn) { _ = c.nc.(*net.TCPConn).CloseWrite() },
		"reset": func(c *rawClient, _ *conn) { _ = c.nc.(*net.TCPConn).SetLinger(0); c.nc.Close() },
	} {
		c := p.guest()
		end(c, p.s.find(c.session))
		if name != "reset" {
			c.closed()
		}
		p.wantGuests(1)
		testkit.WaitFor(t, name+": the end of the connection", func() bool { return p.s.Stats().Connections == 1 })
	}
	keeper.ping()
	p.guest() // there is room: each was counted out
}

func testServerEndsWithConnectionsInLanes(t *testing.T) {
	p := startPort(t, nil)
	var all []*rawClient
	for range 20 {
		all = append(all, p.guest())
	}
	if err := p.s.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range all {
		c.closed()
	}
	if n := p.s.lanes.Guests(); n != 0 {
		t.Errorf("%d are in lanes still", n)
	}
}
