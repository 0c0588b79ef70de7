package server

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestEachWriteIsAnswered(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	open := jute.OpenACL()
	var created jute.CreateResponse
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/a", Data: []byte("1"), ACL: open}, &created)
	if created.Path != "/a" {
		t.Errorf("created %q", created.Path)
	}
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/a/s-", ACL: open, Mode: jute.EphemeralSequential}, &created)
	if created.Path != "/a/s-0000000000" {
		t.Errorf("created %q", created.Path)
	}
	var two jute.Create2Response
	c.must(jute.OpCreate2, &jute.CreateRequest{Path: "/b", Data: []byte("22"), ACL: open}, &two)
	if two.Path != "/b" || two.Stat.DataLength != 2 || two.Stat.Czxid == 0 {
		t.Errorf("created %+v", two)
	}
	c.must(jute.OpCreateContainer, &jute.CreateRequest{Path: "/box", ACL: open, Mode: jute.Container}, &two)
	if two.Path != "/box" || two.Stat.EphemeralOwner != 0 { // its kind is not shown
		t.Errorf("created %+v", two)
	}
	c.must(jute.OpCreateTTL, &jute.CreateTTLRequest{Path: "/ttl", ACL: open, Mode: jute.PersistentTTL, TTLMs: 5000}, &two)
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/plain", ACL: open, Mode: jute.Container}, nil)
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/plain/x", ACL: open}, nil)
	c.must(jute.OpDelete, &jute.DeleteRequest{Path: "/plain/x", Version: -1}, nil)
	p.e.Read(func(s *tree.State) {
		for _, op := range s.Reapable(1<<60, 1) {
			if op.Path == "/plain" {
				t.Error("a plain create with a container's flags made one")
			}
		}
	})
	var stat jute.StatResponse
	c.must(jute.OpSetData, &jute.SetDataRequest{Path: "/a", Data: []byte("333"), Version: 0}, &stat)
	if stat.Stat.Version != 1 || stat.Stat.DataLength != 3 {
		t.Errorf("set: %+v", stat.Stat)
	}
	c.must(jute.OpCheck, &jute.CheckVersionRequest{Path: "/a", Version: 1}, &stat)
	c.must(jute.OpSetACL, &jute.SetACLRequest{Path: "/b", ACL: []jute.ACL{{Perms: jute.PermRead | jute.PermAdmin, ID: jute.WorldAnyone}}, Version: -1}, &stat)
	if stat.Stat.Aversion != 1 {
		t.Errorf("setACL: %+v", stat.Stat)
	}
	var synced jute.SyncResponse
	c.must(jute.OpSync, &jute.SyncRequest{Path: "/some/where"}, &synced)
	if synced.Path != "/some/where" {
		t.Errorf("synced %q", synced.Path)
	}
	c.must(jute.OpDelete, &jute.DeleteRequest{Path: "/box", Version: -1}, nil)

	for _, bad := range []struct {
		op   jute.OpCode
		m    jute.Record
		code jute.Code
	}{
		{jute.OpCreate, &jute.CreateRequest{Path: "/a", ACL: open}, jute.NodeExists},
		{jute.OpCreate, &jute.CreateRequest{Path: "/x/y", ACL: open}, jute.NoNode},
		{jute.OpCreate, &jute.CreateRequest{Path: "/x"}, jute.InvalidACL},
		{jute.OpCreate, &jute.CreateRequest{Path: "x", ACL: open}, jute.BadArguments},
		{jute.OpCreate, &jute.CreateRequest{Path: "/x", ACL: open, Mode: 9}, jute.BadArguments},
		{jute.OpCreate, &jute.CreateRequest{Path: "/a/s-0000000000/x", ACL: open}, jute.NoChildrenForEphemerals},
		{jute.OpCreateTTL, &jute.CreateTTLRequest{Path: "/x", ACL: open, Mode: jute.PersistentTTL}, jute.BadArguments},
		{jute.OpCreateTTL, &jute.CreateTTLRequest{Path: "/x", ACL: open, TTLMs: 5}, jute.BadArguments},
		{jute.OpCreateContainer, &jute.CreateRequest{Path: "/x", ACL: open, Mode: jute.Ephemeral}, jute.BadArguments},
		{jute.OpDelete, &jute.DeleteRequest{Path: "/a", Version: -1}, jute.NotEmpty},
		{jute.OpDelete, &jute.DeleteRequest{Path: "/a/s-0000000000", Version: 7}, jute.BadVersion},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/a", Version: 0}, jute.BadVersion},
		{jute.OpSetData, &jute.SetDataRequest{Path: "/b", Version: -1}, jute.NoAuth},
		{jute.OpCheck, &jute.CheckVersionRequest{Path: "/a", Version: 0}, jute.BadVersion},
		{jute.OpReconfig, &jute.ReconfigRequest{Joining: "x"}, jute.ReconfigDisabled},
		{jute.OpDeleteContainer, &jute.DeleteContainerRequest{Path: "/a"}, jute.Unimplemented},
		{jute.OpSetData, &jute.PathOnly{Path: "/a"}, jute.MarshallingError},
		{jute.OpGetData, nil, jute.MarshallingError},
		{jute.OpGetData, &jute.GetDataRequest{Path: "/nowhere"}, jute.NoNode},
		{jute.OpExists, &jute.ExistsRequest{Path: "/no\x00where"}, jute.BadArguments},
		{jute.OpExists, &jute.ExistsRequest{Path: "/nowhere"}, jute.NoNode},
		{jute.OpGetChildren2, &jute.GetChildren2Request{Path: "/nowhere"}, jute.NoNode},
		{jute.OpGetAllChildrenNumber, &jute.PathOnly{Path: "/nowhere"}, jute.NoNode},
		{jute.OpRemoveWatches, &jute.WatchesRequest{Path: "/a", Type: jute.WatcherAny}, jute.NoWatcher},
		{jute.OpCheckWatches, &jute.WatchesRequest{Path: "/a", Type: 77}, jute.MarshallingError},
		{jute.OpAddWatch, &jute.AddWatchRequest{Path: "/a", Mode: 2}, jute.MarshallingError},
	} {
		if code := c.call(bad.op, bad.m, nil); code != bad.code {
			t.Errorf("operation %d %+v: %v, want %v", bad.op, bad.m, code, bad.code)
		}
	}
}

