package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

// ensemble is a Member without Raft: a tree, and a goroutine that applies what is submitted.
// Tests may hold it, so that writes stay outstanding, and let it go on.
type ensemble struct {
	term uint64

	mu    sync.RWMutex // the state's lock
	state *tree.State

	sinkMu sync.Mutex // one call of the sink at a time
	sink   node.Sink

	qmu      sync.Mutex
	changed  sync.Cond
	queue    []tree.Txn
	held     bool
	refusing bool
	closed   bool
	idle     bool
	gens     map[int64]uint32
	// agreed is called when a session may move, before its new connection knows.
	agreed func(session int64)

	ids     atomic.Int64
	touches sync.Map // session: *atomic.Int64
	status  atomic.Pointer[Status]
	// reconfig is what Reconfig does.
	reconfig atomic.Pointer[func(*jute.ReconfigRequest) error]
	// beforePublished, if set, is called between Applied and Published.
	beforePublished atomic.Pointer[func()]
	// leaderless makes Reattach wait for a leader that does not come.
	leaderless atomic.Bool
	// afterRead, if set, is called when a Read has given up the lock.
	afterRead atomic.Pointer[func()]
	done      chan struct{}
}

func newEnsemble(t testing.TB) *ensemble {
	e := &ensemble{term: 1, state: tree.New(), gens: map[int64]uint32{}, done: make(chan struct{})}
	e.changed.L = &e.qmu
	e.ids.Store(1 << 56)
	e.status.Store(&Status{Mode: node.Standalone, ID: 1, LeaderID: 1, Voters: 1, Voter: true})
	go e.run()
	t.Cleanup(func() {
		e.qmu.Lock()
		e.closed = true
		e.changed.Broadcast()
		e.qmu.Unlock()
		<-e.done
	})
	return e
}

func (e *ensemble) run() {
	defer close(e.done)
	for {
		e.qmu.Lock()
		for !e.closed && (len(e.queue) == 0 || e.held) {
			e.idle = true
			e.changed.Broadcast()
			e.changed.Wait()
		}
		e.idle = false
		txns := e.queue
		e.queue = nil
		closed := e.closed
		e.qmu.Unlock()
		if closed {
			return
		}
		e.apply(txns)
	}
}

func (e *ensemble) apply(txns []tree.Txn) {
	e.sinkMu.Lock()
	defer e.sinkMu.Unlock()
	e.mu.Lock()
	e.state.Apply(e.term, &tree.Entry{TimeMs: time.Now().UnixMilli(), Txns: txns}, func(o *tree.Outcome) {
		if e.sink != nil {
			e.sink.Applied(e.state, o)
		}
	})
	e.mu.Unlock()
	if before := e.beforePublished.Load(); before != nil {
		(*before)()
	}
	if e.sink != nil {
		e.sink.Published()
	}
}

// hold keeps submitted writes from being applied; release lets them go on, in one batch.
func (e *ensemble) hold() {
	e.qmu.Lock()
	e.held = true
	e.qmu.Unlock()
}

func (e *ensemble) release() {
	e.qmu.Lock()
	e.held = false
	e.changed.Broadcast()
	e.qmu.Unlock()
}

// step applies the first n writes that are held.
func (e *ensemble) step(n int) {
	e.qmu.Lock()
	txns := e.queue[:n:n]
	e.queue = e.queue[n:]
	e.qmu.Unlock()
	e.apply(txns)
}

// waiting counts the writes that are held.
func (e *ensemble) waiting() int {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	return len(e.queue)
}

// do applies a transaction that is nobody's.
func (e *ensemble) do(op tree.Op) { e.apply([]tree.Txn{{Op: op}}) }

// each calls the sink between batches.
func (e *ensemble) each(f func(node.Sink)) {
	e.sinkMu.Lock()
	defer e.sinkMu.Unlock()
	f(e.sink)
}

// lose drops what is outstanding and tells so.
func (e *ensemble) lose() {
	e.qmu.Lock()
	e.queue = nil
	e.qmu.Unlock()
	e.each(node.Sink.WritesLost)
}

func (e *ensemble) Attach(s node.Sink) Handle {
	e.sinkMu.Lock()
	defer e.sinkMu.Unlock()
	e.sink = s
	e.mu.Lock()
	s.Reset(e.state)
	e.mu.Unlock()
	s.Serving(true)
	return fakeHandle{e}
}

func (e *ensemble) Read(f func(*tree.State)) {
	e.mu.RLock()
	f(e.state)
	e.mu.RUnlock()
	if after := e.afterRead.Load(); after != nil {
		(*after)()
	}
}

func (e *ensemble) NewSessionID() int64 { return e.ids.Add(1) }

func (e *ensemble) Password(session int64) (out [16]byte) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("secret"), uint64(session)))
	copy(out[:], sum[:])
	return out
}

func (e *ensemble) Status() Status { return *e.status.Load() }

// ResetCounts implements Member: the counts are those of the status.
func (e *ensemble) ResetCounts() {
	st := *e.status.Load()
	st.Counts = node.Counts{LastBytes: -1, LeastBytes: -1, MostBytes: -1}
	e.status.Store(&st)
}

func (e *ensemble) Reconfig(_ context.Context, r *jute.ReconfigRequest) error {
	f := e.reconfig.Load()
	if f == nil {
		return jute.Unimplemented
	}
	return (*f)(r)
}

type fakeHandle struct{ e *ensemble }

func (h fakeHandle) Origin() uint64 { return 7 }

func (h fakeHandle) Submit(t tree.Txn) error {
	h.e.qmu.Lock()
	defer h.e.qmu.Unlock()
	if h.e.refusing {
		return node.ErrNotServing
	}
	// What is applied is what went through the log.
	decoded, err := tree.DecodeEntry(tree.AppendEntry(nil, &tree.Entry{Txns: []tree.Txn{t}}))
	if err != nil {
		return err
	}
	h.e.queue = append(h.e.queue, decoded.Txns[0])
	h.e.changed.Broadcast()
	return nil
}

func (h fakeHandle) Touch(session int64) {
	n, _ := h.e.touches.LoadOrStore(session, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

func (h fakeHandle) Reattach(ctx context.Context, session int64, password []byte) (node.Attached, error) {
	if h.e.leaderless.Load() {
		<-ctx.Done()
		return node.Attached{}, ctx.Err()
	}
	if want := h.e.Password(session); string(password) != string(want[:]) {
		return node.Attached{}, node.ErrBadPassword
	}
	var info tree.SessionInfo
	var ok bool
	h.e.Read(func(s *tree.State) { info, ok = s.Session(session) })
	if !ok {
		return node.Attached{}, node.ErrSessionExpired
	}
	h.e.qmu.Lock()
	gen := max(info.ConnGen, h.e.gens[session]) + 1
	h.e.gens[session] = gen
	agreed := h.e.agreed
	h.e.qmu.Unlock()
	if agreed != nil {
		agreed(session)
	}
	return node.Attached{TimeoutMs: info.TimeoutMs, ConnGen: gen}, nil
}

func (h fakeHandle) Close() {
	h.e.sinkMu.Lock()
	defer h.e.sinkMu.Unlock()
	h.e.sink = nil
}
