package broker

import (
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// ListOffsets, versions 1-11.
//
//   - Timestamps: of a record, or -1 latest, -2 earliest, -3 of the largest timestamp
//     (version 7), -4 earliest local (8: the same as -2, nothing is tiered), -5 latest
//     tiered (9: none, offset -1). A special one below its version is
//     UNSUPPORTED_VERSION; the same partition twice is INVALID_REQUEST.
//   - Latest is the high watermark for consumers, or the last stable offset with
//     read_committed; the log end for a replica. A record at or above that bound does not
//     exist yet for the asker.
//   - Epochs as in Fetch; the answer carries the epoch of the offset from version 4 on.

// latestTieredTimestamp is answered here; the others are replication's.
const latestTieredTimestamp = -5

func listOffsets(r *request, q *protocol.ListOffsetsRequest) protocol.Message {
	resp := new(protocol.ListOffsetsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.ListOffsetsResponseTopic{Name: t.Name}
		denied := q.ReplicaID < 0 && !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Name)
		asked := make(map[int32]int, len(t.Partitions))
		for j := range t.Partitions {
			asked[t.Partitions[j].PartitionIndex]++
		}
		for j := range t.Partitions {
			want := &t.Partitions[j]
			p := protocol.NewListOffsetsResponsePartition()
			p.PartitionIndex = want.PartitionIndex
			err := error(errTopicDenied)
			if !denied {
				err = r.listOffset(q, t.Name, want, asked[want.PartitionIndex], &p)
			}
			p.ErrorCode, _ = r.answer(err, "topic", t.Name, "partition", want.PartitionIndex)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// listOffset answers for a partition that the request names so many times.
func (r *request) listOffset(q *protocol.ListOffsetsRequest, topic string, want *protocol.ListOffsetsRequestPartition, times int, out *protocol.ListOffsetsResponsePartition) error {
	if times > 1 {
		return &codedError{protocol.CodeInvalidRequest, "a partition stands twice in the request"}
	}
	v := r.h.Version
	switch ts := want.Timestamp; {
	case ts < latestTieredTimestamp, ts == latestTieredTimestamp && v < 9, ts == replication.EarliestLocalTimestamp && v < 8, ts == replication.MaxTimestamp && v < 7:
		return &codedError{protocol.CodeUnsupportedVersion, "this timestamp means nothing in this version of ListOffsets"}
	case ts == latestTieredTimestamp:
		_, err := r.b.manager.Get(topic, want.PartitionIndex)
		return err // no offset: nothing is tiered
	}
	return r.findOffset(q, topic, want, out)
}

func (r *request) findOffset(q *protocol.ListOffsetsRequest, topic string, want *protocol.ListOffsetsRequestPartition, out *protocol.ListOffsetsResponsePartition) error {
	p, err := r.b.manager.Get(topic, want.PartitionIndex)
	if err != nil {
		return err
	}
	found, err := p.ListOffset(replication.ListRequest{
		Timestamp: want.Timestamp, ReplicaID: q.ReplicaID, ReadCommitted: q.IsolationLevel == 1, CurrentLeaderEpoch: want.CurrentLeaderEpoch,
	})
	if err != nil {
		return err
	}
	out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, found.LeaderEpoch
	return nil
}
