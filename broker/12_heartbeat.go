package broker

import "github.com/millrace/millrace/protocol"

// Heartbeat, versions 0-4.
//
//   - REBALANCE_IN_PROGRESS asks the member to join again. While groups are loaded the
//     answer is no error: nothing is known against the member.
//   - Authorization: Read on the group.

// heartbeatOp is the room for a request and its answer, which a connection keeps: each member
// sends one every few seconds, and there may be many thousand members.
type heartbeatOp struct {
	in  protocol.HeartbeatRequest
	out protocol.HeartbeatResponse
}

func serveHeartbeat(r *request) error {
	q, resp := &r.s.heartbeat.in, &r.s.heartbeat.out
	if err := q.DecodeInterned(r.body, r.h.Version, &r.s.names); err != nil {
		return err
	}
	r.open()
	*resp = protocol.HeartbeatResponse{ThrottleTimeMs: r.charge(len(r.body))}
	if r.groupAllowed(OpRead, q.GroupID) {
		resp.ErrorCode = r.b.groups.Heartbeat(q.GroupID, q.MemberID, q.GroupInstanceID.Value, q.GenerationID)
	} else {
		resp.ErrorCode = protocol.CodeGroupAuthorizationFailed
	}
	r.refused(resp.ErrorCode)
	r.respond(resp)
	return nil
}
