package tree

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	alice = []jute.ID{{Scheme: "ip", ID: "10.1.2.3"}, {Scheme: "digest", ID: "alice:hash"}}
	bob   = []jute.ID{{Scheme: "ip", ID: "192.168.0.9"}, {Scheme: "digest", ID: "bob:hash"}}
)

func acl(perms int32, scheme, id string) []jute.ACL {
	return []jute.ACL{{Perms: perms, ID: jute.ID{Scheme: scheme, ID: id}}}
}

func mk(path string, mode jute.CreateMode) Op {
	return Op{Kind: Create, Path: path, Data: []byte("d"), ACL: jute.OpenACL(), Mode: mode}
}

func del(path string, version int32) Op { return Op{Kind: Delete, Path: path, Version: version} }

func set(path, data string, version int32) Op {
	return Op{Kind: SetData, Path: path, Data: []byte(data), Version: version}
}

// fixture is a state with sessions 1 (alice) and 2 (bob) and a few nodes.
func fixture(t testing.TB) *State {
	t.Helper()
	s := New()
	ops := []Op{
		mk("/a", jute.Persistent), mk("/a/kid", jute.Persistent), mk("/eph", jute.Ephemeral), mk("/box", jute.Container),
		set("/a", "two", -1),
		{Kind: Create, Path: "/alices", ACL: acl(jute.PermAll, "auth", ""), Data: []byte("d")},
		{Kind: Create, Path: "/net", ACL: acl(jute.PermAll, "ip", "10.0.0.0/8"), Data: []byte("d")},
		{Kind: Create, Path: "/readable", ACL: acl(jute.PermRead, "world", "anyone"), Data: []byte("d")},
	}
	txns := []Txn{born(1), born(2)}
	for _, op := range ops {
		txns = append(txns, Txn{Session: 1, Auth: alice, Op: op})
	}
	for _, o := range applyAll(t, s, 0, 1000, txns...) {
		if o.Result.Code != jute.OK {
			t.Fatalf("%+v: %v", o.Txn.Op, o.Result.Code)
		}
	}
	return s
}

func born(id int64) Txn {
	return Txn{Session: id, Op: Op{Kind: CreateSession, TimeoutMs: 10_000}}
}

