package conn

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Sizes of request buffers. They are powers of two between these bounds; larger ones are
// made to measure and left to the garbage collector.
const (
	minBufferBytes    = 4 << 10
	normalBufferBytes = 64 << 10
	maxPooledBytes    = 4 << 20
)

// Memory lends request buffers and keeps their sum within a budget. A buffer of
// minBufferBytes is always granted (so a metadata request gets through whatever the
// others do); a larger one waits for room.
//
// Two rules keep a full budget from standing still. A connection that waited a whole
// relief interval may overshoot, one at a time, until its request is served (several
// half-read requests could otherwise wait for each other for ever). And while somebody
// waits, a connection whose request does not become complete in time is closed by Sweep
// (a slow sender could otherwise hold the memory of the others).
type Memory struct {
	limitBytes int64
	used       atomic.Int64
	waiting    atomic.Int32
	pools      [11]sync.Pool // 4 KiB ... 4 MiB
	replies    sync.Pool     // *Reply

	mu      sync.Mutex
	waiters []*memoryWaiter
	// overshooter is the one connection that may take more than the limit.
	overshooter *Conn
}

type memoryWaiter struct {
	c       *Conn
	bytes   int64
	granted chan struct{}
	since   time.Time
}

// DefaultMemoryBytes is the budget when the configuration sets none.
const DefaultMemoryBytes = 256 << 20

// NewMemory makes a budget; a limit that is not positive means DefaultMemoryBytes.
func NewMemory(limitBytes int64) *Memory {
	if limitBytes <= 0 {
		limitBytes = DefaultMemoryBytes
	}
	return &Memory{limitBytes: limitBytes}
}

// UsedBytes is the sum of the buffers that are lent; LimitBytes is the budget.
func (m *Memory) UsedBytes() int64  { return m.used.Load() }
func (m *Memory) LimitBytes() int64 { return m.limitBytes }

// Pressed tells whether some connection waits for memory.
func (m *Memory) Pressed() bool { return m.waiting.Load() > 0 }

// roomy tells whether so much is free that a buffer may be sized by a sender's claim.
func (m *Memory) roomy(bytes int) bool { return m.used.Load()+int64(bytes) < m.limitBytes/2 }

// sizeFor rounds up to the size of a buffer that holds n bytes.
func sizeFor(n int) int {
	if n <= minBufferBytes {
		return minBufferBytes
	}
	if n > maxPooledBytes {
		return (n + minBufferBytes - 1) &^ (minBufferBytes - 1)
	}
	return 1 << bits.Len(uint(n-1))
}

func classOf(size int) int { return bits.Len(uint(size)) - bits.Len(uint(minBufferBytes)) }

// tryTake lends a buffer of exactly size bytes (a result of sizeFor), or nil when the
// budget has no room for it.
func (m *Memory) tryTake(size int) []byte {
	if m.used.Add(int64(size)) > m.limitBytes && size > minBufferBytes {
		m.used.Add(-int64(size))
		return nil
	}
	return m.make(size)
}

func (m *Memory) force(size int) []byte {
	m.used.Add(int64(size))
	return m.make(size)
}

func (m *Memory) make(size int) []byte {
	if size > maxPooledBytes {
		return make([]byte, size)
	}
	if p, ok := m.pools[classOf(size)].Get().(*byte); ok {
		return unsafe.Slice(p, size)
	}
	return make([]byte, size)
}

// take lends a buffer, and waits for room. It returns nil when the connection was closed
// or began to drain meanwhile.
func (m *Memory) take(c *Conn, size int) []byte {
	if buf := m.tryTake(size); buf != nil {
		return buf
	}
	m.mu.Lock()
	if m.overshooter == c {
		m.mu.Unlock()
		return m.force(size)
	}
	w := &memoryWaiter{c: c, bytes: int64(size), granted: make(chan struct{}), since: c.opts.Clock.Now()}
	m.waiters = append(m.waiters, w)
	m.waiting.Add(1)
	m.wakeLocked() // room may have come back between tryTake and here
	m.mu.Unlock()
	select {
	case <-w.granted:
		return m.make(size)
	case <-c.stopping:
	case <-c.done:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.waiters {
		if other == w {
			m.removeLocked(i)
			return nil
		}
	}
	m.used.Add(-w.bytes) // granted in the same moment
	m.wakeLocked()
	return nil
}

// give takes a buffer back.
func (m *Memory) give(buf []byte) {
	size := cap(buf)
	if size <= maxPooledBytes {
		// The array's address alone: a slice would have to be put on the heap each time.
		m.pools[classOf(size)].Put(unsafe.SliceData(buf))
	}
	m.used.Add(-int64(size))
	if m.waiting.Load() > 0 {
		m.mu.Lock()
		m.wakeLocked()
		m.mu.Unlock()
	}
}

// served ends the right of c to overshoot.
func (m *Memory) served(c *Conn) {
	m.mu.Lock()
	if m.overshooter == c {
		m.overshooter = nil
	}
	m.mu.Unlock()
}

// Relieve lets the longest waiting connection overshoot if it has waited since before
// the given time and nobody else overshoots. The sweeper calls it.
func (m *Memory) Relieve(before time.Time) {
	if !m.Pressed() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.overshooter != nil || len(m.waiters) == 0 || m.waiters[0].since.After(before) {
		return
	}
	w := m.waiters[0]
	m.overshooter = w.c
	w.c.overshot.Store(true)
	m.used.Add(w.bytes)
	m.removeLocked(0)
	close(w.granted)
}

// wakeLocked grants waiters in their order as long as the first of them fits.
func (m *Memory) wakeLocked() {
	for len(m.waiters) > 0 {
		w := m.waiters[0]
		if m.used.Add(w.bytes) > m.limitBytes {
			m.used.Add(-w.bytes)
			return
		}
		m.removeLocked(0)
		close(w.granted)
	}
}

func (m *Memory) removeLocked(i int) {
	m.waiters = append(m.waiters[:i], m.waiters[i+1:]...)
	m.waiting.Add(-1)
}
