// Package metatest is a quorum for tests of what lies above metadata.Store: the real tree and
// the real TreeStore, without Raft and disk. It can be made to lose writes, to expire
// sessions, to install a snapshot and to have no quorum.
package metatest

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// Quorum is the one server of an ensemble. It outlives the stores that tests open on it, as
// a disk does.
type Quorum struct {
	clock clock.Clock

	sinkMu  sync.Mutex // held while sinks are told something
	handles []*handle
	serving bool

	mu    sync.RWMutex
	state *tree.State

	queueMu sync.Mutex
	changed sync.Cond
	queue   []tree.Txn
	lose    func(tree.Txn) bool
	stopped bool
	ids     int64
	touched map[int64]int
	ended   chan struct{}
}

// New starts a quorum that ends with the test.
func New(t testing.TB, c clock.Clock) *Quorum {
	q := &Quorum{clock: c, state: tree.New(), serving: true, ids: 1 << 56, touched: map[int64]int{}, ended: make(chan struct{})}
	q.changed.L = &q.queueMu
	go q.work()
	t.Cleanup(func() {
		q.queueMu.Lock()
		q.stopped = true
		q.queueMu.Unlock()
		q.changed.Signal()
		<-q.ended
	})
	return q
}

// Open opens a store with a session of its own; it is closed with the test, or before.
func (q *Quorum) Open(t testing.TB) *metadata.TreeStore {
	t.Helper()
	return q.OpenWith(t, metadata.TreeOptions{})
}

// OpenWith is Open with options; Quorum and what is missing is set.
func (q *Quorum) OpenWith(t testing.TB, o metadata.TreeOptions) *metadata.TreeStore {
	t.Helper()
	o.Quorum, o.Clock = q, q.clock
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := metadata.OpenTreeStore(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Zxid is the last transaction.
func (q *Quorum) Zxid() (zxid int64) {
	q.Read(func(s *tree.State) { zxid = s.Zxid() })
	return zxid
}

// Expire ends a session as the leader does.
func (q *Quorum) Expire(session int64) {
	_ = q.submit(tree.Txn{Session: session, Op: tree.Op{Kind: tree.CloseSession}})
}

// Touches is how often the owner of a session showed that it lives.
func (q *Quorum) Touches(session int64) int {
	q.queueMu.Lock()
	defer q.queueMu.Unlock()
	return q.touched[session]
}

// Lose drops the writes that f wants; f is called for each, nil ends that. The sinks learn of
// it by WritesLost only.
func (q *Quorum) Lose(f func(tree.Txn) bool) {
	q.queueMu.Lock()
	defer q.queueMu.Unlock()
	q.lose = f
}

// WritesLost tells the sinks that writes may be lost.
func (q *Quorum) WritesLost() {
	q.sinkMu.Lock()
	defer q.sinkMu.Unlock()
	for _, h := range q.handles {
		h.sink.WritesLost()
	}
}

// Serve gives and takes the quorum.
func (q *Quorum) Serve(on bool) {
	q.sinkMu.Lock()
	defer q.sinkMu.Unlock()
	q.serving = on
	for _, h := range q.handles {
		if !on {
			h.sink.WritesLost()
		}
		h.sink.Serving(on)
	}
}

// Install replaces the state by a snapshot of itself after applying what is queued without
// telling anybody, as on a server that fell far behind.
func (q *Quorum) Install(txns ...tree.Txn) error {
	q.sinkMu.Lock()
	defer q.sinkMu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state.Apply(1, &tree.Entry{TimeMs: clock.UnixMs(q.clock), Txns: txns}, nil)
	var b bytes.Buffer
	if err := q.state.Encode(&b); err != nil {
		return err
	}
	s, err := tree.Decode(&b)
	if err != nil {
		return err
	}
	q.state = s
	for _, h := range q.handles {
		h.sink.WritesLost()
		h.sink.Reset(s)
	}
	return nil
}

// Attach implements metadata.Quorum.
func (q *Quorum) Attach(sink node.Sink) metadata.Handle {
	q.sinkMu.Lock()
	defer q.sinkMu.Unlock()
	h := &handle{q: q, sink: sink, origin: uint64(q.NewSessionID())}
	q.mu.Lock()
	sink.Reset(q.state)
	q.mu.Unlock()
	q.handles = append(q.handles, h)
	sink.Serving(q.serving)
	return h
}

// Read implements metadata.Quorum.
func (q *Quorum) Read(f func(*tree.State)) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	f(q.state)
}

// NewSessionID implements metadata.Quorum.
func (q *Quorum) NewSessionID() int64 {
	q.queueMu.Lock()
	defer q.queueMu.Unlock()
	q.ids++
	return q.ids
}

func (q *Quorum) submit(t tree.Txn) error {
	q.queueMu.Lock()
	defer q.queueMu.Unlock()
	if q.stopped {
		return node.ErrClosed
	}
	if q.lose != nil && q.lose(t) {
		return nil
	}
	q.queue = append(q.queue, t)
	q.changed.Signal()
	return nil
}

func (q *Quorum) work() {
	defer close(q.ended)
	for {
		q.queueMu.Lock()
		for len(q.queue) == 0 && !q.stopped {
			q.changed.Wait()
		}
		batch, stopped := q.queue, q.stopped
		q.queue = nil
		q.queueMu.Unlock()
		if stopped {
			return
		}
		q.apply(batch)
	}
}

func (q *Quorum) apply(batch []tree.Txn) {
	q.sinkMu.Lock()
	defer q.sinkMu.Unlock()
	q.mu.Lock()
	q.state.Apply(1, &tree.Entry{TimeMs: clock.UnixMs(q.clock), Txns: batch}, func(o *tree.Outcome) {
		for _, h := range q.handles {
			h.sink.Applied(q.state, o)
		}
	})
	q.mu.Unlock()
	for _, h := range q.handles {
		h.sink.Published()
	}
}

type handle struct {
	q      *Quorum
	sink   node.Sink
	origin uint64
}

func (h *handle) Origin() uint64 { return h.origin }

func (h *handle) Submit(t tree.Txn) error {
	t.Origin = h.origin
	return h.q.submit(t)
}

func (h *handle) Touch(session int64) {
	h.q.queueMu.Lock()
	defer h.q.queueMu.Unlock()
	h.q.touched[session]++
}

func (h *handle) Close() {
	h.q.sinkMu.Lock()
	defer h.q.sinkMu.Unlock()
	for i, o := range h.q.handles {
		if o == h {
			h.q.handles = append(h.q.handles[:i:i], h.q.handles[i+1:]...)
			return
		}
	}
}
