// Package crew has what becomes due together done by a few goroutines instead of one for each:
// the replies that one sync, or one entry of a log, is the answer to. They live as long as there
// is something to do. None of them may wait for anything but a lock that is held briefly; what
// would wait is for whoever notices to give to a goroutine of its own. Any package may.
package crew

import "sync"

// Crew does one thing to many values.
type Crew[T any] struct {
	do  func(T)
	max int

	mu      sync.Mutex
	queue   []T // from next on
	next    int
	running int
}

// New makes a crew of at most max goroutines, each of which calls do.
func New[T any](max int, do func(T)) *Crew[T] { return &Crew[T]{do: do, max: max} }

// Add has somebody do v soon, in the order of Add as far as one goroutine does all.
func (c *Crew[T]) Add(v T) {
	c.mu.Lock()
	c.queue = append(c.queue, v)
	start := c.running < c.max
	if start {
		c.running++
	}
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

func (c *Crew[T]) run() {
	for v, ok := c.take(); ok; v, ok = c.take() {
		c.do(v)
	}
}

// take returns the next value; false ends the goroutine that asks.
func (c *Crew[T]) take() (v T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == len(c.queue) {
		c.queue, c.next = c.queue[:0], 0
		c.running--
		return v, false
	}
	v, c.queue[c.next] = c.queue[c.next], v
	c.next++
	return v, true
}
