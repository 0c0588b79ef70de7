package metadata

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"/", "/a", "/a/b.c", "/a/..b", "/é"} {
		if err := checkPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "a/b", "/a/", "//", "/a//b", "/a/./b", "/a/..", "/a\x00", "/a\x1f", "/\u0080", "/\ufff0", "/" + strings.Repeat("a", maxPathBytes)} {
		if err := checkPath(bad); !errors.Is(err, ErrBadArguments) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// run applies one transaction to a tree.
func run(t *tree, session int64, ops ...Op) ([]OpResult, []Event, error) {
	d := newDraft(t, t.zxid+1, 1000+t.zxid+1)
	results, events, err := d.apply(session, ops)
	if err == nil {
		t.commit(d)
	}
	return results, events, err
}

func TestTreeSemantics(t *testing.T) {
	tr := newTree()
	must := func(ops ...Op) []OpResult {
		t.Helper()
		r, _, err := run(tr, 7, ops...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	refused := func(want error, index int, ops ...Op) {
		t.Helper()
		before := string(encodeTree(nil, tr, newDraft(tr, tr.zxid, 0)))
		_, _, err := run(tr, 7, ops...)
		var m *MultiError
		if !errors.As(err, &m) || !errors.Is(err, want) || m.Index != index {
			t.Fatalf("got %v, want %v at %d", err, want, index)
		}
		if after := string(encodeTree(nil, tr, newDraft(tr, tr.zxid, 0))); after != before {
			t.Fatal("a refused multi left a trace")
		}
	}
	must(Create("/a", []byte("x")))
	must(Create("/a/b", nil), Set("/a", []byte("y"), 0), Check("/a", 1))
	refused(ErrBadVersion, 1, Create("/z", nil), Set("/a", nil, 0))
	refused(ErrNodeExists, 2, Set("/a", []byte("q"), AnyVersion), Delete("/a/b", AnyVersion), Create("/a", nil))
	refused(ErrNotEmpty, 0, Delete("/a", AnyVersion))
	refused(ErrNoNode, 0, Check("/nope", AnyVersion))
	refused(ErrNoNode, 0, Create("/no/parent", nil))
	refused(ErrBadArguments, 0, Delete("/", AnyVersion))
	refused(ErrNodeExists, 0, Create("/", nil))
	refused(ErrBadArguments, 0, Create("/a/", nil))
	must(CreateEphemeral("/e", nil))
	refused(ErrNoChildrenForEphemerals, 0, Create("/e/c", nil))
	if got := tr.get("/e").stat().EphemeralOwner; got != 7 {
		t.Errorf("owner %d", got)
	}
	if r := must(Set("/a", nil, 1), Set("/a", []byte("1"), 2)); r[0].Stat.Version != 2 || r[1].Stat.Version != 3 {
		t.Errorf("versions %+v", r)
	}

	// Sequential names count the creations, not the children.
	must(Create("/q", nil))
	names := []string{
		must(CreateSequential("/q/n-", nil))[0].Path,
		must(Create("/q/other", nil), CreateSequential("/q/n-", nil))[1].Path,
	}
	must(Delete("/q/other", AnyVersion))
	names = append(names, must(CreateSequential("/q/", nil))[0].Path)
	if want := []string{"/q/n-0000000000", "/q/n-0000000002", "/q/0000000003"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	s := tr.get("/q").stat()
	if s.Cversion != 5 || s.NumChildren != 3 || s.Pzxid != tr.zxid || s.Version != 0 {
		t.Errorf("four creations and a removal: %+v", s)
	}
}

func TestVersionNeverBecomesAny(t *testing.T) {
	for v, want := range map[int32]int32{0: 1, math.MaxInt32: math.MinInt32, -2: 0, math.MinInt32: math.MinInt32 + 1} {
		if got := nextVersion(v); got != want {
			t.Errorf("after %d: %d, want %d", v, got, want)
		}
	}
}

// modelNode and model are the naive tree that the real one is compared with: plain maps,
// copied as a whole for each transaction.
type modelNode struct {
	data                     string
	version, creates, delets int
	czxid, mzxid, pzxid      int64
}

type model map[string]modelNode

func (m model) apply(zxid int64, ops []Op) (model, bool) {
	next := model{}
	for k, v := range m {
		next[k] = v
	}
	children := func(path string) (n int) {
		for k := range next {
			if parent, _ := split(k); k != "/" && parent == path {
				n++
			}
		}
		return n
	}
	for _, op := range ops {
		n, ok := next[op.Path]
		parentPath, _ := split(op.Path)
		parent, parentOK := next[parentPath]
		switch {
		case op.Kind == OpCreate && !op.Sequential && (ok || !parentOK), op.Kind == OpCreate && !parentOK:
			return m, false
		case op.Kind == OpCreate:
			path := op.Path
			if op.Sequential {
				path = fmt.Sprintf("%s%010d", path, parent.creates)
			}
			next[path] = modelNode{data: string(op.Data), czxid: zxid, mzxid: zxid, pzxid: zxid}
			parent.creates++
			parent.pzxid = zxid
			next[parentPath] = parent
			continue
		case !ok || op.Version != AnyVersion && int(op.Version) != n.version:
			return m, false
		}
		switch op.Kind {
		case OpSet:
			n.data, n.version, n.mzxid = string(op.Data), n.version+1, zxid
			next[op.Path] = n
		case OpDelete:
			if children(op.Path) > 0 {
				return m, false
			}
			delete(next, op.Path)
			parent.delets++
			parent.pzxid = zxid
			next[parentPath] = parent
		}
	}
	return next, true
}

func randomOp(rng *rand.Rand) Op {
	path := ""
	for range 1 + rng.IntN(3) {
		path += "/" + string(rune('a'+rng.IntN(3)))
	}
	version := int32(rng.IntN(4)) - 1
	data := []byte{byte(rng.IntN(256))}
	switch rng.IntN(6) {
	case 0, 1:
		return Create(path, data)
	case 2:
		return CreateSequential(path, data)
	case 3:
		return Set(path, data, version)
	case 4:
		return Delete(path, version)
	}
	return Check(path, version)
}

func TestTreeAgainstModel(t *testing.T) {
	rng := testkit.Rand(t)
	tr, m := newTree(), model{"/": {}}
	accepted := 0
	for step := range 3000 {
		ops := make([]Op, 1+rng.IntN(3))
		for i := range ops {
			ops[i] = randomOp(rng)
		}
		_, _, err := run(tr, 1, ops...)
		next, ok := m.apply(tr.zxid+map[bool]int64{true: 1, false: 0}[err != nil], ops)
		if ok != (err == nil) {
			t.Fatalf("step %d, %v: the tree says %v, the model %v", step, ops, err, ok)
		}
		m = next
		if ok {
			accepted++
		}
		if len(m) > 60 { // sequential nodes pile up
			for path := range m {
				if _, _, err := run(tr, 1, Delete(path, AnyVersion)); err == nil {
					m, _ = m.apply(tr.zxid, []Op{Delete(path, AnyVersion)})
				}
			}
		}
		compare(t, step, tr, m)
	}
	if accepted < 300 {
		t.Errorf("only %d of 3000 transactions were accepted: the test sees too little", accepted)
	}
}

func compare(t *testing.T, step int, tr *tree, m model) {
	t.Helper()
	if len(tr.nodes) != len(m) {
		t.Fatalf("step %d: %d nodes, the model has %d", step, len(tr.nodes), len(m))
	}
	for path, want := range m {
		n := tr.get(path)
		if n == nil {
			t.Fatalf("step %d: %s is missing", step, path)
		}
		s := n.stat()
		got := modelNode{string(n.data), int(s.Version), int(n.creates), int(s.Cversion) - int(n.creates), s.Czxid, s.Mzxid, s.Pzxid}
		if got != want {
			t.Fatalf("step %d: %s is %+v, the model has %+v", step, path, got, want)
		}
	}
}
