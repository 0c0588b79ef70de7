package broker

import (
	"github.com/millrace/millrace/broker/telemetry"
	"github.com/millrace/millrace/protocol"
)

// PushTelemetry, version 0 (KIP-714).
//
//   - The metrics appear on /metrics until the client is silent for three intervals.
//   - Larger than telemetry.max.bytes: TELEMETRY_TOO_LARGE; no OTLP, or eight times as much
//     when decompressed: INVALID_RECORD; too early: THROTTLING_QUOTA_EXCEEDED; after the
//     subscriptions changed: UNKNOWN_SUBSCRIPTION_ID.
//   - Nothing may follow a push that says it is the client's last.

func pushTelemetry(r *request, q *protocol.PushTelemetryRequest) protocol.Message {
	resp := &protocol.PushTelemetryResponse{ThrottleTimeMs: r.charge(len(r.body))}
	resp.ErrorCode = r.b.telemetry.Push(r.telemetryIdentity(q.ClientInstanceID), telemetry.Payload{
		SubscriptionID: q.SubscriptionID, Terminating: q.Terminating, Codec: q.CompressionType, Metrics: q.Metrics,
		MaxBytes: int(r.b.config().Broker.TelemetryMaxBytes),
	})
	if resp.ErrorCode != protocol.CodeNone {
		r.b.metrics.refused(r.h.Key, resp.ErrorCode)
	}
	return resp
}
