package metadata

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// This file is the writes of a ZKStore, and what becomes of one whose answer was lost.

// zkOp is an Op on the wire. Creates ask for the Stat too.
func zkOp(op Op) jute.MultiOp {
	out := jute.MultiOp{Path: op.Path, Data: op.Data, Version: op.Version}
	switch op.Kind {
	case OpCreate:
		out.Type, out.Mode = jute.OpCreate2, treeOp(op).Mode
	case OpSet:
		out.Type = jute.OpSetData
	case OpDelete:
		out.Type = jute.OpDelete
	case OpCheck:
		out.Type = jute.OpCheck
	}
	return out
}

// Multi implements Store.
func (s *ZKStore) Multi(ctx context.Context, ops ...Op) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	for i, op := range ops {
		path := op.Path
		if op.Kind == OpCreate && op.Sequential {
			path += "0000000000"
		}
		if checkPath(path) != nil {
			return Result{}, &MultiError{Index: i, Op: op, Err: ErrBadArguments}
		}
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	for {
		c, err := s.current(ctx)
		if err != nil {
			return Result{}, err
		}
		from := position{zxid: c.LastZxid(), session: c.Session().ID}
		r, err := s.send(ctx, c, ops)
		var lost *client.Error
		if err == nil || !errors.As(err, &lost) {
			return r, err
		}
		if ctx.Err() != nil {
			if lost.Sent {
				return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
			}
			return Result{}, ctx.Err()
		}
		if !lost.Sent && !errors.Is(err, jute.SessionMoved) {
			continue // it never left
		}
		s.o.Log.Info("the answer to a write was lost; the tree tells what became of it", "err", err)
		r, done, err := s.decide(ctx, ops, from)
		if done || err != nil {
			return r, err
		}
	}
}

// send makes a multi. The error is a *client.Error only when the answer is missing.
func (s *ZKStore) send(ctx context.Context, c *client.Client, ops []Op) (Result, error) {
	q := &client.Request{Op: jute.OpMulti, Ops: make([]jute.MultiOp, len(ops))}
	for i, op := range ops {
		q.Ops[i] = zkOp(op)
	}
	type outcome struct {
		reply *client.Reply
		err   error
	}
	answer := make(chan outcome, 1)
	err := c.Send(q, func(reply *client.Reply, err error) {
		if reply != nil {
			s.saw(c, reply.Zxid)
		}
		answer <- outcome{reply, err}
	})
	if err != nil {
		return Result{}, sendError(err)
	}
	select {
	case a := <-answer:
		return multiResult(ops, c.Session().ID, a.reply, a.err)
	case <-ctx.Done():
		return Result{}, &client.Error{Op: jute.OpMulti, Code: jute.OperationTimeout, Sent: true, Cause: ctx.Err()}
	}
}

// sendError keeps a lost session apart from a write that cannot be sent at all.
func sendError(err error) error {
	if lostConnection(err) {
		return err
	}
	return fmt.Errorf("the write was not sent: %w", codeError(err))
}

func multiResult(ops []Op, session int64, reply *client.Reply, err error) (Result, error) {
	switch {
	case err != nil && lostConnection(err):
		return Result{}, err
	case err != nil && reply != nil:
		if refused := refusedOp(ops, func(i int) jute.Code {
			if i < len(reply.Results) {
				return reply.Results[i].Err
			}
			return jute.OK
		}); refused != nil {
			return Result{}, refused
		}
		return Result{}, codeError(err)
	case err != nil:
		return Result{}, fmt.Errorf("the ensemble refused the write: %w", codeError(err))
	}
	r := Result{Zxid: reply.Zxid, Ops: make([]OpResult, len(ops))}
	for i, op := range ops {
		r.Ops[i].Path = op.Path
		if i >= len(reply.Results) {
			continue
		}
		switch op.Kind {
		case OpCreate:
			r.Ops[i] = OpResult{Path: reply.Results[i].Path, Stat: statOf(reply.Results[i].Stat)}
			if stat := &r.Ops[i].Stat; stat.Czxid == 0 { // Apache ZooKeeper tells none in a multi
				stat.Czxid, stat.Mzxid, stat.Pzxid, stat.DataBytes = r.Zxid, r.Zxid, r.Zxid, int32(len(op.Data))
				if op.Ephemeral {
					stat.EphemeralOwner = session
				}
			}
		case OpSet:
			r.Ops[i].Stat = statOf(reply.Results[i].Stat)
		}
	}
	return r, nil
}

