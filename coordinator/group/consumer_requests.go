package group

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// consumerEnv is what a step of a consumer group needs; called with the shard's lock held.
func (c *Coordinator) consumerEnv(s *shard, group string) *consumer.Env {
	now := c.now()
	topics := c.topics.Load()
	cfg := s.config()
	env := &consumer.Env{NowMs: now.MonoMs, UnixMs: now.UnixMs, Topics: topics, Config: &cfg.Consumer}
	if own := topics.image.GroupConfig(group); len(own) > 0 && cfg.ConsumerOf != nil {
		env.Config = cfg.ConsumerOf(own)
	}
	return env
}

// ConsumerHeartbeat takes a ConsumerGroupHeartbeat. done gets the response when what it
// tells is in the log.
func (c *Coordinator) ConsumerHeartbeat(q *protocol.ConsumerGroupHeartbeatRequest, client consumer.Client, done func(*protocol.ConsumerGroupHeartbeatResponse)) {
	refuse := func(code protocol.ErrorCode, message string) {
		done(&protocol.ConsumerGroupHeartbeatResponse{ErrorCode: code, ErrorMessage: protocol.StrOrNull(message)})
	}
	if err := consumer.Validate(q, client.Version, &c.o.Config().Consumer); err != nil {
		refuse(consumerCode(err), err.Error())
		return
	}
	id := q.MemberID
	if id == "" {
		var err error
		if id, err = c.newID("member"); err != nil {
			c.o.Log.Error("no member id could be drawn", "group", q.GroupID, "err", err)
			refuse(protocol.CodeCoordinatorNotAvailable, "")
			return
		}
	}
	s, code := c.enter(q.GroupID)
	if code != protocol.CodeNone {
		refuse(code, "")
		return
	}
	defer s.exit()
	e, known := s.groups[q.GroupID]
	if !known {
		e = s.groupOrNew(q.GroupID, c.now())
	}
	env := c.consumerEnv(s, q.GroupID)
	env.Client, env.NewID = client, func() string { return id }
	cg, before, end, err := s.consumerGroupFor(e, known, q, env)
	var change consumer.Change
	var resp *protocol.ConsumerGroupHeartbeatResponse
	if err == nil {
		change, resp, err = cg.g.Heartbeat(env, q)
	}
	if err != nil {
		if !known {
			s.forget(e)
		}
		s.later(func() { refuse(consumerCode(err), err.Error()) })
		return
	}
	s.change(e, change, cg, func(code protocol.ErrorCode) {
		if code != protocol.CodeNone {
			s.later(func() { refuse(code, "") })
			return
		}
		s.later(func() { done(resp) })
	}, before...)
	if end != nil && e.members == members(cg) {
		end()
	}
	s.maybeDowngrade(e, cg)
}

// consumerGroupFor returns the machine of the group. A member that joins gets a new one
// where there is no group, or a classic one: its conversion's records then go first, and end,
// if there is one, is to be called once they are appended.
func (s *shard) consumerGroupFor(e *entry, known bool, q *protocol.ConsumerGroupHeartbeatRequest, env *consumer.Env) (to *consumerGroup, before []journal.Record, end func(), err error) {
	join := q.MemberEpoch == consumer.EpochJoin
	switch m := e.members.(type) {
	case *consumerGroup:
		return m, nil, nil, nil
	case *classicGroup:
		switch {
		case join && m.size() == 0:
			return &consumerGroup{consumer.New(e.id)}, m.tombstones(e.id), nil, nil
		case join:
			return s.upgrade(e, m, env)
		}
	}
	if !known {
		return nil, nil, nil, &consumer.Error{Code: protocol.CodeGroupIDNotFound, Message: fmt.Sprintf("Consumer group %s not found.", e.id)}
	}
	return nil, nil, nil, notConsumer(e.id)
}

// ConsumerDescribe tells about a group of the new protocol. The error says what else it is.
func (c *Coordinator) ConsumerDescribe(group string) (protocol.ConsumerGroupDescribeResponseGroup, error) {
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		return protocol.ConsumerGroupDescribeResponseGroup{}, &consumer.Error{Code: code}
	}
	defer s.exit()
	e, ok := s.groups[group]
	if !ok {
		return protocol.ConsumerGroupDescribeResponseGroup{}, &consumer.Error{Code: protocol.CodeGroupIDNotFound, Message: fmt.Sprintf("Group %s not found.", group)}
	}
	cg, ok := e.members.(*consumerGroup)
	if !ok {
		return protocol.ConsumerGroupDescribeResponseGroup{}, notConsumer(group)
	}
	return cg.g.Describe(c.consumerEnv(s, group)), nil
}

// CodeOf is the code and the message of an error of ConsumerDescribe.
func CodeOf(err error) (protocol.ErrorCode, string) {
	if refusal, ok := errors.AsType[*consumer.Error](err); ok {
		return refusal.Code, refusal.Message
	}
	return protocol.CodeUnknownServerError, ""
}

// replayConsumer puts one record of a consumer group into force.
func (s *shard) replayConsumer(key, value []byte) error {
	r, err := journal.ReadConsumer(key, value)
	if err != nil {
		return err
	}
	e, known := s.groups[r.Group]
	cg, ok := (*consumerGroup)(nil), false
	if known {
		cg, ok = e.members.(*consumerGroup)
	}
	switch {
	case !ok && r.Deleted:
		return nil // of a group that is gone, or became a classic one
	case !ok:
		if known && e.members.size() > 0 {
			return fmt.Errorf("group %s is a classic group with members", r.Group)
		}
		e = s.groupOrNew(r.Group, s.c.now())
		cg = &consumerGroup{consumer.New(r.Group)}
		e.members = cg
	}
	cg.g.Replay(&r)
	if r.Kind == journal.KindConsumerGroup && r.Deleted && cg.g.Len() == 0 {
		e.members = &classicGroup{classic.New(s.c.now())}
		s.dropIfNothing(e)
	}
	return nil
}
