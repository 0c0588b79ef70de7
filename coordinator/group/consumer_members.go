package group

import (
	"errors"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
)

// consumerGroup is a group of the new protocol (KIP-848).
type consumerGroup struct{ g *consumer.Group }

func (c *consumerGroup) kind() Kind           { return Consumer }
func (c *consumerGroup) state() string        { return string(c.g.State()) }
func (c *consumerGroup) protocolType() string { return classic.ConsumerProtocol }
func (c *consumerGroup) generation() int32    { return c.g.Epoch() }
func (c *consumerGroup) size() int            { return c.g.Len() }
func (c *consumerGroup) wakeMs() int64        { return c.g.WakeMs() }

func (c *consumerGroup) tick(s *shard, e *entry, _ classic.Now) {
	env := s.c.consumerEnv(s, e.id)
	change, removed := c.g.Expire(env)
	for _, line := range removed {
		id := e.id
		s.later(func() { s.c.o.Log.Info("group: "+line, "group", id) })
	}
	s.change(e, change, c, func(protocol.ErrorCode) {})
	s.maybeDowngrade(e, c)
}

func (c *consumerGroup) loaded(s *shard, e *entry, _ classic.Now) {
	c.g.Loaded(s.c.consumerEnv(s, e.id))
	s.maybeDowngrade(e, c) // the settings may be others now
}

// unload has nobody to answer: no request of this protocol waits for another member.
func (c *consumerGroup) unload(*shard, *entry) {}

func (c *consumerGroup) checkCommit(memberID, _ string, epoch int32) protocol.ErrorCode {
	return consumerCode(c.g.CheckCommit(memberID, epoch))
}

// checkLate sets the codes of a commit in an epoch that its member has left meanwhile.
func (c *consumerGroup) checkLate(topics *topicView, q *CommitRequest) {
	for i := range q.Offsets {
		o := &q.Offsets[i]
		if o.Code != protocol.CodeNone {
			continue
		}
		if id, _, ok := topics.ByName(o.Topic); ok {
			o.Code = consumerCode(c.g.CheckLateCommit(q.MemberID, q.Generation, id, o.Partition))
		} else {
			o.Code = protocol.CodeStaleMemberEpoch
		}
	}
}

func (c *consumerGroup) committed(string, classic.Now) {}

func (c *consumerGroup) checkFetch(memberID string, epoch int32) protocol.ErrorCode {
	return consumerCode(c.g.CheckFetch(memberID, epoch))
}

func (c *consumerGroup) checkDelete() protocol.ErrorCode {
	if c.g.Len() > 0 {
		return protocol.CodeNonEmptyGroup
	}
	return protocol.CodeNone
}

func (c *consumerGroup) checkOffsetDelete() protocol.ErrorCode { return protocol.CodeNone }

func (c *consumerGroup) subscribed(topic string) bool { return c.g.Subscribed(topic) }

// retention: offsets age from their commit while no member reads their topic.
func (c *consumerGroup) retention() offsets.Rule {
	return offsets.Rule{SinceMs: -1, Subscribed: c.g.Subscribed}
}

func (c *consumerGroup) tombstones(string) []journal.Record { return encoded(c.g.Tombstones()) }

func encoded(list []journal.ConsumerRecord) []journal.Record {
	out := make([]journal.Record, len(list))
	for i := range list {
		out[i] = list[i].Record()
	}
	return out
}

// consumerCode is the code of a refusal by a consumer group.
func consumerCode(err error) protocol.ErrorCode {
	if err == nil {
		return protocol.CodeNone
	}
	if refusal, ok := errors.AsType[*consumer.Error](err); ok {
		return refusal.Code
	}
	return protocol.CodeUnknownServerError
}

// change writes what a step of a consumer group wants, and applies it. The group goes on at
// once, before replicas have it: what is appended is the group's state. before are records
// that go in front of them, in the same write. done is called once, with the lock held.
func (s *shard) change(e *entry, change consumer.Change, c *consumerGroup, done func(code protocol.ErrorCode), before ...journal.Record) {
	if len(change.Records) == 0 && len(before) == 0 {
		c.g.Apply(change)
		s.changed(e)
		done(protocol.CodeNone)
		return
	}
	s.write(e, append(before, encoded(change.Records)...), func() {
		c.g.Apply(change)
		e.members = c
		s.changed(e)
	}, done)
}
