package broker

import (
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
)

// OffsetDelete, version 0.
//
//   - Offsets of a topic that members of a consumer group read: GROUP_SUBSCRIBED_TO_TOPIC.
//     Members of another kind: NON_EMPTY_GROUP for all.
//   - An offset that is not there is deleted without error; a partition that does not exist:
//     UNKNOWN_TOPIC_OR_PARTITION.
//   - Answered when the deletions are in __consumer_offsets.
//   - Authorization: Delete on the group, Read on each topic.

func offsetDelete(r *request, q *protocol.OffsetDeleteRequest, l *later) {
	resp := new(protocol.OffsetDeleteResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	fail := func(code protocol.ErrorCode) {
		resp.ErrorCode = code
		l.r.refused(code)
		l.answer(resp)
	}
	if !r.groupAllowed(OpDelete, q.GroupID) {
		fail(protocol.CodeGroupAuthorizationFailed)
		return
	}
	image := r.b.loader.Image()
	topics := make([]protocol.OffsetDeleteResponseTopic, len(q.Topics))
	var which []offsets.TopicPartition
	var at []*protocol.ErrorCode // where the code of each of which goes
	for i := range q.Topics {
		t := &q.Topics[i]
		topics[i] = protocol.OffsetDeleteResponseTopic{Name: t.Name, Partitions: make([]protocol.OffsetDeleteResponsePartition, len(t.Partitions))}
		allowed := r.b.auth.Allowed(r.caller, OpRead, ResourceTopic, t.Name)
		for j := range t.Partitions {
			out := &topics[i].Partitions[j]
			out.PartitionIndex = t.Partitions[j].PartitionIndex
			switch {
			case !allowed:
				out.ErrorCode = protocol.CodeTopicAuthorizationFailed
			case !hasPartition(image, t.Name, out.PartitionIndex):
				out.ErrorCode = protocol.CodeUnknownTopicOrPartition
			default:
				which, at = append(which, offsets.TopicPartition{Topic: t.Name, Partition: out.PartitionIndex}), append(at, &out.ErrorCode)
			}
			r.refused(out.ErrorCode)
		}
	}
	r.b.groups.DeleteOffsets(q.GroupID, which, func(code protocol.ErrorCode, codes []protocol.ErrorCode) {
		if code != protocol.CodeNone {
			fail(code)
			return
		}
		for i, c := range codes {
			*at[i] = c
			l.r.refused(c)
		}
		resp.Topics = topics
		l.answer(resp)
	})
}
