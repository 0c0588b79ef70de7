package engine

import (
	"fmt"
	"testing"
)

// A producer may have five batches under way. Whatever way the broker stopped, each of them
// that is in the log is recognised when it is sent again: Kafka's snapshots hold the last
// one only, the log itself has the rest.
func TestTheWholeWindowSurvivesAStop(t *testing.T) {
	stops := map[string]func(*Store){"clean": func(s *Store) { mustClose(t, s) }, "kill": (*Store).Kill}
	for name, stop := range stops {
		for _, roll := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/roll=%v", name, roll), func(t *testing.T) {
				e := newEnv(t)
				if roll {
					e.opts.DefaultConfig.SegmentBytes = 400 // a few batches each
				}
				s := e.open(t)
				l := mustCreate(t, s, "topic", e.opts.DefaultConfig)
				for seq := range int32(9) {
					mustAppend(t, l, idempotent(t, 7, 0, seq, fmt.Sprint(seq)))
					mustAppend(t, l, idempotent(t, 8, 0, seq, fmt.Sprint(seq)))
				}
				stop(s)
				l = mustCreate(t, e.open(t), "topic", e.opts.DefaultConfig)
				for seq := int32(4); seq < 9; seq++ {
					a := mustAppend(t, l, idempotent(t, 7, 0, seq, fmt.Sprint(seq)))
					if !a.Duplicate || a.FirstOffset != 2*int64(seq) {
						t.Errorf("batch %d sent again was answered %+v, want the duplicate at %d", seq, a, 2*seq)
					}
				}
				if _, err := l.AppendAsLeader(idempotent(t, 7, 0, 3, "3"), 0, Client); err == nil {
					t.Error("a batch older than the window was stored again")
				}
				if l.LogEndOffset() != 18 {
					t.Errorf("the log ends at %d, want 18", l.LogEndOffset())
				}
			})
		}
	}
}
