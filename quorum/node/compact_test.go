package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestTrailing(t *testing.T) {
	for _, c := range []struct {
		most           uint64
		entries, bytes int64
		want           uint64
	}{
		{50_000, 0, 0, 50_000},
		{50_000, 1000, 200_000, 50_000},
		{50_000, 1000, 1000 * 64 << 10, 4096},
		{50_000, 1000, 1000 * 1 << 20, minTrailing},
		{1, 1000, 1000, 1},
	} {
		if got := trailing(c.most, c.entries, c.bytes); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func snapshots(t *testing.T, n *Node) int {
	list, err := n.opt.Stores.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestASnapshotIsTakenForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startLone(t, Options{SnapshotLogBytes: 1 << 20})
		defer n.Close()
		r := attach(n)
		r.serving(t, true)
		big := createTxn("/big")
		big.Op.Data = make([]byte, 300<<10)
		for i := range 5 {
			if snapshots(t, n) > 0 {
				t.Fatal("a snapshot too early")
			}
			big.Op.Path = fmt.Sprintf("/big%d", i)
			if res := r.do(t, big); res.Code != jute.OK {
				t.Fatal(res)
			}
		}
		time.Sleep(2 * watchInterval)
		if snapshots(t, n) == 0 {
			t.Error("no snapshot")
		}
	})
}

func TestAFullDiskAsksForASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stores := memStores()
		full := true
		stores.WantSnapshot = func() bool { return full }
		n := startLone(t, Options{Stores: stores})
		defer n.Close()
		r := attach(n)
		r.serving(t, true)
		for i := range 200 {
			r.make(t, fmt.Sprintf("/n%d", i))
		}
		time.Sleep(2 * urgentInterval)
		first, _ := stores.Log.FirstIndex()
		if last, _ := stores.Log.LastIndex(); first+urgentTrailing+10 < last {
			t.Errorf("the log still holds %d to %d", first, last)
		}
	})
}

// Trap 5: a snapshot that comes again and again and brings nothing.
func TestAVainSnapshotEndsTheNode(t *testing.T) {
	n := startLone(t, Options{})
	r := attach(n)
	r.serving(t, true)
	r.make(t, "/a")
	var b bytes.Buffer
	n.Read(func(s *tree.State) {
		if err := WriteSnapshot(&b, s, n.applied.Load()); err != nil {
			t.Fatal(err)
		}
	})
	for i := range maxVain {
		if n.isStopped() {
			t.Fatalf("it ended after %d", i)
		}
		if err := (machine{n}).Restore(io.NopCloser(bytes.NewReader(b.Bytes()))); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Wait(); !errors.Is(err, ErrStuck) {
		t.Errorf("it ended with %v", err)
	}
}

func TestReadSnapshotRefuses(t *testing.T) {
	for _, b := range []string{"", "MILLSNP", "something else that is long enough"} {
		if _, _, err := ReadSnapshot(bytes.NewReader([]byte(b))); err == nil {
			t.Errorf("%q was read", b)
		}
	}
}

// A leader that is closed hands over: nobody has to wait for a timer.
func TestCloseHandsOver(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *cluster) {
		c.startAll()
		c.serving()
		old, f := c.leader(), c.follower()
		began := time.Now()
		if err := c.nodes[old].Close(); err != nil {
			t.Fatal(err)
		}
		delete(c.nodes, old)
		delete(c.sinks, old)
		c.sinks[f].make(t, "/after")
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("the others needed %v", took)
		}
	})
}
