package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestReadWaitsForTheWritesBeforeItAndForNoOthers(t *testing.T) {
	p := startPort(t, nil)
	c, other := p.client(), p.client()
	c.create("/a", "0")
	p.e.hold()
	set1 := c.send(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: []byte("1"), Version: -1})
	get1 := c.send(jute.OpGetData, &jute.GetDataRequest{Path: "/a"})
	bad := c.send(jute.OpGetData, nil)
	set2 := c.send(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: []byte("2"), Version: -1})
	get2 := c.send(jute.OpGetData, &jute.GetDataRequest{Path: "/a"})
	c.write(frame(jute.XidPing, jute.OpPing, nil))
	// Both writes are on their way though a read stands between them.
	testkit.WaitFor(t, "both writes", func() bool { return p.e.waiting() == 2 })
	if data, _, _ := other.get("/a", false); data != "0" {
		t.Errorf("another session reads %q", data)
	}
	p.e.release() // both in one batch: the first read must not see the second write
	var m jute.GetDataResponse
	c.reply(set1, nil)
	if c.reply(get1, &m); string(m.Data) != "1" {
		t.Errorf("the read between the writes sees %q", m.Data)
	}
	if h := c.reply(bad, nil); h.Err != jute.MarshallingError {
		t.Errorf("the malformed read: %v", h.Err)
	}
	c.reply(set2, nil)
	if c.reply(get2, &m); string(m.Data) != "2" {
		t.Errorf("the last read sees %q", m.Data)
	}
	c.reply(jute.XidPing, nil)
}

func TestEventComesBeforeTheReplyOfItsOwnWrite(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	c.create("/a", "")
	c.must(jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/a", Watch: true}, nil)
	if code := c.call(jute.OpExists, &jute.ExistsRequest{Path: "/a/b", Watch: true}, nil); code != jute.NoNode {
		t.Fatal(code)
	}
	xid := c.send(jute.OpCreate, &jute.CreateRequest{Path: "/a/b", ACL: jute.OpenACL()})
	var got []string
	for range 3 {
		got = append(got, c.next().String())
	}
	want := []string{"event 1 /a/b", "event 4 /a", fmt.Sprintf("reply %d err 0", xid)}
	if !slices.Equal(got, want) {
		t.Errorf("came %v, want %v", got, want)
	}
}

func TestEventsOfADelete(t *testing.T) {
	p := startPort(t, nil)
	c, w := p.client(), p.client()
	c.create("/a", "")
	c.create("/a/b", "")
	w.get("/a/b", true)
	w.must(jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/a/b", Watch: true}, nil)
	w.must(jute.OpGetChildren2, &jute.GetChildrenRequest{Path: "/a", Watch: true}, nil)
	c.must(jute.OpDelete, &jute.DeleteRequest{Path: "/a/b", Version: -1}, nil)
	ping := func() {
		w.write(frame(jute.XidPing, jute.OpPing, nil))
	}
	ping()
	var got []string
	for len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "reply") {
		got = append(got, w.next().String())
	}
	if want := []string{"event 2 /a/b", "event 4 /a", "reply -2 err 0"}; !slices.Equal(got, want) {
		t.Errorf("came %v, want %v", got, want)
	}
}

// The state changes as soon as a read has given up the lock: the watch must be there already.
func TestWatchIsArmedTogetherWithTheRead(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	c.create("/a", "0")
	for i, op := range []jute.OpCode{jute.OpGetData, jute.OpExists, jute.OpGetChildren, jute.OpGetChildren2} {
		once := sync.OnceFunc(func() {
			if op == jute.OpGetData || op == jute.OpExists {
				p.e.do(tree.Op{Kind: tree.SetData, Path: "/a", Version: -1})
			} else {
				p.e.do(tree.Op{Kind: tree.Create, Path: fmt.Sprint("/a/", i), ACL: jute.OpenACL()})
			}
		})
		p.e.afterRead.Store(&once)
		xid := c.send(op, &jute.PathWatch{Path: "/a", Watch: true})
		if m := c.next(); m.head.Xid != xid || m.head.Err != jute.OK {
			t.Fatalf("operation %d: %v came, want its reply", op, m)
		}
		c.write(frame(jute.XidPing, jute.OpPing, nil))
		if m := c.next(); m.event == nil || m.event.Path != "/a" {
			t.Fatalf("operation %d: %v came, want the event", op, m)
		}
		c.reply(jute.XidPing, nil)
		p.e.afterRead.Store(nil)
	}
}

// A client that watches never sees a state before it heard of the change, and never hears of
// one before the reply that armed the watch.
func TestWatchNeverLagsBehindWhatIsRead(t *testing.T) {
	p := startPort(t, nil)
	writer := p.client()
	writer.create("/a", "0")
	const changes = 2000
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 1; i <= changes; i++ {
			p.e.do(tree.Op{Kind: tree.SetData, Path: "/a", Data: []byte(fmt.Sprint(i)), Version: -1})
		}
	}()
	watching := p.client()
	armed := false
	last := int32(-1)
	for last < changes {
		// Pipelined: several reads are on their way when the event comes.
		for range 4 {
			watching.send(jute.OpGetData, &jute.GetDataRequest{Path: "/a", Watch: true})
		}
		for replies := 0; replies < 4; {
			m := watching.next()
			if m.event != nil {
				if !armed {
					t.Fatal("an event without a watch")
				}
				armed = false
				continue
			}
			replies++
			var r jute.GetDataResponse
			if err := r.Decode(jute.NewReader(m.body)); err != nil {
				t.Fatal(err)
			}
			if armed && r.Stat.Version != last {
				t.Fatalf("version %d was seen after %d, and no event came between", r.Stat.Version, last)
			}
			last, armed = r.Stat.Version, true
		}
	}
	wg.Wait()
}

