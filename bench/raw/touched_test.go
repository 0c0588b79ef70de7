package raw

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
)

// TestWarmupTouchesAll: when the steady phase begins there is something in each partition,
// however short the time of the warm-up is.
func TestWarmupTouchesAll(t *testing.T) {
	for _, acks := range []int16{0, 1, -1} {
		t.Run(fmt.Sprint("acks=", acks), func(t *testing.T) {
			target := dialFake(t, fake(t, 2, map[string]int32{"a": 40, "b": 23}))
			parts := append(partitions(t, target, "a", 0), partitions(t, target, "b", 0)...)
			b := batches(t, workload.Spec{Sizes: "100"}, 1, 200, compress.None)
			touched := NewTouched(len(parts))
			var atSteady []int64
			st, err := Produce(t.Context(), target, ProduceSpec{
				Common: Common{Partitions: parts, Connections: 3, Records: 1, Warmup: time.Microsecond, Touched: touched,
					OnSteady: func() { atSteady = ends(t, target, parts) }},
				Acks: acks, Batches: b, PartitionsPerRequest: 2,
			})
			if err != nil || touched.Left() != 0 || st.WarmupCut {
				t.Fatalf("%d partitions left, cut %v, %v", touched.Left(), st.WarmupCut, err)
			}
			for i, end := range atSteady {
				if end == 0 && acks != 0 { // what was sent only need not be there yet
					t.Errorf("nothing in %+v when the steady phase began", parts[i])
				}
			}
		})
	}
}

// TestRefusedIsNotTouched: an error is no append, so that a partition that takes nothing
// holds the warm-up up to its limit.
func TestRefusedIsNotTouched(t *testing.T) {
	b := batches(t, workload.Spec{Sizes: "100"}, 1, 200, compress.None)
	s := ProduceSpec{
		Common:  Common{Partitions: []Partition{{Topic: "t", Address: "x"}, {Topic: "t", Index: 1, Address: "x"}}, Touched: NewTouched(2)},
		Batches: b, PartitionsPerRequest: 2, Acks: 1,
	}
	p, err := newProducer(testTarget(), &s)
	if err != nil {
		t.Fatal(err)
	}
	for seq, codes := range [][]int16{{0, 6}, {6, 6}, {6, 0}} {
		if got, want := s.Touched.Left(), []int{2, 1, 1}[seq]; got != want {
			t.Errorf("%d partitions left before answer %d, want %d", got, seq, want)
		}
		p.frame(0, int64(seq))
		reply := produced(p.version, int32(seq), codes...)
		p.reply(0, int64(seq), len(reply), reply)
	}
	if got := s.Touched.Left(); got != 0 {
		t.Errorf("%d partitions left after all were written to", got)
	}
	select {
	case <-s.Touched.Done():
	default:
		t.Error("all were written to, and the warm-up goes on")
	}
}

// TestWarmupOfAFetch: a load that reads what another writes waits for that one's appends.
func TestWarmupOfAFetch(t *testing.T) {
	target := dialFake(t, fake(t, 1, map[string]int32{"log": 1}))
	parts := partitions(t, target, "log", 0)
	touched := NewTouched(1)
	st, err := Fetch(t.Context(), target, FetchSpec{
		Common: Common{Partitions: parts, Warmup: time.Microsecond, WarmupLimit: 30 * time.Millisecond, Duration: time.Millisecond, Touched: touched},
		Mode:   Tail, MaxWaitMs: 1,
	})
	if err != nil || !st.WarmupCut || st.WarmupS < 0.03 {
		t.Errorf("without appends: cut %v after %v s, %v", st.WarmupCut, st.WarmupS, err)
	}
	touched.Mark(0)
	st, err = Fetch(t.Context(), target, FetchSpec{
		Common: Common{Partitions: parts, Warmup: time.Microsecond, Duration: time.Millisecond, Touched: touched},
		Mode:   Tail, MaxWaitMs: 1,
	})
	if err != nil || st.WarmupCut {
		t.Errorf("with appends: cut %v, %v", st.WarmupCut, err)
	}
}
