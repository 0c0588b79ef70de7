package raw

import "sync/atomic"

// Touched is which partitions were written to since it was made. What a broker does for the
// first append to a partition (files, mappings, the producer's state) is dear, so that a
// warm-up lasts until all have had theirs. All methods may be called from many goroutines.
type Touched struct {
	parts []atomic.Bool
	left  atomic.Int64
	done  chan struct{} // closed when all were
}

// NewTouched is of n partitions, none of which was written to.
func NewTouched(n int) *Touched {
	t := &Touched{parts: make([]atomic.Bool, n), done: make(chan struct{})}
	t.left.Store(int64(n))
	if n == 0 {
		close(t.done)
	}
	return t
}

// Mark notes an append to partition i.
func (t *Touched) Mark(i int) {
	if t.left.Load() > 0 && t.parts[i].CompareAndSwap(false, true) && t.left.Add(-1) == 0 {
		close(t.done)
	}
}

// Left is how many partitions were not written to.
func (t *Touched) Left() int { return int(t.left.Load()) }

// Done is closed when all partitions were written to.
func (t *Touched) Done() <-chan struct{} { return t.done }
