package metadata_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	. "github.com/millrace/millrace/metadata"
)

// modelNode and model are the naive tree that the real one is compared with: plain maps,
// copied as a whole for each transaction.
type modelNode struct {
	data                     string
	version, creates, delets int
}

type model map[string]modelNode

func parentOf(path string) string { return path[:max(1, strings.LastIndexByte(path, '/'))] }

func (m model) apply(ops []Op) (model, bool) {
	next := model{}
	for k, v := range m {
		next[k] = v
	}
	for _, op := range ops {
		n, ok := next[op.Path]
		parent, parentOK := next[parentOf(op.Path)]
		switch {
		case op.Kind == OpCreate && (!parentOK || ok && !op.Sequential):
			return m, false
		case op.Kind == OpCreate:
			path := op.Path
			if op.Sequential {
				path = fmt.Sprintf("%s%010d", path, parent.creates)
			}
			next[path] = modelNode{data: string(op.Data)}
			parent.creates++
			next[parentOf(op.Path)] = parent
			continue
		case !ok || op.Version != AnyVersion && int(op.Version) != n.version:
			return m, false
		}
		switch op.Kind {
		case OpSet:
			n.data, n.version = string(op.Data), n.version+1
			next[op.Path] = n
		case OpDelete:
			for k := range next {
				if parentOf(k) == op.Path && k != "/" {
					return m, false
				}
			}
			delete(next, op.Path)
			parent.delets++
			next[parentOf(op.Path)] = parent
		}
	}
	return next, true
}

func randomOp(rng *rand.Rand) Op {
	path := "/m"
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

// testModel compares random transactions with the model: which are taken, the data and the
// counters of every node, and what the stream tells.
func testModel(t *testing.T, open func() Store) {
	rng := testkit.Rand(t)
	s := open()
	multi(t, s, Create("/m", nil))
	v := follow(t, s, 0)
	m := model{"/m": {}}
	const enough = 40 // transactions that were taken; most are refused
	accepted := 0
	var zxid int64
	rounds := testkit.Rounds(t, "STORE_MODEL_ROUNDS", 400)
	for step := 0; step < rounds || accepted < enough && step < 10*rounds; step++ {
		ops := make([]Op, 1+rng.IntN(3))
		for i := range ops {
			ops[i] = randomOp(rng)
		}
		r, err := s.Multi(t.Context(), ops...)
		next, ok := m.apply(ops)
		if ok != (err == nil) {
			t.Fatalf("step %d, %v: the store says %v, the model %v", step, ops, err, ok)
		}
		m = next
		if ok {
			accepted++
			zxid = r.Zxid
		}
		if step%20 == 19 {
			compareModel(t, step, s, m, v.await(t, zxid))
		}
		for path := range m { // sequential nodes pile up
			if len(m) < 60 {
				break
			}
			if next, ok := m.apply([]Op{Delete(path, AnyVersion)}); ok && path != "/m" {
				zxid = multi(t, s, Delete(path, AnyVersion)).Zxid
				m = next
			}
		}
	}
	if accepted < enough {
		t.Errorf("only %d transactions were accepted: the test sees too little", accepted)
	}
}

func compareModel(t *testing.T, step int, s Store, m model, told map[string]string) {
	t.Helper()
	for path, want := range m {
		data, stat, err := s.Get(t.Context(), path)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		got := modelNode{string(data), int(stat.Version), (int(stat.Cversion) + int(stat.NumChildren)) / 2, 0}
		got.delets = int(stat.Cversion) - got.creates
		if got != want || told[path] != want.data {
			t.Fatalf("step %d: %s is %+v, the stream says %q, the model %+v", step, path, got, told[path], want)
		}
	}
	for path := range told {
		if _, ok := m[path]; !ok && strings.HasPrefix(path, "/m") {
			t.Fatalf("step %d: the stream has %s, the model has not", step, path)
		}
	}
}
