package broker

import (
	"sync/atomic"

	"github.com/millrace/millrace/protocol"
)

// DeleteGroups, versions 0-2.
//
//   - A group with members: NON_EMPTY_GROUP; none of that name: GROUP_ID_NOT_FOUND. Each group
//     has its own code.
//   - Answered when the deletions are in __consumer_offsets.
//   - Authorization: Delete on the group.

func deleteGroups(r *request, q *protocol.DeleteGroupsRequest, l *later) {
	resp := new(protocol.DeleteGroupsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	resp.Results = make([]protocol.DeleteGroupsResponseResult, len(q.GroupsNames))
	var left atomic.Int32
	left.Store(int32(len(q.GroupsNames)) + 1)
	answered := func() {
		if left.Add(-1) == 0 {
			l.answer(resp)
		}
	}
	for i, id := range q.GroupsNames {
		out := &resp.Results[i]
		out.GroupID = id
		done := func(code protocol.ErrorCode) {
			out.ErrorCode = code
			l.r.refused(code)
			answered()
		}
		if !r.groupAllowed(OpDelete, id) {
			done(protocol.CodeGroupAuthorizationFailed)
			continue
		}
		r.b.groups.Delete(id, done)
	}
	answered()
}
