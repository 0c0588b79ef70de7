package broker

import (
	"bytes"

	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// SyncGroup, versions 0-5.
//
//   - The leader brings the assignment; the others wait for it, as parked slots. It is in
//     __consumer_offsets before anybody is told.
//   - From version 5 on the protocol must be named, and be the group's:
//     INCONSISTENT_GROUP_PROTOCOL (KIP-559).
//   - Authorization: Read on the group.

func syncGroup(r *request, q *protocol.SyncGroupRequest, l *later) {
	throttle := r.charge(len(r.body))
	refuse := func(code protocol.ErrorCode) { l.answer(l.synced(throttle, classic.SyncAnswer{Code: code})) }
	switch {
	case !r.groupAllowed(OpRead, q.GroupID):
		refuse(protocol.CodeGroupAuthorizationFailed)
		return
	case r.h.Version >= 5 && (!q.ProtocolType.Valid || !q.ProtocolName.Valid):
		refuse(protocol.CodeInconsistentGroupProtocol)
		return
	}
	sync := &classic.SyncRequest{
		MemberID: q.MemberID, InstanceID: q.GroupInstanceID.Value, Generation: q.GenerationID,
		ProtocolType: q.ProtocolType.Value, Protocol: q.ProtocolName.Value,
	}
	if len(q.Assignments) > 0 {
		sync.Assignments = make(map[string][]byte, len(q.Assignments))
		for i := range q.Assignments {
			sync.Assignments[q.Assignments[i].MemberID] = bytes.Clone(q.Assignments[i].Assignment)
		}
	}
	l.stop = func() protocol.Message {
		return l.synced(throttle, classic.SyncAnswer{Code: protocol.CodeNotCoordinator})
	}
	r.b.groups.Sync(q.GroupID, sync, func(a classic.SyncAnswer) { l.answer(l.synced(throttle, a)) })
}

// synced is the response of a SyncGroup.
func (l *later) synced(throttle int32, a classic.SyncAnswer) protocol.Message {
	l.r.refused(a.Code)
	return &protocol.SyncGroupResponse{
		ThrottleTimeMs: throttle, ErrorCode: a.Code, ProtocolType: protocol.StrOrNull(a.ProtocolType), ProtocolName: protocol.StrOrNull(a.Protocol),
		Assignment: a.Assignment,
	}
}
