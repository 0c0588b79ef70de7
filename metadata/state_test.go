package metadata

import (
	"errors"
	"slices"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// testTree is the tree of an ensemble, for tests that fold what it tells.
type testTree struct {
	state *tree.State
	seq   uint32
}

func newTestTree() *testTree {
	t := &testTree{state: tree.New()}
	t.state.Apply(1, &tree.Entry{Txns: []tree.Txn{{Session: 1, Op: tree.Op{Kind: tree.CreateSession, TimeoutMs: 1000}}}}, nil)
	return t
}

// run applies one transaction.
func (t *testTree) run(ops ...Op) (events []Event, err error) {
	txn := tree.Txn{Session: 1, Auth: []jute.ID{{Scheme: "super"}}, Op: treeMulti(ops)}
	t.state.Apply(1, &tree.Entry{Txns: []tree.Txn{txn}}, func(o *tree.Outcome) {
		if o.Result.Code != jute.OK {
			err = o.Result.Code
		}
		events = eventsOf(o.Changes)
	})
	return events, err
}

func (t *testTree) zxid() int64 { return t.state.Zxid() }

func (t *testTree) snapshot() Txn { return snapshotOf(t.state) }

func (t *testTree) get(path string) ([]byte, bool) {
	data, _, err := t.state.Get(path)
	return data, !errors.Is(err, jute.NoNode)
}

func (t *testTree) paths() (paths []string) {
	for _, e := range t.snapshot().Events {
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	return paths
}
