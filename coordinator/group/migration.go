package group

import (
	"fmt"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// This file is how a group changes its protocol while it has members
// (group.consumer.migration.policy): to the new one when a member of it joins a classic
// group, back when its last member of the new protocol is gone. A conversion is one write:
// what removes the group as it was, and the group as it is.

// write appends records and makes the change in memory: at once, when they are appended,
// or never, when they are refused. Answers wait until they are as safe as acks=all means.
// Both functions run with the lock held; done is called once.
func (s *shard) write(e *entry, records []journal.Record, apply func(), done func(code protocol.ErrorCode)) {
	ended, applied := false, false
	s.appendAll(e, records, func(_ int64, err error) {
		ended = true
		if err == nil && !applied {
			applied = true
			apply()
		}
		done(codeOf(err, protocol.CodeUnknownServerError))
	})
	if !ended {
		applied = true
		apply()
	}
}

// upgrade makes a group of the new protocol of a classic one with members. The records are
// those of the conversion; end is called when they are appended: it sends those who waited
// to join again.
func (s *shard) upgrade(e *entry, c *classicGroup, env *consumer.Env) (to *consumerGroup, records []journal.Record, end func(), err error) {
	switch {
	case !env.Config.Migration.Upgrade(), c.g.ProtocolType() != classic.ConsumerProtocol:
		return nil, nil, nil, notConsumer(e.id)
	case c.size() > env.Config.MaxSize:
		return nil, nil, nil, &consumer.Error{Code: protocol.CodeGroupMaxSizeReached, Message: fmt.Sprintf("Cannot upgrade classic group %s to consumer group: it has %d members, and group.consumer.max.size is %d.", e.id, c.size(), env.Config.MaxSize)}
	}
	members := make([]consumer.ClassicMember, 0, c.size())
	for _, m := range c.g.Members() {
		cm := consumer.ClassicMember{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost, RebalanceTimeoutMs: m.RebalanceTimeoutMs, SessionTimeoutMs: m.SessionTimeoutMs,
			Subscription: m.Metadata(c.g.Protocol()), Assignment: m.Assignment,
		}
		for _, p := range m.Protocols {
			cm.Protocols = append(cm.Protocols, journal.ClassicProtocol(p))
		}
		members = append(members, cm)
	}
	g, change, err := consumer.FromClassic(env, e.id, c.g.Generation(), members)
	if err != nil {
		return nil, nil, nil, err
	}
	end = func() {
		var out classic.Out
		c.g.Stop(protocol.CodeRebalanceInProgress, &out)
		s.settle(e, c, &out)
		id, n := e.id, len(members)
		s.later(func() { s.c.o.Log.Info("group: it speaks the new protocol now", "group", id, "classic members", n) })
	}
	return &consumerGroup{g}, append(c.tombstones(e.id), encoded(change.Records)...), end, nil
}

func notConsumer(group string) error {
	return &consumer.Error{Code: protocol.CodeGroupIDNotFound, Message: fmt.Sprintf("Group %s is not a consumer group.", group)}
}

// maybeDowngrade makes a classic group of one whose members all speak the classic protocol.
func (s *shard) maybeDowngrade(e *entry, c *consumerGroup) {
	env := s.c.consumerEnv(s, e.id)
	if e.members != members(c) || !c.g.BecomesClassic(env.Config, s.config().Classic.MaxSize) {
		return
	}
	list, name, err := c.g.ToClassic(env)
	if err != nil {
		id := e.id
		s.later(func() { s.c.o.Log.Error("a group cannot become a classic one", "group", id, "err", err) })
		return
	}
	now := s.c.now()
	v := journal.Group{ProtocolType: classic.ConsumerProtocol, Generation: c.g.TargetEpoch(), Protocol: name, Leader: list[0].ID, StateTimeMs: now.UnixMs}
	protocols := make(map[string][]classic.Protocol, len(list))
	for _, m := range list {
		v.Members = append(v.Members, journal.Member{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost, RebalanceTimeoutMs: m.RebalanceTimeoutMs,
			SessionTimeoutMs: m.SessionTimeoutMs, Subscription: m.Subscription, Assignment: m.Assignment,
		})
		for _, p := range m.Protocols {
			protocols[m.ID] = append(protocols[m.ID], classic.Protocol(p))
		}
	}
	to := &classicGroup{classic.Converted(&v, protocols)}
	s.write(e, append(c.tombstones(e.id), journal.GroupRecord(e.id, &v)), func() {
		e.members = to
		var out classic.Out
		to.g.Started(now, &s.config().Classic, &out)
		to.g.Rebalance(now, &s.config().Classic, "the last member of the new protocol is gone", &out)
		s.settle(e, to, &out)
	}, func(protocol.ErrorCode) {})
}

// toEmptyClassic makes an empty classic group of an empty one of the new protocol, for a
// member of the classic protocol that joins. then runs with the lock held, with an error
// when it did not come to it.
func (s *shard) toEmptyClassic(e *entry, c *consumerGroup, then func(code protocol.ErrorCode)) {
	s.appendAll(e, c.tombstones(e.id), func(_ int64, err error) {
		switch {
		case err != nil:
			then(codeOf(err, protocol.CodeUnknownServerError))
			return
		case e.members != members(c) || c.size() > 0:
			then(protocol.CodeRebalanceInProgress) // others came first
			return
		}
		e.members = &classicGroup{classic.New(s.c.now())}
		s.changed(e)
		then(protocol.CodeNone)
	})
}

// joinConsumer takes a JoinGroup to a group of the new protocol.
func (s *shard) joinConsumer(e *entry, c *consumerGroup, q *classic.JoinRequest, done func(classic.JoinAnswer)) {
	env := s.c.consumerEnv(s, e.id)
	env.Client = consumer.Client{ID: q.ClientID, Host: q.ClientHost}
	j := consumer.ClassicJoin{
		MemberID: q.MemberID, NewID: q.NewID, InstanceID: q.InstanceID, RequireKnownMember: q.RequireKnownMember, ProtocolType: q.ProtocolType,
		SessionTimeoutMs: q.SessionTimeoutMs, RebalanceTimeoutMs: q.RebalanceTimeoutMs,
	}
	for _, p := range q.Protocols {
		j.Protocols = append(j.Protocols, journal.ClassicProtocol(p))
	}
	change, joined, err := c.g.JoinClassic(env, &j)
	if err != nil {
		s.later(func() {
			done(classic.JoinAnswer{Code: consumerCode(err), Generation: -1, MemberID: joined.MemberID})
		})
		return
	}
	s.change(e, change, c, func(code protocol.ErrorCode) {
		a := classic.JoinAnswer{Generation: joined.Generation, ProtocolType: classic.ConsumerProtocol, Protocol: joined.Protocol, MemberID: joined.MemberID}
		if code != protocol.CodeNone {
			a = classic.JoinAnswer{Code: code, Generation: -1, MemberID: joined.MemberID}
		}
		s.later(func() { done(a) })
	})
	s.maybeDowngrade(e, c)
}

// syncConsumer takes a SyncGroup to a group of the new protocol.
func (s *shard) syncConsumer(e *entry, c *consumerGroup, q *classic.SyncRequest, done func(classic.SyncAnswer)) {
	change, assignment, err := c.g.SyncClassic(s.c.consumerEnv(s, e.id), q.MemberID, q.InstanceID, q.Generation, q.ProtocolType, q.Protocol)
	c.g.Apply(change)
	s.changed(e)
	a := classic.SyncAnswer{Code: consumerCode(err)}
	if err == nil {
		a.ProtocolType, a.Protocol, a.Assignment = q.ProtocolType, q.Protocol, assignment
	}
	s.later(func() { done(a) })
}

// heartbeatConsumer takes a Heartbeat to a group of the new protocol.
func (s *shard) heartbeatConsumer(e *entry, c *consumerGroup, memberID, instanceID string, generation int32) protocol.ErrorCode {
	change, err := c.g.HeartbeatClassic(s.c.consumerEnv(s, e.id), memberID, instanceID, generation)
	c.g.Apply(change)
	s.changed(e)
	return consumerCode(err)
}

// leaveConsumer takes a LeaveGroup to a group of the new protocol. It is answered when it is
// appended, as that of a classic group.
func (s *shard) leaveConsumer(e *entry, c *consumerGroup, leaving []classic.LeaveRequest) (protocol.ErrorCode, []protocol.ErrorCode) {
	list := make([]consumer.ClassicLeave, len(leaving))
	for i := range leaving {
		list[i] = consumer.ClassicLeave{MemberID: leaving[i].MemberID, InstanceID: leaving[i].InstanceID}
	}
	change, codes := c.g.LeaveClassic(s.c.consumerEnv(s, e.id), list)
	failed := protocol.CodeNone
	s.change(e, change, c, func(code protocol.ErrorCode) { failed = code })
	s.maybeDowngrade(e, c)
	return failed, codes
}
