package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// machine is the node as Raft's state machine: committed entries go to the tree, what became
// of them to the sinks. Raft calls it from one goroutine.
type machine struct{ n *Node }

var _ raft.BatchingFSM = machine{}

// appliedAt is what an Apply answers on the leader: which entry of which term it became.
type appliedAt struct{ index, term uint64 }

// Apply implements raft.FSM.
func (m machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The write lock is taken once for all of logs.
func (m machine) ApplyBatch(logs []*raft.Log) []any {
	n := m.n
	out := make([]any, len(logs))
	n.guard.doubt.await(logs[len(logs)-1].Index)
	n.sinkMu.Lock()
	n.mu.Lock()
	var failed error
	var applied uint64
	n.mine = 0
	for i, l := range logs {
		if n.broken || n.fuse.isBlown() {
			break
		}
		if l.Type == raft.LogCommand {
			if failed = n.applyEntry(l); failed != nil {
				n.broken = true // what comes after it must not be applied
				break
			}
		}
		applied = l.Index
		out[i] = appliedAt{l.Index, l.Term}
	}
	n.logEntries.Add(int64(len(logs)))
	if applied > 0 {
		n.vain = 0
		n.applied.Store(applied)
		n.zxid.Store(n.state.Zxid())
		if r := n.reign.Load(); r != nil {
			r.countEntries(len(logs))
		}
	}
	mine := n.mine
	n.mu.Unlock()
	n.route.applied(mine) // before those whom Published answers write again
	for _, h := range n.handles {
		h.sink.Published()
	}
	n.sinkMu.Unlock()
	if failed != nil {
		n.fail(failed)
	}
	if applied > 0 {
		n.advanced(applied)
	}
	return out
}

// applyEntry applies one entry, under both locks.
func (n *Node) applyEntry(l *raft.Log) error {
	entry, err := tree.DecodeEntry(l.Data)
	if err != nil {
		return &EntryError{Index: l.Index, Err: err}
	}
	n.logBytes.Add(int64(len(l.Data)))
	n.state.Apply(l.Term, entry, n.outcome)
	if n.diverged {
		return fmt.Errorf("%w at entry %d, zxid 0x%x", ErrDiverged, l.Index, n.state.Zxid())
	}
	return nil
}

// told hands one outcome to everybody, under both locks.
func (n *Node) told(o *tree.Outcome) {
	if k := o.Txn.Op.Kind; k == tree.DigestCheck && o.Result.Code == jute.DataInconsistency {
		n.diverged = true
		return
	}
	if r := n.reign.Load(); r != nil {
		n.tally.committed.Add(1)
		r.observe(o)
	} else {
		n.tally.learned.Add(1)
	}
	switch o.Txn.Op.Kind {
	case tree.InitCluster:
		n.noteSecret()
	case tree.SetConfig:
		n.noteConfig()
	}
	for _, h := range n.handles {
		if o.Txn.Origin == h.origin {
			n.mine++
		}
		h.sink.Applied(n.state, o)
	}
}

// maxVain is how many snapshots may come in a row that bring nothing new.
const maxVain = 3

// Snapshot implements raft.FSM: the state is encoded in memory, and written later.
func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	n := m.n
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.broken {
		return nil, errors.New("the state is not whole")
	}
	var buf bytes.Buffer
	buf.Grow(int(n.lastSnapshotBytes.Load()) + 4096)
	if err := WriteSnapshot(&buf, n.state, n.applied.Load()); err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	n.lastSnapshotBytes.Store(int64(buf.Len()))
	n.logBytes.Store(0)
	n.logEntries.Store(0)
	return &encoded{n, buf.Bytes(), n.state.Zxid()}, nil
}

// encoded is a snapshot that waits to be written.
type encoded struct {
	n     *Node // nil: none runs
	bytes []byte
	zxid  int64
}

// Persist implements raft.FSMSnapshot.
func (e *encoded) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(e.bytes); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	if e.n != nil {
		e.n.snapshotZxid.Store(&e.zxid)
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (*encoded) Release() {}

// SnapshotZxid is how far the newest snapshot goes that this server wrote or started from; false:
// there is none.
func (n *Node) SnapshotZxid() (int64, bool) {
	if zxid := n.snapshotZxid.Load(); zxid != nil {
		return *zxid, true
	}
	return 0, false
}

// Restore implements raft.FSM: the state is replaced, and everybody who derived something from
// it begins anew.
func (m machine) Restore(r io.ReadCloser) error {
	n := m.n
	state, applied, err := ReadSnapshot(r)
	if err != nil {
		return err
	}
	defer n.advanced(applied)
	n.sinkMu.Lock()
	defer n.sinkMu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isUp() && applied <= n.applied.Load() {
		if n.vain++; n.vain == maxVain {
			n.fail(ErrStuck)
		}
	}
	n.state = state
	n.applied.Store(applied)
	n.zxid.Store(state.Zxid())
	zxid := state.Zxid()
	n.snapshotZxid.Store(&zxid)
	n.noteSecret()
	n.noteConfig()
	for _, h := range n.handles {
		h.sink.Reset(state)
	}
	n.route.begin() // what became of what was sent is not told any more
	return nil
}