// TestWhatIsRefused has one line for each rule, in the words of the request and the code.
func TestWhatIsRefused(t *testing.T) {
	data := func(op Op, n int) Op { op.Data = make([]byte, n); return op }
	ttl := func(path string, ms int64) Op { op := mk(path, jute.PersistentTTL); op.TTLMs = ms; return op }
	withACL := func(path string, list []jute.ACL) Op {
		return Op{Kind: Create, Path: path, ACL: list}
	}
	setACL := func(path string, list []jute.ACL, version int32) Op {
		return Op{Kind: SetACL, Path: path, ACL: list, Version: version}
	}
	check := func(path string, version int32) Op { return Op{Kind: Check, Path: path, Version: version} }
	super := []jute.ID{{Scheme: "ip", ID: "1.2.3.4"}, Super}
	for _, c := range []struct {
		op   Op
		auth []jute.ID
		want jute.Code
	}{
		{mk("/b", 0), alice, jute.OK},
		{mk("/a", 0), alice, jute.NodeExists},
		{mk("/", 0), alice, jute.NodeExists},
		{mk("/", jute.PersistentSequential), alice, jute.OK},
		{mk("", 0), alice, jute.BadArguments},
		{mk("b", 0), alice, jute.BadArguments},
		{mk("a/b", 0), alice, jute.NoNode}, // ZooKeeper looks for the parent first
		{mk("/b\x00", 0), alice, jute.BadArguments},
		{mk("/b/", 0), alice, jute.NoNode},
		{mk("/a/", 0), alice, jute.BadArguments},
		{mk("/a/", jute.PersistentSequential), alice, jute.OK},
		{mk("//b", 0), alice, jute.BadArguments},
		{mk("/a/.", 0), alice, jute.BadArguments},
		{mk("/a/..", 0), alice, jute.BadArguments},
		{mk("/a/...", 0), alice, jute.OK},
		{mk("/a/.x", 0), alice, jute.OK},
		{mk("/a/\x1f", 0), alice, jute.BadArguments},
		{mk("/a/\x7f", 0), alice, jute.BadArguments},
		{mk("/a/\u009f", 0), alice, jute.BadArguments},
		{mk("/a/\u00a0", 0), alice, jute.OK},
		{mk("/a/\uf8ff", 0), alice, jute.BadArguments},
		{mk("/a/\uf900", 0), alice, jute.OK},
		{mk("/a/\ufff0", 0), alice, jute.BadArguments},
		{mk("/a/\U0001f600", 0), alice, jute.BadArguments}, // surrogates in Java
		{mk("/a/\xff", 0), alice, jute.BadArguments},
		{mk("/none/b", 0), alice, jute.NoNode},
		{mk("/eph/b", 0), alice, jute.NoChildrenForEphemerals},
		{mk("/box/b", 0), alice, jute.OK},
		{mk("/b", 7), alice, jute.BadArguments},
		{mk("/b", -1), alice, jute.BadArguments},
		{ttl("/b", 1), alice, jute.OK},
		{ttl("/b", 0), alice, jute.BadArguments},
		{ttl("/b", -1), alice, jute.BadArguments},
		{ttl("/b", 1<<40-1), alice, jute.OK},
		{ttl("/b", 1<<40), alice, jute.BadArguments},
		{func() Op { op := mk("/b", 0); op.TTLMs = 5; return op }(), alice, jute.BadArguments},
		{data(mk("/b", 0), 0), alice, jute.OK},
		{mk("/zookeeper/b", 0), alice, jute.OK},
		{mk("/zookeeper/config/b", 0), alice, jute.NoAuth},
		{mk("/alices/b", 0), bob, jute.NoAuth},
		{mk("/alices/b", 0), alice, jute.OK},
		{mk("/alices/b", 0), super, jute.OK},
		{mk("/net/b", 0), alice, jute.OK},
		{mk("/net/b", 0), bob, jute.NoAuth},
		{mk("/readable/b", 0), alice, jute.NoAuth},
		{withACL("/b", nil), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "world", "everyone")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "nothing", "x")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "", "")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "super", "")), super, jute.InvalidACL},
		{withACL("/b", acl(31, "sasl", "x")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "digest", "x:y")), alice, jute.OK},
		{withACL("/b", acl(31, "digest", "x")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "digest", "x:")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "digest", ":y")), alice, jute.OK},
		{withACL("/b", acl(31, "digest", "x:y:z")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "ip", "10.0.0.0/8")), alice, jute.OK},
		{withACL("/b", acl(31, "ip", "10.0.0.0/33")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "ip", "10.0.0.0/")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "ip", "10.0.0")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "ip", "10.0.0.256")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "ip", "fe80::/10")), alice, jute.OK},
		{withACL("/b", acl(31, "x509", "CN=a,O=b")), alice, jute.OK},
		{withACL("/b", acl(31, "x509", "a")), alice, jute.InvalidACL},
		{withACL("/b", acl(31, "auth", "whatever")), alice, jute.OK},
		{withACL("/b", acl(31, "auth", "")), alice[:1], jute.InvalidACL}, // an address is no authentication
		{withACL("/none/b", nil), alice, jute.InvalidACL},                // before NoNode
		{withACL("/b", append(jute.OpenACL(), acl(1, "nothing", "")...)), alice, jute.InvalidACL},

		{del("/a/kid", -1), alice, jute.OK},
		{del("/a/kid", 0), alice, jute.OK},
		{del("/a/kid", 1), alice, jute.BadVersion},
		{del("/a", -1), alice, jute.NotEmpty},
		{del("/a", 7), alice, jute.BadVersion}, // before NotEmpty
		{del("/none", -1), alice, jute.NoNode},
		{del("/none/b", -1), alice, jute.NoNode},
		{del("/a/", -1), alice, jute.NoNode},
		{del("", -1), alice, jute.BadArguments},
		{del("a", -1), alice, jute.BadArguments},
		{del("/", -1), alice, jute.BadArguments},
		{del("/zookeeper", -1), alice, jute.BadArguments},
		{del("/zookeeper/quota", -1), super, jute.BadArguments},
		{del("/zookeeper/config", -1), super, jute.BadArguments},
		{del("/a\x00", -1), alice, jute.BadArguments},
		{del("/alices/none", -1), bob, jute.NoAuth}, // before NoNode

		{set("/a", "x", -1), alice, jute.OK},
		{set("/a", "x", 1), alice, jute.OK},
		{set("/a", "x", 0), alice, jute.BadVersion},
		{set("/", "x", -1), alice, jute.OK},
		{set("", "x", -1), alice, jute.BadArguments},
		{set("a", "x", -1), alice, jute.BadArguments},
		{set("/a/", "x", -1), alice, jute.BadArguments},
		{set("/none", "x", -1), alice, jute.NoNode},
		{set("/alices", "x", 9), bob, jute.NoAuth}, // before BadVersion
		{set("/readable", "x", -1), alice, jute.NoAuth},
		{set("/readable", "x", -1), super, jute.OK},
		{set("/zookeeper/config", "x", -1), alice, jute.NoAuth},

		{setACL("/a", jute.OpenACL(), -1), alice, jute.OK},
		{setACL("/a", jute.OpenACL(), 0), alice, jute.OK},
		{setACL("/a", jute.OpenACL(), 1), alice, jute.BadVersion},
		{setACL("/none", jute.OpenACL(), -1), alice, jute.NoNode},
		{setACL("/none", nil, -1), alice, jute.InvalidACL},
		{setACL("/a/", jute.OpenACL(), -1), alice, jute.BadArguments},
		{setACL("/alices", jute.OpenACL(), -1), bob, jute.NoAuth},
		{setACL("/readable", jute.OpenACL(), -1), alice, jute.NoAuth},

		{check("/a", 1), alice, jute.OK},
		{check("/a", -1), alice, jute.OK},
		{check("/a", 0), alice, jute.BadVersion},
		{check("/none", 0), alice, jute.NoNode},
		{check("none", 0), alice, jute.BadArguments},
		{check("/alices", 5), bob, jute.NoAuth},
		{check("/readable", 0), bob, jute.OK},

		{Op{Kind: Noop}, alice, jute.OK},
		{Op{Kind: Multi}, alice, jute.OK},
		{Op{Kind: CreateSession, TimeoutMs: 0}, nil, jute.BadArguments},
		{Op{Kind: DeleteContainer, Path: "/box"}, nil, jute.BadVersion}, // never had a child
		{Op{Kind: DeleteContainer, Path: "/a"}, nil, jute.NotEmpty},
		{Op{Kind: DeleteContainer, Path: "/a/kid"}, nil, jute.BadVersion},
		{Op{Kind: DeleteContainer, Path: "/none"}, nil, jute.NoNode},
		{Op{Kind: DeleteContainer, Path: "/zookeeper"}, nil, jute.BadArguments},
	} {
		s := fixture(t)
		before, zxid := encode(t, s), s.Zxid()
		o := applyAll(t, s, 0, 1000, Txn{Session: 1, Auth: c.auth, Op: c.op})[0]
		if o.Result.Code != c.want || o.Result.Op.Code != c.want {
			t.Errorf("%+v as %v: %v, want %v", c.op, c.auth, o.Result.Code, c.want)
		}
		if c.want != jute.OK && (string(encode(t, s)) != string(before) || s.Zxid() != zxid || len(o.Changes) > 0) {
			t.Errorf("%+v was refused, and the state changed", c.op)
		}
		verify(t, s)
	}
}

