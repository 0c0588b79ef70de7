package broker

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// FindCoordinator, versions 0-6.
//
//   - Groups (key type 0): the leader of the group's partition of __consumer_offsets. The
//     first request makes that topic, and is answered when groups can be served.
//   - Transactional ids (key type 1): UNSUPPORTED_VERSION, as InitProducerId answers them.
//   - Several keys at once from version 4 on, each with its own error.
//   - No coordinator to be had at the moment: COORDINATOR_NOT_AVAILABLE, which clients
//     repeat. Authorization: Describe on the group.

func findCoordinator(r *request, q *protocol.FindCoordinatorRequest) protocol.Message {
	resp := new(protocol.FindCoordinatorResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if r.h.Version < 4 {
		c := r.coordinatorOf(q.KeyType, q.Key)
		resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = c.ErrorCode, c.ErrorMessage, c.NodeID, c.Host, c.Port
		return resp
	}
	resp.Coordinators = make([]protocol.FindCoordinatorResponseCoordinator, 0, len(q.CoordinatorKeys))
	for _, key := range q.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, r.coordinatorOf(q.KeyType, key))
	}
	return resp
}

// Key types of FindCoordinator.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

func (r *request) coordinatorOf(keyType int8, key string) protocol.FindCoordinatorResponseCoordinator {
	out := protocol.FindCoordinatorResponseCoordinator{Key: key, NodeID: -1, Port: -1}
	fail := func(err error) protocol.FindCoordinatorResponseCoordinator {
		out.ErrorCode, out.ErrorMessage = r.answer(err, "key", key)
		return out
	}
	switch {
	case keyType == coordinatorOfTransaction:
		return fail(errTransactions)
	case keyType != coordinatorOfGroup:
		return fail(&codedError{protocol.CodeInvalidRequest, "the type of the coordinator's key is not known: 0 (group) is"})
	case !r.groupAllowed(OpDescribe, key):
		return fail(errGroupDenied)
	}
	t, err := r.b.offsetsTopic()
	if err != nil {
		r.b.log.Warn("no group coordinator", "group", key, "client", r.caller.ClientID, "err", err)
		return fail(&codedError{protocol.CodeCoordinatorNotAvailable, ""})
	}
	p := &t.Partitions[journal.Partition(key, int32(len(t.Partitions)))]
	if of, alive := r.b.loader.Image().Broker(p.Leader); alive {
		if host, port, ok := r.s.endpoint(of); ok {
			out.NodeID, out.Host, out.Port = of.ID, host, port
			return out
		}
	}
	return fail(&codedError{protocol.CodeCoordinatorNotAvailable, "the group's partition has no leader with an address for this listener"})
}
