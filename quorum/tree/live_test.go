package tree

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/quorum/jute"
)

// zkConn speaks to a server without judging what it sends: most of what is tested here, a
// client library would refuse.
type zkConn struct {
	t       testing.TB
	conn    net.Conn
	xid     int32
	session int64
}

func dialZK(t testing.TB, addr, auth string) *zkConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a second close is no matter
	c := &zkConn{t: t, conn: conn}
	c.send(&jute.ConnectRequest{TimeoutMs: 600_000, Password: make([]byte, 16)})
	var res jute.ConnectResponse
	if err := res.Decode(c.receive()); err != nil {
		t.Fatal(err)
	}
	c.session = res.SessionID
	if auth != "" {
		c.send(&jute.RequestHeader{Xid: jute.XidAuth, Op: jute.OpAuth}, &jute.AuthPacket{Scheme: "digest", Auth: []byte(auth)})
		var head jute.ReplyHeader
		if err := head.Decode(c.receive()); err != nil || head.Err != jute.OK {
			t.Fatal(err, head)
		}
	}
	return c
}

func (c *zkConn) send(records ...jute.Record) {
	c.t.Helper()
	b := jute.BeginFrame(nil)
	for _, r := range records {
		b = r.AppendTo(b)
	}
	jute.EndFrame(b, 0)
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *zkConn) receive() *jute.Reader {
	c.t.Helper()
	b, err := jute.ReadFrame(c.conn, nil, 64<<20)
	if err != nil {
		c.t.Fatal(err)
	}
	return jute.NewReader(b)
}

// call makes a request and reads the answer to it into response, which nil leaves alone.
func (c *zkConn) call(op jute.OpCode, request, response jute.Record) (zxid int64, code jute.Code) {
	c.t.Helper()
	c.xid++
	records := []jute.Record{&jute.RequestHeader{Xid: c.xid, Op: op}}
	if request != nil {
		records = append(records, request)
	}
	c.send(records...)
	r := c.receive()
	var head jute.ReplyHeader
	if err := head.Decode(r); err != nil || head.Xid != c.xid {
		c.t.Fatal(err, head, c.xid)
	}
	if head.Err == jute.OK && response != nil {
		if err := response.Decode(r); err != nil {
			c.t.Fatal(err)
		}
	}
	return head.Zxid, head.Err
}

// do asks the server what op asks of a State. The Stats lack their times.
func (c *zkConn) do(op Op) (r Result) {
	c.t.Helper()
	r.Op.Kind = op.Kind
	switch op.Kind {
	case Create:
		var res jute.Create2Response
		code, request := createRequest(op)
		r.Zxid, r.Code = c.call(code, request, &res)
		r.Op.Path, r.Op.Stat = res.Path, res.Stat
	case Delete:
		r.Zxid, r.Code = c.call(jute.OpDelete, &jute.DeleteRequest{Path: op.Path, Version: op.Version}, nil)
	case SetData:
		var res jute.SetDataResponse
		r.Zxid, r.Code = c.call(jute.OpSetData, &jute.SetDataRequest{Path: op.Path, Data: op.Data, Version: op.Version}, &res)
		r.Op.Stat = res.Stat
	case SetACL:
		var res jute.SetACLResponse
		r.Zxid, r.Code = c.call(jute.OpSetACL, &jute.SetACLRequest{Path: op.Path, ACL: op.ACL, Version: op.Version}, &res)
		r.Op.Stat = res.Stat
	case Multi:
		c.multi(op, &r)
	default:
		c.t.Fatal(op.Kind)
	}
	r.Op.Code = r.Code
	return r
}

func createRequest(op Op) (jute.OpCode, jute.Record) {
	request := &jute.CreateRequest{Path: op.Path, Data: op.Data, ACL: op.ACL, Mode: op.Mode}
	switch {
	case op.Mode == jute.Container:
		return jute.OpCreateContainer, request
	case op.Mode.IsTTL():
		return jute.OpCreateTTL, &jute.CreateTTLRequest{Path: op.Path, Data: op.Data, ACL: op.ACL, Mode: op.Mode, TTLMs: op.TTLMs}
	}
	return jute.OpCreate2, request
}

