package broker

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/millrace/millrace/broker/telemetry"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// publishSubscriptions is a metadata.Publisher: the client-metrics resources of an image
// come into force.
func (b *Broker) publishSubscriptions(old, img *metadata.Image) {
	names := img.ClientMetricsNames()
	same := func(name string) bool { return maps.Equal(old.ClientMetrics(name), img.ClientMetrics(name)) }
	if slices.Equal(old.ClientMetricsNames(), names) && !slices.ContainsFunc(names, func(name string) bool { return !same(name) }) {
		return
	}
	all := make([]telemetry.Subscription, 0, len(names))
	for _, name := range names {
		s := b.config().ClientMetrics(img.ClientMetrics(name))
		all = append(all, telemetry.Subscription{IntervalMs: s.IntervalMs, Metrics: s.Metrics, Match: s.Match})
	}
	b.telemetry.Subscribe(all)
}

// randomUUID draws the id of a client instance (a random UUID, version 4).
func randomUUID(random func(n int64) int64) (id protocol.UUID) {
	for i := 0; i < len(id); i += 4 {
		binary.BigEndian.PutUint32(id[i:], uint32(random(1<<32)))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
