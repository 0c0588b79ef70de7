package metadata

import (
	"errors"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// Quorum is the server of an ensemble in whose process a TreeStore lives; NodeQuorum makes
// one of a *node.Node.
type Quorum interface {
	Attach(node.Sink) Handle
	// Read calls f with the state locked for reading.
	Read(f func(*tree.State))
	NewSessionID() int64
}

// Handle is the way of one TreeStore to its server, as node.Handle.
type Handle interface {
	Origin() uint64
	Submit(tree.Txn) error
	Touch(session int64)
	Close()
}

// treeOp is an Op as the tree knows it.
func treeOp(op Op) tree.Op {
	out := tree.Op{Path: op.Path, Data: op.Data, Version: op.Version}
	switch op.Kind {
	case OpCreate:
		out.Kind, out.ACL = tree.Create, jute.OpenACL()
		switch {
		case op.Ephemeral && op.Sequential:
			out.Mode = jute.EphemeralSequential
		case op.Ephemeral:
			out.Mode = jute.Ephemeral
		case op.Sequential:
			out.Mode = jute.PersistentSequential
		}
	case OpSet:
		out.Kind = tree.SetData
	case OpDelete:
		out.Kind = tree.Delete
	case OpCheck:
		out.Kind = tree.Check
	}
	return out
}

func treeMulti(ops []Op) tree.Op {
	multi := tree.Op{Kind: tree.Multi, Ops: make([]tree.Op, len(ops))}
	for i, op := range ops {
		multi.Ops[i] = treeOp(op)
	}
	return multi
}

func statOf(s jute.Stat) Stat {
	return Stat{
		Czxid: s.Czxid, Mzxid: s.Mzxid, Pzxid: s.Pzxid, CtimeMs: s.CtimeMs, MtimeMs: s.MtimeMs,
		Version: s.Version, Cversion: s.Cversion, EphemeralOwner: s.EphemeralOwner,
		DataBytes: s.DataLength, NumChildren: s.NumChildren,
	}
}

// codeError turns ZooKeeper's code into an error of this package where it has one.
func codeError(err error) error {
	var code jute.Code
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case jute.OK:
		return nil
	case jute.NoNode:
		return ErrNoNode
	case jute.NodeExists:
		return ErrNodeExists
	case jute.BadVersion:
		return ErrBadVersion
	case jute.NotEmpty:
		return ErrNotEmpty
	case jute.NoChildrenForEphemerals:
		return ErrNoChildrenForEphemerals
	case jute.BadArguments:
		return ErrBadArguments
	case jute.SessionExpired, jute.SessionMoved, jute.UnknownSession:
		return ErrSessionExpired
	}
	return code
}

// refusedOp is what a refused multi says: the first of its ops that failed.
func refusedOp(ops []Op, code func(i int) jute.Code) error {
	for i, op := range ops {
		if c := code(i); c != jute.OK && c != jute.RuntimeInconsistency {
			return &MultiError{Index: i, Op: op, Err: codeError(c)}
		}
	}
	return nil
}
