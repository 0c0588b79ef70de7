package server

import (
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// replyEarly is a seeded bug: it answers a setData as if it were applied, unless something is
// before it.
func (c *conn) replyEarly(s *slot, op *tree.Op) {
	if op.Kind != tree.SetData || op.Version != -1 {
		return
	}
	c.srv.member.Read(func(st *tree.State) {
		stat, err := st.Stat(op.Path)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || c.closed || c.pending.len() != 1 || c.pending.front().number != s.number {
			return
		}
		res := tree.Result{Code: jute.OK}
		stat.Version++
		stat.Mzxid = st.Zxid() + 1
		res.Op.Stat = stat
		c.outcomeLocked(s, &res, st.Zxid()+1)
		c.srv.outstandingBytes.Add(-int64(s.bytes))
		c.pending.pop()
		c.srv.outstanding.Add(-1)
		c.changed.Broadcast()
	})
	c.wake()
}
