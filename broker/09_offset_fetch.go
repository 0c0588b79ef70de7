package broker

import (
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/protocol"
)

// OffsetFetch, versions 1-10.
//
//   - One group up to version 7, several from version 8 on. Null topics ask for all offsets of
//     a group (from version 2 on); those of topics that the client may not see are left out.
//   - What was never committed has offset -1, no error. So has a topic that does not exist,
//     but by id (version 10): UNKNOWN_TOPIC_ID.
//   - Errors of a group stand in each partition in version 1, else beside them.
//   - A member may name itself with its epoch from version 9 on; groups of the classic
//     protocol do not look at it.
//   - require_stable (version 7) has nothing to wait for: offsets of transactions are not served.
//   - Authorization: Describe on the group and on each topic.

func offsetFetch(r *request, q *protocol.OffsetFetchRequest) protocol.Message {
	resp := new(protocol.OffsetFetchResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if r.h.Version < 8 {
		r.fetchOffsetsOld(q, resp)
		return resp
	}
	resp.Groups = make([]protocol.OffsetFetchResponseGroup, len(q.Groups))
	for i := range q.Groups {
		resp.Groups[i] = r.fetchOffsets(&q.Groups[i])
	}
	return resp
}

// fetchOffsetsOld answers the versions with one group.
func (r *request) fetchOffsetsOld(q *protocol.OffsetFetchRequest, resp *protocol.OffsetFetchResponse) {
	g := protocol.OffsetFetchRequestGroup{GroupID: q.GroupID, MemberEpoch: -1}
	if q.Topics != nil {
		g.Topics = make([]protocol.OffsetFetchRequestGroupTopic, len(q.Topics))
		for i := range q.Topics {
			g.Topics[i] = protocol.OffsetFetchRequestGroupTopic{Name: q.Topics[i].Name, PartitionIndexes: q.Topics[i].PartitionIndexes}
		}
	}
	out := r.fetchOffsets(&g)
	if r.h.Version >= 2 {
		resp.ErrorCode = out.ErrorCode
	} else if out.ErrorCode != protocol.CodeNone {
		for i := range g.Topics {
			out.Topics = append(out.Topics, noOffsets(&g.Topics[i], out.ErrorCode))
		}
	}
	resp.Topics = make([]protocol.OffsetFetchResponseTopic, len(out.Topics))
	for i := range out.Topics {
		t := protocol.OffsetFetchResponseTopic{Name: out.Topics[i].Name, Partitions: make([]protocol.OffsetFetchResponsePartition, len(out.Topics[i].Partitions))}
		for j, p := range out.Topics[i].Partitions {
			t.Partitions[j] = protocol.OffsetFetchResponsePartition(p)
		}
		resp.Topics[i] = t
	}
}

// fetchOffsets answers for one group.
func (r *request) fetchOffsets(q *protocol.OffsetFetchRequestGroup) protocol.OffsetFetchResponseGroup {
	out := protocol.OffsetFetchResponseGroup{GroupID: q.GroupID}
	if !r.groupAllowed(OpDescribe, q.GroupID) {
		out.ErrorCode = protocol.CodeGroupAuthorizationFailed
		r.refused(out.ErrorCode)
		return out
	}
	ask := &group.FetchRequest{MemberID: q.MemberID.Value, MemberEpoch: q.MemberEpoch}
	var refused []protocol.OffsetFetchResponseGroupTopic
	if q.Topics != nil {
		ask.Topics = make([]group.FetchTopic, 0, len(q.Topics))
		for i := range q.Topics {
			name, code := r.fetchTopic(&q.Topics[i])
			if code != protocol.CodeNone {
				r.refused(code)
				refused = append(refused, noOffsets(&q.Topics[i], code))
				continue
			}
			ask.Topics = append(ask.Topics, group.FetchTopic{Name: name, Partitions: q.Topics[i].PartitionIndexes})
		}
	}
	topics, code := r.b.groups.Fetch(q.GroupID, ask)
	if code != protocol.CodeNone {
		out.ErrorCode = code
		r.refused(code)
		return out
	}
	for i := range topics {
		if t, ok := r.fetched(&topics[i], q.Topics == nil); ok {
			out.Topics = append(out.Topics, t)
		}
	}
	out.Topics = append(out.Topics, refused...)
	return out
}

func (r *request) fetchTopic(t *protocol.OffsetFetchRequestGroupTopic) (string, protocol.ErrorCode) {
	name := t.Name
	if r.h.Version >= 10 {
		known, ok := r.b.loader.Image().TopicByID(t.TopicID)
		if !ok {
			return "", protocol.CodeUnknownTopicID
		}
		name = known.Name
	}
	if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, name) {
		return "", protocol.CodeTopicAuthorizationFailed
	}
	return name, protocol.CodeNone
}

// fetched is the answer for one topic. Of all offsets of a group, those that cannot be named
// or may not be seen are left out.
func (r *request) fetched(t *group.FetchedTopic, all bool) (protocol.OffsetFetchResponseGroupTopic, bool) {
	out := protocol.OffsetFetchResponseGroupTopic{Name: t.Name, Partitions: make([]protocol.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))}
	if all && !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Name) {
		return out, false
	}
	if r.h.Version >= 10 {
		known, ok := r.b.loader.Image().Topic(t.Name)
		if !ok {
			return out, false
		}
		out.TopicID = known.ID
	}
	for i, p := range t.Partitions {
		out.Partitions[i] = protocol.OffsetFetchResponseGroupTopicPartition{
			PartitionIndex: p.Partition, CommittedOffset: p.Offset, CommittedLeaderEpoch: p.LeaderEpoch, Metadata: protocol.Str(p.Metadata),
		}
	}
	return out, true
}

// noOffsets is the answer for a topic that has none to tell.
func noOffsets(t *protocol.OffsetFetchRequestGroupTopic, code protocol.ErrorCode) protocol.OffsetFetchResponseGroupTopic {
	out := protocol.OffsetFetchResponseGroupTopic{Name: t.Name, TopicID: t.TopicID, Partitions: make([]protocol.OffsetFetchResponseGroupTopicPartition, len(t.PartitionIndexes))}
	for i, p := range t.PartitionIndexes {
		out.Partitions[i] = protocol.OffsetFetchResponseGroupTopicPartition{
			PartitionIndex: p, CommittedOffset: -1, CommittedLeaderEpoch: -1, Metadata: protocol.Str(""), ErrorCode: code,
		}
	}
	return out
}