// TestEnsembleIsNotBound: Session 0 passes every ACL, and owns nothing.
func TestEnsembleIsNotBound(t *testing.T) {
	s := fixture(t)
	outs := applyAll(t, s, 0, 1000, Txn{Op: set("/readable", "x", -1)}, Txn{Op: mk("/e2", jute.Ephemeral)})
	if outs[0].Result.Code != jute.OK || outs[1].Result.Code != jute.BadArguments {
		t.Fatal(outs[0].Result, outs[1].Result)
	}
}

func TestStatCountsAsZooKeeper(t *testing.T) {
	s := New()
	apply := func(timeMs int64, op Op) jute.Stat {
		o := applyAll(t, s, 3, timeMs, Txn{Op: op})[0]
		if o.Result.Code != jute.OK {
			t.Fatal(op, o.Result.Code)
		}
		return o.Result.Op.Stat
	}
	const epoch = 3 << 32
	got := apply(100, mk("/a", 0))
	want := jute.Stat{Czxid: epoch, Mzxid: epoch, Pzxid: epoch, CtimeMs: 100, MtimeMs: 100, DataLength: 1}
	if got != want {
		t.Fatalf("created: %+v, want %+v", got, want)
	}
	apply(90, mk("/a/x", 0))
	apply(110, mk("/a/y", 0))
	apply(120, del("/a/x", 0))
	got = apply(130, set("/a", "new", 0))
	// two creations, one child left: 2*2-1; the deletion was the last change of the children
	want = jute.Stat{Czxid: epoch, Mzxid: epoch + 4, Pzxid: epoch + 3, CtimeMs: 100, MtimeMs: 130, Version: 1, Cversion: 3, DataLength: 3, NumChildren: 1}
	if got != want {
		t.Fatalf("set: %+v, want %+v", got, want)
	}
	got = apply(140, Op{Kind: SetACL, Path: "/a", ACL: jute.OpenACL()})
	want.Aversion = 1
	if got != want {
		t.Fatalf("setACL: %+v, want %+v", got, want)
	}
	kid, err := s.Stat("/a/y")
	if err != nil || kid.CtimeMs != 110 {
		t.Fatal(kid, err)
	}
}

