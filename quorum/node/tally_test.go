package node

import (
	"context"
	"testing"

	"github.com/millrace/millrace/quorum/tree"
)

// TestProposalsAreCounted: each transaction is proposed and committed once on the leader, and
// learned of once on every other server; the sizes are those of one reign.
func TestProposalsAreCounted(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		c.agree()
		led, f := c.leader(), c.follower()
		before := map[int]Counts{}
		for id, n := range c.nodes {
			before[id] = n.Status().Counts
		}
		large, small := createTxn("/large"), createTxn("/small")
		large.Op.Data = make([]byte, 5000)
		c.sinks[f].do(t, large)
		c.sinks[led].do(t, small)
		c.agree()
		for id, n := range c.nodes {
			now, was := n.Status().Counts, before[id]
			want := Counts{Proposed: was.Proposed, Committed: was.Committed, Learned: was.Learned + 2, LastBytes: -1, LeastBytes: -1, MostBytes: -1}
			if id == led {
				want = Counts{Proposed: was.Proposed + 2, Committed: was.Committed + 2, Learned: was.Learned, LastBytes: sizeOf(&small), MostBytes: sizeOf(&large), LeastBytes: now.LeastBytes}
			}
			if now != want {
				t.Errorf("server %d, the leader is %d: %+v, want %+v", id, led, now, want)
			}
			if id == led && (now.LeastBytes <= 0 || now.LeastBytes > now.LastBytes) {
				t.Errorf("smallest %d, last %d", now.LeastBytes, now.LastBytes)
			}
		}
		if c.nodes[led].Status().Reign <= 0 || c.nodes[f].Status().Reign != 0 {
			t.Errorf("the leader leads for %v, a follower for %v", c.nodes[led].Status().Reign, c.nodes[f].Status().Reign)
		}
		if err := c.nodes[f].TransferLeadership(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.eventually("another leader", func() bool { return c.leader() != led })
		c.serving()
		next := c.leader()
		c.sinks[next].make(t, "/next")
		if got := c.nodes[next].Status().Counts; got.MostBytes <= 0 || got.MostBytes >= 5000 || got.Proposed == 0 {
			t.Errorf("the next reign: %+v", got)
		}
		c.nodes[led].ResetCounts()
		c.agree()
		if got := c.nodes[led].Status().Counts; got.Proposed != 0 || got.Committed != 0 || got.MostBytes != -1 {
			t.Errorf("after a reset: %+v", got)
		}
	})
}

// sizeOf is what a transaction of one of the cluster's sinks takes: all origins have eight
// bytes, and the numbers of few requests one.
func sizeOf(txn *tree.Txn) int64 {
	with := *txn
	with.Req = 1
	return int64(len(tree.AppendTxn(nil, &with)))
}
