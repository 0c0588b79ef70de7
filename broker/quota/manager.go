package quota

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
)

// Options are what a Manager is made of.
type Options struct {
	Clock      clock.Clock
	Client     Window // quota.window.*: bytes, requests, connections
	Controller Window // controller.quota.window.*
}

// Manager knows the quotas in force and what was used of them.
type Manager struct {
	o     Options
	start time.Time
	table atomic.Pointer[Table]

	throttles   [kinds]atomic.Int64
	throttledMs [kinds]atomic.Int64

	mu        sync.Mutex
	meters    map[meterKey]*meter
	addresses map[netip.Addr]*rate
	all       rate // connections of all addresses
	purgedMs  int64
}

type meterKey struct {
	kind Kind
	who  tags
}

// meter is the use of one kind by those who are measured together.
type meter struct {
	mu     sync.Mutex
	rate   rate
	bucket bucket
	usedMs int64
	dead   bool // forgotten; whoever holds it asks the Manager for its successor
}

// Client is a user and client id as a Table sees them.
type Client struct {
	table  *Table
	stale  atomic.Bool
	limits [kinds]limited
}

type limited struct {
	meter *meter // nil: no quota
	bound float64
	key   meterKey
}

// NewManager makes a Manager without quotas.
func NewManager(o Options) *Manager {
	return &Manager{o: o, start: o.Clock.Now(), meters: map[meterKey]*meter{}, addresses: map[netip.Addr]*rate{}}
}

// Set puts quotas in force; nil takes them away. What was used is not forgotten.
func (m *Manager) Set(t *Table) { m.table.Store(t) }

// Active tells whether there is any quota: one atomic load.
func (m *Manager) Active() bool { return m.table.Load() != nil }

func (m *Manager) nowMs() int64 { return m.o.Clock.Now().Sub(m.start).Milliseconds() }

// Resolve returns the client as the quotas in force see it: known, when that is still
// true, else a new one; nil without quotas.
func (m *Manager) Resolve(known *Client, user, clientID string) *Client {
	t := m.table.Load()
	if t == nil || known != nil && known.table == t && !known.stale.Load() {
		if t == nil {
			return nil
		}
		return known
	}
	c := &Client{table: t}
	now := m.nowMs()
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range kinds {
		bound, who, ok := t.find(k, user, clientID)
		if !ok {
			continue
		}
		key := meterKey{k, who}
		c.limits[k] = limited{meter: m.meterLocked(key, now), bound: bound, key: key}
	}
	return c
}

func (m *Manager) meterLocked(key meterKey, nowMs int64) *meter {
	mt := m.meters[key]
	if mt == nil {
		mt = &meter{usedMs: nowMs}
		m.meters[key] = mt
	}
	return mt
}

// Limits tells whether the client has a quota of this kind.
func (c *Client) Limits(k Kind) bool { return c.limits[k].meter != nil }

// use runs f on the client's meter of a kind, if it has a quota of that kind.
func (m *Manager) use(c *Client, k Kind, f func(mt *meter, bound float64, nowMs int64)) {
	l := &c.limits[k]
	if l.meter == nil {
		return
	}
	now := m.nowMs()
	for mt := l.meter; ; {
		mt.mu.Lock()
		if !mt.dead {
			mt.usedMs = now
			f(mt, l.bound, now)
			mt.mu.Unlock()
			return
		}
		mt.mu.Unlock()
		c.stale.Store(true)
		m.mu.Lock()
		mt = m.meterLocked(l.key, now)
		m.mu.Unlock()
	}
}

// Bytes counts bytes that a client produced or is about to be sent. Bytes of a fetch that
// is to be throttled are not counted: its answer has none.
func (m *Manager) Bytes(c *Client, k Kind, bytes int) (throttle time.Duration) {
	m.use(c, k, func(mt *meter, bound float64, nowMs int64) {
		mt.rate.record(m.o.Client, float64(bytes), nowMs)
		throttle = mt.rate.throttle(m.o.Client, bound, nowMs)
		if throttle > 0 && k == Fetch {
			mt.rate.record(m.o.Client, -float64(bytes), nowMs)
		}
	})
	return throttle
}

// Refund takes back the bytes of a fetch that another quota throttles.
func (m *Manager) Refund(c *Client, bytes int) {
	m.use(c, Fetch, func(mt *meter, _ float64, nowMs int64) {
		mt.rate.record(m.o.Client, -float64(bytes), nowMs)
	})
}

// MostFetched is the most bytes that a fetch may bring without being throttled for sure.
func (m *Manager) MostFetched(c *Client) int {
	l := &c.limits[Fetch]
	if l.meter == nil {
		return math.MaxInt
	}
	most := l.bound * float64(m.o.Client.Samples-1) * float64(m.o.Client.SampleMs) / 1000
	return int(min(most, math.MaxInt32))
}

// Requests tells how long a client that used too much time should be silent, one window at
// most.
func (m *Manager) Requests(c *Client) (throttle time.Duration) {
	m.use(c, Request, func(mt *meter, bound float64, nowMs int64) {
		throttle = min(mt.rate.throttle(m.o.Client, bound, nowMs), time.Duration(m.o.Client.SampleMs)*time.Millisecond)
	})
	return throttle
}

// Spent counts the time that a request of the client took.
func (m *Manager) Spent(c *Client, d time.Duration) {
	m.use(c, Request, func(mt *meter, _ float64, nowMs int64) {
		mt.rate.record(m.o.Client, 100*d.Seconds(), nowMs)
	})
}

// Mutate counts partitions that a request creates or deletes. Strict: it is refused, and
// not counted, while the bucket is in debt. The client is to be silent for throttle.
func (m *Manager) Mutate(c *Client, partitions int, strict bool) (throttle time.Duration, allowed bool) {
	allowed = true
	m.use(c, Mutation, func(mt *meter, bound float64, nowMs int64) {
		b := &mt.bucket
		b.refill(m.o.Controller, bound, nowMs)
		if strict && b.tokens < 0 {
			throttle, allowed = b.throttle(bound), false
			return
		}
		b.tokens -= float64(partitions)
		if !strict {
			throttle = b.throttle(bound)
		}
	})
	return throttle, allowed
}

// Throttled notes that a client was told to be silent.
func (m *Manager) Throttled(k Kind, d time.Duration) {
	m.throttles[k].Add(1)
	m.throttledMs[k].Add(d.Milliseconds())
}

// Throttles returns how often clients were silenced by a kind of quota, and for how long.
func (m *Manager) Throttles(k Kind) (count int64, total time.Duration) {
	return m.throttles[k].Load(), time.Duration(m.throttledMs[k].Load()) * time.Millisecond
}

// Kinds returns the kinds in order.
func Kinds() [kinds]Kind { return [...]Kind{Produce, Fetch, Request, Mutation} }
