package powercut

import (
	"context"
	"sync"
	"testing"

	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestPowerCuts makes POWERCUT_SEEDS runs. A run is three lives that end by a cut, and one
// that ends by a clean close and then a cut.
func TestPowerCuts(t *testing.T) {
	seed := testkit.Seed(t)
	seeds := testkit.Rounds(t, "POWERCUT_SEEDS", 200)
	for i := range uint64(seeds) {
		w := newWorld(t, seed+i)
		for range 3 {
			w.live()
		}
		w.closeCleanly()
		if t.Failed() {
			t.Fatalf("run %d: again with SEED=%d POWERCUT_SEEDS=1 (goroutines may take another turn)", i, seed+i)
		}
	}
}

// live is one life that ends by a power cut.
func (w *world) live() {
	n := w.rng.Int64N(2500)
	if w.rng.IntN(4) == 0 {
		n = w.rng.Int64N(100) // during recovery, or soon after
	}
	l := w.start(n)
	if l == nil {
		return
	}
	l.work()
	l.cut(testkit.NewRand(w.rng.Uint64()), w.percent())
	l.bury()
}

func (w *world) percent() int { return []int{0, 10, 50, 90, 100}[w.rng.IntN(5)] }

// start opens the store and verifies it, or returns nil when the cut came before.
func (w *world) start(n int64) *life {
	l, err := w.open(n, w.percent())
	for place := range l.logs {
		if err != nil {
			break
		}
		if err = l.verify(place); err != nil && !l.isDead() {
			w.t.Errorf("life %d, %v: %v", w.epoch, place, err)
		}
	}
	switch {
	case err == nil:
		w.judge()
		return l
	case l.isDead():
		l.bury()
	default:
		w.t.Fatalf("life %d: %v", w.epoch, err)
	}
	return nil
}

func (w *world) judge() {
	w.t.Helper()
	if vs := w.h.Check(); len(vs) > 0 {
		w.t.Fatalf("life %d: %d broken promises:\n%s", w.epoch, len(vs), history.Explain(vs))
	}
}

func (l *life) work() {
	var all sync.WaitGroup
	for i := range producerIDs {
		rng := testkit.NewRand(l.rng.Uint64())
		all.Go(func() { l.produce(rng, i) })
	}
	all.Wait()
}

// bury ends what still runs after a cut and puts the new disk in place.
func (l *life) bury() {
	if l.store != nil {
		l.store.Kill()
	}
	for place, log := range l.logs {
		l.maxStart[place] = max(l.maxStart[place], log.LogStartOffset())
	}
	l.sound()
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.disk = l.next
}

// sound checks that nothing is left open and that no mapping was misused.
func (l *life) sound() {
	if left := l.disk.Leaks(); len(left) > 0 {
		l.t.Errorf("left open: %q", left)
	}
	if bad := l.disk.Violations(); len(bad) > 0 {
		l.t.Errorf("misused: %q", bad)
	}
}

// closeCleanly ends a life by Close: then everything is durable, and nothing is
// recovered afterwards.
func (w *world) closeCleanly() {
	l := w.start(-1)
	if l == nil {
		return
	}
	l.work()
	if err := l.store.Close(context.Background()); err != nil {
		w.t.Errorf("close: %v", err)
	}
	for place, tr := range l.track {
		w.maxStart[place] = max(w.maxStart[place], l.logs[place].LogStartOffset())
		tr.durable(l.logs[place].LogEndOffset())
	}
	l.sound()
	w.disk = w.disk.CrashClone(w.rng, 0)
	if l = w.start(-1); l != nil {
		l.store.Kill()
		l.sound()
	}
}