func TestRepliesOfAPipelineAreInOrder(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.GlobalOutstandingLimit = 10 })
	rng := testkit.Rand(t)
	var wg sync.WaitGroup
	for i := range 4 {
		c := p.client()
		rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		wg.Add(1)
		go func() {
			defer wg.Done()
			pipeline(t, c, fmt.Sprint("/", i), rng)
		}()
	}
	wg.Wait()
	if n := p.s.outstanding.Load(); n != 0 {
		t.Errorf("%d requests are outstanding at the end", n)
	}
	if n := p.s.outstandingBytes.Load(); n != 0 {
		t.Errorf("%d bytes are outstanding at the end", n)
	}
}

func TestTooManyOutstandingRequestsStopTheReading(t *testing.T) {
	for name, limit := range map[string]func(*Config){
		"requests": func(c *Config) { c.GlobalOutstandingLimit = 10 },
		"bytes":    func(c *Config) { c.OutstandingBytes = 10 * 100 },
	} {
		p := startPort(t, func(o *Options) { limit(&o.Config) })
		c, other := p.client(), p.client()
		c.create("/a", "")
		p.e.hold()
		const sets = 200
		var out []byte
		first := c.xid + 1
		for range sets {
			c.xid++
			out = append(out, frame(c.xid, jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: make([]byte, 86), Version: -1})...)
		}
		c.write(out)
		testkit.WaitFor(t, "the reader to stop", func() bool { return p.s.Stats().ThrottleWaits > 0 })
		if n := p.e.waiting(); n > 11 {
			t.Errorf("%s: %d writes are on their way", name, n)
		}
		// Who waits for nothing is served.
		if _, _, code := other.get("/a", false); code != jute.OK {
			t.Error(code)
		}
		p.e.release()
		for i := range int32(sets) {
			c.reply(first+i, nil)
		}
	}
}

// pipeline sends sets, reads and mistakes without waiting, and checks each reply against what a
// client expects that does one thing after the other.
func pipeline(t *testing.T, c *rawClient, path string, rng *rand.Rand) {
	const total = 3000
	c.create(path, "0")
	type expectation struct {
		xid   int32
		value string // of a read
		code  jute.Code
	}
	want := make(chan expectation, total)
	go func() {
		defer close(want)
		value := "0"
		var out []byte
		for i := range total {
			c.xid++
			e := expectation{xid: c.xid}
			switch rng.IntN(4) {
			case 0:
				value = fmt.Sprint(i)
				out = append(out, frame(c.xid, jute.OpSetData, &jute.SetDataRequest{Path: path, Data: []byte(value), Version: -1})...)
			case 1:
				e.code = jute.BadVersion
				out = append(out, frame(c.xid, jute.OpSetData, &jute.SetDataRequest{Path: path, Version: 1 << 30})...)
			default:
				e.value = value
				out = append(out, frame(c.xid, jute.OpGetData, &jute.GetDataRequest{Path: path})...)
			}
			want <- e
			if rng.IntN(20) == 0 || i == total-1 {
				if _, err := c.nc.Write(out); err != nil {
					t.Error(err)
					return
				}
				out = nil
			}
		}
	}()
	for e := range want {
		m, err := c.tryNext()
		if err != nil {
			t.Error(err)
			return
		}
		if m.head.Xid != e.xid || m.head.Err != e.code {
			t.Errorf("%v came, want %+v", m, e)
			return
		}
		if e.value == "" {
			continue
		}
		var r jute.GetDataResponse
		if err := r.Decode(jute.NewReader(m.body)); err != nil || string(r.Data) != e.value {
			t.Errorf("%q was read, want %q: %v", r.Data, e.value, err)
			return
		}
	}
}