func (c *zkConn) multi(op Op, r *Result) {
	request := &jute.MultiRequest{}
	for _, op := range op.Ops {
		code, _ := createRequest(op)
		switch op.Kind {
		case Delete:
			code = jute.OpDelete
		case SetData:
			code = jute.OpSetData
		case Check:
			code = jute.OpCheck
		}
		request.Ops = append(request.Ops, jute.MultiOp{
			Type: code, Path: op.Path, Data: op.Data, ACL: op.ACL, Mode: op.Mode, TTLMs: op.TTLMs, Version: op.Version,
		})
	}
	var res jute.MultiResponse
	r.Zxid, r.Code = c.call(jute.OpMulti, request, &res)
	for i, one := range res.Results {
		if one.Err != jute.OK && one.Err != jute.RuntimeInconsistency && r.Code == jute.OK {
			r.Code = one.Err
		}
		r.Ops = append(r.Ops, OpResult{Kind: op.Ops[i].Kind, Code: one.Err, Path: one.Path, Stat: one.Stat})
	}
}

func timeless(st jute.Stat) jute.Stat {
	st.CtimeMs, st.MtimeMs = 0, 0
	return st
}

// told is what a client learns of a result: a refused request has a code only, and a Check has
// no Stat.
func told(r Result) string {
	op := func(o OpResult, ok bool) string {
		if !ok || o.Kind == Check || o.Kind == Multi {
			o.Stat, o.Path = jute.Stat{}, ""
		}
		return fmt.Sprintf("%d %q %+v; ", int(o.Code), o.Path, timeless(o.Stat))
	}
	text := fmt.Sprintf("zxid %#x %s", r.Zxid, op(r.Op, r.Code == jute.OK))
	for _, o := range r.Ops {
		if o.Kind == Create {
			o.Stat = jute.Stat{} // a multi tells it for some modes only
		}
		text += op(o, r.Code == jute.OK)
	}
	return text
}

