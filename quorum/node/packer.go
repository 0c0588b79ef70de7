package node

import "github.com/millrace/millrace/quorum/tree"

// How much goes into one log entry, and how many entries are on their way at once. Small ones
// waste a message and a sync each, large ones make those behind them wait.
const (
	maxEntryTxns  = 512
	maxEntryBytes = 256 << 10
	maxInFlight   = 4
)

// txnBytes estimates what a transaction takes in an entry, from above for those that matter.
func txnBytes(t *tree.Txn) int {
	n := 48 + opBytes(&t.Op)
	for i := range t.Auth {
		n += 8 + len(t.Auth[i].Scheme) + len(t.Auth[i].ID)
	}
	return n
}

func opBytes(op *tree.Op) int {
	n := 32 + len(op.Path) + len(op.Data)
	for i := range op.ACL {
		n += 12 + len(op.ACL[i].ID.Scheme) + len(op.ACL[i].ID.ID)
	}
	for i := range op.Ops {
		n += opBytes(&op.Ops[i])
	}
	return n
}

// pack tells how many of the first waiting transactions the next entry takes: at least one, so
// that a single large one has an entry for itself.
func pack(waiting []tree.Txn) (count, bytes int) {
	for i := range waiting {
		size := txnBytes(&waiting[i])
		if count > 0 && (count == maxEntryTxns || bytes+size > maxEntryBytes) {
			break
		}
		count, bytes = count+1, bytes+size
	}
	return count, bytes
}
