package broker

import "github.com/millrace/millrace/protocol"

// DescribeCluster, versions 0-2.
//
//   - Endpoint type (version 1) must be 1, brokers: the controller has no endpoint of its
//     own, type 2 is MISMATCHED_ENDPOINT_TYPE, others UNSUPPORTED_ENDPOINT_TYPE.
//   - Fenced brokers (version 2): there are none, a broker that is gone is not listed.

func describeCluster(r *request, q *protocol.DescribeClusterRequest) protocol.Message {
	b := r.b
	resp := protocol.NewDescribeClusterResponse()
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if r.h.Version >= 1 {
		resp.EndpointType = q.EndpointType
	}
	switch {
	case r.h.Version >= 1 && q.EndpointType == 2:
		resp.ErrorCode, resp.ErrorMessage = protocol.CodeMismatchedEndpointType, protocol.Str("this is a broker's endpoint; ask with endpoint type 1")
		return &resp
	case r.h.Version >= 1 && q.EndpointType != 1:
		resp.ErrorCode, resp.ErrorMessage = protocol.CodeUnsupportedEndpointType, protocol.Str("endpoint type "+itoa(int32(q.EndpointType))+" is not known; 1 means brokers")
		return &resp
	}
	img := b.loader.Image()
	resp.ClusterID = img.ClusterID()
	resp.ControllerID = img.Controller().BrokerID
	for _, of := range img.Brokers() {
		if host, port, ok := r.s.endpoint(of); ok {
			resp.Brokers = append(resp.Brokers, protocol.DescribeClusterResponseBroker{BrokerID: of.ID, Host: host, Port: port, Rack: protocol.StrOrNull(of.Rack)})
		}
	}
	if q.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = b.operations(r.caller, clusterOperations[:], ResourceCluster, clusterName)
	}
	return &resp
}
