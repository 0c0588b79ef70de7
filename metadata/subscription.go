package metadata

import "sync"

// subscription hands transactions to a function from a goroutine of its own. Its queue is
// unbounded, so that a slow subscriber never holds up a commit; of transactions without
// events that wait behind each other only the last one is told.
type subscription struct {
	f       func(Txn)
	mu      sync.Mutex
	changed sync.Cond
	queue   []Txn
	stopped bool
	ended   chan struct{}
}

func newSubscription(f func(Txn)) *subscription {
	s := &subscription{f: f, ended: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

func (s *subscription) push(txns ...Txn) {
	s.mu.Lock()
	for _, txn := range txns {
		last := len(s.queue) - 1
		switch {
		case txn.Snapshot:
			s.queue = append(s.queue[:0:0], txn) // it replaces what was to be told
		case last >= 0 && len(txn.Events) == 0 && len(s.queue[last].Events) == 0 && !s.queue[last].Snapshot:
			s.queue[last].Zxid = txn.Zxid
		default:
			s.queue = append(s.queue, txn)
		}
	}
	s.mu.Unlock()
	s.changed.Signal()
}

func (s *subscription) run() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.stopped {
			s.changed.Wait()
		}
		if s.stopped {
			s.mu.Unlock()
			return
		}
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, txn := range queue {
			if s.isStopped() {
				return
			}
			s.f(txn)
		}
	}
}

func (s *subscription) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// stop waits for a call of f that is under way.
func (s *subscription) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.changed.Signal()
	<-s.ended
}

// feed is the subscriptions of a store and its last transactions, for those who come late.
// Its owner's lock guards it.
type feed struct {
	zxid    int64
	from    int64 // history has every transaction after this one
	history []Txn // oldest first
	bytes   int   // of data in history
	subs    map[*subscription]struct{}
}

// How much a late subscriber can catch up with without a snapshot.
const (
	historyTxns  = 1024
	historyBytes = 4 << 20
)

func newFeed() feed { return feed{subs: map[*subscription]struct{}{}} }

// add tells everybody of a transaction.
func (f *feed) add(txn Txn) {
	f.zxid = txn.Zxid
	f.history, f.bytes = append(f.history, txn), f.bytes+dataBytes(txn)
	for len(f.history) > historyTxns || f.bytes > historyBytes {
		f.from, f.bytes = f.history[0].Zxid, f.bytes-dataBytes(f.history[0])
		f.history = f.history[1:]
	}
	for sub := range f.subs {
		sub.push(txn)
	}
}

func dataBytes(txn Txn) (n int) {
	for i := range txn.Events {
		n += len(txn.Events[i].Data)
	}
	return n
}

// restart tells everybody a state that replaces what they know. Each may keep the events.
func (f *feed) restart(zxid int64, snapshot func() Txn) {
	f.zxid, f.from, f.history, f.bytes = zxid, zxid, nil, 0
	if len(f.subs) == 0 {
		return
	}
	txn := snapshot()
	for sub := range f.subs {
		sub.push(txn)
	}
}

// since returns what a subscriber that knows zxid has missed; ok is false when only a
// snapshot tells it.
func (f *feed) since(zxid int64) (missed []Txn, ok bool) {
	if zxid <= 0 || zxid < f.from || zxid > f.zxid {
		return nil, false
	}
	for i, txn := range f.history {
		if txn.Zxid > zxid {
			return append([]Txn(nil), f.history[i:]...), true
		}
	}
	return nil, true
}
