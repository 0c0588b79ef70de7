package server

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestHostilePacketsCostTheirConnectionOnly(t *testing.T) {
	p := startPort(t, nil)
	victim := p.client()
	victim.create("/a", "")
	bodyless := func(op jute.OpCode, body []byte) []byte {
		h := jute.RequestHeader{Xid: 1, Op: op}
		b := append(h.AppendTo(jute.BeginFrame(nil)), body...)
		jute.EndFrame(b, 0)
		return b
	}
	for name, bytes := range map[string][]byte{
		"2 GiB":             int32Bytes(1<<31 - 1),
		"a negative length": int32Bytes(-5),
		"one byte too many": append(int32Bytes(jute.DefaultMaxBuffer+1), make([]byte, 100)...),
		"no header":         append(int32Bytes(3), 1, 2, 3),
		"an empty packet":   int32Bytes(0),
	} {
		for _, established := range []bool{false, true} {
			c := p.dial()
			if established {
				c.connect(jute.ConnectRequest{TimeoutMs: 10_000})
			}
			c.write(bytes)
			if m := c.drain(); len(m) > 0 {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
	for name, b := range map[string][]byte{
		"a path of 2 GiB":          bodyless(jute.OpGetData, int32Bytes(1<<31-1)),
		"a negative path":          bodyless(jute.OpExists, int32Bytes(-7)),
		"an ACL of 2^31 entries":   bodyless(jute.OpCreate, append(append(jute.AppendString(nil, "/x"), int32Bytes(-1)...), int32Bytes(1<<31-1)...)),
		"a negative count":         bodyless(jute.OpSetWatches, append(make([]byte, 8), int32Bytes(-9)...)),
		"4 billion watches":        bodyless(jute.OpSetWatches2, append(make([]byte, 8), int32Bytes(1<<31-1)...)),
		"a multi in a multi":       bodyless(jute.OpMulti, (&jute.MultiHeader{Type: jute.OpMulti, Err: -1}).AppendTo(nil)),
		"a multi that has no end":  bodyless(jute.OpMulti, (&jute.MultiHeader{Type: jute.OpDelete, Err: -1}).AppendTo(nil)),
		"data of 2 GiB":            bodyless(jute.OpSetData, append(jute.AppendString(nil, "/a"), int32Bytes(1<<31-1)...)),
		"a reconfig of nothing":    bodyless(jute.OpReconfig, nil),
		"half of an add of watch":  bodyless(jute.OpAddWatch, jute.AppendString(nil, "/a")),
		"a check of no kind":       bodyless(jute.OpCheckWatches, jute.AppendString(nil, "/a")),
		"a multi read of rubbish":  bodyless(jute.OpMultiRead, []byte("rubbish")),
		"a TTL that is cut":        bodyless(jute.OpCreateTTL, jute.AppendString(nil, "/a")),
		"an ACL request of rubble": bodyless(jute.OpGetACL, []byte{1}),
	} {
		c := p.client()
		c.write(b)
		if h := c.reply(1, nil); h.Err != jute.MarshallingError {
			t.Errorf("%s: %v", name, h.Err)
		}
		c.create("/still-"+fmt.Sprint(c.session), "") // it goes on
	}
	if _, _, code := victim.get("/a", false); code != jute.OK {
		t.Error(code)
	}
}

// A length costs nothing before its bytes come, and a packet comes whole however it is cut.
func TestHalfAPacketCostsWhatItSent(t *testing.T) {
	rng := testkit.Rand(t)
	for _, canSleep := range []bool{true, false} {
		in := input{pool: &chunks{}, max: 1 << 20, canSleep: canSleep}
		var want [][]byte
		var wire []byte
		for i := range 50 {
			b := make([]byte, rng.IntN(1<<rng.IntN(21)))
			if i == 20 {
				b = make([]byte, 1<<20)
			}
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			want = append(want, b)
			wire = append(append(wire, int32Bytes(int32(len(b)))...), b...)
		}
		taken := 0 // of wire, by packets
		for fed := 0; len(want) > 0; {
			frame, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			if frame != nil {
				if !bytes.Equal(frame, want[0]) {
					t.Fatalf("packet of %d bytes, want %d", len(frame), len(want[0]))
				}
				taken += len(frame) + 4
				want = want[1:]
				continue
			}
			in.Sleep()
			room := in.Lend()
			if len(room) == 0 {
				t.Fatal("no room is lent")
			}
			if held, sent := cap(in.buf.b), fed-taken; held > 8*chunkBytes && held > 2*sent+4 {
				t.Fatalf("%d bytes are held for %d", held, sent)
			}
			n := copy(room, wire[fed:min(fed+1+rng.IntN(20_000), len(wire))])
			in.got(n)
			fed += n
		}
		in.Sleep()
		if canSleep && in.buf != nil {
			t.Error("a buffer is held with nothing in it")
		}
	}
}

func TestClientThatDoesNotReadIsPartedWith(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.OutputBytes = 1 << 20 })
	victim := p.client()
	c := p.client()
	c.must(jute.OpAddWatch, &jute.AddWatchRequest{Path: "/", Mode: jute.WatchPersistentRecursive}, nil)
	path := "/" + string(bytes.Repeat([]byte("x"), 5000))
	p.e.do(tree.Op{Kind: tree.Create, Path: path, ACL: jute.OpenACL()})
	for i := 0; p.s.Stats().OutputOverflows == 0; i++ {
		if i > 100_000 {
			t.Fatal("events are taken without end")
		}
		p.e.do(tree.Op{Kind: tree.SetData, Path: path, Version: -1})
	}
	events := c.drain()
	for i, m := range events {
		if m.event == nil || m.event.Path != path {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	if _, _, code := victim.get(path, false); code != jute.OK {
		t.Error(code)
	}
}

// Who asks for much and reads nothing is not read further, and costs bounded memory.
func TestPipelineOfLargeReadsWaitsForItsReader(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	big := string(bytes.Repeat([]byte("x"), 500_000))
	c.create("/big", big)
	const reads = 200 // 100 MB of replies
	go func() {
		for i := range reads {
			if _, err := c.nc.Write(frame(int32(i)+1000, jute.OpGetData, &jute.GetDataRequest{Path: "/big"})); err != nil {
				return
			}
		}
	}()
	for i := range reads {
		m := c.next()
		if m.head.Xid != int32(i)+1000 || len(m.body) < len(big) {
			t.Fatalf("%v with %d bytes", m, len(m.body))
		}
		p.s.inspectQueue(c.session, func(queued int) {
			if queued > 2*holdBytes+len(big)+1000 {
				t.Fatalf("%d bytes are queued", queued)
			}
		})
	}
}

func TestGreedyWatcherIsPartedWith(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.WatchBytes = 200_000 })
	modest, greedy := p.client(), p.client()
	modest.call(jute.OpExists, &jute.ExistsRequest{Path: "/x", Watch: true}, nil)
	var m jute.SetWatches
	for i := range 5000 {
		m.Exist = append(m.Exist, fmt.Sprintf("/watch/%d", i))
	}
	greedy.write(frame(jute.XidSetWatches, jute.OpSetWatches, &m))
	greedy.closed()
	testkit.WaitFor(t, "its watches to go", func() bool { return p.s.watches.Summary().All == 1 })
	modest.create("/x", "")
	if len(modest.events) != 1 {
		t.Errorf("told %v", modest.events)
	}
	if n := p.s.Stats().WatchOverflows; n != 1 {
		t.Errorf("%d were parted with", n)
	}
}

func TestClientOfManyNamesIsPartedWith(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	for i := range 10_000 {
		c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: fmt.Append(nil, i, ":pw")}))
		if h := c.reply(jute.XidAuth, nil); h.Err == jute.AuthFailed {
			c.closed()
			return
		}
	}
	t.Error("ten thousand identities were taken")
}

