package broker

import "github.com/millrace/millrace/protocol"

// UnregisterBroker, version 0.
//
//   - A broker that is not registered: BROKER_ID_NOT_REGISTERED.
//   - A registration ends with its broker, so that one that is there belongs to a broker that
//     runs: INVALID_REQUEST.

func unregisterBroker(r *request, q *protocol.UnregisterBrokerRequest) protocol.Message {
	resp := new(protocol.UnregisterBrokerResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	err := error(errClusterDenied)
	if r.b.auth.Allowed(r.caller, OpAlter, ResourceCluster, clusterName) {
		err = r.b.controller.UnregisterBroker(q.BrokerID)
	}
	resp.ErrorCode, resp.ErrorMessage = r.answer(err)
	return resp
}
