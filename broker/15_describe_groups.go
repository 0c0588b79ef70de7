package broker

import (
	"math"

	"github.com/millrace/millrace/protocol"
)

// DescribeGroups, versions 0-6.
//
//   - A group that does not exist has state Dead and no error up to version 5, and
//     GROUP_ID_NOT_FOUND from version 6 on (KIP-1043), as has a group of another protocol.
//   - Metadata and assignments of members are those of a stable group.
//   - Authorized operations on request from version 3 on. Authorization: Describe on the group.

func describeGroups(r *request, q *protocol.DescribeGroupsRequest) protocol.Message {
	resp := new(protocol.DescribeGroupsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	resp.Groups = make([]protocol.DescribeGroupsResponseGroup, len(q.Groups))
	for i, id := range q.Groups {
		resp.Groups[i] = r.describeGroup(id, q.IncludeAuthorizedOperations)
	}
	return resp
}

func (r *request) describeGroup(id string, operations bool) protocol.DescribeGroupsResponseGroup {
	out := protocol.DescribeGroupsResponseGroup{GroupID: id, AuthorizedOperations: math.MinInt32}
	if !r.groupAllowed(OpDescribe, id) {
		out.ErrorCode = protocol.CodeGroupAuthorizationFailed
		r.refused(out.ErrorCode)
		return out
	}
	if operations {
		out.AuthorizedOperations = r.b.operations(r.caller, groupOperations[:], ResourceGroup, id)
	}
	d, code := r.b.groups.Describe(id)
	switch {
	case code == protocol.CodeGroupIDNotFound:
		out.GroupState = "Dead"
		if r.h.Version >= 6 {
			out.ErrorCode, out.ErrorMessage = code, protocol.Str("Group "+id+" not found.")
			r.refused(code)
		}
		return out
	case code != protocol.CodeNone:
		out.ErrorCode = code
		r.refused(code)
		return out
	}
	out.GroupState, out.ProtocolType, out.ProtocolData = d.State, d.ProtocolType, d.Protocol
	out.Members = make([]protocol.DescribeGroupsResponseMember, len(d.Members))
	for i, m := range d.Members {
		out.Members[i] = protocol.DescribeGroupsResponseMember{
			MemberID: m.ID, GroupInstanceID: protocol.StrOrNull(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost,
			MemberMetadata: m.Metadata, MemberAssignment: m.Assignment,
		}
	}
	return out
}
