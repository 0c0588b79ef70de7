package broker

import (
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// OffsetCommit, versions 2-10.
//
//   - Answered when the offsets are in __consumer_offsets, as acks=all means it.
//   - A commit by no member (generation -1) is taken while the group has none.
//   - A topic or partition that does not exist: UNKNOWN_TOPIC_OR_PARTITION. Topic ids from
//     version 10 on: UNKNOWN_TOPIC_ID.
//   - A retention time (versions 2-4) makes these offsets expire by it alone.
//   - Authorization: Read on the group (for all), Read on each topic.

func offsetCommit(r *request, q *protocol.OffsetCommitRequest, l *later) {
	resp := new(protocol.OffsetCommitResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	commit := &group.CommitRequest{
		MemberID: q.MemberID, InstanceID: q.GroupInstanceID.Value, Generation: q.GenerationIDOrMemberEpoch, RetentionMs: q.RetentionTimeMs,
	}
	if r.h.Version > 4 {
		commit.RetentionMs = -1
	}
	allowed := r.groupAllowed(OpRead, q.GroupID)
	image := r.b.loader.Image()
	valid := 0
	for i := range q.Topics {
		t := &q.Topics[i]
		name, code := r.commitTopic(image, t, allowed)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := group.CommitOffset{
				Topic: name, Partition: p.PartitionIndex, Offset: p.CommittedOffset, LeaderEpoch: p.CommittedLeaderEpoch, Metadata: p.CommittedMetadata.Value, Code: code,
			}
			if code == protocol.CodeNone && !hasPartition(image, name, p.PartitionIndex) {
				o.Code = protocol.CodeUnknownTopicOrPartition
			}
			if o.Code == protocol.CodeNone {
				valid++
			}
			commit.Offsets = append(commit.Offsets, o)
		}
	}
	done := func() {
		r.committed(q, commit, resp)
		l.answer(resp)
	}
	if valid == 0 {
		done()
		return
	}
	r = &l.r // done may be called when the session serves other requests
	r.b.groups.Commit(q.GroupID, commit, done)
}

// commitTopic is the name of a topic, and what is wrong with it.
func (r *request) commitTopic(image *metadata.Image, t *protocol.OffsetCommitRequestTopic, groupAllowed bool) (string, protocol.ErrorCode) {
	name := t.Name
	if r.h.Version >= 10 {
		known, ok := image.TopicByID(t.TopicID)
		if !ok {
			return "", protocol.CodeUnknownTopicID
		}
		name = known.Name
	}
	switch {
	case !groupAllowed:
		return name, protocol.CodeGroupAuthorizationFailed
	case !r.b.auth.Allowed(r.caller, OpRead, ResourceTopic, name):
		return name, protocol.CodeTopicAuthorizationFailed
	}
	return name, protocol.CodeNone
}

func hasPartition(image *metadata.Image, topic string, partition int32) bool {
	t, ok := image.Topic(topic)
	return ok && partition >= 0 && int(partition) < len(t.Partitions)
}

// committed fills the response in, in the order of the request.
func (r *request) committed(q *protocol.OffsetCommitRequest, commit *group.CommitRequest, resp *protocol.OffsetCommitResponse) {
	next := 0
	resp.Topics = make([]protocol.OffsetCommitResponseTopic, len(q.Topics))
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.OffsetCommitResponseTopic{Name: t.Name, TopicID: t.TopicID, Partitions: make([]protocol.OffsetCommitResponsePartition, len(t.Partitions))}
		for j := range t.Partitions {
			code := commit.Offsets[next].Code
			next++
			r.refused(code)
			out.Partitions[j] = protocol.OffsetCommitResponsePartition{PartitionIndex: t.Partitions[j].PartitionIndex, ErrorCode: code}
		}
		resp.Topics[i] = out
	}
}