// TestTimesAreTheProposers: a leader's clock may run hours ahead, or be set back. What is written
// then has that time, as in ZooKeeper, and what comes later has its own; zxids and versions go on.
func TestTimesAreTheProposers(t *testing.T) {
	s := New()
	const hour = 3_600_000
	applyAll(t, s, 3, 100*hour, Txn{Op: mk("/a", 0)}, Txn{Op: Op{Kind: Create, Path: "/ttl", ACL: jute.OpenACL(), Mode: jute.PersistentTTL, TTLMs: hour}})
	last := s.Zxid()
	for i, timeMs := range []int64{110 * hour, 101 * hour, -5, 0, 102 * hour} {
		st := applyAll(t, s, 3, timeMs, Txn{Op: set("/a", "x", int32(i))})[0].Result.Op.Stat
		if st.MtimeMs != timeMs || st.CtimeMs != 100*hour || st.Version != int32(i+1) || st.Mzxid != last+1 || s.TimeMs() != timeMs {
			t.Fatalf("written at %d: %+v, state at %d", timeMs, st, s.TimeMs())
		}
		last = st.Mzxid
	}
	reap := func(timeMs int64) jute.Code {
		due := s.Reapable(timeMs, 0)
		if len(due) == 0 {
			return jute.NodeExists
		}
		return applyAll(t, s, 3, timeMs, Txn{Op: due[0]})[0].Result.Code
	}
	if code := reap(90 * hour); code != jute.NodeExists {
		t.Fatalf("a TTL node went while the clock was behind its making: %v", code)
	}
	if code := reap(101*hour + 1); code != jute.OK {
		t.Fatalf("a TTL node did not go when the clock was right again: %v", code)
	}
	again, err := Decode(bytes.NewReader(encode(t, s)))
	if err != nil || dump(again) != dump(s) || again.TimeMs() != s.TimeMs() {
		t.Fatalf("another state after a snapshot: %v", err)
	}
}

