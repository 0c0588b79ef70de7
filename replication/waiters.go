package replication

// FetchWaiter is a fetch that waits for one of its partitions to move. Init it once; it
// may then be added to any number of partitions.
type FetchWaiter struct{ wake func() }

// NewFetchWaiter is a waiter that calls wake.
func NewFetchWaiter(wake func()) *FetchWaiter { return &FetchWaiter{wake: wake} }

// Init sets what Wake calls. It must not block and must not call the partition: it is
// called under the partition's lock, perhaps several times, perhaps once more while
// RemoveFetchWaiter runs.
func (w *FetchWaiter) Init(wake func()) { w.wake = wake }

// Wake tells the fetch to look again.
func (w *FetchWaiter) Wake() { w.wake() }

// AddFetchWaiter wakes w when the partition's high watermark, log end or log start moves,
// its leader or epoch changes, a sync that somebody waits for fails, or it is deleted; a log
// that fails otherwise is found when the fetch's wait is over. A caller adds first and
// then reads again: whatever moved before the read is seen by it, and the rest wakes.
// Adding to a partition that was deleted wakes at once.
func (p *Partition) AddFetchWaiter(w *FetchWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fetches == nil {
		p.fetches = map[*FetchWaiter]struct{}{}
	}
	p.fetches[w] = struct{}{}
	p.waiting.Store(int32(len(p.fetches)))
	if p.role.Load().gone {
		w.Wake()
	}
}

// RemoveFetchWaiter forgets w. A waiter that was not added is no error.
func (p *Partition) RemoveFetchWaiter(w *FetchWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fetches, w)
	p.waiting.Store(int32(len(p.fetches)))
}

// wakeFetches tells all waiting fetches to look again.
func (p *Partition) wakeFetches() {
	if p.waiting.Load() == 0 {
		return // who adds itself now reads after what moved
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.fetches {
		w.Wake()
	}
}
