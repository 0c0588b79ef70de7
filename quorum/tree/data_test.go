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

// TestSizes runs sets, creates and deletes with data and names of all sizes, alone and in multis
// that may fail, beside a map. Records move, blobs come and go, pages are given back.
func TestSizes(t *testing.T) {
	r := testkit.Rand(t)
	s, want := New(), map[string][]byte{}
	var paths []string
	for step := range testkit.Rounds(t, "TREE_SIZES", 4000) {
		var ops []Op
		next := map[string][]byte{}
		for range 1 + r.IntN(4) {
			op := sizedOp(r, paths, step)
			if _, ok := next[op.Path]; ok {
				continue
			}
			next[op.Path] = op.Data
			ops = append(ops, op)
		}
		txn := Txn{Op: Op{Kind: Multi, Ops: ops}}
		fails := r.IntN(4) == 0
		switch {
		case fails:
			txn.Op.Ops = append(txn.Op.Ops, del("/none", -1))
		case len(ops) == 1:
			txn.Op = ops[0]
		}
		o := applyAll(t, s, 0, 0, txn)[0]
		if (o.Result.Code == jute.OK) == fails {
			t.Fatalf("step %d: %v", step, o.Result)
		}
		if !fails {
			paths = follow(t, want, paths, ops, o.Changes)
		}
		if step%250 == 0 {
			sameData(t, s, want)
			verify(t, s)
			s = reborn(t, s)
		}
	}
	for _, path := range paths {
		applyAll(t, s, 0, 0, Txn{Op: del(path, -1)})
	}
	verify(t, s)
	if held, _ := s.recs.Usage(); held > 96<<10 || len(s.blobs.list) > 0 {
		t.Errorf("%d bytes of pages and %d blobs stay behind", held, len(s.blobs.list))
	}
}

func sizedOp(r *rand.Rand, paths []string, step int) Op {
	size := r.IntN(300)
	switch r.IntN(12) {
	case 0:
		size = r.IntN(20_000)
	case 1, 2:
		size = maxInline - 4 + r.IntN(8)
	}
	data := bytes.Repeat([]byte{byte(step)}, size)
	if n := r.IntN(10); len(paths) > 0 && n < 4 {
		return Op{Kind: SetData, Path: paths[r.IntN(len(paths))], Data: data, Version: -1}
	} else if len(paths) > 0 && n < 7-2*(step/1000%2) {
		return del(paths[r.IntN(len(paths))], -1)
	}
	name := fmt.Sprintf("/n%d-%d", step, r.Uint32())
	if r.IntN(20) == 0 {
		name += string(bytes.Repeat([]byte{'x'}, r.IntN(6000)))
	}
	return Op{Kind: Create, Path: name, Data: data, ACL: jute.OpenACL()}
}

// follow does to the map what was done to the state, and looks at the changes that were told.
func follow(t *testing.T, want map[string][]byte, paths []string, ops []Op, changes []Change) []string {
	if len(changes) != len(ops) {
		t.Fatalf("%d changes of %d operations", len(changes), len(ops))
	}
	for i, op := range ops {
		if op.Kind != Delete && !bytes.Equal(changes[i].Data, op.Data) {
			t.Fatalf("%s was told with other data", op.Path)
		}
		switch op.Kind {
		case Create:
			paths = append(paths, op.Path)
			want[op.Path] = op.Data
		case SetData:
			want[op.Path] = op.Data
		case Delete:
			delete(want, op.Path)
			paths = slices.DeleteFunc(paths, func(p string) bool { return p == op.Path })
		}
	}
	return paths
}

func sameData(t *testing.T, s *State, want map[string][]byte) {
	t.Helper()
	for path, data := range want {
		got, st, err := s.Get(path)
		if err != nil || !bytes.Equal(got, data) || int(st.DataLength) != len(data) {
			t.Fatalf("%.20s has %d bytes (%v), want %d", path, len(got), err, len(data))
		}
	}
	if s.NodeCount() != len(want)+5 {
		t.Fatalf("%d nodes, want %d", s.NodeCount(), len(want)+5)
	}
}

// TestNumbersOfRecords: what a record packs comes out again, at the edges of every number.
func TestNumbersOfRecords(t *testing.T) {
	r := testkit.Rand(t)
	number := func() int64 {
		n := int64(r.Uint64() >> r.IntN(64))
		if r.IntN(4) == 0 {
			n = -n
		}
		return n
	}
	for range 20_000 {
		n := node{
			up: nodeID(r.Uint32() >> r.IntN(32)), name: string(make([]byte, r.IntN(200))), data: make([]byte, r.IntN(3)*200),
			czxid: number(), mzxid: number(), pzxid: number(), ctimeMs: number(), mtimeMs: number(),
			version: int32(number()), creates: int32(number()), aversion: int32(number()),
			owner: number() * int64(r.IntN(2)), acl: r.Uint32() >> r.IntN(32) * uint32(r.IntN(2)),
		}
		switch r.IntN(3) {
		case 0:
			n.dir = 1 + r.Uint32N(1000)
		case 1:
			n.kids = uint8(r.IntN(fewKids + 1))
			for i := range n.kids {
				n.few[i] = nodeID(r.Uint32())
			}
		}
		rec, _ := n.pack(nil)
		var again node
		again.unpack(rec)
		packed, _ := again.pack(nil)
		name, up := nameAndUp(rec)
		if !bytes.Equal(packed, rec) || again.czxid != n.czxid || again.mzxid != n.mzxid || again.pzxid != n.pzxid || again.owner != n.owner ||
			again.ctimeMs != n.ctimeMs || again.mtimeMs != n.mtimeMs || again.version != n.version || again.creates != n.creates ||
			again.aversion != n.aversion || again.acl != n.acl || !bytes.Equal(again.data, n.data) || again.name != n.name ||
			again.dir != n.dir || !slices.Equal(again.few[:again.kids], n.few[:n.kids]) || name != n.name || up != n.up {
			t.Fatalf("%+v was packed to %+v", n, again)
		}
	}
}
