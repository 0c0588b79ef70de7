package wire

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// joined checks the generation that a JoinGroup reply announces.
func (c *Checker) joined(call *Call, q *kmsg.JoinGroupRequest, resp *kmsg.JoinGroupResponse) {
	if resp.ErrorCode != 0 {
		return
	}
	g := c.group(q.Group)
	// Beside members of the new protocol each has its own epoch as generation.
	if call.classic && len(g.members) == 0 && resp.Generation < call.generation {
		c.breaks("group %s: member %s joined generation %d after generation %d had been announced", q.Group, resp.MemberID, resp.Generation, call.generation)
	}
	g.generation = max(g.generation, resp.Generation)
}

// synced checks that nobody else has the partitions that a SyncGroup reply gives.
func (c *Checker) synced(call *Call, q *kmsg.SyncGroupRequest, resp *kmsg.SyncGroupResponse) {
	if resp.ErrorCode != 0 {
		return
	}
	var a kmsg.ConsumerMemberAssignment
	if len(resp.MemberAssignment) > 0 {
		if err := a.ReadFrom(resp.MemberAssignment); err != nil {
			c.breaks("group %s: the assignment of %s in generation %d cannot be read: %v", q.Group, q.MemberID, q.Generation, err)
			return
		}
	}
	g := c.group(q.Group)
	owners := g.owners[q.Generation]
	if owners == nil {
		owners = map[Partition]string{}
		g.owners[q.Generation] = owners
	}
	name := q.MemberID
	if q.InstanceID != nil {
		name = *q.InstanceID
	}
	given := Assigned{Generation: q.Generation}
	for _, t := range a.Topics {
		for _, index := range t.Partitions {
			p := Partition{t.Topic, index}
			if owner, ok := owners[p]; ok && owner != name {
				c.breaks("group %s: %s has two owners in generation %d: %s and %s", q.Group, p, q.Generation, owner, name)
			}
			owners[p] = name
			given.Partitions = append(given.Partitions, p)
		}
	}
	if !c.dead[call.Client] {
		g.byClient[call.Client] = given
	}
}

// heartbeatSent lets go of what a member of the new protocol says that it has no longer.
func (c *Checker) heartbeatSent(call *Call, q *kmsg.ConsumerGroupHeartbeatRequest) {
	g := c.group(q.Group)
	m := g.members[q.MemberID]
	if m == nil {
		return
	}
	switch {
	case q.MemberEpoch < 0:
		delete(g.members, q.MemberID)
		delete(g.byClient, call.Client)
	case q.MemberEpoch == 0:
		clear(m.holds)
	case q.Topics != nil:
		has := map[Partition]bool{}
		for _, t := range q.Topics {
			for _, index := range t.Partitions {
				has[Partition{c.topic("", t.TopicID), index}] = true
			}
		}
		for p := range m.holds {
			if !has[p] {
				delete(m.holds, p)
			}
		}
	}
}

const (
	codeUnknownMember = 25
	codeFencedEpoch   = 110
)

// heartbeatReplied checks that nobody else holds the partitions that a member of the new
// protocol is given.
func (c *Checker) heartbeatReplied(call *Call, q *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) {
	g := c.group(q.Group)
	id := q.MemberID
	if resp.MemberID != nil && id == "" {
		id = *resp.MemberID
	}
	if resp.ErrorCode == codeUnknownMember || resp.ErrorCode == codeFencedEpoch {
		delete(g.members, id)
		delete(g.byClient, call.Client)
	}
	if resp.ErrorCode != 0 || q.MemberEpoch < 0 || c.dead[call.Client] {
		return
	}
	m := g.members[id]
	if m == nil {
		m = &member{client: call.Client, holds: map[Partition]bool{}}
		g.members[id] = m
	}
	m.heard = call.at
	if resp.Assignment == nil {
		return
	}
	given := Assigned{}
	for _, t := range resp.Assignment.Topics {
		for _, index := range t.Partitions {
			p := Partition{c.topic("", t.TopicID), index}
			given.Partitions = append(given.Partitions, p)
			m.holds[p] = true
			for otherID, other := range g.members {
				if otherID != id && other.holds[p] && !c.gone(other) {
					c.breaks("group %s: %s is given to %s (%s) at epoch %d while %s (%s) has it", q.Group, p, id, call.Client, resp.MemberEpoch, otherID, other.client)
				}
			}
		}
	}
	g.byClient[call.Client] = given
}

// gone reports whether the broker may take a member for dead.
func (c *Checker) gone(m *member) bool {
	return c.dead[m.client] || time.Since(m.heard) > c.SessionTimeout
}
