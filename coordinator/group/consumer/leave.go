package consumer

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// leave handles a heartbeat by which a member leaves. A static one may announce that it
// will be back: it then keeps its partitions for the length of its session. Kafka wants its
// instance id in the request; clients leave it out (franz-go 1.22), and it is known.
func (s *step) leave(q *protocol.ConsumerGroupHeartbeatRequest) (*protocol.ConsumerGroupHeartbeatResponse, error) {
	g := s.g
	m := g.members[q.MemberID]
	if q.InstanceID.Valid {
		m = g.members[g.static[q.InstanceID.Value]]
		switch {
		case m == nil:
			return nil, unknownInstance(q.InstanceID.Value)
		case m.ID != q.MemberID:
			return nil, fencedInstance(q.MemberID, q.InstanceID.Value, m.ID)
		}
	}
	if m == nil {
		return nil, unknownMember(g.id, q.MemberID)
	}
	resp := protocol.ConsumerGroupHeartbeatResponse{}
	resp.MemberID, resp.MemberEpoch = protocol.Str(m.ID), q.MemberEpoch
	if q.MemberEpoch == EpochLeaveStatic {
		if m.InstanceID == "" {
			return nil, invalid("InstanceId can't be null.")
		}
		away := *m
		away.Epoch, away.Pending = EpochLeaveStatic, nil
		s.record(currentRecord(g.id, &away))
		return &resp, nil
	}
	s.remove([]*Member{m})
	return &resp, nil
}

// remove takes members out and raises the group's epoch, so that the next heartbeat of
// another one makes a new target assignment.
func (s *step) remove(members []*Member) {
	left := make(map[string]int)
	for _, m := range members {
		s.removeRecords(m)
		if m.Regex != "" {
			if left[m.Regex]++; left[m.Regex] == s.g.regexMembers[m.Regex] {
				s.forget(m.Regex)
			}
		}
	}
	if topics := s.subscribedTopics(nil, members); !sameTopics(topics, s.g.topics) {
		s.record(topicsRecord(s.g.id, topics))
	}
	s.record(epochRecord(s.g.id, false, s.g.epoch+1))
}

func (s *step) removeRecords(m *Member) {
	s.record(tombstone(journal.KindConsumerCurrent, s.g.id, m.ID))
	s.record(tombstone(journal.KindConsumerTarget, s.g.id, m.ID))
	s.record(tombstone(journal.KindConsumerMember, s.g.id, m.ID))
}
