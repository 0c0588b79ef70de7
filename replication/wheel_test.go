package replication

import (
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/metadata"
)

// TestWheel compares with a naive list of deadlines: each entry that is not removed ends
// once, not before its time and at most two ticks after.
func TestWheel(t *testing.T) {
	rng := testkit.Rand(t)
	clk := testkit.NewClock(time.UnixMilli(0))
	w := newWheel(clk)
	p := newPartition("t", 0, metadata.TopicID{}, nil, w, self)
	done := newOutcomes()
	due := map[int]int64{} // by slot: ms
	entries := map[int]*parked{}
	now := int64(0)
	for step := range 2000 {
		switch rng.IntN(4) {
		case 0, 1:
			timeout := rng.Int32N(40_000)
			if rng.IntN(5) == 0 {
				timeout = rng.Int32N(60) - 5
			}
			e := &parked{partition: p, need: need{offset: int64(step)}, done: done, slot: step}
			p.mu.Lock()
			p.committed.push(e)
			p.queued.Add(1)
			w.add(e, timeout)
			p.mu.Unlock()
			due[step], entries[step] = now+int64(max(timeout, 0)), e
		case 2:
			for slot, e := range entries {
				p.mu.Lock()
				p.committed.take(e, e.generation)
				p.mu.Unlock()
				p.queued.Add(-1)
				w.remove(e)
				delete(due, slot)
				delete(entries, slot)
				break
			}
		case 3:
			d := rng.Int64N(3000)
			if rng.IntN(20) == 0 {
				d = 25_000 // more than two turns
			}
			clk.Advance(time.Duration(d) * time.Millisecond)
			now += d
		}
		for slot, at := range due {
			told := len(done.got[slot])
			if told > 1 || told == 1 && now < at || told == 0 && now >= at+2*wheelTickMs+wheelTickMs {
				t.Fatalf("step %d, at %d: entry %d, due at %d, was told %d times", step, now, slot, at, told)
			}
			if told == 1 {
				if done.got[slot][0].Err != ErrTimedOut {
					t.Fatalf("told %v", done.got[slot][0].Err)
				}
				delete(due, slot)
				delete(entries, slot)
			}
		}
	}
	if len(done.got) < 100 {
		t.Errorf("only %d entries ended by time: the test sees too little", len(done.got))
	}
	if w.count != len(due) || int(p.queued.Load()) != len(due) {
		t.Errorf("%d in the wheel, %d queued, %d expected", w.count, p.queued.Load(), len(due))
	}
}
