package tree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

// script makes random transactions in a small world, so that they meet each other.
type script struct {
	r        *rand.Rand
	gen, seq [4]uint32 // of sessions 1 to 3
	timeMs   int64
}

var scriptACLs = [][]jute.ACL{
	jute.OpenACL(), jute.OpenACL(), jute.OpenACL(), jute.OpenACL(), jute.OpenACL(), jute.OpenACL(),
	acl(jute.PermAll, "auth", ""), acl(jute.PermRead, "world", "anyone"),
	append(acl(jute.PermAll, "digest", "bob:hash"), acl(jute.PermRead|jute.PermCreate, "world", "anyone")...),
	append(jute.OpenACL(), jute.OpenACL()...), nil, acl(31, "nothing", ""),
}

func (g *script) path() string {
	names := []string{"a", "b", "c", "n-0000000000", "n-0000000001"}
	path := ""
	for range 1 + g.r.IntN(3) {
		path += "/" + names[g.r.IntN(len(names))]
	}
	switch g.r.IntN(60) {
	case 0:
		return path + "/"
	case 1:
		return path[1:]
	case 2:
		return path + "/.."
	case 3:
		return "/"
	case 4:
		return "/zookeeper/config"
	case 5:
		return "/zookeeper"
	}
	return path
}

func (g *script) data() []byte {
	if n := g.r.IntN(12); n > 0 {
		return make([]byte, n-1)
	}
	return nil
}

func (g *script) version() int32 {
	if g.r.IntN(2) == 0 {
		return -1
	}
	return int32(g.r.IntN(3))
}

func (g *script) op() Op {
	switch n := g.r.IntN(100); {
	case n < 35:
		op := Op{Kind: Create, Path: g.path(), Data: g.data(), ACL: scriptACLs[g.r.IntN(len(scriptACLs))], Mode: jute.CreateMode(g.r.IntN(7))}
		if g.r.IntN(2) == 0 {
			op.Mode = jute.Persistent
		}
		if op.Mode.IsTTL() {
			op.TTLMs = 1 + int64(g.r.IntN(200))
		}
		if op.Mode.IsSequential() {
			op.Path = op.Path[:len(op.Path)-1] + []string{"", "n-"}[g.r.IntN(2)]
		}
		return op
	case n < 60:
		return del(g.path(), g.version())
	case n < 80:
		return Op{Kind: SetData, Path: g.path(), Data: g.data(), Version: g.version()}
	case n < 88:
		return Op{Kind: SetACL, Path: g.path(), ACL: scriptACLs[g.r.IntN(len(scriptACLs))], Version: g.version()}
	case n < 94:
		return Op{Kind: Check, Path: g.path(), Version: g.version()}
	}
	return g.quotaOp()
}

func (g *script) quotaOp() Op {
	at := quotaPath + "/" + []string{"a", "b", "c"}[g.r.IntN(3)]
	leaf := []string{"", "/zookeeper_limits", "/zookeeper_stats"}[g.r.IntN(3)]
	if g.r.IntN(4) == 0 {
		return del(at+leaf, -1)
	}
	op := mk(at+leaf, 0)
	if leaf == "/zookeeper_limits" {
		op.Data = fmt.Appendf(nil, "count=-1,bytes=-1=;byteHardLimit=%d;countHardLimit=%d", 5+g.r.IntN(30), 1+g.r.IntN(6))
	}
	return op
}

// txn is of the ensemble, or of a session: guarded or not, sometimes sent again or too late.
func (g *script) txn() Txn {
	t := Txn{Origin: g.r.Uint64(), Req: g.r.Uint64()}
	t.Op = g.op()
	switch g.r.IntN(20) {
	case 0, 1, 2, 3, 4:
		n := g.r.IntN(6)
		t.Op = Op{Kind: Multi}
		for range n {
			t.Op.Ops = append(t.Op.Ops, g.op())
		}
	case 5:
		t.Op = Op{Kind: DeleteContainer, Path: g.path()}
		for special(t.Op.Path) {
			t.Op.Path = g.path()
		}
		return t
	}
	id := g.r.IntN(4)
	if id == 0 {
		for _, op := range append(t.Op.Ops, t.Op) {
			if op.Mode.IsEphemeral() {
				return g.txn() // the model knows sessions only
			}
		}
		return t
	}
	t.Session, t.Auth = int64(id), [][]jute.ID{nil, alice, bob, {Super}}[id]
	switch g.r.IntN(25) {
	case 0:
		t.Op = Op{Kind: CloseSession}
		return t
	case 1, 2:
		t.Op = Op{Kind: CreateSession, TimeoutMs: 1 + int32(g.r.IntN(9000))}
		g.gen[id], g.seq[id] = 0, 0
		return t
	case 3, 4:
		return t // not guarded
	}
	if g.gen[id] == 0 || g.r.IntN(10) == 0 {
		g.gen[id], g.seq[id] = g.gen[id]+1, 0
	}
	g.seq[id]++
	t.ConnGen, t.Seq = g.gen[id], g.seq[id]
	switch g.r.IntN(20) {
	case 0:
		t.Seq = uint32(g.r.IntN(int(t.Seq) + 3))
	case 1:
		t.ConnGen = uint32(g.r.IntN(int(t.ConnGen) + 1))
	}
	if t.Seq == 0 {
		t.Seq = 1
	}
	return t
}

