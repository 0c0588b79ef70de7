package raftlog

import "sync"

// turn lets one change happen at a time. Unlike a mutex it may be given back by another goroutine
// than the one that took it, after long.
type turn struct {
	mu    sync.Mutex
	free  sync.Cond
	taken bool
}

func (t *turn) take() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.taken {
		t.free.Wait()
	}
	t.taken = true
}

func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	t.free.Signal()
}
