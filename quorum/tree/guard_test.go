package tree

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

// write is a guarded write of session 1.
func write(gen, seq uint32, op Op) Txn {
	return Txn{Session: 1, ConnGen: gen, Seq: seq, Auth: alice, Op: op}
}

func TestGuard(t *testing.T) {
	s := fixture(t)
	for i, c := range []struct {
		gen, seq uint32
		want     jute.Code
		dup      bool
	}{
		{0, 1, jute.SessionMoved, false}, // connection 0 is older than all
		{1, 2, jute.SessionMoved, false}, // the first is missing
		{1, 1, jute.OK, false},
		{1, 1, jute.OK, true},
		{1, 3, jute.SessionMoved, false},
		{1, 2, jute.OK, false},
		{1, 1, jute.OK, true},
		{7, 2, jute.SessionMoved, false}, // a new connection begins with 1
		{7, 1, jute.OK, false},
		{1, 3, jute.SessionMoved, false}, // what the old one still sends
		{7, 2, jute.OK, false},
	} {
		before := s.Zxid()
		o := applyAll(t, s, 0, 0, write(c.gen, c.seq, set("/a", "x", -1)))[0]
		if o.Result.Code != c.want || o.Result.Duplicate != c.dup {
			t.Fatalf("step %d: %v duplicate %v", i, o.Result.Code, o.Result.Duplicate)
		}
		applied := c.want == jute.OK && !c.dup
		if applied != (s.Zxid() == before+1) || applied != (len(o.Changes) == 1) || o.Result.Zxid != s.Zxid() {
			t.Fatalf("step %d: zxid %d to %d, result %+v", i, before, s.Zxid(), o.Result)
		}
		verify(t, s)
	}
	info, ok := s.Session(1)
	if !ok || info != (SessionInfo{TimeoutMs: 10_000, ConnGen: 7, Seq: 2}) {
		t.Fatal(info, ok)
	}
}

// TestRefusedWriteCounts: what is refused for what it asks is answered, so it is one of the
// session's writes, with a zxid.
func TestRefusedWriteCounts(t *testing.T) {
	s := fixture(t)
	zxid := s.Zxid()
	outs := applyAll(t, s, 0, 0, write(1, 1, del("/none", -1)), write(1, 2, Op{Kind: Noop}), write(1, 3, set("/a", "x", -1)))
	for i, want := range []jute.Code{jute.NoNode, jute.OK, jute.OK} {
		if outs[i].Result.Code != want || outs[i].Result.Zxid != zxid+int64(i)+1 {
			t.Fatalf("%d: %+v", i, outs[i].Result)
		}
	}
}

func TestUnguardedNoopTakesNoZxid(t *testing.T) {
	s := fixture(t)
	zxid, before := s.Zxid(), encode(t, s)
	o := applyAll(t, s, 9, s.TimeMs(), Txn{Op: Op{Kind: Noop}})[0]
	if o.Result.Code != jute.OK || o.Result.Zxid != zxid || !bytes.Equal(before, encode(t, s)) {
		t.Fatal(o.Result, zxid)
	}
}

func TestZxidFollowsTheTerm(t *testing.T) {
	s := New()
	for _, c := range []struct {
		term uint64
		want int64
	}{{0, 1}, {0, 2}, {1, 1 << 32}, {1, 1<<32 + 1}, {5, 5 << 32}, {4, 5<<32 + 1}} {
		applyAll(t, s, c.term, 0, Txn{Op: set("/", "x", -1)})
		if s.Zxid() != c.want {
			t.Errorf("term %d: %#x, want %#x", c.term, s.Zxid(), c.want)
		}
	}
}

