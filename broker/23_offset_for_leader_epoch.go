package broker

import "github.com/millrace/millrace/protocol"

// OffsetForLeaderEpoch, versions 2-4.
//
//   - Where the epoch ends in this leader's log; an epoch that the log does not know is
//     answered with the largest one below it (KIP-320). Unknown altogether: -1, -1.
//   - Asked by consumers (replica -1 or -2) and by followers.

func offsetForLeaderEpoch(r *request, q *protocol.OffsetForLeaderEpochRequest) protocol.Message {
	resp := new(protocol.OffsetForLeaderEpochResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.OffsetForLeaderEpochResponseTopic{Topic: t.Topic}
		allowed := r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Topic)
		for _, want := range t.Partitions {
			p := protocol.NewOffsetForLeaderEpochResponsePartition()
			p.Partition = want.Partition
			err := error(errTopicDenied)
			if allowed {
				p.LeaderEpoch, p.EndOffset, err = r.endOffset(t.Topic, &want)
			}
			if err != nil {
				p.LeaderEpoch, p.EndOffset = -1, -1
			}
			p.ErrorCode, _ = r.answer(err, "topic", t.Topic, "partition", want.Partition)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (r *request) endOffset(topic string, want *protocol.OffsetForLeaderEpochRequestPartition) (epoch int32, end int64, err error) {
	p, err := r.b.manager.Get(topic, want.Partition)
	if err != nil {
		return -1, -1, err
	}
	return p.EndOffsetForEpoch(want.LeaderEpoch, want.CurrentLeaderEpoch)
}