func TestVersionSkipsMinusOne(t *testing.T) {
	s := fixture(t)
	alter(t, s, "/a", func(n *node) { n.version = -2 })
	if o := applyAll(t, s, 0, 0, Txn{Op: set("/a", "x", -2)})[0]; o.Result.Op.Stat.Version != 0 {
		t.Fatalf("version %d after -2", o.Result.Op.Stat.Version)
	}
}

func TestSequentialNames(t *testing.T) {
	s := New()
	name := func(parent string) string {
		o := applyAll(t, s, 0, 0, Txn{Op: mk(parent+"/n-", jute.PersistentSequential)})[0]
		return strings.TrimPrefix(o.Result.Op.Path, parent)
	}
	applyAll(t, s, 0, 0, Txn{Op: mk("/p", 0)}, Txn{Op: mk("/p/plain", 0)}, Txn{Op: del("/p/plain", 0)})
	// the counter is of all creations, not only of sequential ones
	for _, want := range []string{"/n-0000000001", "/n-0000000002"} {
		if got := name("/p"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		creates int32
		want    string
	}{
		{999_999_999, "/n-0999999999"}, {1_000_000_000, "/n-1000000000"}, {math.MaxInt32, "/n-2147483647"},
		{math.MinInt32, "/n--2147483648"}, {-1, "/n--000000001"}, {0, "/n-0000000000"},
	} {
		alter(t, s, "/p", func(n *node) { n.creates = c.creates })
		if got := name("/p"); got != c.want || got != fmt.Sprintf("/n-%010d", c.creates) {
			t.Errorf("after %d creations %q, want %q", c.creates, got, c.want)
		}
	}
	alter(t, s, "/p", func(n *node) { n.creates = math.MaxInt32 })
	applyAll(t, s, 0, 0, Txn{Op: mk("/p/one-more", 0)})
	if got := nodeAt(t, s, "/p").creates; got != math.MinInt32 {
		t.Errorf("the counter went to %d", got)
	}
}

func TestAuthInACLIsWhoAsks(t *testing.T) {
	s := fixture(t)
	both := append(append([]jute.ID{Super}, alice...), jute.ID{Scheme: "x509", ID: "CN=a"})
	list := append(acl(jute.PermRead, "world", "anyone"), acl(jute.PermWrite, "auth", "ignored")...)
	list = append(list, list[0]) // a repetition
	applyAll(t, s, 0, 0, Txn{Session: 1, Auth: both, Op: Op{Kind: Create, Path: "/b", ACL: list}})
	got, _, err := s.ACL("/b")
	want := append(acl(1, "world", "anyone"), append(acl(2, "digest", "alice:hash"), acl(2, "x509", "CN=a")...)...)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v %v, want %v", got, err, want)
	}
	applyAll(t, s, 0, 0, Txn{Op: mk("/b/c", 0)})
	gone := applyAll(t, s, 0, 0, Txn{Op: Op{Kind: Multi, Ops: []Op{del("/b/c", -1), del("/b", -1)}}})[0]
	if fmt.Sprint(gone.Changes[0].ParentACL) != fmt.Sprint(want) || fmt.Sprint(gone.Changes[1].ParentACL) != fmt.Sprint(jute.OpenACL()) {
		t.Errorf("%+v", gone.Changes)
	}
	made := applyAll(t, s, 0, 0, Txn{Session: 1, Auth: both, Op: Op{Kind: Create, Path: "/b", ACL: list}})[0]
	if fmt.Sprint(made.Changes[0].ParentACL) != fmt.Sprint(jute.OpenACL()) {
		t.Errorf("%+v", made.Changes)
	}
	for _, op := range []Op{set("/b", "x", -1), del("/b", -1)} { // also of what is gone
		o := applyAll(t, s, 0, 0, Txn{Op: op})[0]
		if len(o.Changes) != 1 || fmt.Sprint(o.Changes[0].ACL) != fmt.Sprint(want) || Allows(o.Changes[0].ACL, jute.PermWrite, bob) {
			t.Errorf("%+v", o.Changes)
		}
	}
	if masked := MaskDigests(got); masked[1].ID.ID != "alice:x" || got[1].ID.ID != "alice:hash" {
		t.Fatal(masked, got)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		addr, acl string
		want      bool
	}{
		{"10.1.2.3", "10.1.2.3", true}, {"10.1.2.3", "10.1.2.4", false}, {"10.1.2.3", "10.1.2.4/31", false},
		{"10.1.2.5", "10.1.2.4/31", true}, {"1.2.3.4", "0.0.0.0/0", true}, {"10.1.2.3", "010.001.002.003", true},
		{"10.1.2.3", "10.1.2.3/32", true}, {"10.1.2.3", "10.1.2.3/-1", false}, {"::1", "::1", true}, {"::1", "::/0", true},
		{"fe80::1%eth0", "fe80::/10", true}, {"::ffff:10.1.2.3", "10.0.0.0/8", true}, {"nonsense", "0.0.0.0/0", false},
	} {
		if got := matches(jute.ID{Scheme: "ip", ID: c.addr}, jute.ID{Scheme: "ip", ID: c.acl}); got != c.want {
			t.Errorf("%s in %s: %v", c.addr, c.acl, got)
		}
	}
}