// TestKeptResult: a session that asked for it gets the whole answer of its last write again,
// also from a state that went through a snapshot.
func TestKeptResult(t *testing.T) {
	s := fixture(t)
	applyAll(t, s, 0, 0, Txn{Session: 5, Op: Op{Kind: CreateSession, TimeoutMs: 1000, KeepResult: true}})
	kept := func(seq uint32, op Op) Txn { return Txn{Session: 5, ConnGen: 1, Seq: seq, Op: op} }
	for seq, op := range []Op{
		mk("/k-", jute.EphemeralSequential),
		{Kind: Multi, Ops: []Op{mk("/m", 0), set("/m", "1", -1), set("/m", "2", -1), {Kind: Check, Path: "/m", Version: 2}, del("/m", 2)}},
		{Kind: Multi, Ops: []Op{mk("/m", 0), del("/none", 2), mk("/n", 0)}},
		del("/none", -1),
	} {
		seq := uint32(seq + 1)
		first := applyAll(t, s, 0, 0, kept(seq, op))[0].Result
		again, err := Decode(bytes.NewReader(encode(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*State{s, again} {
			second := applyAll(t, s, 0, 0, kept(seq, op))[0]
			if !second.Result.Duplicate || len(second.Changes) > 0 {
				t.Fatalf("%+v", second)
			}
			second.Result.Duplicate = false
			if fmt.Sprintf("%+v", second.Result) != fmt.Sprintf("%+v", first) {
				t.Fatalf("first\n%+v\nthen\n%+v", first, second.Result)
			}
			verify(t, s)
		}
	}
	// the one before the last is known to be done, and no more
	if o := applyAll(t, s, 0, 0, kept(3, Op{}))[0]; !o.Result.Duplicate || len(o.Result.Ops) > 0 {
		t.Fatalf("%+v", o.Result)
	}
}

func TestSessions(t *testing.T) {
	s := fixture(t)
	applyAll(t, s, 0, 0, Txn{Session: 2, Op: mk("/e/", jute.Ephemeral)}, Txn{Session: 2, Op: mk("/z", jute.Ephemeral)},
		Txn{Session: 2, Op: mk("/a/e", jute.Ephemeral)}, Txn{Session: 2, Op: mk("/a-e", jute.Ephemeral)},
		Txn{Session: 2, Op: mk("/gone", jute.Ephemeral)}, Txn{Session: 2, Op: del("/gone", -1)})
	again := applyAll(t, s, 0, 0, Txn{Session: 2, Op: Op{Kind: CreateSession, TimeoutMs: 5}})[0]
	if info, _ := s.Session(2); !again.Result.Duplicate || info.TimeoutMs != 10_000 {
		t.Fatal("a session began twice")
	}
	for _, id := range []int64{0, -1 << 63, -1 << 56} {
		if o := applyAll(t, s, 0, 0, born(id))[0]; o.Result.Code != jute.BadArguments {
			t.Errorf("session %#x: %v", id, o.Result.Code)
		}
	}
	// the close of an old connection does not end the session
	applyAll(t, s, 0, 0, Txn{Session: 2, ConnGen: 3, Seq: 1, Op: Op{Kind: Noop}})
	if o := applyAll(t, s, 0, 0, Txn{Session: 2, ConnGen: 2, Seq: 9, Op: Op{Kind: CloseSession}})[0]; o.Result.Code != jute.SessionMoved || o.Closed != 0 {
		t.Fatalf("%+v", o)
	}
	o := applyAll(t, s, 0, 0, Txn{Session: 2, Op: Op{Kind: CloseSession}})[0]
	var paths []string
	for _, c := range o.Changes {
		if c.Kind != NodeDeleted || !c.Ephemeral {
			t.Errorf("%+v", c)
		}
		paths = append(paths, c.Path)
	}
	if o.Closed != 2 || fmt.Sprint(paths) != "[/a-e /a/e /z]" || o.Result.Zxid != s.Zxid() {
		t.Fatalf("%+v %v", o, paths)
	}
	if st, _ := s.Stat("/a"); st.Pzxid != s.Zxid() {
		t.Errorf("%+v", st)
	}
	for _, op := range []Op{set("/a", "x", -1), mk("/e3", jute.Ephemeral), {Kind: Noop}, {Kind: Multi}} {
		if o := applyAll(t, s, 0, 0, Txn{Session: 2, Op: op})[0]; o.Result.Code != jute.SessionExpired {
			t.Errorf("%+v after the end: %v", op, o.Result.Code)
		}
	}
	if o := applyAll(t, s, 0, 0, Txn{Session: 2, Op: Op{Kind: CloseSession}})[0]; o.Result.Code != jute.OK || o.Closed != 0 {
		t.Errorf("closed twice: %+v", o)
	}
	count := 0
	for id, info := range s.Sessions {
		if count++; id != 1 || info.TimeoutMs != 10_000 {
			t.Error(id, info)
		}
	}
	if count != 1 {
		t.Error(count, "sessions")
	}
	verify(t, s)
}

func TestMulti(t *testing.T) {
	s := fixture(t)
	zxid := s.Zxid()
	o := applyAll(t, s, 0, 2000, Txn{Session: 1, Op: Op{Kind: Multi, Ops: []Op{
		mk("/m", 0), mk("/m/s-", jute.PersistentSequential), mk("/m/s-", jute.PersistentSequential), set("/m", "x", 0),
		set("/m", "y", 1), {Kind: Check, Path: "/m", Version: 2}, del("/m/s-0000000000", -1),
	}}})[0]
	r := o.Result
	if r.Code != jute.OK || r.Zxid != zxid+1 || s.Zxid() != zxid+1 || len(r.Ops) != 7 || len(o.Changes) != 6 {
		t.Fatalf("%+v", o)
	}
	if r.Ops[2].Path != "/m/s-0000000001" || r.Ops[3].Stat.Version != 1 || r.Ops[4].Stat.Version != 2 || r.Ops[0].Stat.NumChildren != 0 {
		t.Fatalf("%+v", r.Ops)
	}
	if st, _ := s.Stat("/m"); st.Czxid != zxid+1 || st.Mzxid != zxid+1 || st.Pzxid != zxid+1 || st.Cversion != 3 || st.NumChildren != 1 {
		t.Fatalf("%+v", st)
	}
	if string(o.Changes[3].Data) != "x" || string(o.Changes[4].Data) != "y" || o.Changes[5].Kind != NodeDeleted {
		t.Fatalf("%+v", o.Changes)
	}
	o = applyAll(t, s, 0, 2000, Txn{Session: 1, Op: Op{Kind: Multi, Ops: []Op{set("/m", "z", -1), del("/none", -1), mk("/n", 0)}}})[0]
	if o.Result.Code != jute.NoNode || o.Result.Ops[0].Code != jute.OK || o.Result.Ops[1].Code != jute.NoNode || o.Result.Ops[2].Code != jute.RuntimeInconsistency || len(o.Changes) != 0 {
		t.Fatalf("%+v", o)
	}
	verify(t, s)
}

func TestDigestCheck(t *testing.T) {
	s := fixture(t)
	at, digest := s.Zxid(), s.Digest()
	check := func(zxid int64, digest uint64) jute.Code {
		before, last := s.Digest(), s.Zxid()
		code := applyAll(t, s, 0, 0, Txn{Op: Op{Kind: DigestCheck, Zxid: zxid, Digest: digest}})[0].Result.Code
		if s.Digest() != before || s.Zxid() != last {
			t.Fatal("a check changed the state")
		}
		return code
	}
	for range historySize - 1 {
		applyAll(t, s, 0, 0, Txn{Op: set("/a", "x", -1)})
	}
	if got := check(at, digest); got != jute.OK {
		t.Error(got)
	}
	if got := check(at, digest+1); got != jute.DataInconsistency {
		t.Error(got)
	}
	if got := check(s.Zxid(), s.Digest()); got != jute.OK {
		t.Error(got)
	}
	if got := check(s.Zxid()+1, 0); got != jute.OK { // not known here
		t.Error(got)
	}
	applyAll(t, s, 0, 0, Txn{Op: set("/a", "x", -1)})
	if got := check(at, digest+1); got != jute.OK { // forgotten
		t.Error(got)
	}
	if got := check(at+1, 1); got != jute.DataInconsistency {
		t.Error(got)
	}
	s, err := Decode(bytes.NewReader(encode(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	o := applyAll(t, s, 0, 0, Txn{Op: Op{Kind: DigestCheck, Zxid: s.Zxid(), Digest: 1}})[0]
	if o.Result.Code != jute.DataInconsistency {
		t.Error(o.Result.Code)
	}
}

func TestClusterOps(t *testing.T) {
	s := New()
	if s.Secret() != nil {
		t.Fatal("a secret from nowhere")
	}
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: InitCluster, Data: []byte("first")}})
	zxid := s.Zxid()
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: InitCluster, Data: []byte("second")}})
	if string(s.Secret()) != "first" || zxid != 1 || s.Zxid() != 1 {
		t.Fatal(string(s.Secret()), s.Zxid())
	}
	for _, c := range []struct{ text, want string }{
		{"server.1=a\n", "server.1=a\nversion=2"}, {"server.1=b", "server.1=b\nversion=3"}, {"", "version=4"},
		{"server.1=c\nversion=0", "server.1=c\nversion=0"}, {"version=1f", "version=1f"},
	} {
		o := applyAll(t, s, 0, 0, Txn{Op: Op{Kind: SetConfig, Data: []byte(c.text)}})[0]
		data, st, _ := s.Get(ConfigPath)
		if string(data) != c.want || st.Version != -1 || st.Mzxid != s.Zxid() || len(o.Changes) != 1 {
			t.Errorf("%q became %q %+v", c.text, data, st)
		}
	}
	zxid = s.Zxid()
	for range 2 {
		applyAll(t, s, 0, 0, Txn{Op: Op{Kind: SetFlags, Flags: SkipACL | RefuseTTL}})
	}
	if s.Flags() != SkipACL|RefuseTTL || s.Zxid() != zxid+1 {
		t.Fatal(s.Flags(), s.Zxid())
	}
	ttl := mk("/ttl", jute.PersistentTTL)
	ttl.TTLMs = 1
	outs := applyAll(t, s, 0, 0, born(1), Txn{Session: 1, Op: mk("/zookeeper/config/x", 0)}, Txn{Session: 1, Op: ttl})
	if outs[1].Result.Code != jute.OK || outs[2].Result.Code != jute.Unimplemented {
		t.Fatal(outs[1].Result, outs[2].Result)
	}
	if err := s.Allowed(ConfigPath, jute.PermWrite, nil); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
}

