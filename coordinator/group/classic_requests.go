package group

import (
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// classic returns the classic machine of a group; false for a group of another kind.
func (e *entry) classic() (*classicGroup, bool) {
	c, ok := e.members.(*classicGroup)
	return c, ok
}

// Join takes a JoinGroup; done gets its answer, perhaps much later. q.NewID is filled in here.
func (c *Coordinator) Join(group string, q *classic.JoinRequest, done func(classic.JoinAnswer)) {
	refuse := func(code protocol.ErrorCode) {
		done(classic.JoinAnswer{Code: code, Generation: -1, MemberID: q.MemberID})
	}
	if group == "" {
		refuse(protocol.CodeInvalidGroupID)
		return
	}
	if q.MemberID == "" {
		prefix := q.ClientID
		if q.InstanceID != "" {
			prefix = q.InstanceID
		}
		var err error
		if q.NewID, err = c.newID(prefix); err != nil {
			c.o.Log.Error("no member id could be drawn", "group", group, "err", err)
			refuse(protocol.CodeCoordinatorNotAvailable)
			return
		}
	}
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		refuse(code)
		return
	}
	defer s.exit()
	now := c.now()
	if s.groups[group] == nil && q.MemberID != "" {
		s.later(func() { refuse(protocol.CodeUnknownMemberID) })
		return
	}
	cfg := s.config()
	if q.SessionTimeoutMs < cfg.Classic.MinSessionMs || q.SessionTimeoutMs > cfg.Classic.MaxSessionMs {
		s.later(func() { refuse(protocol.CodeInvalidSessionTimeout) }) // before a group is made for it
		return
	}
	e := s.groupOrNew(group, now)
	switch m := e.members.(type) {
	case *classicGroup:
		s.joinClassic(e, m, q, done)
	case *consumerGroup:
		if m.size() > 0 {
			s.joinConsumer(e, m, q, done)
			return
		}
		s.toEmptyClassic(e, m, func(code protocol.ErrorCode) {
			if cg, ok := e.classic(); ok && code == protocol.CodeNone {
				s.joinClassic(e, cg, q, done)
				return
			}
			s.later(func() { refuse(code) })
		})
	}
}

func (s *shard) joinClassic(e *entry, cg *classicGroup, q *classic.JoinRequest, done func(classic.JoinAnswer)) {
	var out classic.Out
	cg.g.Join(s.c.now(), &s.config().Classic, q, done, &out)
	s.settle(e, cg, &out)
}

// Sync takes a SyncGroup; done gets its answer, perhaps much later.
func (c *Coordinator) Sync(group string, q *classic.SyncRequest, done func(classic.SyncAnswer)) {
	s, e, code := c.enterMembers(group)
	if code != protocol.CodeNone {
		if code == protocol.CodeCoordinatorLoadInProgress {
			// Kafka: the generation that it asks about is over with the move of the group.
			code = protocol.CodeRebalanceInProgress
		}
		done(classic.SyncAnswer{Code: code})
		return
	}
	defer s.exit()
	switch m := e.members.(type) {
	case *classicGroup:
		var out classic.Out
		m.g.Sync(c.now(), q, done, &out)
		s.settle(e, m, &out)
	case *consumerGroup:
		s.syncConsumer(e, m, q, done)
	}
}

// Heartbeat takes a Heartbeat and answers it.
func (c *Coordinator) Heartbeat(group, memberID, instanceID string, generation int32) protocol.ErrorCode {
	s, e, code := c.enterMembers(group)
	switch code {
	case protocol.CodeNone:
	case protocol.CodeCoordinatorLoadInProgress:
		return protocol.CodeNone // as Kafka: nothing is known against the member
	default:
		return code
	}
	defer s.exit()
	if m, ok := e.members.(*consumerGroup); ok {
		return s.heartbeatConsumer(e, m, memberID, instanceID, generation)
	}
	cg, _ := e.classic()
	code = cg.g.Heartbeat(c.now(), memberID, instanceID, generation)
	if cg.g.WakeMs() < e.wakeMs {
		s.changed(e)
	}
	return code
}

// Leave takes members out. The codes are those of the members, in order.
func (c *Coordinator) Leave(group string, leaving []classic.LeaveRequest) (code protocol.ErrorCode, codes []protocol.ErrorCode) {
	s, e, code := c.enterMembers(group)
	if code == protocol.CodeUnknownMemberID {
		codes = make([]protocol.ErrorCode, len(leaving))
		for i := range codes {
			codes[i] = code
		}
		return protocol.CodeNone, codes
	}
	if code != protocol.CodeNone {
		return code, nil
	}
	defer s.exit()
	if m, ok := e.members.(*consumerGroup); ok {
		return s.leaveConsumer(e, m, leaving)
	}
	cg, _ := e.classic()
	var out classic.Out
	codes = cg.g.Leave(c.now(), &s.config().Classic, leaving, &out)
	s.settle(e, cg, &out)
	return protocol.CodeNone, codes
}

// enterMembers is enter for requests of members; UNKNOWN_MEMBER_ID when there is no such group.
func (c *Coordinator) enterMembers(group string) (*shard, *entry, protocol.ErrorCode) {
	if group == "" {
		return nil, nil, protocol.CodeInvalidGroupID
	}
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		return nil, nil, code
	}
	if e, ok := s.groups[group]; ok {
		return s, e, protocol.CodeNone
	}
	s.exit()
	return nil, nil, protocol.CodeUnknownMemberID
}
