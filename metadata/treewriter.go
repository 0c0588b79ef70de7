package metadata

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// This file is the sending half of a TreeStore. One goroutine submits, so that the order of
// the numbers is the order of sending; it holds no lock while it does.

// signal wakes the worker.
func (s *TreeStore) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *TreeStore) work() {
	defer s.worked.Done()
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		for {
			out := s.due()
			if len(out) == 0 {
				break
			}
			if err := s.submit(out); err != nil {
				s.refused(err)
				break
			}
		}
	}
}

func (s *TreeStore) submit(out []tree.Txn) error {
	for _, txn := range out {
		if err := s.handle.Submit(txn); err != nil {
			return err
		}
	}
	return nil
}

// due returns what is to be submitted now.
func (s *TreeStore) due() []tree.Txn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serving {
		if s.closing { // nobody waits for a quorum to end a session
			s.failAll(fmt.Errorf("%w: this server has no quorum; the ensemble ends the session after %v", ErrClosed, s.o.SessionTimeout))
		}
		return nil
	}
	if !s.alive {
		if s.closing {
			s.failAll(ErrClosed)
			return nil
		}
		return s.dueOpening()
	}
	var out []tree.Txn
	if s.resend {
		s.resend = false
		for _, c := range s.sent {
			s.req++
			c.txn.Req = s.req // refusals of the first sending count no more
			out = append(out, c.txn)
		}
	}
	for len(s.queue) > 0 && len(s.sent) < window {
		c := s.queue[0]
		s.queue = s.queue[1:]
		s.number(c)
		s.sent = append(s.sent, c)
		out = append(out, c.txn)
	}
	return out
}

// dueOpening is the transaction that makes a session, if that is not under way.
func (s *TreeStore) dueOpening() []tree.Txn {
	if s.opening != nil {
		return nil
	}
	c := &call{done: make(chan struct{}), txn: tree.Txn{
		Session: s.o.Quorum.NewSessionID(),
		Op:      tree.Op{Kind: tree.CreateSession, TimeoutMs: int32(s.o.SessionTimeout / time.Millisecond), KeepResult: true},
	}}
	s.number(c)
	s.opening = c
	return []tree.Txn{c.txn}
}

// number makes a call ready for sending.
func (s *TreeStore) number(c *call) {
	s.req++
	c.txn.Origin, c.txn.Req = s.origin, s.req
	c.txn.Auth = []jute.ID{{Scheme: "super"}}
	if c.sequenced {
		s.seq++
		c.txn.Session, c.txn.ConnGen, c.txn.Seq = s.session.ID, s.gen, s.seq
	}
}

// retryAfter is when a server that refused a transaction is asked again.
const retryAfter = 50 * time.Millisecond

// refused is told that a transaction was not taken: all that is under way is sent again
// once the server serves.
func (s *TreeStore) refused(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resend, s.opening = true, nil
	if errors.Is(err, node.ErrClosed) || s.closing {
		s.failAll(ErrClosed)
		return
	}
	s.o.Log.Debug("the quorum takes no writes", "err", err)
	if s.retry == nil {
		s.retry = s.o.Clock.AfterFunc(retryAfter, s.signal)
	} else {
		s.retry.Reset(retryAfter)
	}
}

// failAll ends what waits. Of what was sent the outcome is unknown.
func (s *TreeStore) failAll(err error) {
	for _, c := range s.queue {
		c.finish(Result{}, err)
	}
	for _, c := range s.sent {
		if c.ops != nil {
			c.finish(Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		} else {
			c.finish(Result{}, err)
		}
	}
	s.queue, s.sent = nil, nil
}

// touchSession shows that the owner of the session lives.
func (s *TreeStore) touchSession() {
	s.mu.Lock()
	id, alive, closing := s.session.ID, s.alive, s.closing
	if !closing {
		s.touch.Reset(s.o.SessionTimeout / 3)
	}
	s.mu.Unlock()
	if alive && !closing {
		s.handle.Touch(id)
	}
}

// endSession closes Done. What was sent under the session and not applied never will be.
func (s *TreeStore) endSession() {
	if !s.alive {
		return
	}
	s.alive = false
	close(s.done)
	sent := s.sent
	s.sent = nil
	for _, c := range sent {
		switch {
		case !c.sequenced: // not of this session
			s.sent = append(s.sent, c)
		case c.ops == nil: // it ended the session, or would have
			c.finish(Result{}, nil)
		default:
			c.finish(Result{}, ErrSessionExpired)
		}
	}
}
