package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// recorder is a Sink that remembers what it was told.
type recorder struct {
	mu      sync.Mutex
	changed *sync.Cond
	on      bool
	resets  int
	lost    int
	batches int
	results map[uint64]tree.Result // by Req, of this handle's own
	zxids   []int64
	origin  uint64
	req     uint64
	handle  *Handle
}

func newRecorder() *recorder {
	r := &recorder{results: map[uint64]tree.Result{}}
	r.changed = sync.NewCond(&r.mu)
	return r
}

func attach(n *Node) *recorder {
	r := newRecorder()
	h := n.Attach(r)
	r.mu.Lock()
	r.handle, r.origin = h, h.Origin()
	r.mu.Unlock()
	return r
}

func (r *recorder) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.changed.Broadcast()
}

func (r *recorder) Applied(s *tree.State, o *tree.Outcome) {
	r.locked(func() {
		if o.Txn.Origin == r.origin && r.origin != 0 {
			result := o.Result
			result.Ops = append([]tree.OpResult(nil), result.Ops...)
			r.results[o.Txn.Req] = result
		}
		r.zxids = append(r.zxids, o.Result.Zxid)
	})
}
func (r *recorder) Published()        { r.locked(func() { r.batches++ }) }
func (r *recorder) Reset(*tree.State) { r.locked(func() { r.resets++ }) }
func (r *recorder) Serving(on bool)   { r.locked(func() { r.on = on }) }
func (r *recorder) WritesLost()       { r.locked(func() { r.lost++ }) }

// patience is how long a test waits before it gives up. Most tests run on synctest's time.
const patience = 100 * time.Second

// until waits for cond, which is asked under the lock whenever the sink was told something.
func (r *recorder) until(t testing.TB, cond func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() { r.locked(func() { late = true }) })
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !cond() {
		if late {
			t.Fatalf("waited in vain: serving %v, %d resets, %d times lost, %d results", r.on, r.resets, r.lost, len(r.results))
		}
		r.changed.Wait()
	}
}

// losses is how often writes were lost, outcomes those of the writes of this server.
func (r *recorder) losses() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *recorder) outcomes() map[uint64]tree.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.results)
}

func (r *recorder) serving(t testing.TB, on bool) {
	t.Helper()
	r.until(t, func() bool { return r.on == on })
}

// start submits a transaction and returns its Req.
func (r *recorder) start(t testing.TB, txn tree.Txn) uint64 {
	t.Helper()
	req, err := r.submit(txn)
	if err != nil {
		t.Fatalf("submit %v: %v", txn.Op.Kind, err)
	}
	return req
}

func (r *recorder) submit(txn tree.Txn) (req uint64, err error) {
	r.mu.Lock()
	r.req++
	txn.Req = r.req
	h := r.handle
	r.mu.Unlock()
	return txn.Req, h.Submit(txn)
}

// do submits a transaction and waits for its outcome.
func (r *recorder) do(t testing.TB, txn tree.Txn) tree.Result {
	t.Helper()
	req := r.start(t, txn)
	r.until(t, func() bool { _, ok := r.results[req]; return ok })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[req]
}

// make creates a node as a stubborn client does: when the write is lost it asks again.
func (r *recorder) make(t testing.TB, path string) {
	t.Helper()
	for {
		r.serving(t, true)
		r.mu.Lock()
		lost := r.lost
		r.mu.Unlock()
		req, err := r.submit(createTxn(path))
		if errors.Is(err, ErrNotServing) {
			continue // since a moment ago
		}
		if err != nil {
			t.Fatalf("create %s: %v", path, err)
		}
		var code jute.Code
		done := false
		r.until(t, func() bool {
			res, ok := r.results[req]
			code, done = res.Code, ok
			return ok || r.lost != lost
		})
		switch {
		case done && (code == jute.OK || code == jute.NodeExists):
			return
		case done:
			t.Fatalf("create %s: %v", path, code)
		}
	}
}

func createTxn(path string) tree.Txn {
	return tree.Txn{Op: tree.Op{Kind: tree.Create, Path: path, Data: []byte("x"), ACL: jute.OpenACL()}}
}

func memStores() Stores {
	log := raft.NewInmemStore()
	return Stores{Log: log, Stable: log, Snapshots: raft.NewInmemSnapshotStore()}
}

func testLog(t testing.TB) *slog.Logger {
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	_, err := w.t.Output().Write(p)
	return len(p), err
}

var _ io.Writer = testWriter{}

