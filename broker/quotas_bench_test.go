package broker

import (
	"testing"

	"github.com/millrace/millrace/broker/quota"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
)

// BenchmarkQuota is what a Fetch asks of the quotas: nothing that limits anything, no quota
// set, and one that is far away.
func BenchmarkQuota(b *testing.B) {
	window := quota.Window{Samples: 11, SampleMs: 1000}
	manager := func() *quota.Manager {
		return quota.NewManager(quota.Options{Clock: clock.Real{}, Client: window, Controller: window})
	}
	limited := manager()
	limited.Set(quota.NewTable(map[metadata.QuotaEntity]map[string]string{
		{User: metadata.DefaultQuota()}: {metadata.ConsumerByteRate: "1e15"},
	}, nil))
	for name, q := range map[string]Quota{"AllowAll": AllowAll{}, "none": clientQuotas{manager()}, "one": clientQuotas{limited}} {
		b.Run(name, func(b *testing.B) {
			c := &Caller{Principal: anonymous, ClientID: "c"}
			b.ReportAllocs()
			for b.Loop() {
				if q.Metered() && name != "one" || q.FetchLimit(c) == 0 || q.Charge(c, Cost{Key: 1, Bytes: 1000}) != 0 {
					b.Fatal("throttled")
				}
			}
		})
	}
}
