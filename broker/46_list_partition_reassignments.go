package broker

import "github.com/millrace/millrace/protocol"

// ListPartitionReassignments, version 0.
//
//   - Only what is under way is listed: replicas do not move between brokers yet, and a
//     change of their order is done when it is answered. So the list is empty, also for
//     topics that do not exist, as in Kafka.

func listPartitionReassignments(r *request, _ *protocol.ListPartitionReassignmentsRequest) protocol.Message {
	resp := new(protocol.ListPartitionReassignmentsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceCluster, clusterName) {
		resp.ErrorCode, resp.ErrorMessage = r.answer(errClusterDenied)
	}
	return resp
}