// A multi of many small operations takes far more memory than its packet: it counts as that.
func TestMultisOfManyOperationsAreBounded(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	var m jute.MultiRequest
	for range 30_000 {
		m.Ops = append(m.Ops, jute.MultiOp{Type: jute.OpCheck, Path: "/", Version: -1})
	}
	p.e.hold()
	const multis = 20
	go func() {
		for i := range multis {
			if _, err := c.nc.Write(frame(int32(i)+1, jute.OpMulti, &m)); err != nil {
				return
			}
		}
	}()
	testkit.WaitFor(t, "the reader to stop", func() bool { return p.s.Stats().ThrottleWaits > 0 })
	if n := p.e.waiting(); n > 8 {
		t.Errorf("%d multis of %d operations are on their way", n, len(m.Ops))
	}
	p.e.release()
	for i := range int32(multis) {
		c.reply(i+1, nil)
	}
}

func TestReadsBehindAWriteAreBounded(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.hold()
	c.send(jute.OpSync, &jute.SyncRequest{Path: "/"})
	var out []byte
	const reads = 5000
	for range reads {
		c.xid++
		out = append(out, frame(c.xid, jute.OpExists, &jute.ExistsRequest{Path: "/"})...)
	}
	go c.nc.Write(out)
	testkit.WaitFor(t, "the reader to stop", func() bool { return p.s.Stats().ThrottleWaits > 0 })
	if n := p.s.outstanding.Load(); n > maxWeight+2 {
		t.Errorf("%d requests wait", n)
	}
	p.e.release()
	c.reply(1, nil)
	for i := range int32(reads) {
		c.reply(i+2, nil)
	}
}

