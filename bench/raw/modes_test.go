package raw

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record/compress"
)

func TestAcksZero(t *testing.T) {
	c := fake(t, 1, map[string]int32{"log": 2})
	target := dialFake(t, c)
	b := batches(t, workload.Spec{Sizes: "100"}, 2, 1000, compress.None)
	want := 20 * int64(b[0].Records)
	var points []result.Point
	st, err := Produce(t.Context(), target, ProduceSpec{
		Common: Common{Partitions: partitions(t, target, "log", 0), Connections: 2, Records: want,
			OnInterval: func(p result.Point) { points = append(points, p) }},
		Acks: 0, Batches: b,
	})
	if err != nil || st.Records != want || st.Requests != 20 || st.Uncorrected.Count() != 0 {
		t.Fatalf("%d records in %d requests, %d latencies, %v; want %d in 20, none", st.Records, st.Requests, st.Uncorrected.Count(), err, want)
	}
	if len(points) == 0 || points[0].RecordsPerS <= 0 || points[0].MBPerS <= 0 {
		t.Errorf("points %+v", points)
	}
	consume(t, c.ListenAddrs(), "log", int(want))
}

func TestOpenLoopProduce(t *testing.T) {
	target := dialFake(t, fake(t, 1, map[string]int32{"log": 1}))
	b := batches(t, workload.Spec{Sizes: "100"}, 2, 1000, compress.None)
	per := int64(b[0].Records)
	began := time.Now()
	st, err := Produce(t.Context(), target, ProduceSpec{
		Common: Common{Partitions: partitions(t, target, "log", 0), Records: 50 * per}, Acks: 1, Batches: b, Rate: 1000 * float64(per),
	})
	took := time.Since(began)
	if err != nil || st.Records != 50*per || st.Latency.Count() != 50 || st.Lateness.Count() != 50 {
		t.Fatalf("%d records, %d and %d latencies, %v", st.Records, st.Latency.Count(), st.Lateness.Count(), err)
	}
	if took < 49*time.Millisecond { // event 49 is due 49 ms after event 0
		t.Errorf("50 requests at 1000/s took %v", took)
	}
}

// TestManyPartitionsPerRequest compares with what another client finds in each partition.
func TestManyPartitionsPerRequest(t *testing.T) {
	c := fake(t, 2, map[string]int32{"a": 7, "b": 3})
	target := dialFake(t, c)
	parts := append(partitions(t, target, "a", 0), partitions(t, target, "b", 0)...)
	b := batches(t, workload.Spec{Sizes: "100"}, 1, 100, compress.None)
	want := 3 * 400 * int64(b[0].Records)
	st, err := Produce(t.Context(), target, ProduceSpec{
		Common: Common{Partitions: parts, Connections: 2, Depth: 3, Records: want}, Acks: -1, Batches: b, PartitionsPerRequest: 3,
	})
	if err != nil || st.Errors != 0 || st.Records != want {
		t.Fatalf("%d records in %d requests, %d errors, %v; want %d", st.Records, st.Requests, st.Errors, err, want)
	}
	got := int64(0)
	for i, end := range ends(t, target, parts) {
		if end == 0 {
			t.Errorf("nothing in %+v", parts[i])
		}
		got += end
	}
	if got != want {
		t.Errorf("%d records in the log, %d were counted", got, want)
	}
}

