package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// AlterPartitionReassignments, versions 0-1.
//
//   - Replicas must be registered brokers, each once: INVALID_REPLICA_ASSIGNMENT. The same
//     ones are a success, in another order too: the first becomes the preferred leader.
//   - Null ends a reassignment; there is none: NO_REASSIGNMENT_IN_PROGRESS.
//   - Version 1 can forbid another replication factor: INVALID_REPLICATION_FACTOR.

func alterPartitionReassignments(r *request, q *protocol.AlterPartitionReassignmentsRequest) protocol.Message {
	b := r.b
	resp := protocol.NewAlterPartitionReassignmentsResponse()
	resp.ThrottleTimeMs = r.charge(len(r.body))
	resp.AllowReplicationFactorChange = q.AllowReplicationFactorChange
	if !b.auth.Allowed(r.caller, OpAlter, ResourceCluster, clusterName) {
		resp.ErrorCode, resp.ErrorMessage = r.answer(errClusterDenied)
		return &resp
	}
	var list []controller.Reassignment
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			p := &q.Topics[i].Partitions[j]
			list = append(list, controller.Reassignment{PartitionRef: controller.PartitionRef{Topic: q.Topics[i].Name, Partition: p.PartitionIndex}, Replicas: p.Replicas})
		}
	}
	errs, zxid := b.controller.Reassign(b.ctx, list, r.h.Version < 1 || q.AllowReplicationFactorChange)
	settled := b.settled(zxid)
	next := 0
	for i := range q.Topics {
		out := protocol.AlterPartitionReassignmentsResponseTopic{Name: q.Topics[i].Name}
		for range q.Topics[i].Partitions {
			err := errs[next]
			if err == nil {
				err = settled
			}
			p := protocol.AlterPartitionReassignmentsResponsePartition{PartitionIndex: list[next].Partition}
			p.ErrorCode, p.ErrorMessage = r.answer(err, "topic", out.Name, "partition", p.PartitionIndex)
			out.Partitions = append(out.Partitions, p)
			next++
		}
		resp.Responses = append(resp.Responses, out)
	}
	return &resp
}