func TestWatchesAreArmedAgain(t *testing.T) {
	for _, op := range []jute.OpCode{jute.OpSetWatches, jute.OpSetWatches2} {
		armAgain(t, op)
	}
}

func armAgain(t *testing.T, op jute.OpCode) {
	p := startPort(t, nil)
	c := p.client()
	for _, path := range []string{"/same", "/set", "/child", "/gone", "/made"} {
		if path != "/made" {
			c.create(path, "")
		}
	}
	var seen int64
	p.e.Read(func(s *tree.State) { seen = s.Zxid() })
	c.must(jute.OpSetData, &jute.SetDataRequest{Path: "/set", Version: -1}, nil)
	c.create("/child/x", "")
	c.must(jute.OpDelete, &jute.DeleteRequest{Path: "/gone", Version: -1}, nil)
	c.create("/made", "")
	all := []string{"/same", "/set", "/child", "/gone"}
	w := p.client()
	m := jute.SetWatches2{SetWatches: jute.SetWatches{RelativeZxid: seen, Data: all, Exist: []string{"/made", "/never"}, Child: all}}
	if op == jute.OpSetWatches2 {
		m.Persistent, m.PersistentRecursive = []string{"/p"}, []string{"/same"}
		w.write(frame(jute.XidSetWatches, op, &m))
	} else {
		w.write(frame(jute.XidSetWatches, op, &m.SetWatches))
	}
	w.reply(jute.XidSetWatches, nil)
	var got []string
	for _, e := range w.events {
		got = append(got, fmt.Sprintf("%d %s", e.Type, e.Path))
	}
	want := []string{"3 /set", "2 /gone", "1 /made", "4 /child", "2 /gone"}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	w.events = nil
	name := fmt.Sprint("/same/", op)
	c.create(name, "")
	c.must(jute.OpSetData, &jute.SetDataRequest{Path: "/same", Version: -1}, nil)
	c.must(jute.OpSetData, &jute.SetDataRequest{Path: "/child", Version: -1}, nil)
	w.get("/", false)
	got = nil
	for _, e := range w.events {
		got = append(got, fmt.Sprintf("%d %s", e.Type, e.Path))
	}
	want = []string{"4 /same", "3 /same", "3 /child"}
	if op == jute.OpSetWatches2 {
		want = []string{"1 " + name, "4 /same", "3 /same", "3 /child"}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestWatchesAreAskedForAndTakenAway(t *testing.T) {
	p := startPort(t, nil)
	c, w := p.client(), p.client()
	c.create("/a", "")
	var e jute.ErrorResponse
	w.must(jute.OpAddWatch, &jute.AddWatchRequest{Path: "/a", Mode: jute.WatchPersistentRecursive}, &e)
	w.get("/a", true)
	ask := func(op jute.OpCode, typ jute.WatcherType) jute.Code {
		return w.call(op, &jute.WatchesRequest{Path: "/a", Type: typ}, nil)
	}
	for _, step := range []struct {
		op   jute.OpCode
		typ  jute.WatcherType
		code jute.Code
	}{
		{jute.OpCheckWatches, jute.WatcherChildren, jute.OK}, {jute.OpCheckWatches, jute.WatcherData, jute.OK},
		{jute.OpRemoveWatches, jute.WatcherData, jute.OK}, {jute.OpCheckWatches, jute.WatcherData, jute.NoWatcher},
		{jute.OpCheckWatches, jute.WatcherAny, jute.OK}, {jute.OpRemoveWatches, jute.WatcherAny, jute.OK},
		{jute.OpCheckWatches, jute.WatcherAny, jute.NoWatcher}, {jute.OpRemoveWatches, jute.WatcherChildren, jute.NoWatcher},
	} {
		if code := ask(step.op, step.typ); code != step.code {
			t.Errorf("%+v: %v", step, code)
		}
	}
	c.must(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Version: -1}, nil)
	if w.get("/a", false); len(w.events) != 0 {
		t.Errorf("told %v", w.events)
	}
}