func startLone(t testing.TB, opt Options) *Node {
	t.Helper()
	if opt.Stores.Log == nil {
		opt.Stores = memStores()
	}
	opt.Log = testLog(t)
	n, err := Start(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func TestOneServerServesAtOnceAndAppliesInOrder(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	if s := n.Status(); s.Mode != Standalone || !s.Serving || s.LeaderID != 1 || len(s.Peers) != 1 {
		t.Errorf("status %+v", s)
	}
	var last int64
	for _, path := range []string{"/a", "/a/b", "/a/b/c"} {
		res := r.do(t, createTxn(path))
		if res.Code != jute.OK || res.Op.Path != path || res.Zxid <= last {
			t.Fatalf("create %s: %+v", path, res)
		}
		last = res.Zxid
	}
	if res := r.do(t, createTxn("/a")); res.Code != jute.NodeExists {
		t.Errorf("create again: %+v", res)
	}
	n.Read(func(s *tree.State) {
		if _, _, err := s.Get("/a/b/c"); err != nil {
			t.Errorf("read: %v", err)
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resets != 1 || r.batches == 0 {
		t.Errorf("%d resets, %d batches", r.resets, r.batches)
	}
}

func TestAServerComesBackWithItsState(t *testing.T) {
	stores := memStores()
	n := startLone(t, Options{Stores: stores})
	r := attach(n)
	r.serving(t, true)
	r.do(t, createTxn("/a"))
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	r.do(t, createTxn("/b"))
	password, secretOK := n.Password(7), n.clusterID()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	r.until(t, func() bool { return !r.on })
	if err := r.handle.Submit(createTxn("/c")); !errors.Is(err, ErrClosed) {
		t.Errorf("submit after close: %v", err)
	}

	again := startLone(t, Options{Stores: stores})
	r = attach(again)
	r.serving(t, true)
	again.Read(func(s *tree.State) {
		for _, path := range []string{"/a", "/b"} {
			if _, err := s.Stat(path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	if again.Password(7) != password || again.clusterID() != secretOK || password == [16]byte{} {
		t.Error("the secret is another")
	}
}

func TestASessionMovesAndItsOldConnectionIsPowerless(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	id := n.NewSessionID()
	if id>>56 != 1 {
		t.Errorf("session id %x does not begin with the server's id", id)
	}
	r.do(t, tree.Txn{Session: id, Op: tree.Op{Kind: tree.CreateSession, TimeoutMs: 30_000}})
	write := func(gen, seq uint32, path string) jute.Code {
		txn := createTxn(path)
		txn.Session, txn.ConnGen, txn.Seq = id, gen, seq
		return r.do(t, txn).Code
	}
	if code := write(1, 1, "/one"); code != jute.OK {
		t.Fatalf("first write: %v", code)
	}
	ctx := context.Background()
	if _, err := r.handle.Reattach(ctx, id, []byte("wrong")); !errors.Is(err, ErrBadPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := r.handle.Reattach(ctx, id+1, nil); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("no session: %v", err)
	}
	password := n.Password(id)
	a, err := r.handle.Reattach(ctx, id, password[:])
	if err != nil || a.TimeoutMs != 30_000 || a.ConnGen <= 1 {
		t.Fatalf("reattach: %+v, %v", a, err)
	}
	if code := write(1, 2, "/two"); code != jute.SessionMoved {
		t.Errorf("write of the old connection: %v", code)
	}
	if code := write(a.ConnGen, 1, "/three"); code != jute.OK {
		t.Errorf("write of the new connection: %v", code)
	}
	b, err := r.handle.Reattach(ctx, id, password[:])
	if err != nil || b.ConnGen <= a.ConnGen {
		t.Fatalf("reattach again: %+v, %v", b, err)
	}
}

func TestALargeTransactionHasAnEntryForItself(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	txn := createTxn("/large")
	txn.Op.Data = make([]byte, 1<<20)
	if res := r.do(t, txn); res.Code != jute.OK {
		t.Errorf("create: %+v", res)
	}
}

func TestWhatTheLogMayNotHoldIsRefusedAtTheDoor(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	if err := r.handle.Submit(tree.Txn{Op: tree.Op{Kind: 200}}); err == nil {
		t.Error("an operation of an unknown kind was taken")
	}
	large := createTxn("/large")
	large.Op.Data = make([]byte, n.opt.MaxTxnBytes)
	if err := r.handle.Submit(large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a transaction above the limit: %v", err)
	}
	r.do(t, createTxn("/still-there"))
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func withReq(r *recorder, t tree.Txn) tree.Txn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.req++
	t.Req = r.req
	return t
}
