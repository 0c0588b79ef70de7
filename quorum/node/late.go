package node

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/seededbug"
)

// lateLog is a LogStore that can append first and make durable later.
type lateLog interface {
	// AppendLogs is StoreLogs without its sync, which the caller must call, once. Every other
	// change of the log waits until that has returned.
	AppendLogs(logs []*raft.Log) (sync func() error, err error)
}

// doubt is what a leader has in its log and not surely on its disk. A leader need not wait for its
// own disk before it asks its followers (Ongaro, Consensus: Bridging Theory and Practice, 10.2.1),
// but Raft's library counts the leader among those who have an entry as soon as it was stored. So
// a leader's entries are stored without their sync, which goes on beside the followers', and until
// it is done nobody learns that they are committed: nothing of them is applied here, and no
// follower is told so. What Raft believes meanwhile dies with the process, if that dies.
type doubt struct {
	mu   sync.Mutex
	over sync.Cond
	from uint64 // the first entry whose sync is under way; 0: none is
}

// begin puts the entries from one on in doubt. Those before are durable, or the fuse has blown.
func (d *doubt) begin(from uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !seededbug.On(seededbug.RaftLeaderInDoubt) {
		d.from = from
	}
	d.over.Broadcast()
}

// end ends the doubt about the entries from one on, unless it was followed by another.
func (d *doubt) end(from uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == from {
		d.from = 0
		d.over.Broadcast()
	}
}

// await returns when the log up to index is durable, or failed to be.
func (d *doubt) await(index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.from != 0 && d.from <= index {
		d.over.Wait()
	}
}

// below bounds an index by what is durable.
func (d *doubt) below(index uint64) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from != 0 {
		return min(index, d.from-1)
	}
	return index
}

// mayLate tells whether logs may be stored without their sync: a leader's, and only those whose
// fate Raft tells by applying them. Of others it tells when they are committed.
func (g *guardedLog) mayLate(logs []*raft.Log) bool {
	r := g.leader.Load()
	return g.late != nil && r != nil && r.State() == raft.Leader &&
		!slices.ContainsFunc(logs, func(l *raft.Log) bool { return l.Type != raft.LogCommand })
}

// storeLate stores logs and lets their sync go on when it returns.
func (g *guardedLog) storeLate(logs []*raft.Log) error {
	sync, err := g.late.AppendLogs(logs)
	if err != nil {
		return err
	}
	first := logs[0].Index
	g.doubt.begin(first)
	g.run(func() {
		if err := sync(); err != nil {
			g.fuse.blow(&StoreError{Op: "append to the log", Err: err})
		}
		g.doubt.end(first)
	})
	return nil
}
