package sim

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// TestHostClock: the wall jumps, what is measured does not.
func TestHostClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newHostClock()
		begun, born := c.Now(), time.Now()
		for i, ahead := range []time.Duration{0, 5 * time.Hour, -48 * time.Hour, -30 * 365 * 24 * time.Hour, 0} {
			c.jump(ahead)
			time.Sleep(1500 * time.Millisecond)
			now, passed := c.Now(), time.Duration(i+1)*1500*time.Millisecond
			if got, want := now.UnixNano(), born.Add(ahead+passed).UnixNano(); got != want {
				t.Errorf("%v ahead: the wall shows %v, want %v", ahead, time.Unix(0, got), time.Unix(0, want))
			}
			if got := clock.Since(c, begun); got != passed {
				t.Errorf("%v ahead: %v passed, want %v", ahead, got, passed)
			}
			if got := c.bubble(now.Add(time.Minute)); !got.Equal(time.Now().Add(time.Minute)) {
				t.Errorf("%v ahead: a deadline in a minute is %v, now is %v", ahead, got, time.Now())
			}
			if !c.showed(now.Round(0), time.Now(), time.Now()) || ahead != 0 && c.showed(now.Round(0).Add(2*time.Second), born, time.Now()) {
				t.Errorf("%v ahead: it does not know what it showed", ahead)
			}
		}
		if plain := time.Now(); c.bubble(plain) != plain || !c.bubble(time.Time{}).IsZero() {
			t.Error("a time that is not of this clock was taken for one")
		}
	})
}

// TestClockJumps: the leader's clock is set hours ahead, and right again, and all of them are
// set about, with time between them to be sure that nothing of it stays.
func TestClockJumps(t *testing.T) {
	seed := testkit.Seed(t)
	leaders := func(ahead ...time.Duration) Fault {
		return func(w *World) func() {
			i := w.Leader()
			if i < 0 {
				return func() {}
			}
			c := w.m[i].clock
			for _, d := range ahead {
				c.jump(d)
				w.pause(25, 30)
			}
			return func() { w.pause(100, 110) }
		}
	}
	all := func(w *World) func() {
		for _, m := range w.m {
			m.clock.jump(w.someStep())
		}
		return func() {}
	}
	for i, faults := range [][]Fault{
		{leaders(10*time.Hour, 0), leaders(-10*time.Hour, 0)},
		{leaders(time.Hour), Kill, leaders(-2*time.Hour, 3*time.Hour, 0), all, PowerCutAll, all},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { run(t, seed+uint64(i), DefaultOptions(), faults...) })
	}
}

// TestTTLGoesByTheWallClock: as in ZooKeeper, which compares mtime, of the leader's clock when
// the node was written, with the clock of the leader that looks.
func TestTTLGoesByTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := DefaultOptions()
		o.ContainerCheck = o.Tick
		w := New(t, testkit.Seed(t), o)
		defer w.Close()
		for _, m := range w.m {
			m.clock.jump(0)
		}
		w.StartAll()
		w.WaitFor("a leader", 60*o.Tick, func() bool { return w.Leader() >= 0 })
		const ttl = 20 * time.Second
		set := func(ahead time.Duration) {
			for _, m := range w.m {
				m.clock.jump(ahead)
			}
		}
		there := func() (yes bool) {
			w.m[0].Running().node.Read(func(s *tree.State) {
				_, err := s.Stat("/ttl")
				yes = err == nil
			})
			return yes
		}
		create := func() {
			op := tree.Op{Kind: tree.Create, Path: "/ttl", ACL: jute.OpenACL(), Mode: jute.PersistentTTL, TTLMs: ttl.Milliseconds()}
			w.WaitFor("the node", 60*o.Tick, func() bool {
				if !there() {
					_ = w.m[0].Running().sink.h.Submit(tree.Txn{Op: op})
				}
				return there()
			})
		}
		create()
		if time.Sleep(ttl / 2); !there() {
			t.Fatal("it went before its time")
		}
		set(2 * ttl)
		w.WaitFor("the end of what looks old", 10*o.Tick, func() bool { return !there() })
		create()
		set(-ttl)
		if time.Sleep(3 * ttl); !there() {
			t.Fatal("it went while the clocks were behind its mtime and its TTL")
		}
		set(2 * ttl)
		w.WaitFor("its end when the clocks are where it was made", 10*o.Tick, func() bool { return !there() })
	})
}
