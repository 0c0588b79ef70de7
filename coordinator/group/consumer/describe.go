package consumer

import (
	"github.com/millrace/millrace/protocol"
)

// Types of members, as ConsumerGroupDescribe tells them.
const (
	memberClassic  int8 = 0
	memberConsumer int8 = 1
)

// Describe tells all about the group. Error code, name and authorized operations are left
// to the caller.
func (g *Group) Describe(env *Env) protocol.ConsumerGroupDescribeResponseGroup {
	out := protocol.NewConsumerGroupDescribeResponseGroup()
	out.GroupID, out.GroupState = g.id, string(g.State())
	out.GroupEpoch, out.AssignmentEpoch = g.epoch, g.targetEpoch
	out.Members = []protocol.ConsumerGroupDescribeResponseMember{}
	members := g.Members()
	s := step{g: g, env: env}
	out.AssignorName = env.Config.Assignors[0].Name()
	if len(members) > 0 {
		out.AssignorName = s.preferredAssignor(members[0])
	}
	for _, m := range members {
		d := protocol.ConsumerGroupDescribeResponseMember{
			MemberID: m.ID, InstanceID: protocol.StrOrNull(m.InstanceID), RackID: protocol.StrOrNull(m.RackID), MemberEpoch: m.Epoch,
			ClientID: m.ClientID, ClientHost: m.ClientHost, SubscribedTopicNames: m.Topics, SubscribedTopicRegex: protocol.StrOrNull(m.Regex),
			MemberType: memberConsumer,
		}
		if m.Classic != nil {
			d.MemberType = memberClassic
		}
		d.Assignment.TopicPartitions = []protocol.ConsumerGroupDescribeResponseTopicPartition{}
		for _, id := range m.Assigned.Topics() {
			if name, ok := env.Topics.ByID(id); ok {
				d.Assignment.TopicPartitions = append(d.Assignment.TopicPartitions, protocol.ConsumerGroupDescribeResponseTopicPartition{TopicID: id, TopicName: name, Partitions: m.Assigned[id]})
			}
		}
		d.TargetAssignment.TopicPartitions = []protocol.ConsumerGroupDescribeResponseTargetAssignmentTopicPartition{}
		target := g.target[m.ID]
		for _, id := range target.Topics() {
			if name, ok := env.Topics.ByID(id); ok {
				d.TargetAssignment.TopicPartitions = append(d.TargetAssignment.TopicPartitions, protocol.ConsumerGroupDescribeResponseTargetAssignmentTopicPartition{TopicID: id, TopicName: name, Partitions: target[id]})
			}
		}
		out.Members = append(out.Members, d)
	}
	return out
}
