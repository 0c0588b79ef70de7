package broker

import (
	"github.com/millrace/millrace/coordinator/group/consumer"
	"github.com/millrace/millrace/protocol"
)

// ConsumerGroupHeartbeat, versions 0-1 (KIP-848).
//
//   - Version 0 lets the broker make the member's id; since version 1 clients make it, and
//     may subscribe by a regular expression, which is resolved here.
//   - Authorization: Read on the group and Describe on the topics that it names. A regular
//     expression matches only what the client may see.
//   - UNSUPPORTED_VERSION when group.coordinator.rebalance.protocols leaves out "consumer", or
//     the feature group.version is at 0 (57).

func consumerGroupHeartbeat(r *request, q *protocol.ConsumerGroupHeartbeatRequest, l *later) {
	throttle := r.charge(len(r.body))
	answer := func(resp *protocol.ConsumerGroupHeartbeatResponse) {
		resp.ThrottleTimeMs = throttle
		l.r.refused(resp.ErrorCode)
		l.answer(resp)
	}
	refuse := func(code protocol.ErrorCode) { answer(&protocol.ConsumerGroupHeartbeatResponse{ErrorCode: code}) }
	l.stop = func() protocol.Message {
		return &protocol.ConsumerGroupHeartbeatResponse{ThrottleTimeMs: throttle, ErrorCode: protocol.CodeNotCoordinator}
	}
	if !r.b.newGroups() {
		refuse(protocol.CodeUnsupportedVersion)
		return
	}
	if !r.groupAllowed(OpRead, q.GroupID) {
		refuse(protocol.CodeGroupAuthorizationFailed)
		return
	}
	for _, name := range q.SubscribedTopicNames {
		if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, name) {
			refuse(protocol.CodeTopicAuthorizationFailed)
			return
		}
	}
	b, caller := r.b, r.caller
	r.b.groups.ConsumerHeartbeat(q, consumer.Client{
		ID: caller.ClientID, Host: r.clientHost(), Version: r.h.Version,
		MayDescribe: func(name string) bool { return b.auth.Allowed(caller, OpDescribe, ResourceTopic, name) },
	}, answer)
}