// shown is an Outcome as the model shows it.
func shown(o Outcome) outcome {
	got := outcome{zxid: o.Result.Zxid, code: o.Result.Code, dup: o.Result.Duplicate, closed: o.Closed}
	switch {
	case o.Txn.Op.Kind == Multi:
		for _, r := range o.Result.Ops {
			got.ops = append(got.ops, fmt.Sprint(int(r.Code), r.Path, r.Stat))
		}
	case o.Txn.Op.Kind != CreateSession && o.Txn.Op.Kind != CloseSession:
		r := o.Result.Op
		got.ops = []string{fmt.Sprint(int(r.Code), r.Path, r.Stat)}
	}
	for _, c := range o.Changes {
		switch c.Kind {
		case NodeCreated:
			got.changes = append(got.changes, fmt.Sprintf("created %s %q %+v", c.Path, c.Data, c.Stat))
		case NodeDataChanged:
			got.changes = append(got.changes, fmt.Sprintf("set %s %q %+v", c.Path, c.Data, c.Stat))
		case NodeACLChanged:
			got.changes = append(got.changes, fmt.Sprintf("acl %s %+v", c.Path, c.Stat))
		case NodeDeleted:
			got.changes = append(got.changes, "deleted "+c.Path)
		}
	}
	return got
}

func compare(t *testing.T, s *State, m *model) {
	t.Helper()
	count := 0
	s.Walk(func(path string, data []byte, st jute.Stat, list []jute.ACL) bool {
		count++
		n, ok := m.nodes[path]
		names, _, _ := s.Children(path)
		slices.Sort(names)
		if !ok || string(data) != n.data || (data == nil) != n.null || st != m.stat(path) || !slices.Equal(list, n.acl) ||
			!slices.Equal(names, m.children(path)) || nodeAt(t, s, path).owner != n.owner {
			t.Fatalf("%s is\n%q %+v %v %v, want\n%q %+v %v %v", path, data, st, list, names, n.data, m.stat(path), n.acl, m.children(path))
		}
		return true
	})
	if count != len(m.nodes) || len(s.sessions) != len(m.sessions) || s.zxid != m.zxid {
		t.Fatalf("%d nodes %d sessions zxid %d, want %d %d %d", count, len(s.sessions), s.zxid, len(m.nodes), len(m.sessions), m.zxid)
	}
	for id, want := range m.sessions {
		got, _ := s.Session(id)
		if got.TimeoutMs != want.timeoutMs || got.ConnGen != want.gen || got.Seq != want.seq {
			t.Fatalf("session %d: %+v, want %+v", id, got, want)
		}
	}
}

// TestLikeModel runs random scripts through the state and the model. Now and then the state
// goes through a snapshot, and every multi that fails must leave what was there.
func TestLikeModel(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "TREE_ROUNDS", 12) {
		g := &script{r: testkit.NewRand(seed + uint64(round))}
		s, m := New(), newModel()
		if g.r.IntN(2) == 0 {
			m.enforce = true
			s.flags = EnforceQuota
		}
		for i := range 400 {
			g.timeMs += int64(g.r.IntN(40)) - 10
			term := uint64(i / 150)
			txn := g.txn()
			before := dump(s)
			o := applyAll(t, s, term, g.timeMs, txn)[0]
			want := m.apply(int64(term), g.timeMs, txn)
			got := shown(o)
			if got.dup || got.code == jute.SessionMoved || got.code == jute.SessionExpired {
				got.ops = nil
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Fatalf("round %d, step %d: %+v\n got %+v\nwant %+v", round, i, txn, got, want)
			}
			if got.code != jute.OK && dump(s) != before {
				t.Fatalf("round %d, step %d: %+v was refused and left\n%s, before it was\n%s", round, i, txn, dump(s), before)
			}
			if g.r.IntN(20) == 0 {
				compare(t, s, m)
				verify(t, s)
			}
			if g.r.IntN(100) == 0 {
				s = reborn(t, s)
			}
		}
	}
}

