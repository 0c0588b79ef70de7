package cli

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Moving is a reassignment that is under way.
type Moving struct{ Replicas, Adding, Removing []int32 }

// Reassignments lists what moves among partitions; nil is all of the cluster.
func Reassignments(ctx context.Context, client *kgo.Client, partitions []Partition) (map[Partition]Moving, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis = 30_000
	for _, p := range partitions {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewListPartitionReassignmentsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	if partitions != nil && len(partitions) == 0 {
		return nil, nil
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := NewBrokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return nil, err
	}
	out := map[Partition]Moving{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out[Partition{t.Topic, p.Partition}] = Moving{p.Replicas, p.AddingReplicas, p.RemovingReplicas}
		}
	}
	return out, nil
}
