package node

import (
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	type step struct {
		ms   int
		do   func(g *gate, now time.Time)
		want bool
	}
	announce := func(index uint64) func(*gate, time.Time) {
		return func(g *gate, now time.Time) { g.announced(index, now) }
	}
	apply := func(index uint64) func(*gate, time.Time) {
		return func(g *gate, _ time.Time) { g.advance(index) }
	}
	lead := func(g *gate, _ time.Time) { g.lead() }
	resign := func(g *gate, now time.Time) { g.resign(now) }
	nothing := func(*gate, time.Time) {}
	for _, c := range []struct {
		what  string
		steps []step
	}{
		{"nobody is served before a leader was heard", []step{{0, nothing, false}, {10, apply(5), false}}},
		{"a follower serves when it has applied what was committed when they met", []step{
			{0, apply(3), false}, {1, announce(5), false}, {2, apply(4), false}, {3, apply(5), true}}},
		{"a follower that is up to date serves at once", []step{{0, apply(5), false}, {1, announce(5), true}}},
		{"a follower without a word from its leader stops", []step{
			{0, announce(0), true}, {999, nothing, true}, {1000, nothing, false}, {1001, announce(0), true}}},
		{"a follower that hears but does not apply stops", []step{
			{0, announce(0), true}, {100, announce(7), true}, {600, announce(9), true}, {1099, announce(9), true},
			{1100, announce(9), false}, {1200, apply(8), false}, {1300, announce(9), false}, {1400, apply(9), true}}},
		{"a follower that applies late but steadily goes on", []step{
			{0, announce(0), true}, {100, announce(7), true}, {700, apply(7), true}, {800, announce(9), true}, {1500, announce(10), true}, {1600, apply(9), true}}},
		{"a leader serves, and for a while after its end", []step{
			{0, lead, true}, {50_000, nothing, true}, {50_001, resign, true}, {51_000, nothing, true}, {51_001, nothing, false}}},
		{"a leader that follows another goes on", []step{
			{0, lead, true}, {50_000, resign, true}, {50_500, announce(9), true}, {50_600, apply(9), true}, {51_400, announce(9), true}}},
		{"who never led cannot resign into serving", []step{{0, resign, false}}},
	} {
		g := gate{limit: time.Second}
		for i, s := range c.steps {
			s.do(&g, at(s.ms))
			if got := g.serves(at(s.ms)); got != s.want {
				t.Errorf("%s: step %d: serves %v", c.what, i, got)
			}
		}
	}
}

// The gate is asked again only after next: it may not shut before.
func TestGateNext(t *testing.T) {
	g := gate{limit: time.Second}
	if g.next(at(0)) != 0 {
		t.Error("a shut gate wants to be asked")
	}
	g.announced(0, at(0))
	g.announced(5, at(400))
	if d := g.next(at(500)); d != 900*time.Millisecond {
		t.Errorf("next in %v", d)
	}
	g.lead()
	if g.next(at(0)) != 0 {
		t.Error("a leader's gate wants to be asked")
	}
}

func TestGateMarksAreBounded(t *testing.T) {
	g := gate{limit: time.Second}
	for i := range 1000 {
		g.announced(uint64(i+1), at(i))
	}
	if len(g.marks) > maxMarks {
		t.Errorf("%d marks", len(g.marks))
	}
	if g.advance(999); g.synced && len(g.marks) == 0 {
		t.Error("the last mark was lost")
	}
	if g.advance(1000); len(g.marks) != 0 || !g.synced {
		t.Error("not synced after all was applied")
	}
}