func TestUnknownOperationEndsTheConnection(t *testing.T) {
	p := startPort(t, nil)
	for _, op := range []jute.OpCode{10, 23, 99, 108, 4711, jute.OpError, jute.OpNotification, -1 << 31} {
		c := p.client()
		if h := c.reply(c.send(op, nil), nil); h.Err != jute.Unimplemented || h.Zxid != -1 {
			t.Errorf("operation %d: %+v", op, h)
		}
		c.closed()
	}
}

func TestEachReadIsAnswered(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	for _, path := range []string{"/a", "/a/b", "/a/c", "/a/c/d"} {
		c.create(path, path)
	}
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/a/e", ACL: jute.OpenACL(), Mode: jute.Ephemeral}, nil)
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/f", ACL: jute.OpenACL(), Mode: jute.Ephemeral}, nil)
	if data, st, code := c.get("/a/b", false); data != "/a/b" || st.DataLength != 4 || code != jute.OK {
		t.Errorf("get: %q %+v %v", data, st, code)
	}
	var m jute.GetDataResponse
	c.must(jute.OpGetData, &jute.GetDataRequest{Path: "/f"}, &m)
	if m.Data != nil {
		t.Errorf("null became %v", m.Data)
	}
	var stat jute.ExistsResponse
	c.must(jute.OpExists, &jute.ExistsRequest{Path: "/a"}, &stat)
	if stat.Stat.NumChildren != 3 {
		t.Errorf("exists: %+v", stat.Stat)
	}
	var names jute.GetChildrenResponse
	c.must(jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/a"}, &names)
	slices.Sort(names.Strings)
	if !slices.Equal(names.Strings, []string{"b", "c", "e"}) {
		t.Errorf("children: %v", names.Strings)
	}
	var names2 jute.GetChildren2Response
	c.must(jute.OpGetChildren2, &jute.GetChildren2Request{Path: "/a"}, &names2)
	if len(names2.Children) != 3 || names2.Stat != stat.Stat {
		t.Errorf("children: %+v", names2)
	}
	var number jute.GetAllChildrenNumberResponse
	c.must(jute.OpGetAllChildrenNumber, &jute.PathOnly{Path: "/a"}, &number)
	if number.TotalNumber != 4 {
		t.Errorf("%d below /a", number.TotalNumber)
	}
	for prefix, want := range map[string]int{"": 2, "/": 2, " ": 2, "/a": 1, "/a/": 1, "/f": 1, "/z": 0} {
		var list jute.GetEphemeralsResponse
		c.must(jute.OpGetEphemerals, &jute.GetEphemeralsRequest{Path: prefix}, &list)
		if len(list.Strings) != want {
			t.Errorf("ephemerals below %q: %v", prefix, list.Strings)
		}
	}
	var acl jute.GetACLResponse
	c.must(jute.OpGetACL, &jute.GetACLRequest{Path: "/a"}, &acl)
	if !slices.Equal(acl.ACL, jute.OpenACL()) || acl.Stat != stat.Stat {
		t.Errorf("ACL: %+v", acl)
	}
	var who jute.WhoAmIResponse
	c.must(jute.OpWhoAmI, nil, &who)
	if want := []jute.ClientInfo{{Scheme: "ip", User: "127.0.0.1"}}; !slices.Equal(who.Infos, want) {
		t.Errorf("who: %v", who.Infos)
	}
	var multi jute.MultiResponse
	c.must(jute.OpMultiRead, &jute.MultiRequest{Ops: []jute.MultiOp{
		{Type: jute.OpGetData, Path: "/a"}, {Type: jute.OpGetChildren, Path: "/a/c"}, {Type: jute.OpGetData, Path: "/none"}, {Type: jute.OpGetData, Path: "/a/b"},
	}}, &multi)
	r := multi.Results
	if len(r) != 4 || string(r[0].Data) != "/a" || !slices.Equal(r[1].Children, []string{"d"}) || r[2].Type != jute.OpError || r[2].Err != jute.NoNode || string(r[3].Data) != "/a/b" {
		t.Errorf("multi read: %+v", r)
	}
	// As ZooKeeper 3.8 does: the code, and nevertheless a list of no results.
	c.send(jute.OpMultiRead, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpDelete, Path: "/a"}}})
	refused := c.next()
	var before jute.MultiResponse
	if err := before.Decode(jute.NewReader(refused.body)); err != nil || refused.head.Err != jute.MarshallingError || len(before.Results) != 0 {
		t.Errorf("a multi read that deletes: %v, %+v, %v", refused.head, before, err)
	}
	if code := c.call(jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{{Type: jute.OpGetData, Path: "/a"}}}, nil); code != jute.MarshallingError {
		t.Errorf("a multi that reads: %v", code)
	}
}

