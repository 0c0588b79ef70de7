package broker

import (
	"bytes"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// JoinGroup, versions 0-9.
//
//   - Version 0 has no rebalance timeout: its session timeout counts.
//   - MEMBER_ID_REQUIRED for a new dynamic member from version 4 on (KIP-394): it joins
//     again with the id that it is told.
//   - Static members from version 5 on (KIP-345); the leader may be told to skip the
//     assignment from version 9 on (KIP-814).
//   - The answer waits, as a parked slot, until the group has a new generation. When the
//     broker stops first it is NOT_COORDINATOR.
//   - Authorization: Read on the group.

func joinGroup(r *request, q *protocol.JoinGroupRequest, l *later) {
	throttle := r.charge(len(r.body))
	if !r.groupAllowed(OpRead, q.GroupID) {
		l.answer(l.joined(throttle, classic.JoinAnswer{Code: protocol.CodeGroupAuthorizationFailed, Generation: -1, MemberID: q.MemberID}))
		return
	}
	join := &classic.JoinRequest{
		MemberID: q.MemberID, InstanceID: q.GroupInstanceID.Value, ClientID: r.caller.ClientID, ClientHost: r.clientHost(), ProtocolType: q.ProtocolType,
		Protocols: make([]classic.Protocol, len(q.Protocols)), RebalanceTimeoutMs: q.RebalanceTimeoutMs, SessionTimeoutMs: q.SessionTimeoutMs,
		RequireKnownMember: r.h.Version >= 4, CanSkipAssignment: r.h.Version >= 9, Reason: q.Reason.Value,
	}
	if r.h.Version == 0 {
		join.RebalanceTimeoutMs = q.SessionTimeoutMs
	}
	for i := range q.Protocols {
		join.Protocols[i] = classic.Protocol{Name: q.Protocols[i].Name, Metadata: bytes.Clone(q.Protocols[i].Metadata)}
	}
	l.stop = func() protocol.Message {
		return l.joined(throttle, classic.JoinAnswer{Code: protocol.CodeNotCoordinator, Generation: -1, MemberID: join.MemberID})
	}
	r.b.groups.Join(q.GroupID, join, func(a classic.JoinAnswer) { l.answer(l.joined(throttle, a)) })
}

// joined is the response of a JoinGroup.
func (l *later) joined(throttle int32, a classic.JoinAnswer) protocol.Message {
	l.r.refused(a.Code)
	resp := &protocol.JoinGroupResponse{
		ThrottleTimeMs: throttle, ErrorCode: a.Code, GenerationID: a.Generation, ProtocolType: protocol.StrOrNull(a.ProtocolType),
		ProtocolName: protocol.StrOrNull(a.Protocol), Leader: a.Leader, SkipAssignment: a.SkipAssignment, MemberID: a.MemberID,
		Members: make([]protocol.JoinGroupResponseMember, len(a.Members)),
	}
	for i, m := range a.Members {
		resp.Members[i] = protocol.JoinGroupResponseMember{MemberID: m.ID, GroupInstanceID: protocol.StrOrNull(m.InstanceID), Metadata: m.Metadata}
	}
	return resp
}
