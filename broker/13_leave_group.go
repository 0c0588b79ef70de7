package broker

import (
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// LeaveGroup, versions 0-5.
//
//   - One member up to version 2, whose error is the request's; several from version 3 on,
//     each with its own (KIP-345). A static member may be named by its instance id alone.
//   - Authorization: Read on the group.

func leaveGroup(r *request, q *protocol.LeaveGroupRequest) protocol.Message {
	resp := new(protocol.LeaveGroupResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if !r.groupAllowed(OpRead, q.GroupID) {
		resp.ErrorCode = protocol.CodeGroupAuthorizationFailed
		r.refused(resp.ErrorCode)
		return resp
	}
	if r.h.Version < 3 {
		code, codes := r.b.groups.Leave(q.GroupID, []classic.LeaveRequest{{MemberID: q.MemberID}})
		if code == protocol.CodeNone {
			code = codes[0]
		}
		resp.ErrorCode = code
		r.refused(code)
		return resp
	}
	leaving := make([]classic.LeaveRequest, len(q.Members))
	for i, m := range q.Members {
		leaving[i] = classic.LeaveRequest{MemberID: m.MemberID, InstanceID: m.GroupInstanceID.Value, Reason: m.Reason.Value}
	}
	code, codes := r.b.groups.Leave(q.GroupID, leaving)
	resp.ErrorCode = code
	r.refused(code)
	if code != protocol.CodeNone {
		return resp
	}
	resp.Members = make([]protocol.LeaveGroupResponseMember, len(q.Members))
	for i, m := range q.Members {
		r.refused(codes[i])
		resp.Members[i] = protocol.LeaveGroupResponseMember{MemberID: m.MemberID, GroupInstanceID: m.GroupInstanceID, ErrorCode: codes[i]}
	}
	return resp
}
