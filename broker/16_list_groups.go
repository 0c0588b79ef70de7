package broker

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/protocol"
)

// ListGroups, versions 0-5.
//
//   - Filters by state from version 4 on, by type from version 5 on, in any case of letters;
//     an empty filter takes all.
//   - COORDINATOR_LOAD_IN_PROGRESS beside the groups that are loaded, while some are not.
//   - Authorization: Describe on the cluster for all groups, else Describe on each.

func listGroups(r *request, q *protocol.ListGroupsRequest) protocol.Message {
	resp := new(protocol.ListGroupsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	all := r.b.auth.Allowed(r.caller, OpDescribe, ResourceCluster, clusterName)
	resp.Groups = []protocol.ListGroupsResponseGroup{}
	resp.ErrorCode = r.b.groups.Groups(func(g group.Info) bool {
		if listed(q.StatesFilter, g.State) && listed(q.TypesFilter, g.Kind.String()) && (all || r.groupAllowed(OpDescribe, g.ID)) {
			resp.Groups = append(resp.Groups, protocol.ListGroupsResponseGroup{GroupID: g.ID, ProtocolType: g.ProtocolType, GroupState: g.State, GroupType: g.Kind.String()})
		}
		return true
	})
	r.refused(resp.ErrorCode)
	return resp
}

func listed(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