func ends(t *testing.T, target *Target, parts []Partition) []int64 {
	t.Helper()
	end, err := target.offsets(t.Context(), parts, logEnd)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func TestSameAndEmpty(t *testing.T) {
	target := dialFake(t, fake(t, 1, map[string]int32{"log": 1, "empty": 1}))
	parts := partitions(t, target, "log", 0)
	b := batches(t, workload.Spec{Sizes: "100"}, 3, 2000, compress.None)
	if _, err := Produce(t.Context(), target, ProduceSpec{Common: Common{Partitions: parts, Records: 500}, Acks: 1, Batches: b}); err != nil {
		t.Fatal(err)
	}
	per := int64(b[0].Records)
	for _, from := range []int64{-1, per + 3} {
		want := per // a request gets at least one batch,
		if from > 0 {
			want = int64(b[1].Records) - 3 // and of it what is wanted counts
		}
		st, err := Fetch(t.Context(), target, FetchSpec{
			Common: Common{Partitions: parts, Connections: 2, Depth: 3, Records: 100 * want},
			Mode:   Same, Offset: from, PartitionMaxBytes: 100,
		})
		if err != nil || st.Requests == 0 || float64(st.Records)/float64(st.Requests) < 0.9*float64(want) ||
			st.Records > want*(st.Requests+6) {
			t.Errorf("from %d: %d records in %d requests, want %d in each; %v", from, st.Records, st.Requests, want, err)
		}
	}
	var empty *EmptyError
	for _, mode := range []FetchMode{Same, Replay} {
		_, err := Fetch(t.Context(), target, FetchSpec{Common: Common{Partitions: partitions(t, target, "empty", 0)}, Mode: mode, Offset: -1})
		if !errors.As(err, &empty) {
			t.Errorf("%s of an empty log: %v", mode, err)
		}
	}
}

// TestTailSeesAll: each of several readers gets every record that is appended after it
// began.
func TestTailSeesAll(t *testing.T) {
	target := dialFake(t, fake(t, 1, map[string]int32{"log": 2}))
	parts := partitions(t, target, "log", 0)
	b := batches(t, workload.Spec{Sizes: "1..300"}, 5, 3000, compress.Zstd)
	produce := func(records int64) int64 {
		st, err := Produce(t.Context(), target, ProduceSpec{Common: Common{Partitions: parts, Records: records}, Acks: 1, Batches: b})
		if err != nil {
			t.Fatal(err)
		}
		return st.Records
	}
	produce(100) // before: not seen
	const readers = 3
	enough := errors.New("all was seen")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	began := make(chan struct{})
	var seen atomic.Int64
	var st Stats
	done := make(chan error)
	go func() {
		var err error
		st, err = Fetch(ctx, target, FetchSpec{
			Common: Common{Partitions: parts, Connections: readers, Depth: 2, Interval: 5 * time.Millisecond,
				OnSteady:   func() { close(began) },
				OnInterval: func(p result.Point) { seen.Add(int64(p.RecordsPerS*p.IntervalS + 0.5)) }},
			Mode: Tail, Every: true, MaxWaitMs: 20,
		})
		done <- err
	}()
	<-began
	want := readers * produce(2000)
	deadline := time.After(testkit.Patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for seen.Load() < want {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		case <-deadline:
			cancel(enough)
			<-done
			t.Fatalf("%d of %d records were seen", seen.Load(), want)
		}
	}
	cancel(enough)
	if err := <-done; !errors.Is(err, enough) || st.Records != want {
		t.Errorf("%d records, want %d; %v", st.Records, want, err)
	}
}

func TestSeats(t *testing.T) {
	var parts []Partition
	for i := range 10 {
		parts = append(parts, Partition{Topic: "t", Index: int32(9 - i), Address: []string{"a", "b", "b"}[i%3]})
	}
	for _, conns := range []int{1, 2, 3, 4, 7, 25} {
		read, all := make([]int, len(parts)), map[int]int{}
		for _, s := range seats(parts, conns) {
			for _, p := range s.share(false) {
				read[p]++
				if parts[p].Address != s.group.address {
					t.Errorf("%d connections: one to %s reads a partition of %s", conns, s.group.address, parts[p].Address)
				}
			}
			all[len(s.share(true))]++
			if s.first >= len(s.group.parts) {
				t.Errorf("%d connections: one begins at partition %d of %d", conns, s.first, len(s.group.parts))
			}
		}
		for p, n := range read {
			if n == 0 || (conns <= 7 && n > 1) {
				t.Errorf("%d connections: partition %d is read by %d", conns, p, n)
			}
		}
		if all[4]+all[6] != max(conns, 2) {
			t.Errorf("%d connections: with Every they read %v", conns, all)
		}
	}
}
