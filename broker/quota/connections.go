package quota

import (
	"math"
	"net/netip"
	"time"
)

// Connect counts a new connection against the limit of all (perSecond, MaxInt32 for none).
// The listener that took it should wait for as long as is returned, one window at most.
func (m *Manager) Connect(perSecond int) time.Duration {
	if perSecond == math.MaxInt32 {
		return 0
	}
	now := m.nowMs()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all.record(m.o.Client, 1, now)
	return m.bounded(&m.all, float64(perSecond), now)
}

// Admit counts a new connection against its address's quota. A connection above it is not
// to be served but closed after the time that is returned; it is counted nowhere.
func (m *Manager) Admit(a netip.Addr) time.Duration {
	t := m.table.Load()
	if t == nil {
		return 0
	}
	bound := t.ofAddress(a)
	if math.IsInf(bound, 1) {
		return 0
	}
	now := m.nowMs()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.addresses[a]
	if r == nil {
		r = new(rate)
		m.addresses[a] = r
	}
	r.record(m.o.Client, 1, now)
	d := m.bounded(r, bound, now)
	if d > 0 {
		r.record(m.o.Client, -1, now)
		if len(m.all.samples) > 0 {
			m.all.record(m.o.Client, -1, now)
		}
	}
	return d
}

func (m *Manager) bounded(r *rate, bound float64, nowMs int64) time.Duration {
	return min(r.throttle(m.o.Client, bound, nowMs), time.Duration(m.o.Client.SampleMs)*time.Millisecond)
}

// Purge forgets what was not used for so long that its past says nothing any more. The
// broker calls it from time to time; it does nothing more often than once in a window.
func (m *Manager) Purge() {
	now := m.nowMs()
	m.mu.Lock()
	defer m.mu.Unlock()
	keepMs := max(m.o.Client.totalMs(), m.o.Controller.totalMs()) + m.o.Client.SampleMs
	if now-m.purgedMs < keepMs {
		return
	}
	m.purgedMs = now
	for key, mt := range m.meters {
		mt.mu.Lock()
		if now-mt.usedMs > keepMs && mt.bucket.full(now) { // one may be in debt for longer than any window
			mt.dead = true
			delete(m.meters, key)
		}
		mt.mu.Unlock()
	}
	for a, r := range m.addresses {
		if len(r.samples) == 0 || now-r.samples[r.current].lastMs > keepMs {
			delete(m.addresses, a)
		}
	}
}