func TestReapable(t *testing.T) {
	s := New()
	ttl := mk("/ttl", jute.PersistentTTL)
	ttl.TTLMs = 50
	applyAll(t, s, 0, 1000, Txn{Op: mk("/used", jute.Container)}, Txn{Op: mk("/unused", jute.Container)}, Txn{Op: ttl},
		Txn{Op: mk("/used/x", 0)}, Txn{Op: mk("/plain", 0)})
	reap := func(nowMs, neverUsedMs int64) string {
		var paths []string
		for _, op := range s.Reapable(nowMs, neverUsedMs) {
			paths = append(paths, op.Path)
		}
		return fmt.Sprint(paths)
	}
	for _, c := range []struct {
		nowMs, neverUsedMs int64
		want               string
	}{{1000, 0, "[]"}, {1050, 0, "[]"}, {1051, 0, "[/ttl]"}, {1051, 50, "[/ttl /unused]"}, {9999, 0, "[/ttl]"}} {
		if got := reap(c.nowMs, c.neverUsedMs); got != c.want {
			t.Errorf("at %d with %d: %s, want %s", c.nowMs, c.neverUsedMs, got, c.want)
		}
	}
	applyAll(t, s, 0, 1040, Txn{Op: del("/used/x", -1)}, Txn{Op: set("/ttl", "again", -1)})
	if got := reap(1051, 0); got != "[/used]" {
		t.Error(got)
	}
	// the proposer saw that it was due, and then it was written to
	outs := applyAll(t, s, 0, 1060, Txn{Op: Op{Kind: DeleteContainer, Path: "/ttl"}}, Txn{Op: Op{Kind: DeleteContainer, Path: "/used"}},
		Txn{Op: Op{Kind: DeleteContainer, Path: "/unused", TTLMs: 59}})
	for i, want := range []jute.Code{jute.BadVersion, jute.OK, jute.OK} {
		if outs[i].Result.Code != want {
			t.Errorf("%s: %v", outs[i].Txn.Op.Path, outs[i].Result.Code)
		}
	}
	applyAll(t, s, 0, 1091, Txn{Op: Op{Kind: DeleteContainer, Path: "/ttl"}})
	if got := reap(1<<50, 1); got != "[]" {
		t.Error(got)
	}
	if st, _ := s.Stat("/ttl"); st.EphemeralOwner != 0 {
		t.Error("clients see the encoding")
	}
	verify(t, s)
}
