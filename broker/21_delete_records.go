package broker

import "github.com/millrace/millrace/protocol"

// DeleteRecords, versions 0-2.
//
//   - Offset -1 means the high watermark. Beyond it: OFFSET_OUT_OF_RANGE.
//   - The answer is the new log start offset, also when the records were gone before.

func deleteRecords(r *request, q *protocol.DeleteRecordsRequest) protocol.Message {
	resp := new(protocol.DeleteRecordsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.DeleteRecordsResponseTopic{Name: t.Name}
		allowed := r.b.auth.Allowed(r.caller, OpDelete, ResourceTopic, t.Name)
		for _, want := range t.Partitions {
			p := protocol.DeleteRecordsResponsePartition{PartitionIndex: want.PartitionIndex, LowWatermark: -1}
			err := error(errTopicDenied)
			if allowed {
				p.LowWatermark, err = r.deleteRecords(t.Name, want.PartitionIndex, want.Offset)
			}
			if err != nil {
				p.LowWatermark = -1
			}
			p.ErrorCode, _ = r.answer(err, "topic", t.Name, "partition", want.PartitionIndex)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func (r *request) deleteRecords(topic string, index int32, offset int64) (int64, error) {
	p, err := r.b.manager.Get(topic, index)
	if err != nil {
		return -1, err
	}
	return p.DeleteRecords(offset)
}
