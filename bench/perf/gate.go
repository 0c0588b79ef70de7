package perf

import "sync"

// gate bounds the bytes that wait to be sent or acknowledged, as buffer.memory of a producer
// does: enter waits above the limit. Whoever waits is let in when a sixteenth of it is free
// again, so that a sender at the limit wakes up once for many records.
type gate struct {
	mu      sync.Mutex
	free    sync.Cond
	limit   int64
	in      int64
	waiting int
	open    bool
}

func newGate(limit int64) *gate {
	g := &gate{limit: max(limit, 1)}
	g.free.L = &g.mu
	return g
}

// enter takes n bytes; more than the limit at once passes when nothing else is in.
func (g *gate) enter(n int64) {
	g.mu.Lock()
	if g.in > 0 && g.in+n > g.limit && !g.open {
		g.waiting++
		for g.in > 0 && g.in+n > g.limit-g.limit/16 && !g.open {
			g.free.Wait()
		}
		g.waiting--
	}
	g.in += n
	g.mu.Unlock()
}

// leave gives n bytes back.
func (g *gate) leave(n int64) {
	g.mu.Lock()
	g.in -= n
	wake := g.waiting > 0 && (g.in == 0 || g.in <= g.limit-g.limit/16-n)
	g.mu.Unlock()
	if wake {
		g.free.Signal()
	}
}

// unlock lets everybody in from now on: the load is over.
func (g *gate) unlock() {
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	g.free.Broadcast()
}