func TestReads(t *testing.T) {
	s := fixture(t)
	for _, read := range []func(string) error{
		func(p string) error { _, _, err := s.Get(p); return err },
		func(p string) error { _, err := s.Stat(p); return err },
		func(p string) error { _, _, err := s.Children(p); return err },
		func(p string) error { _, _, err := s.ACL(p); return err },
		func(p string) error { _, err := s.CountDescendants(p); return err },
		func(p string) error { return s.Allowed(p, jute.PermRead, nil) },
	} {
		for _, path := range []string{"/none", "a", "/a/", "//a", "/a/kid/none"} {
			if err := read(path); err != jute.NoNode {
				t.Errorf("%q: %v", path, err)
			}
		}
		for _, path := range []string{"/", "", "/a", "/a/kid"} {
			if err := read(path); err != nil {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
	if err := s.Allowed("/alices", jute.PermRead, bob); err != jute.NoAuth {
		t.Error(err)
	}
	names, st, _ := s.Children("/")
	if fmt.Sprint(names) != "[zookeeper a eph box alices net readable]" || int(st.NumChildren) != len(names) {
		t.Error(names, st)
	}
	if n, _ := s.CountDescendants("/zookeeper"); n != 2 {
		t.Error(n)
	}
	if n, _ := s.CountDescendants("/"); n != s.NodeCount()-2 {
		t.Error(n, s.NodeCount())
	}
	if s.EphemeralCount() != 1 || fmt.Sprint(s.Ephemerals(1)) != "[/eph]" || s.Ephemerals(9) != nil || s.SessionCount() != 2 {
		t.Error(s.EphemeralCount(), s.Ephemerals(1))
	}
}

// TestNullData: null and empty are two things, in the tree, an entry and a snapshot.
func TestNullData(t *testing.T) {
	s := New()
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: Create, Path: "/null", ACL: jute.OpenACL()}},
		Txn{Op: Op{Kind: Create, Path: "/empty", ACL: jute.OpenACL(), Data: []byte{}}})
	s, err := Decode(strings.NewReader(string(encode(t, s))))
	if err != nil {
		t.Fatal(err)
	}
	if data, _, _ := s.Get("/null"); data != nil {
		t.Error("null became empty")
	}
	if data, _, _ := s.Get("/empty"); data == nil {
		t.Error("empty became null")
	}
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: SetData, Path: "/empty", Version: -1}}, Txn{Op: Op{Kind: SetData, Path: "/null", Version: -1, Data: []byte{}}})
	if data, _, _ := s.Get("/empty"); data != nil {
		t.Error("set to null, is empty")
	}
	if data, _, _ := s.Get("/null"); data == nil {
		t.Error("set to empty, is null")
	}
}
