package metadata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	. "github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/metadata/metatest"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

func newQuorum(t *testing.T) (*metatest.Quorum, *testkit.Clock) {
	clk := testkit.NewClock(time.UnixMilli(5000))
	return metatest.New(t, clk), clk
}

func TestTreeStore(t *testing.T) {
	suite(t, func(t *testing.T) func() Store {
		q, _ := newQuorum(t)
		return func() Store { return q.Open(t) }
	})
}

// The same on Raft.
func TestTreeStoreOnANode(t *testing.T) {
	suite(t, func(t *testing.T) func() Store {
		n := startNode(t)
		return func() Store {
			s, err := OpenTreeStore(t.Context(), TreeOptions{Quorum: NodeQuorum(n), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
	})
}

func startNode(t *testing.T) *node.Node {
	t.Helper()
	log := raft.NewInmemStore()
	n, err := node.Start(context.Background(), node.Options{
		TickTime: 100 * time.Millisecond, Stores: node.Stores{Log: log, Stable: log, Snapshots: raft.NewInmemSnapshotStore()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// A process that died leaves its session; the next one ends it, and no client's.
func TestFormerSessionsEnd(t *testing.T) {
	q, _ := newQuorum(t)
	died := q.Open(t)
	multi(t, died, Create("/ids", nil), CreateEphemeral("/ids/1", nil))
	client := q.NewSessionID()
	if err := q.Install(tree.Txn{Session: client, Op: tree.Op{Kind: tree.CreateSession, TimeoutMs: 1000}}); err != nil {
		t.Fatal(err)
	}
	s := q.OpenWith(t, TreeOptions{EndFormer: true})
	if get(t, s, "/ids/1") != "(none)" {
		t.Error("the ephemeral of a former process is there")
	}
	q.Read(func(st *tree.State) {
		if _, ok := st.Session(client); !ok {
			t.Error("the session of a client ended too")
		}
	})
	multi(t, s, CreateEphemeral("/ids/1", nil))
}

func TestSessionIsTouched(t *testing.T) {
	q, clk := newQuorum(t)
	s := q.OpenWith(t, TreeOptions{SessionTimeout: 3 * time.Second})
	clk.Advance(10 * time.Second)
	if n := q.Touches(s.Session().ID); n != 10 {
		t.Errorf("touched %d times in 10 s", n)
	}
}

// The quorum ends a session: Done is closed, ephemerals are gone, and the store goes on with
// another session.
func TestSessionIsReplaced(t *testing.T) {
	q, _ := newQuorum(t)
	s := q.Open(t)
	multi(t, s, Create("/ids", nil), CreateEphemeral("/ids/1", nil))
	was := s.Session()
	q.Expire(was.ID)
	<-was.Done
	r := multi(t, s, CreateEphemeral("/ids/1", []byte("again")))
	now := s.Session()
	if now.ID == was.ID || r.Ops[0].Stat.EphemeralOwner != now.ID {
		t.Errorf("session %x, then %x, owner %x", was.ID, now.ID, r.Ops[0].Stat.EphemeralOwner)
	}
	select {
	case <-now.Done:
		t.Error("the new session ended")
	default:
	}
}

// Writes that were lost go again, in order, and count once.
func TestLostWritesAreSentAgain(t *testing.T) {
	rng := testkit.Rand(t)
	q, _ := newQuorum(t)
	s := q.Open(t)
	multi(t, s, Create("/q", nil))
	for range 20 {
		part := rng.IntN(3)
		var mu sync.Mutex
		lost, sendings := 0, 0
		q.Lose(func(tree.Txn) bool {
			mu.Lock()
			defer mu.Unlock()
			sendings++
			if rng.IntN(3) < part {
				lost++
				return true
			}
			return false
		})
		const n = 30
		var wg sync.WaitGroup
		errs := make([]error, n)
		results := make([]Result, n)
		for i := range n {
			wg.Go(func() {
				results[i], errs[i] = s.Multi(context.Background(), CreateSequential("/q/n", fmt.Append(nil, i)))
			})
		}
		testkit.WaitFor(t, "the writes to be sent", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return lost > 0 || sendings >= n
		})
		q.Lose(nil)
		for range 1 + rng.IntN(2) { // told twice: sent again and again
			q.WritesLost()
		}
		wg.Wait()
		seen := map[string]bool{}
		for i := range n {
			if errs[i] != nil || seen[results[i].Ops[0].Path] || get(t, s, results[i].Ops[0].Path) != fmt.Sprint(i) {
				t.Fatalf("%d: %+v, %v", i, results[i], errs[i])
			}
			seen[results[i].Ops[0].Path] = true
		}
	}
	if n := statOf(t, s, "/q").NumChildren; n != 20*30 {
		t.Errorf("%d nodes, want each of the %d writes once", n, 20*30)
	}
}

// A server that took over a snapshot did not see what became of its writes: the last one is
// answered from what the tree remembers.
func TestSnapshotAnswersTheLastWrite(t *testing.T) {
	q, _ := newQuorum(t)
	s := q.Open(t)
	v := follow(t, s, 0)
	var kept []tree.Txn
	sent := make(chan struct{}, 10)
	q.Lose(func(txn tree.Txn) bool {
		kept = append(kept, txn)
		sent <- struct{}{}
		return true
	})
	type answer struct {
		r   Result
		err error
	}
	answers := make(chan answer)
	go func() {
		r, err := s.Multi(context.Background(), Create("/a", []byte("1")), CreateSequential("/a/n", nil))
		answers <- answer{r, err}
	}()
	<-sent
	q.Lose(nil)
	if err := q.Install(kept...); err != nil {
		t.Fatal(err)
	}
	got := <-answers
	if got.err != nil || got.r.Ops[1].Path != "/a/n0000000000" || got.r.Ops[0].Stat.Czxid != got.r.Zxid {
		t.Errorf("%+v", got)
	}
	if nodes := v.await(t, got.r.Zxid); nodes["/a"] != "1" {
		t.Errorf("the stream: %v", nodes)
	}
	multi(t, s, Set("/a", nil, 0)) // goes on
}

// Without a quorum writes wait; one whose context ends meanwhile did not happen, and reads
// go on.
func TestWritesWaitForAQuorum(t *testing.T) {
	q, clk := newQuorum(t)
	s := q.Open(t)
	multi(t, s, Create("/a", nil))
	q.Serve(false)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := s.Multi(ctx, Create("/b", nil)); done <- err }()
	waiting := make(chan error)
	go func() { _, err := s.Multi(t.Context(), Create("/c", nil)); waiting <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("given up: %v", err)
	}
	if get(t, s, "/a") != "" {
		t.Error("a read without a quorum")
	}
	q.Serve(true)
	if err := <-waiting; err != nil || get(t, s, "/c") != "" || get(t, s, "/b") != "(none)" {
		t.Errorf("after the quorum came: %v, %s, %s", err, get(t, s, "/c"), get(t, s, "/b"))
	}
	q.Serve(false)
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("close without a quorum: %v", err)
	}
	clk.Advance(time.Minute)
	if n := clk.Pending(); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}

// A late subscriber catches up from the history, or by a snapshot when that is too short.
func TestHistory(t *testing.T) {
	q, _ := newQuorum(t)
	s := q.Open(t)
	first := multi(t, s, Create("/a", nil))
	var last Result
	for i := range 5 {
		last = multi(t, s, Set("/a", fmt.Append(nil, i), AnyVersion))
	}
	txns := make(chan Txn, 3000)
	cancel, at := s.Subscribe(first.Zxid, func(txn Txn) { txns <- txn })
	for i := range 5 {
		if txn := <-txns; txn.Snapshot || len(txn.Events) != 1 || string(txn.Events[0].Data) != fmt.Sprint(i) {
			t.Errorf("%d: %+v", i, txn)
		}
	}
	if at != last.Zxid {
		t.Errorf("subscribed at %d, want %d", at, last.Zxid)
	}
	cancel()
	for range 1100 {
		multi(t, s, Set("/a", nil, AnyVersion))
	}
	cancel, _ = s.Subscribe(first.Zxid, func(txn Txn) { txns <- txn })
	if txn := <-txns; !txn.Snapshot {
		t.Errorf("%+v", txn)
	}
	cancel()
}
