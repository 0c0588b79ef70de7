package node

import (
	"testing"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestPack(t *testing.T) {
	sized := func(sizes ...int) []tree.Txn {
		txns := make([]tree.Txn, len(sizes))
		for i, n := range sizes {
			txns[i].Op = tree.Op{Kind: tree.SetData, Path: "/p", Data: make([]byte, n)}
		}
		return txns
	}
	many := make([]int, 2*maxEntryTxns)
	for _, c := range []struct {
		what  string
		sizes []int
		want  int
	}{
		{"nothing waits", nil, 0},
		{"one goes at once", []int{10}, 1},
		{"a large one goes alone", []int{2 << 20, 10}, 1},
		{"a large one does not fit behind a small one", []int{10, 2 << 20}, 1},
		{"as many as fit", []int{100 << 10, 100 << 10, 100 << 10}, 2},
		{"no more than the limit", many, maxEntryTxns},
	} {
		if got, _ := pack(sized(c.sizes...)); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// The estimate decides the size of entries, so it may not be below what they really take.
func TestTxnBytesIsNotBelowTheEncodedSize(t *testing.T) {
	acl := []jute.ACL{{Perms: 31, ID: jute.ID{Scheme: "digest", ID: "somebody:0123456789012345678901234567"}}}
	txns := []tree.Txn{
		{Op: tree.Op{Kind: tree.Noop}},
		{Origin: 1 << 63, Req: 1 << 40, Session: -5, ConnGen: 1 << 31, Seq: 1 << 31, Auth: []jute.ID{{Scheme: "ip", ID: "192.168.100.100"}},
			Op: tree.Op{Kind: tree.Create, Path: "/a/path", Data: make([]byte, 300), ACL: acl, Mode: jute.PersistentTTL, TTLMs: 1 << 40}},
		{Op: tree.Op{Kind: tree.Multi, Ops: []tree.Op{{Kind: tree.Check, Path: "/a", Version: -1}, {Kind: tree.SetData, Path: "/b", Data: []byte("d"), Version: 1 << 30}}}},
	}
	head := len(tree.AppendEntry(nil, &tree.Entry{TimeMs: 1 << 50}))
	for i := range txns {
		size := len(tree.AppendEntry(nil, &tree.Entry{TimeMs: 1 << 50, Txns: txns[i : i+1]})) - head
		if estimate := txnBytes(&txns[i]); estimate < size {
			t.Errorf("txn %d takes %d bytes, estimated %d", i, size, estimate)
		}
	}
}