func reborn(t testing.TB, s *State) *State {
	t.Helper()
	b := encode(t, s)
	again, err := Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, encode(t, again)) || dump(s) != dump(again) || again.Bytes() != s.Bytes() || again.NodeCount() != s.NodeCount() {
		t.Fatal("a state and its snapshot differ")
	}
	verify(t, again)
	return again
}

// TestUndo: a multi of the ensemble that fails leaves not a bit of the state changed.
func TestUndo(t *testing.T) {
	seed := testkit.Seed(t)
	failed := 0
	for round := range testkit.Rounds(t, "TREE_ROUNDS", 12) {
		g := &script{r: testkit.NewRand(seed + uint64(round))}
		s := New()
		for range 300 {
			txn := g.txn()
			txn.Session, txn.Seq = 0, 0
			if txn.Op.Kind == CreateSession || txn.Op.Kind == CloseSession {
				continue
			}
			before := encode(t, s)
			if o := applyAll(t, s, 1, 0, txn)[0]; o.Result.Code != jute.OK {
				if !bytes.Equal(before, encode(t, s)) {
					t.Fatalf("round %d: %+v failed and changed the state", round, txn)
				}
				if len(txn.Op.Ops) > 1 {
					failed++
				}
				verify(t, s)
			}
		}
	}
	if failed < 20 {
		t.Errorf("only %d multis failed: the scripts are too tame", failed)
	}
}

// TestDeterminism: states that are fed the same bytes write the same snapshot, and so does
// one that begins with a snapshot of another and gets the rest.
func TestDeterminism(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "TREE_ROUNDS", 12) {
		g := &script{r: testkit.NewRand(seed + uint64(round))}
		one, two, late := New(), New(), New()
		cut := g.r.IntN(60)
		for i := range 60 {
			if i == cut {
				late = reborn(t, one)
			}
			e := &Entry{TimeMs: int64(i)}
			for range 1 + g.r.IntN(12) {
				e.Txns = append(e.Txns, g.txn())
			}
			b := AppendEntry(nil, e)
			for _, s := range []*State{one, two, late} {
				if s == late && i < cut {
					continue
				}
				again, err := DecodeEntry(b)
				if err != nil {
					t.Fatal(err)
				}
				s.Apply(uint64(i/20), again, nil)
			}
		}
		want := encode(t, one)
		if !bytes.Equal(want, encode(t, two)) || !bytes.Equal(want, encode(t, late)) || one.Digest() != two.Digest() {
			t.Fatalf("round %d: states differ", round)
		}
	}
}

// TestManyChildren goes through all sizes of a children's table, and back.
func TestManyChildren(t *testing.T) {
	r := testkit.Rand(t)
	s := New()
	applyAll(t, s, 0, 0, Txn{Op: mk("/p", 0)})
	var order []string // what Children promises
	for len(order) < 3000 {
		switch n := r.IntN(10); {
		case n < 7 || len(order) == 0:
			o := applyAll(t, s, 0, 0, Txn{Op: mk("/p/", jute.PersistentSequential)})[0]
			order = append(order, o.Result.Op.Path[len("/p/"):])
		case n < 9:
			at := r.IntN(len(order))
			applyAll(t, s, 0, 0, Txn{Op: del("/p/"+order[at], -1)})
			order[at] = order[len(order)-1]
			order = order[:len(order)-1]
		default:
			var ops []Op
			for range 1 + r.IntN(12) {
				if r.IntN(2) == 0 {
					ops = append(ops, mk("/p/x", jute.PersistentSequential))
				} else {
					ops = append(ops, del("/p/"+order[r.IntN(len(order))], -1))
				}
			}
			applyAll(t, s, 0, 0, Txn{Op: Op{Kind: Multi, Ops: append(ops, del("/none", 0))}})
		}
		if len(order)%100 == 0 {
			names, _, _ := s.Children("/p")
			if !slices.Equal(names, order) {
				t.Fatal("another order")
			}
			verify(t, s)
		}
	}
	for len(order) > 0 {
		at := r.IntN(len(order))
		applyAll(t, s, 0, 0, Txn{Op: del("/p/"+order[at], -1)})
		order[at] = order[len(order)-1]
		order = order[:len(order)-1]
		if len(order)%250 == 0 {
			verify(t, s)
		}
	}
	if n := nodeAt(t, s, "/p"); n.dir != 0 || len(s.dirs.list) != 0 {
		t.Error("a directory stays behind")
	}
}
