package node

import (
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/tree"
)

// follower is a route with writers that come back when they are answered.
type follower struct {
	t *testing.T
	n *Node
}

func newFollower(t *testing.T) follower {
	n := &Node{clock: clock.Real{}, proposer: &proposer{}}
	n.opt.MaxTxnBytes = 1 << 20
	n.route.clock, n.route.wake = clock.Real{}, make(chan struct{}, 1)
	n.stop = make(chan struct{})
	n.serving.Store(true)
	return follower{t, n}
}

func (f follower) write(count, size int) {
	f.t.Helper()
	for range count {
		op := tree.Op{Kind: tree.SetData, Path: "/a", Data: make([]byte, size), Version: -1}
		if err := f.n.submit(tree.Txn{Session: 1, Op: op}); err != nil {
			f.t.Fatal(err)
		}
	}
}

// sends is how many transactions the stream is woken for, 0 if it is not.
func (f follower) sends() int {
	select {
	case <-f.n.route.wake:
		return len(f.n.route.take())
	default:
		return 0
	}
}

func TestTheStreamWaitsForThoseWhoWereAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		f.write(1, 10)
		if got := f.sends(); got != 1 {
			t.Fatalf("%d sent, want the first at once", got)
		}
		f.write(19, 10)
		f.sends()
		f.n.route.applied(20)
		f.write(10, 10)
		if got := f.sends(); got != 0 {
			t.Fatalf("%d of 20 went, though 10 more will come", got)
		}
		f.write(8, 10)
		if got := f.sends(); got != 18 {
			t.Errorf("%d sent, want most of 20 together", got)
		}
		f.write(2, 10)
		if got := f.sends(); got != 2 {
			t.Errorf("%d sent, want the last ones at once", got)
		}
	})
}

func TestTheStreamWaitsForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		f.write(20, 10)
		f.sends()
		f.n.route.applied(20)
		f.write(1, 10)
		<-f.n.route.wake // or the test hangs, which synctest sees
		if got := len(f.n.route.take()); got != 1 {
			t.Fatalf("%d sent", got)
		}
		// Nobody else came: the next are not held up.
		f.n.route.applied(1)
		f.write(1, 10)
		if f.sends() != 1 {
			t.Error("a lone writer is held up")
		}
	})
}

func TestAFullFrameGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		f.write(20, 10)
		f.sends()
		f.n.route.applied(20)
		f.write(2, maxEntryBytes/2)
		if got := f.sends(); got != 2 {
			t.Errorf("%d sent, want a full frame", got)
		}
	})
}

// What was sent and is never told of must not be waited for on the next stream.
func TestANewStreamBeginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t)
		f.write(50, 10)
		f.sends()
		f.n.route.applied(20)
		f.n.dropWaiting()
		f.write(1, 10)
		f.n.route.begin()
		if got := f.sends(); got != 1 {
			t.Errorf("%d sent", got)
		}
	})
}