func TestMultiAnswersEachOperation(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	c.create("/a", "")
	open := jute.OpenACL()
	var m jute.MultiResponse
	c.must(jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{
		{Type: jute.OpCheck, Path: "/a", Version: 0},
		{Type: jute.OpCreate, Path: "/a/b", ACL: open},
		{Type: jute.OpCreate2, Path: "/a/c", ACL: open, Data: []byte("12")},
		{Type: jute.OpCreateContainer, Path: "/a/box", ACL: open, Mode: jute.Container},
		{Type: jute.OpSetData, Path: "/a", Data: []byte("123"), Version: -1},
		{Type: jute.OpDelete, Path: "/a/b", Version: -1},
	}}, &m)
	r := m.Results
	types := make([]jute.OpCode, len(r))
	for i := range r {
		types[i] = r[i].Type
	}
	if want := []jute.OpCode{jute.OpCheck, jute.OpCreate, jute.OpCreate, jute.OpCreate2, jute.OpSetData, jute.OpDelete}; !slices.Equal(types, want) {
		t.Fatalf("types %v, want %v", types, want)
	}
	if r[1].Path != "/a/b" || r[2].Path != "/a/c" || r[3].Path != "/a/box" || r[3].Stat.Czxid == 0 || r[4].Stat.Version != 1 {
		t.Errorf("results %+v", r)
	}
	for _, bad := range []struct {
		middle jute.MultiOp
		code   jute.Code
	}{
		{jute.MultiOp{Type: jute.OpDelete, Path: "/none", Version: -1}, jute.NoNode},
		{jute.MultiOp{Type: jute.OpCreate, Path: "/q", ACL: open, Mode: 77}, jute.BadArguments},
		{jute.MultiOp{Type: jute.OpCreate, Path: "/q", ACL: open, Mode: jute.PersistentTTL}, jute.BadArguments},
		{jute.MultiOp{Type: jute.OpCreate, Path: "/a", ACL: open}, jute.NodeExists},
	} {
		c.must(jute.OpMulti, &jute.MultiRequest{Ops: []jute.MultiOp{
			{Type: jute.OpSetData, Path: "/a", Data: []byte("undone"), Version: -1}, bad.middle, {Type: jute.OpDelete, Path: "/a/c"},
		}}, &m)
		var codes []jute.Code
		for _, res := range m.Results {
			if res.Type != jute.OpError {
				t.Errorf("a result of type %d in a multi that failed", res.Type)
			}
			codes = append(codes, res.Err)
		}
		if want := []jute.Code{jute.OK, bad.code, jute.RuntimeInconsistency}; !slices.Equal(codes, want) {
			t.Errorf("%+v: codes %v, want %v", bad.middle, codes, want)
		}
	}
	if data, _, _ := c.get("/a", false); data != "123" {
		t.Errorf("a multi that failed left %q", data)
	}
	c.must(jute.OpMulti, &jute.MultiRequest{}, &m)
	if len(m.Results) != 0 {
		t.Errorf("an empty multi has results: %+v", m.Results)
	}
}