// TestLongListsBehindAWriteAreBounded: the goroutine that applies arms no hundreds of thousands of
// watches of one client in one go.
func TestLongListsBehindAWriteAreBounded(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	p.e.hold()
	c.send(jute.OpSync, &jute.SyncRequest{Path: "/"})
	var m jute.SetWatches
	for i := range 30_000 {
		m.Exist = append(m.Exist, fmt.Sprintf("/%05d", i))
	}
	const lists = 12
	go func() {
		for range lists {
			if _, err := c.nc.Write(frame(jute.XidSetWatches, jute.OpSetWatches, &m)); err != nil {
				return
			}
		}
	}()
	testkit.WaitFor(t, "the reader to stop", func() bool { return p.s.Stats().ThrottleWaits > 0 })
	if n := p.s.outstanding.Load(); n > 1+4 {
		t.Errorf("%d requests wait, each for %d watches", n, len(m.Exist))
	}
	p.e.release()
	c.reply(1, nil)
	for range lists {
		c.reply(jute.XidSetWatches, nil)
	}
}

func FuzzDispatch(f *testing.F) {
	for _, b := range [][]byte{
		frame(1, jute.OpGetData, &jute.GetDataRequest{Path: "/a", Watch: true})[4:],
		frame(1, jute.OpCreate, &jute.CreateRequest{Path: "/b", ACL: jute.OpenACL()})[4:],
		frame(1, jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpDelete, Path: "/a"}, {Type: jute.OpSetData, Path: "/a"}}})[4:],
		frame(1, jute.OpMultiRead, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpGetData, Path: "/a"}}})[4:],
		frame(1, jute.OpSetWatches2, &jute.SetWatches2{SetWatches: jute.SetWatches{Data: []string{"/a"}}, Persistent: []string{"/"}})[4:],
		frame(1, jute.OpAddWatch, &jute.AddWatchRequest{Path: "/", Mode: 1})[4:],
		frame(1, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("a:b")})[4:],
		frame(1, jute.OpReconfig, &jute.ReconfigRequest{Joining: "x"})[4:],
		frame(1, jute.OpSetACL, &jute.SetACLRequest{Path: "/a", ACL: jute.OpenACL()})[4:],
		frame(1, jute.OpCreateTTL, &jute.CreateTTLRequest{Path: "/t", Mode: jute.PersistentTTL, TTLMs: 5})[4:],
		frame(1, jute.OpCloseSession, nil)[4:],
		frame(1, jute.OpGetEphemerals, &jute.PathOnly{Path: "/"})[4:],
	} {
		f.Add(b)
	}
	p := startPort(f, func(o *Options) { o.Config.Reconfig, o.Log = true, nil })
	p.e.do(tree.Op{Kind: tree.Create, Path: "/a", ACL: jute.OpenACL()})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		here, there := net.Pipe()
		defer here.Close()
		p.s.admit(there, false)
		c := &rawClient{t: t, nc: here}
		c.connect(jute.ConnectRequest{TimeoutMs: 10_000})
		// A ping follows: it is answered after everything before, or the connection has ended.
		out := append(jute.AppendInt32(nil, int32(len(b))), b...)
		out = append(out, frame(jute.XidPing, jute.OpPing, nil)...)
		go here.Write(out)
		for {
			m, err := c.tryNext()
			if err != nil || m.head.Xid == jute.XidPing {
				break
			}
		}
		here.Close()
	})
}

func TestMultiReadOfTooMuchIsRefused(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.OutputBytes = 1 << 20 })
	victim, c := p.client(), p.client()
	c.create("/big", string(bytes.Repeat([]byte("x"), 500_000)))
	var m jute.MultiRequest
	for range 10_000 { // 5 GB
		m.Ops = append(m.Ops, jute.MultiOp{Type: jute.OpGetData, Path: "/big"})
	}
	c.send(jute.OpMultiRead, &m)
	c.closed()
	if data, _, _ := victim.get("/big", false); len(data) != 500_000 {
		t.Error(len(data))
	}
}

// One reply may be larger than what may wait.
func TestOneLargeReplyIsGiven(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.OutputBytes = 10_000 })
	c := p.client()
	c.create("/big", string(bytes.Repeat([]byte("x"), 500_000)))
	if data, _, code := c.get("/big", false); len(data) != 500_000 {
		t.Error(len(data), code)
	}
}
