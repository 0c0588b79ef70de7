package node

import "sync/atomic"

// tally counts what this server proposes, and what becomes of it. A transaction is what
// ZooKeeper calls a proposal; entries of the log hold many.
type tally struct {
	proposed, committed, learned atomic.Int64
	last, least, most            atomic.Int64 // bytes of a proposal, plus one; 0: none
}

// Counts are the figures of a tally.
type Counts struct {
	Proposed  int64 // transactions that this server put into the log as the leader
	Committed int64 // transactions that were committed while it led
	Learned   int64 // transactions of which it learned from a leader that they are committed
	// Bytes of a proposal: the last, the smallest and the largest since this server leads; -1:
	// there was none.
	LastBytes, LeastBytes, MostBytes int64
}

// propose counts a transaction on its way into the log. One goroutine calls it.
func (t *tally) propose(bytes int) {
	n := int64(bytes) + 1
	t.proposed.Add(1)
	t.last.Store(n)
	if least := t.least.Load(); least == 0 || n < least {
		t.least.Store(n)
	}
	if n > t.most.Load() {
		t.most.Store(n)
	}
}

// begin forgets the sizes: they are those of one reign.
func (t *tally) begin() {
	for _, v := range []*atomic.Int64{&t.last, &t.least, &t.most} {
		v.Store(0)
	}
}

func (t *tally) counts() Counts {
	return Counts{
		Proposed: t.proposed.Load(), Committed: t.committed.Load(), Learned: t.learned.Load(),
		LastBytes: t.last.Load() - 1, LeastBytes: t.least.Load() - 1, MostBytes: t.most.Load() - 1,
	}
}

// ResetCounts begins to count anew.
func (n *Node) ResetCounts() {
	t := &n.tally
	for _, v := range []*atomic.Int64{&t.proposed, &t.committed, &t.learned} {
		v.Store(0)
	}
	t.begin()
}