func TestIdentities(t *testing.T) {
	digest := jute.DigestID("super:secret").ID
	p := startPort(t, func(o *Options) { o.Config.SuperDigest = digest })
	c, stranger, admin := p.client(), p.client(), p.client()
	auth := func(c *rawClient, scheme, token string) jute.Code {
		c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: scheme, Auth: []byte(token)}))
		return c.reply(jute.XidAuth, nil).Err
	}
	for range 2 {
		if code := auth(c, "digest", "joe:pw"); code != jute.OK {
			t.Fatal(code)
		}
	}
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/mine", Data: []byte("x"), ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}, {Perms: jute.PermRead, ID: jute.ID{Scheme: "ip", ID: "10.0.0.0/8"}}}}, nil)
	if _, _, code := c.get("/mine", false); code != jute.OK {
		t.Error(code)
	}
	if _, _, code := stranger.get("/mine", false); code != jute.NoAuth {
		t.Errorf("a stranger reads: %v", code)
	}
	for _, op := range []jute.OpCode{jute.OpGetChildren, jute.OpGetChildren2} {
		if code := stranger.call(op, &jute.GetChildrenRequest{Path: "/mine", Watch: true}, nil); code != jute.NoAuth {
			t.Errorf("a stranger lists: %v", code)
		}
	}
	if code := stranger.call(jute.OpGetACL, &jute.GetACLRequest{Path: "/mine"}, nil); code != jute.NoAuth {
		t.Errorf("a stranger reads the ACL: %v", code)
	}
	if code := stranger.call(jute.OpSetData, &jute.SetDataRequest{Path: "/mine", Version: -1}, nil); code != jute.NoAuth {
		t.Errorf("a stranger writes: %v", code)
	}
	if got := p.s.watches.Summary(); got.All != 0 {
		t.Errorf("who may not read left watches: %+v", got)
	}
	if code := auth(admin, "digest", "super:secret"); code != jute.OK {
		t.Fatal(code)
	}
	if _, _, code := admin.get("/mine", false); code != jute.OK {
		t.Errorf("the super user reads: %v", code)
	}
	var who jute.WhoAmIResponse
	admin.must(jute.OpWhoAmI, nil, &who)
	if want := []jute.ClientInfo{{Scheme: "ip", User: "127.0.0.1"}, {Scheme: "super"}, {Scheme: "digest", User: "super"}}; !slices.Equal(who.Infos, want) {
		t.Errorf("who: %v", who.Infos)
	}

	// Who may only read sees no digests.
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/shown", ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.DigestID("joe:pw")}, {Perms: jute.PermRead, ID: jute.WorldAnyone}}}, nil)
	var acl jute.GetACLResponse
	c.must(jute.OpGetACL, &jute.GetACLRequest{Path: "/shown"}, &acl)
	if !strings.HasSuffix(acl.ACL[0].ID.ID, "=") {
		t.Errorf("its owner sees %q", acl.ACL[0].ID.ID)
	}
	stranger.must(jute.OpGetACL, &jute.GetACLRequest{Path: "/shown"}, &acl)
	if acl.ACL[0].ID.ID != "joe:x" {
		t.Errorf("a stranger sees %q", acl.ACL[0].ID.ID)
	}

	for _, scheme := range []string{"kerberos", "x509", "world"} {
		bad := p.client()
		if code := auth(bad, scheme, "?"); code != jute.AuthFailed {
			t.Errorf("scheme %s: %v", scheme, code)
		}
		bad.closed()
	}
	sasl := p.client()
	sasl.send(jute.OpSASL, &jute.SASLToken{Token: []byte("x")})
	if m := sasl.next(); m.head.Err != jute.AuthFailed {
		t.Errorf("SASL: %v", m)
	}
	sasl.closed()
}

