package broker

import (
	"github.com/millrace/millrace/broker/telemetry"
	"github.com/millrace/millrace/protocol"
)

// GetTelemetrySubscriptions, version 0 (KIP-714).
//
//   - What a client is to push follows from the client-metrics resources that match it; when
//     several do, from all of them, at the shortest of their intervals. None: no metrics,
//     and the client asks again after five minutes.
//   - A client without an instance id gets one.
//   - Asking again before the interval is over: THROTTLING_QUOTA_EXCEEDED.

func getTelemetrySubscriptions(r *request, q *protocol.GetTelemetrySubscriptionsRequest) protocol.Message {
	resp := &protocol.GetTelemetrySubscriptionsResponse{
		ThrottleTimeMs: r.charge(len(r.body)), AcceptedCompressionTypes: telemetry.Accepted,
		TelemetryMaxBytes: r.b.config().Broker.TelemetryMaxBytes, DeltaTemporality: true, RequestedMetrics: []string{},
	}
	told, code := r.b.telemetry.Get(r.telemetryIdentity(q.ClientInstanceID))
	resp.ClientInstanceID, resp.SubscriptionID, resp.PushIntervalMs = told.InstanceID, told.SubscriptionID, told.IntervalMs
	resp.RequestedMetrics = append(resp.RequestedMetrics, told.Metrics...)
	if resp.ErrorCode = code; code != protocol.CodeNone {
		r.b.metrics.refused(r.h.Key, code)
	}
	return resp
}

func (r *request) telemetryIdentity(id protocol.UUID) telemetry.Identity {
	return telemetry.Identity{
		InstanceID: id, ClientID: r.caller.ClientID, Software: r.s.software, SoftwareVersion: r.s.softwareVersion,
		Address: r.caller.Address.Addr().String(), Port: r.caller.Address.Port(),
	}
}