// dumpZK shows a server's tree as dumpState shows ours.
func dumpZK(c *zkConn) (lines []string) {
	paths := []string{"/"}
	for len(paths) > 0 {
		path := paths[0]
		paths = paths[1:]
		var data jute.DataResponse
		var list jute.GetACLResponse
		var kids jute.GetChildren2Response
		c.call(jute.OpGetData, &jute.PathWatch{Path: path}, &data)
		c.call(jute.OpGetACL, &jute.PathOnly{Path: path}, &list)
		c.call(jute.OpGetChildren2, &jute.PathWatch{Path: path}, &kids)
		lines = append(lines, line(path, data.Data, data.Stat, list.ACL))
		for _, name := range kids.Children {
			if path == "/" {
				paths = append(paths, "/"+name)
			} else {
				paths = append(paths, path+"/"+name)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func line(path string, data []byte, st jute.Stat, list []jute.ACL) string {
	return fmt.Sprintf("%s %q null=%v %+v %v", path, data, data == nil, timeless(st), list)
}

func dumpState(s *State) (lines []string) {
	s.Walk(func(path string, data []byte, st jute.Stat, list []jute.ACL) bool {
		lines = append(lines, line(path, data, st, list))
		return true
	})
	slices.Sort(lines)
	return lines
}

// TestLikeZooKeeper runs random scripts on Debian's ZooKeeper and on a State: every code,
// name, Stat and zxid must be the same, and at the end the whole trees.
func TestLikeZooKeeper(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two servers")
	}
	zkserver.Need(t)
	for _, enforce := range []bool{false, true} {
		t.Run(fmt.Sprintf("quotas enforced %v", enforce), func(t *testing.T) {
			likeZooKeeper(t, enforce, testkit.Rounds(t, "TREE_LIVE_STEPS", 1500))
		})
	}
}

func likeZooKeeper(t *testing.T, enforce bool, steps int) {
	server := zkserver.Launch(t, zkserver.Options{Config: map[string]string{
		"enforceQuota": fmt.Sprint(enforce), "maxSessionTimeout": "600000", "znode.container.checkIntervalMs": "86400000",
	}}).Servers[0]
	g := &script{r: testkit.Rand(t)}
	s := New()
	if enforce {
		s.flags = EnforceQuota
	}
	passwords := []string{zkserver.SuperAuth, "", "alice:pw", "bob:pw"}
	conns := make([]*zkConn, len(passwords))
	auth := make([][]jute.ID, len(passwords))
	seq := make([]uint32, len(passwords))
	begin := func(i int) {
		conns[i], seq[i] = dialZK(t, server.Addr(), passwords[i]), 0
		auth[i] = []jute.ID{{Scheme: "ip", ID: "127.0.0.1"}}
		if i == 0 {
			auth[i] = append(auth[i], Super)
		}
		if passwords[i] != "" {
			auth[i] = append(auth[i], jute.DigestID(passwords[i]))
		}
		applyAll(t, s, 0, 0, Txn{Session: conns[i].session, Op: Op{Kind: CreateSession, TimeoutMs: 600_000}})
	}
	for i := range conns {
		begin(i)
	}
	for step := range steps {
		i := g.r.IntN(len(conns))
		seq[i]++
		txn := Txn{Session: conns[i].session, ConnGen: 1, Seq: seq[i], Auth: auth[i]}
		if g.r.IntN(60) == 0 {
			txn.Op = Op{Kind: CloseSession}
			zxid, code := conns[i].call(jute.OpCloseSession, nil, nil)
			if r := applyAll(t, s, 0, 0, txn)[0].Result; r.Zxid != zxid || code != jute.OK {
				t.Fatalf("step %d: close: zxid %#x, want %#x %v", step, r.Zxid, zxid, code)
			}
			begin(i)
			continue
		}
		txn.Op = g.live(enforce)
		want := told(conns[i].do(txn.Op))
		if got := told(applyAll(t, s, 0, 0, txn)[0].Result); got != want {
			t.Fatalf("step %d, client %d: %+v\n      got %s\nZooKeeper %s", step, i, txn.Op, got, want)
		}
		if step%500 == 499 {
			sameTree(t, s, conns[0])
		}
	}
	sameTree(t, s, conns[0])
	verify(t, s)
}

// oddEnds are names that are allowed and such that are not, with the limits of what is.
var oddEnds = []string{
	"/.", "/..", "/.x", "/...", "/..x", "/x.", "\x1f", " ", "~", "\x7f", "\u009f", "\u00a0", "\ud7ff", "\uf8ff", "\uf900", "\uffef", "\ufff0",
	"\ufffd", "\U0001f600", "\xff", "//x", "/", "\x00",
}

// live makes an operation that a client can ask for. ZooKeeper does not count within a multi
// whether it is over a quota, so there are none where quotas are enforced.
func (g *script) live(enforce bool) Op {
	op := g.op()
	for op.Kind == Check {
		op = g.op()
	}
	if g.r.IntN(10) == 0 && op.Kind != Multi {
		op.Path += oddEnds[g.r.IntN(len(oddEnds))]
	}
	if enforce || g.r.IntN(4) > 0 {
		return op
	}
	multi := Op{Kind: Multi}
	for range g.r.IntN(6) {
		if op := g.op(); op.Kind != SetACL {
			multi.Ops = append(multi.Ops, op)
		}
	}
	return multi
}

func sameTree(t *testing.T, s *State, c *zkConn) {
	t.Helper()
	got, want := dumpState(s), dumpZK(c)
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("the trees differ:\n      got %s\nZooKeeper %s", slices.Concat(got[min(i, len(got)):], []string{"nothing"})[0], want[i])
		}
	}
	if len(got) > len(want) {
		t.Fatalf("more than ZooKeeper has: %v", got[len(want):])
	}
}