func TestIdentityIsThatOfTheTimeOfTheRequest(t *testing.T) {
	p := startPort(t, nil)
	c := p.client()
	c.must(jute.OpCreate, &jute.CreateRequest{Path: "/mine", ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.DigestID("joe:pw")}}}, nil)
	p.e.hold()
	write := c.send(jute.OpSync, &jute.SyncRequest{Path: "/"})
	before := c.send(jute.OpGetData, &jute.GetDataRequest{Path: "/mine"})
	c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("joe:pw")}))
	after := c.send(jute.OpGetData, &jute.GetDataRequest{Path: "/mine"})
	if h := c.reply(jute.XidAuth, nil); h.Err != jute.OK { // it does not wait for the write
		t.Fatal(h.Err)
	}
	p.e.release()
	c.reply(write, nil)
	if h := c.reply(before, nil); h.Err != jute.NoAuth {
		t.Errorf("before: %v", h.Err)
	}
	if h := c.reply(after, nil); h.Err != jute.OK {
		t.Errorf("after: %v", h.Err)
	}
}

func TestEnforcedIdentities(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.EnforceAuthSchemes = []string{"digest"} })
	c := p.client()
	c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("joe:pw")}))
	c.reply(jute.XidAuth, nil)
	c.create("/a", "")
	stranger := p.client()
	if code := stranger.call(jute.OpExists, &jute.ExistsRequest{Path: "/"}, nil); code != jute.SessionClosedRequireSASL {
		t.Errorf("a stranger: %v", code)
	}
	stranger.closed()
}

func TestReconfigIsLeftToTheEnsemble(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Config.Reconfig = true; o.Config.SuperDigest = jute.DigestID("super:pw").ID })
	c := p.client()
	ask := &jute.ReconfigRequest{Joining: "server.4=a:1:2;3", CurConfigID: -1}
	if code := c.call(jute.OpReconfig, ask, nil); code != jute.NoAuth {
		t.Errorf("anybody changes the ensemble: %v", code)
	}
	c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("super:pw")}))
	c.reply(jute.XidAuth, nil)
	if code := c.call(jute.OpReconfig, ask, nil); code != jute.Unimplemented {
		t.Errorf("alone: %v", code)
	}
	asked := make(chan jute.ReconfigRequest, 1)
	change := func(r *jute.ReconfigRequest) error {
		asked <- *r
		p.e.do(tree.Op{Kind: tree.SetConfig, Data: []byte("server.4=a:1:2:participant;3")})
		return nil
	}
	p.e.reconfig.Store(&change)
	var m jute.ReconfigResponse
	c.must(jute.OpReconfig, ask, &m)
	if got := <-asked; got != *ask || !bytes.HasPrefix(m.Data, []byte("server.4=a:1:2:participant;3")) {
		t.Errorf("asked %+v, answered %q", got, m.Data)
	}
	fail := func(*jute.ReconfigRequest) error { return jute.NewConfigNoQuorum }
	p.e.reconfig.Store(&fail)
	if code := c.call(jute.OpReconfig, ask, nil); code != jute.NewConfigNoQuorum {
		t.Error(code)
	}
	c.create("/after", "")
}

