package cli

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timestamps that ListOffsets gives a meaning of their own.
const (
	Latest   = -1
	Earliest = -2
)

// Listed is the answer for one partition: the offset (-1 when no record is that young),
// or why there is none.
type Listed struct {
	At  int64
	Err error
}

// ListOffsets asks the leaders of partitions for the first offset at or after timestamp.
// Every partition has an answer when the error is nil.
func ListOffsets(ctx context.Context, client *kgo.Client, partitions []Partition, timestamp int64) (map[Partition]Listed, error) {
	out := make(map[Partition]Listed, len(partitions))
	if len(partitions) == 0 {
		return out, nil
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	index := map[string]int{}
	for _, p := range partitions {
		i, ok := index[p.Topic]
		if !ok {
			i = len(req.Topics)
			index[p.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p.Index, timestamp, -1
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			asked, ok := shard.Req.(*kmsg.ListOffsetsRequest)
			if !ok || ctx.Err() != nil {
				return nil, shard.Err
			}
			for _, t := range asked.Topics {
				for _, p := range t.Partitions {
					out[Partition{t.Topic, p.Partition}] = Listed{-1, shard.Err}
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				out[Partition{t.Topic, p.Partition}] = Listed{p.Offset, NewBrokerError(p.ErrorCode, nil)}
			}
		}
	}
	return out, nil
}
