package broker

import (
	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/protocol"
)

// ConsumerGroupDescribe, versions 0-1 (KIP-848).
//
//   - Version 1 tells which protocol a member speaks.
//   - GROUP_ID_NOT_FOUND for a group of the classic protocol, with a message that says so.
//   - Authorization: Describe on the group; a group that subscribes to a topic that the
//     client may not see is refused with TOPIC_AUTHORIZATION_FAILED.
//   - UNSUPPORTED_VERSION when group.coordinator.rebalance.protocols leaves out "consumer", or
//     the feature group.version is at 0 (57).

func consumerGroupDescribe(r *request, q *protocol.ConsumerGroupDescribeRequest) protocol.Message {
	resp := &protocol.ConsumerGroupDescribeResponse{ThrottleTimeMs: r.charge(len(r.body)), Groups: []protocol.ConsumerGroupDescribeResponseGroup{}}
	for _, id := range q.GroupIDs {
		g, err := r.describeConsumerGroup(id)
		if err != protocol.CodeNone {
			g.GroupID = id
			r.refused(err)
		} else if q.IncludeAuthorizedOperations {
			g.AuthorizedOperations = r.b.operations(r.caller, groupOperations[:], ResourceGroup, id)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func (r *request) describeConsumerGroup(id string) (protocol.ConsumerGroupDescribeResponseGroup, protocol.ErrorCode) {
	refuse := func(code protocol.ErrorCode, message string) (protocol.ConsumerGroupDescribeResponseGroup, protocol.ErrorCode) {
		g := protocol.NewConsumerGroupDescribeResponseGroup()
		g.ErrorCode, g.ErrorMessage = code, protocol.StrOrNull(message)
		g.Members = []protocol.ConsumerGroupDescribeResponseMember{}
		return g, code
	}
	switch {
	case !r.b.newGroups():
		return refuse(protocol.CodeUnsupportedVersion, "")
	case !r.groupAllowed(OpDescribe, id):
		return refuse(protocol.CodeGroupAuthorizationFailed, "")
	case id == "":
		return refuse(protocol.CodeInvalidGroupID, "")
	}
	g, err := r.b.groups.ConsumerDescribe(id)
	if err != nil {
		return refuse(group.CodeOf(err))
	}
	for i := range g.Members {
		for _, t := range g.Members[i].Assignment.TopicPartitions {
			if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.TopicName) {
				return refuse(protocol.CodeTopicAuthorizationFailed, "The described group uses topics that the client is not authorized to describe.")
			}
		}
	}
	return g, protocol.CodeNone
}
