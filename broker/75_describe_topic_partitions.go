package broker

import (
	"slices"

	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// DescribeTopicPartitions, version 0.
//
//   - Topics by name, sorted, each once; an empty list asks for all that the caller may see.
//     Nothing is created.
//   - At most as many partitions as asked for, as max.request.partition.size.limit allows,
//     and at least one; the cursor of the answer is where the next request goes on. A topic
//     that is gone by then is skipped.
//   - Eligible leader replicas are null: the cluster does not track them.

func describeTopicPartitions(r *request, q *protocol.DescribeTopicPartitionsRequest) protocol.Message {
	resp := new(protocol.DescribeTopicPartitionsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	img := r.b.loader.Image()
	names, first := r.pageOf(img, q)
	left := max(min(int(q.ResponsePartitionLimit), int(r.b.config().Broker.PartitionsPerAnswer)), 1)
	if q.Cursor != nil && q.Cursor.PartitionIndex < 0 {
		// The response has no field for the error of a request.
		return r.badCursor(resp, names)
	}
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = &protocol.DescribeTopicPartitionsResponseNextCursor{TopicName: name}
			break
		}
		from := 0
		if q.Cursor != nil && name == q.Cursor.TopicName {
			from = int(first)
		}
		topic, next := r.partitionsOf(img, name, from, left)
		left -= len(topic.Partitions)
		resp.Topics = append(resp.Topics, topic)
		if next > 0 {
			resp.NextCursor = &protocol.DescribeTopicPartitionsResponseNextCursor{TopicName: name, PartitionIndex: int32(next)}
			break
		}
	}
	return resp
}

// pageOf is the topics from the cursor on, and the cursor's partition.
func (r *request) pageOf(img *metadata.Image, q *protocol.DescribeTopicPartitionsRequest) (names []string, first int32) {
	if len(q.Topics) == 0 {
		for _, t := range img.Topics() {
			if r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	for i := range q.Topics {
		names = append(names, q.Topics[i].Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if q.Cursor == nil {
		return names, 0
	}
	at, _ := slices.BinarySearch(names, q.Cursor.TopicName)
	return names[at:], q.Cursor.PartitionIndex
}

// badCursor answers a cursor that cannot be: INVALID_REQUEST for each topic.
func (r *request) badCursor(resp *protocol.DescribeTopicPartitionsResponse, names []string) protocol.Message {
	code, _ := r.answer(&codedError{code: protocol.CodeInvalidRequest})
	for _, name := range names {
		resp.Topics = append(resp.Topics, describedTopic(name, code))
	}
	return resp
}

func describedTopic(name string, code protocol.ErrorCode) protocol.DescribeTopicPartitionsResponseTopic {
	out := protocol.NewDescribeTopicPartitionsResponseTopic()
	out.Name, out.ErrorCode, out.IsInternal = protocol.Str(name), code, controller.Internal(name)
	return out
}

// partitionsOf describes at most so many partitions of a topic; next is the first that is
// left, 0 for none.
func (r *request) partitionsOf(img *metadata.Image, name string, from, most int) (out protocol.DescribeTopicPartitionsResponseTopic, next int) {
	if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, name) {
		return describedTopic(name, protocol.CodeTopicAuthorizationFailed), 0
	}
	t, ok := img.Topic(name)
	if !ok {
		code := protocol.CodeUnknownTopicOrPartition
		if !controller.ValidTopicName(name) {
			code = protocol.CodeInvalidTopicException
		}
		return describedTopic(name, code), 0
	}
	out = describedTopic(name, protocol.CodeNone)
	out.TopicID = t.ID
	out.TopicAuthorizedOperations = r.b.operations(r.caller, topicOperations[:], ResourceTopic, name)
	to := min(from+most, len(t.Partitions))
	for i := from; i < to; i++ {
		of := r.describePartition(img, t.Name, &t.Partitions[i])
		p := protocol.NewDescribeTopicPartitionsResponsePartition()
		p.ErrorCode, p.PartitionIndex, p.LeaderID, p.LeaderEpoch = of.ErrorCode, of.PartitionIndex, of.LeaderID, of.LeaderEpoch
		p.ReplicaNodes, p.IsrNodes, p.OfflineReplicas = of.ReplicaNodes, of.IsrNodes, of.OfflineReplicas
		out.Partitions = append(out.Partitions, p)
	}
	if to < len(t.Partitions) && to >= from {
		next = to
	}
	return out, next
}