// position is how things were when a write was sent.
type position struct{ zxid, session int64 }

// verdict is what one node of a multi says of whether the multi was done.
type verdict uint8

const (
	cannotTell verdict = iota
	notDone
	wasDone
)

// decide finds out whether a write whose answer was lost was done. What was under way on the
// old connection is over once a sync on the new one was answered. All ops are done or none, so
// one that can tell is enough.
func (s *ZKStore) decide(ctx context.Context, ops []Op, from position) (r Result, done bool, err error) {
	unknown := func(err error) (Result, bool, error) {
		return Result{}, true, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	if _, err := s.read(ctx, &client.Request{Op: jute.OpSync, Path: "/"}); err != nil {
		return unknown(err)
	}
	r = Result{Ops: make([]OpResult, len(ops))}
	touches := map[string]int{}
	for _, op := range ops {
		touches[op.Path]++
	}
	found, agree := cannotTell, true
	for i, op := range ops {
		r.Ops[i].Path = op.Path
		if op.Kind == OpCheck || touches[op.Path] > 1 || op.Sequential {
			continue
		}
		data, stat, err := s.Get(ctx, op.Path)
		if err != nil && !errors.Is(err, ErrNoNode) {
			return unknown(err)
		}
		if err == nil && op.Kind != OpDelete {
			r.Ops[i].Stat = stat
		}
		seen := judge(op, err == nil, data, stat, from, s.Session().ID)
		if seen == notDone && err != nil {
			// Or it was done, and somebody removed the node since.
			if _, parent, err := s.Get(ctx, parentOf(op.Path)); err != nil || parent.Pzxid > from.zxid {
				seen = cannotTell
			}
		}
		switch seen {
		case notDone:
			return Result{}, false, nil
		case wasDone: // by one transaction, so they all have one zxid
			agree = agree && (found == cannotTell || r.Zxid == stat.Mzxid)
			found, r.Zxid = wasDone, stat.Mzxid
		}
	}
	if found == wasDone && agree {
		return r, true, nil
	}
	return unknown(errors.New("the connection broke before the answer, and the tree does not tell"))
}

func parentOf(path string) string {
	parent, _ := split(path)
	return parent
}

// judge looks at the node of one op, which no other op of the multi touches. It is pure.
func judge(op Op, exists bool, data []byte, stat Stat, from position, session int64) verdict {
	before, same := exists && stat.Czxid <= from.zxid, string(data) == string(op.Data)
	switch op.Kind {
	case OpDelete:
		if before {
			return notDone
		}
	case OpCreate:
		return judgeCreate(op, exists, before, same, stat, from, session)
	case OpSet:
		switch {
		case !before || op.Version == AnyVersion:
		case stat.Version == op.Version:
			return notDone
		case stat.Version == op.Version+1 && same && stat.Mzxid > from.zxid:
			return wasDone
		case stat.Version == op.Version+1:
			return notDone // another write took this version
		}
	}
	return cannotTell
}

func judgeCreate(op Op, exists, before, same bool, stat Stat, from position, session int64) verdict {
	switch {
	case before:
		return notDone // it was in the way
	case op.Ephemeral && session != from.session:
		return cannotTell // it would have gone with the session
	case !exists:
		return notDone
	case op.Ephemeral && stat.EphemeralOwner == session && stat.Version == 0 && same:
		return wasDone
	case !op.Ephemeral && stat.EphemeralOwner == 0 && stat.Version == 0 && same:
		return wasDone
	case stat.Version == 0:
		return notDone // somebody else's
	}
	return cannotTell
}
