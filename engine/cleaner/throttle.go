package cleaner

import (
	"sync"
	"time"
)

// Throttle spreads the cleaners' reads and writes over time
// (log.cleaner.io.max.bytes.per.second). It knows no clock: it is told the time and answers
// how long to wait.
type Throttle struct {
	mu   sync.Mutex
	free time.Time // when all that was taken is paid for
}

// burst is how much time's worth may be taken at once after a pause.
const burst = 300 * time.Millisecond

// Take notes that so many bytes were read or written, and returns how long the caller has to
// wait before it goes on.
func (t *Throttle) Take(now time.Time, bytes int64, perSecond float64) time.Duration {
	if perSecond <= 0 || bytes <= 0 {
		return 0
	}
	cost := float64(bytes) / perSecond * float64(time.Second)
	if cost < 1 {
		return 0 // no limit to speak of
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if earliest := now.Add(-burst); t.free.Before(earliest) {
		t.free = earliest
	}
	t.free = t.free.Add(time.Duration(min(cost, float64(time.Hour))))
	return max(t.free.Sub(now), 0)
}
