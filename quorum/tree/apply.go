package tree

import "github.com/millrace/millrace/quorum/jute"

// Apply applies the transactions of one log entry, each for itself, and hands out what became
// of each (out may be nil). term is the log entry's. The transactions must be Valid, as those
// of DecodeEntry are.
//
// A transaction that changes anything gets a zxid, max(last+1, term<<32), and all operations
// of a multi share it. A session's count of its writes is such a change: so a guarded write
// that is refused for what it asks (NoNode, BadVersion, NoAuth, ...) takes a zxid, as in
// ZooKeeper, and so does a guarded Noop. What takes none: a refused write that is not guarded,
// one that the guard itself refuses (SessionExpired, SessionMoved), a duplicate, Noop, Check
// and DigestCheck without a guard, and InitCluster after the first.
//
// The entry's time becomes the state's as it is: like ZooKeeper's, times of nodes are the wall
// clock of the leader that took the write, and go back with it. One that only grew would keep
// what a clock once showed that ran ahead for hours.
func (s *State) Apply(term uint64, e *Entry, out func(*Outcome)) {
	s.timeMs = e.TimeMs
	for i := range e.Txns {
		s.applyTxn(term, &e.Txns[i])
		s.tidy()
		if out != nil {
			out(&s.step.out)
		}
	}
	s.step.out.Txn = nil
}

// maxScratch is how much of the last outcome's room is kept.
const maxScratch = 1024

func (s *State) begin(t *Txn) *Outcome {
	o := &s.step.out
	if cap(o.Changes) > maxScratch || cap(o.Result.Ops) > maxScratch {
		*o = Outcome{}
	}
	clear(o.Changes)
	clear(o.Result.Ops)
	*o = Outcome{Txn: t, Changes: o.Changes[:0], Result: Result{Ops: o.Result.Ops[:0]}}
	return o
}

func (s *State) applyTxn(term uint64, t *Txn) {
	o := s.begin(t)
	r := &o.Result
	r.Op.Kind = t.Op.Kind
	s.step.zxid, s.step.changed = max(s.zxid+1, int64(term)<<32), false

	sess, v, code := s.guard(t)
	switch v {
	case refused:
		r.Zxid, r.Code, r.Op.Code = s.zxid, code, code
		return
	case repeated:
		if sess.keep && t.Seq == sess.seq {
			*r = decodeKept(sess.last)
		}
		r.Duplicate = true
		if r.Zxid == 0 {
			r.Zxid = s.zxid
		}
		return
	case guarded:
		s.digest -= sess.digest()
		sess.connGen, sess.seq = t.ConnGen, t.Seq
		s.digest += sess.digest()
		s.step.changed = true
	}

	r.Code = s.applyOp(t, sess, r)
	r.Op.Code = r.Code
	r.Zxid = s.zxid
	if s.step.changed || len(o.Changes) > 0 {
		r.Zxid = s.step.zxid
	}
	if v == guarded && sess.keep && o.Closed == 0 {
		s.digest -= sess.digest()
		sess.last = appendResult(sess.last[:0], r)
		s.digest += sess.digest()
	}
	if r.Zxid != s.zxid {
		s.zxid = r.Zxid
		s.past.add(s.zxid, s.Digest())
	}
}

// applyOp does the one thing that a transaction asks.
func (s *State) applyOp(t *Txn, sess *session, r *Result) jute.Code {
	op := &t.Op
	switch op.Kind {
	case Noop:
		return jute.OK
	case Multi:
		return s.multi(t, r)
	case CreateSession:
		return s.createSession(t, r)
	case CloseSession:
		if sess != nil {
			s.closeSession(sess)
		}
		return jute.OK
	case DeleteContainer:
		return s.deleteContainer(op)
	case InitCluster:
		if s.secret == nil {
			s.secret, s.step.changed = append([]byte{}, op.Data...), true
		}
		return jute.OK
	case SetConfig:
		s.setConfig(op.Data)
		return jute.OK
	case SetFlags:
		if s.flags != op.Flags {
			s.flags, s.step.changed = op.Flags, true
		}
		return jute.OK
	case DigestCheck:
		if have, ok := s.past.at(op.Zxid); ok && have != op.Digest {
			return jute.DataInconsistency
		}
		return jute.OK
	}
	return s.change(t, op, &r.Op)
}

// change does one operation on a node, alone or in a multi.
func (s *State) change(t *Txn, op *Op, r *OpResult) jute.Code {
	switch op.Kind {
	case Create:
		return s.create(t, op, r)
	case Delete:
		return s.delete(t, op)
	case SetData:
		return s.setData(t, op, r)
	case SetACL:
		return s.setACL(t, op, r)
	case Check:
		return s.check(t, op, r)
	}
	return jute.Unimplemented
}

// multi does all operations or none.
func (s *State) multi(t *Txn, r *Result) jute.Code {
	s.record()
	for i := range t.Op.Ops {
		op := &t.Op.Ops[i]
		r.Ops = append(r.Ops, OpResult{Kind: op.Kind})
		code := s.change(t, op, &r.Ops[i])
		if code == jute.OK {
			continue
		}
		s.rollback()
		s.refuseMulti(&t.Op, r, i, code)
		return code
	}
	s.commit()
	return jute.OK
}

// refuseMulti gives each operation its code: OK before the one that failed,
// RuntimeInconsistency after it.
func (s *State) refuseMulti(op *Op, r *Result, failed int, code jute.Code) {
	clear(s.step.out.Changes)
	s.step.out.Changes = s.step.out.Changes[:0]
	r.Ops = r.Ops[:0]
	for i := range op.Ops {
		c := jute.OK
		switch {
		case i == failed:
			c = code
		case i > failed:
			c = jute.RuntimeInconsistency
		}
		r.Ops = append(r.Ops, OpResult{Kind: op.Ops[i].Kind, Code: c})
	}
}
