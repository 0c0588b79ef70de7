package server

import (
	"container/heap"
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// behind is where connections wait until this server has applied as much as they have seen
// elsewhere. What is applied wakes only those whose turn it is: one that claims to come from
// the far future costs nothing while it waits.
type behind struct {
	least atomic.Int64 // that anybody waits for

	mu      sync.Mutex
	waiting waiters
}

func newBehind() *behind {
	b := &behind{}
	b.settleLocked()
	return b
}

// waiter is one that waits for a zxid.
type waiter struct {
	zxid int64
	at   int // in the heap, -1 when it was woken
	come chan struct{}
}

// wait returns true once reached does, which it is asked for at once and when the server has
// applied up to zxid, and false when ctx ends before.
func (b *behind) wait(ctx context.Context, zxid int64, reached func() bool) bool {
	w := &waiter{zxid: zxid, come: make(chan struct{})}
	b.mu.Lock()
	heap.Push(&b.waiting, w)
	b.settleLocked()
	b.mu.Unlock()
	defer b.leave(w)
	if reached() { // it came before w was seen
		return true
	}
	select {
	case <-w.come:
		return reached()
	case <-ctx.Done():
		return false
	}
}

func (b *behind) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.at >= 0 {
		heap.Remove(&b.waiting, w.at)
		b.settleLocked()
	}
}

// settleLocked tells published what to look for.
func (b *behind) settleLocked() {
	least := int64(math.MaxInt64)
	if len(b.waiting) > 0 {
		least = b.waiting[0].zxid
	}
	b.least.Store(least)
}

// published is told of how far this server has applied.
func (b *behind) published(zxid int64) {
	if zxid < b.least.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) > 0 && b.waiting[0].zxid <= zxid {
		close(heap.Pop(&b.waiting).(*waiter).come)
	}
	b.settleLocked()
}

// count is how many wait.
func (b *behind) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// waiters is a heap: who waits for the least comes first.
type waiters []*waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].zxid < w[j].zxid }

func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push implements heap.Interface.
func (w *waiters) Push(x any) {
	one := x.(*waiter)
	one.at = len(*w)
	*w = append(*w, one)
}

// Pop implements heap.Interface.
func (w *waiters) Pop() any {
	last := len(*w) - 1
	one := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	one.at = -1
	return one
}