// TestASessionOutlivesItsReconfig: a change of the ensemble may take longer than a session, and
// nothing is read from who asked for it meanwhile.
func TestASessionOutlivesItsReconfig(t *testing.T) {
	p := startPort(t, func(o *Options) {
		o.Config.Reconfig, o.Config.TickTime, o.Config.SuperDigest = true, 100*time.Millisecond, jute.DigestID("super:pw").ID
	})
	c := p.client()
	c.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("super:pw")}))
	c.reply(jute.XidAuth, nil)
	touches := func() int64 {
		n, _ := p.e.touches.LoadOrStore(c.session, new(atomic.Int64))
		return n.(*atomic.Int64).Load()
	}
	slow := func(*jute.ReconfigRequest) error {
		before := touches()
		testkit.WaitFor(t, "the session to be kept", func() bool { return touches() >= before+3 })
		return nil
	}
	p.e.reconfig.Store(&slow)
	c.must(jute.OpReconfig, &jute.ReconfigRequest{Joining: "server.4=a:1:2;3", CurConfigID: -1}, nil)
	after := touches()
	c.create("/after", "")
	if n := touches(); n > after+2 {
		t.Errorf("kept %d times more when it was over", n-after)
	}
}

func TestWhoMayNotReadDoesNotHear(t *testing.T) {
	p := startPort(t, nil)
	hidden(t, p.addr)
	// The names of children are for those who may read their parent.
	c, owner := p.client(), p.client()
	c.create("/parent", "")
	c.must(jute.OpGetChildren, &jute.GetChildrenRequest{Path: "/parent", Watch: true}, nil)
	owner.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("joe:pw")}))
	owner.reply(jute.XidAuth, nil)
	owner.must(jute.OpSetACL, &jute.SetACLRequest{Path: "/parent", ACL: []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}}, Version: -1}, nil)
	owner.create("/parent/x", "")
	if c.get("/", false); len(c.events) > 0 {
		t.Errorf("told %v", c.events)
	}
}

// hidden has a stranger watch above nodes that it may not read. Debian's ZooKeeper has the
// patch for that too.
func hidden(t *testing.T, addr string) {
	t.Helper()
	owner, stranger := session(t, addr), session(t, addr)
	owner.write(frame(jute.XidAuth, jute.OpAuth, &jute.AuthPacket{Scheme: "digest", Auth: []byte("joe:pw")}))
	owner.reply(jute.XidAuth, nil)
	owner.create("/hidden", "")
	for _, c := range []*rawClient{owner, stranger} {
		c.must(jute.OpAddWatch, &jute.AddWatchRequest{Path: "/hidden", Mode: jute.WatchPersistentRecursive}, nil)
	}
	mine := []jute.ACL{{Perms: jute.PermAll, ID: jute.ID{Scheme: "auth"}}}
	owner.must(jute.OpCreate, &jute.CreateRequest{Path: "/hidden/secret", ACL: mine}, nil)
	owner.must(jute.OpSetData, &jute.SetDataRequest{Path: "/hidden/secret", Version: -1}, nil)
	owner.must(jute.OpCreate, &jute.CreateRequest{Path: "/hidden/shown", ACL: jute.OpenACL()}, nil)
	owner.must(jute.OpDelete, &jute.DeleteRequest{Path: "/hidden/secret", Version: -1}, nil)
	owner.must(jute.OpDelete, &jute.DeleteRequest{Path: "/hidden/shown", Version: -1}, nil)
	owner.must(jute.OpDelete, &jute.DeleteRequest{Path: "/hidden", Version: -1}, nil)
	stranger.must(jute.OpSync, &jute.SyncRequest{Path: "/"}, nil)
	list := func(c *rawClient) []string {
		var out []string
		for _, e := range c.events {
			out = append(out, fmt.Sprintf("%d %s", e.Type, e.Path))
		}
		return out
	}
	if got, want := list(owner), []string{"1 /hidden/secret", "3 /hidden/secret", "1 /hidden/shown", "2 /hidden/secret", "2 /hidden/shown", "2 /hidden"}; !slices.Equal(got, want) {
		t.Errorf("its owner heard %v, want %v", got, want)
	}
	if got, want := list(stranger), []string{"1 /hidden/shown", "2 /hidden/shown", "2 /hidden"}; !slices.Equal(got, want) {
		t.Errorf("a stranger heard %v, want %v", got, want)
	}
}
