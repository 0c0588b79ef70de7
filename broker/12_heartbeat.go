package broker

import "github.com/millrace/millrace/protocol"

// Heartbeat, versions 0-4.
//
//   - REBALANCE_IN_PROGRESS asks the member to join again. While groups are loaded the
//     answer is no error: nothing is known against the member.
//   - Authorization: Read on the group.

func heartbeat(r *request, q *protocol.HeartbeatRequest) protocol.Message {
	resp := new(protocol.HeartbeatResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if r.groupAllowed(OpRead, q.GroupID) {
		resp.ErrorCode = r.b.groups.Heartbeat(q.GroupID, q.MemberID, q.GroupInstanceID.Value, q.GenerationID)
	} else {
		resp.ErrorCode = protocol.CodeGroupAuthorizationFailed
	}
	r.refused(resp.ErrorCode)
	return resp
}
