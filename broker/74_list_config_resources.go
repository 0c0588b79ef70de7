package broker

import (
	"slices"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/protocol"
)

// ListConfigResources, versions 0-1.
//
//   - Version 0 lists the subscriptions to client metrics (it was called
//     ListClientMetricsResources); version 1 the types asked for, or all for none: topics,
//     brokers, broker loggers, client metrics, and the groups that have settings.
//   - Another type: UNSUPPORTED_VERSION, as in Kafka.

func listConfigResources(r *request, q *protocol.ListConfigResourcesRequest) protocol.Message {
	b := r.b
	resp := new(protocol.ListConfigResourcesResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if !b.auth.Allowed(r.caller, OpDescribeConfigs, ResourceCluster, clusterName) {
		resp.ErrorCode, _ = r.answer(errClusterDenied)
		return resp
	}
	all := []config.ResourceType{config.ResourceTopic, config.ResourceBroker, config.ResourceLogger, config.ResourceClientMetrics, config.ResourceGroup}
	kinds := all
	switch {
	case r.h.Version == 0:
		kinds = []config.ResourceType{config.ResourceClientMetrics}
	case len(q.ResourceTypes) > 0:
		kinds = nil
		for _, k := range q.ResourceTypes {
			kind := config.ResourceType(k)
			if !slices.Contains(all, kind) {
				resp.ErrorCode, _ = r.answer(&codedError{code: protocol.CodeUnsupportedVersion})
				return resp
			}
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	for _, kind := range kinds {
		for _, name := range r.configured(kind) {
			resp.ConfigResources = append(resp.ConfigResources, protocol.ListConfigResourcesResponseConfigResource{ResourceName: name, ResourceType: int8(kind)})
		}
	}
	return resp
}

// configured is the names of the resources of a type.
func (r *request) configured(kind config.ResourceType) []string {
	img := r.b.loader.Image()
	var names []string
	switch kind {
	case config.ResourceTopic:
		for _, t := range img.Topics() {
			names = append(names, t.Name)
		}
	case config.ResourceBroker, config.ResourceLogger:
		for _, b := range img.Brokers() {
			names = append(names, itoa(b.ID))
		}
	case config.ResourceClientMetrics:
		return img.ClientMetricsNames()
	case config.ResourceGroup:
		return img.ConfiguredGroups()
	}
	return names
}
