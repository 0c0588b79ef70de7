package node

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const testTick = 100 * time.Millisecond

func at(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }

func TestASessionEndsBetweenItsTimeoutAndATickMore(t *testing.T) {
	tr := newTracker(testTick, at(0))
	tr.add(1, time.Second, at(50))
	for ms := 50; ms < 1050; ms += 10 {
		if due := tr.due(at(ms)); len(due) != 0 {
			t.Fatalf("due %d ms after the last touch: %v", ms-50, due)
		}
	}
	if due := tr.due(at(1150)); !slices.Equal(due, []int64{1}) {
		t.Errorf("due after timeout and tick: %v", due)
	}
	if due := tr.due(at(5000)); len(due) != 0 {
		t.Errorf("due twice: %v", due)
	}
	if tr.touch(1, at(5000)) {
		t.Error("a session whose end is proposed was touched")
	}
	tr.remove(1)
	if len(tr.sessions) != 0 || len(tr.buckets) != 0 {
		t.Error("something is left of the session")
	}
}

func TestATouchOfTheUnknownIsRefused(t *testing.T) {
	if newTracker(testTick, at(0)).touch(1, at(0)) {
		t.Error("touched")
	}
}

func TestAClockThatGoesBackLosesNoSession(t *testing.T) {
	tr := newTracker(testTick, at(0))
	tr.due(at(100_000))
	tr.add(1, time.Second, at(0))
	tr.add(2, time.Second, at(0))
	tr.touch(2, at(100))
	if due := tr.due(at(200_000)); !slices.Equal(due, []int64{1, 2}) {
		t.Errorf("due: %v", due)
	}
}

// A model: every session with the time of its last touch, looked through each time.
func TestTrackerAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	type model struct{ due time.Time }
	tr, sessions, now := newTracker(testTick, at(0)), map[int64]*model{}, at(0)
	timeouts := map[int64]time.Duration{}
	for range 20_000 {
		id := rnd.Int64N(50)
		switch s := sessions[id]; rnd.IntN(5) {
		case 0:
			if s == nil {
				timeouts[id] = time.Duration(1+rnd.IntN(2000)) * time.Millisecond
				tr.add(id, timeouts[id], now)
				sessions[id] = &model{now.Add(timeouts[id])}
			}
		case 1, 2:
			if got := tr.touch(id, now); got != (s != nil) {
				t.Fatalf("touch %d: %v", id, got)
			}
			if s != nil {
				s.due = now.Add(timeouts[id])
			}
		case 3:
			tr.remove(id)
			delete(sessions, id)
		case 4:
			now = now.Add(time.Duration(rnd.IntN(300)) * time.Millisecond)
			for _, id := range tr.due(now) {
				if s := sessions[id]; s == nil || s.due.After(now) {
					t.Fatalf("session %d was due too early", id)
				}
				tr.remove(id)
				delete(sessions, id)
			}
			for id, s := range sessions {
				if now.Sub(s.due) > testTick {
					t.Fatalf("session %d should be over", id)
				}
			}
		}
	}
}

func BenchmarkTouch10k(b *testing.B) {
	tr := newTracker(2*time.Second, at(0))
	for id := range int64(10_000) {
		tr.add(id, 30*time.Second, at(0))
	}
	for i := range b.N {
		tr.touch(int64(i%10_000), at(i/3))
	}
}
