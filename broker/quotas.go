package broker

import (
	"math"
	"net"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/broker/quota"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// clientQuotas is the Quota that enforces what AlterClientQuotas set.
type clientQuotas struct{ *quota.Manager }

func newQuotaManager(c *config.Broker, k clock.Clock) *quota.Manager {
	return quota.NewManager(quota.Options{
		Clock:      k,
		Client:     quota.Window{Samples: c.QuotaWindowNum, SampleMs: 1000 * c.QuotaWindowSeconds},
		Controller: quota.Window{Samples: c.ControllerQuotaWindowNum, SampleMs: 1000 * c.ControllerQuotaWindowSeconds},
	})
}

// publishQuotas is a metadata.Publisher: the quotas of an image come into force.
func (b *Broker) publishQuotas(old, img *metadata.Image) {
	if reflect.ValueOf(old.Quotas()).Pointer() == reflect.ValueOf(img.Quotas()).Pointer() {
		return // the very same map
	}
	b.limits.Set(quota.NewTable(img.Quotas(), func(path, key, value string) {
		b.log.Warn("a quota cannot be read and is not in force", "path", path, "key", key, "value", value)
	}))
}

// client is the caller as the quotas in force see it, nil without any.
func (q clientQuotas) client(c *Caller) *quota.Client {
	known := c.quotas.Load()
	now := q.Resolve(known, c.Principal.Name, c.ClientID)
	if now != known {
		c.quotas.Store(now)
	}
	return now
}

// Metered implements Quota.
func (q clientQuotas) Metered() bool { return q.Active() }

// Charge implements Quota. The longer silence counts, as in Kafka.
func (q clientQuotas) Charge(c *Caller, cost Cost) time.Duration {
	if !q.Active() {
		return 0
	}
	cl := q.client(c)
	if cl == nil {
		return 0
	}
	var bytes, requests time.Duration
	kind := quota.Produce
	switch cost.Key {
	case protocol.KeyFetch:
		kind = quota.Fetch
		fallthrough
	case protocol.KeyProduce:
		bytes = q.Bytes(cl, kind, cost.Bytes)
	}
	if !cost.Exempt {
		requests = q.Requests(cl)
	}
	switch {
	case bytes == 0 && requests == 0:
		return 0
	case bytes > requests:
		q.Throttled(kind, bytes)
		return bytes
	}
	if kind == quota.Fetch && bytes == 0 {
		q.Refund(cl, cost.Bytes)
	}
	q.Throttled(quota.Request, requests)
	return requests
}

// Spent implements Quota.
func (q clientQuotas) Spent(c *Caller, d time.Duration) {
	if cl := q.client(c); cl != nil {
		q.Manager.Spent(cl, d)
	}
}

// FetchLimit implements Quota.
func (q clientQuotas) FetchLimit(c *Caller) int {
	if !q.Active() {
		return math.MaxInt
	}
	cl := q.client(c)
	if cl == nil {
		return math.MaxInt
	}
	return q.MostFetched(cl)
}

// LimitsMutations implements Quota.
func (q clientQuotas) LimitsMutations(c *Caller) bool {
	cl := q.client(c)
	return cl != nil && cl.Limits(quota.Mutation)
}

// Mutate implements Quota.
func (q clientQuotas) Mutate(c *Caller, partitions int, strict bool) (time.Duration, bool) {
	cl := q.client(c)
	if cl == nil {
		return 0, true
	}
	d, allowed := q.Manager.Mutate(cl, partitions, strict)
	if d > 0 {
		q.Throttled(quota.Mutation, d)
	}
	return d, allowed
}

// mutations is the quota of one request that creates or deletes partitions.
type mutations struct {
	r        *request
	strict   bool
	throttle time.Duration
}

// mutations begins with a request; from version strictSince on, what is above the quota is
// refused, and before that the client is only told to wait.
func (r *request) mutations(strictSince int16) *mutations {
	return &mutations{r: r, strict: r.h.Version >= strictSince}
}

// limited tells whether there is a quota at all.
func (m *mutations) limited() bool { return m.r.b.quota.LimitsMutations(m.r.caller) }

var errThrottled = &codedError{code: protocol.CodeThrottlingQuotaExceeded}

// take counts partitions, or says that the quota is used up.
func (m *mutations) take(partitions int) error {
	d, allowed := m.r.b.quota.Mutate(m.r.caller, partitions, m.strict)
	m.throttle = max(m.throttle, d)
	if !allowed {
		return errThrottled
	}
	return nil
}

// told is the throttle time of the answer, at least what another quota asked for.
func (m *mutations) told(otherMs int32) (throttleMs int32) {
	return max(otherMs, m.r.throttle(m.throttle))
}

// maxDelayed bounds the connections that are refused by their address's rate and wait to
// be closed; others are closed at once.
const maxDelayed = 1000

// closeLater holds a refused connection open for a while, so that a peer that connects in
// a loop is slowed down.
func (b *Broker) closeLater(nc net.Conn, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing || len(b.delayed) >= maxDelayed {
		_ = nc.Close() // nothing was read from it
		return
	}
	b.delayed[nc] = b.clock.AfterFunc(d, func() {
		b.mu.Lock()
		delete(b.delayed, nc)
		b.mu.Unlock()
		_ = nc.Close()
	})
}

func (b *Broker) closeDelayedLocked() {
	for nc, t := range b.delayed {
		t.Stop()
		_ = nc.Close()
		delete(b.delayed, nc)
	}
}

var (
	quotaThrottled = desc("quota_throttled_total", "Requests whose sender was told to be silent, by the quota that was used up.", "quota")
	quotaSilence   = desc("quota_throttle_seconds_total", "Time for which senders of requests were told to be silent, by quota.", "quota")
)

func (s scrape) quotas(m *quota.Manager) {
	for _, k := range quota.Kinds() {
		count, total := m.Throttles(k)
		s.count(quotaThrottled, count, k.String())
		s.ch <- prometheus.MustNewConstMetric(quotaSilence, prometheus.CounterValue, total.Seconds(), k.String())
	}
}
