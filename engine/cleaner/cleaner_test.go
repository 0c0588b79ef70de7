package cleaner

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// TestOffsetMapAgainstAMap puts random keys, also long and empty ones, and compares with Go's
// map, in tables of every small size, up to full and again after a Reset.
func TestOffsetMapAgainstAMap(t *testing.T) {
	rng := testkit.Rand(t)
	m := new(OffsetMap)
	for range 300 {
		memory := int64(rng.IntN(4000))
		load := []float64{0, 0.5, 0.9, 1, 7}[rng.IntN(5)]
		m.Reset(memory, load, int64(1+rng.IntN(200)))
		if most := max(memory, 2*SlotBytes); m.MemoryBytes() > most {
			t.Fatalf("%d bytes, limit %d", m.MemoryBytes(), most)
		}
		want := make(map[string]int64)
		for offset := range int64(400) {
			key := make([]byte, rng.IntN(3))
			if rng.IntN(20) == 0 {
				key = make([]byte, 100+rng.IntN(2))
			}
			for i := range key {
				key[i] = byte(rng.IntN(20))
			}
			_, known := want[string(key)]
			full := m.Full()
			if ok := m.Put(key, offset); ok != (known || !full) {
				t.Fatalf("put %q with %d of %d keys, known %v: %v", key, m.Len(), len(want), known, ok)
			} else if ok {
				want[string(key)] = offset
			}
			if m.Len() != len(want) {
				t.Fatalf("%d keys, want %d", m.Len(), len(want))
			}
		}
		for key, offset := range want {
			if got := m.Get([]byte(key)); got != offset {
				t.Fatalf("%q: %d, want %d", key, got, offset)
			}
		}
		if got := m.Get([]byte("no such key")); got != -1 {
			t.Fatalf("an absent key: %d", got)
		}
	}
	m.Release()
	if m.MemoryBytes() != 0 || m.Get([]byte("x")) != -1 {
		t.Error("memory was kept")
	}
}

func TestOffsetMapTakesNoMoreThanItNeeds(t *testing.T) {
	m := NewOffsetMap(0, 0.9)
	m.Reset(128<<20, 0.9, 1000)
	if got := m.MemoryBytes(); got > 30_000 {
		t.Errorf("%d bytes for 1000 keys", got)
	}
	for i := range int64(1000) {
		if !m.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), i) {
			t.Fatalf("key %d does not go in", i)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Put([]byte("00000001"), 5); m.Get([]byte("00000001")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPick(t *testing.T) {
	for name, c := range map[string]struct {
		list []Candidate
		want int
	}{
		"none":                {nil, -1},
		"empty":               {[]Candidate{{}}, -1},
		"clean":               {[]Candidate{{CleanBytes: 10}}, -1},
		"at its ratio":        {[]Candidate{{CleanBytes: 10, DirtyBytes: 10, MinRatio: 0.5}}, -1},
		"above its ratio":     {[]Candidate{{CleanBytes: 10, DirtyBytes: 11, MinRatio: 0.5}}, 0},
		"the dirtiest":        {[]Candidate{{CleanBytes: 10, DirtyBytes: 20}, {CleanBytes: 10, DirtyBytes: 30}, {CleanBytes: 10, DirtyBytes: 29}}, 1},
		"overdue":             {[]Candidate{{CleanBytes: 100, DirtyBytes: 1, MinRatio: 0.5, OverdueMs: 1}}, 0},
		"overdue but nothing": {[]Candidate{{CleanBytes: 100, OverdueMs: 1}}, -1},
		"ratio 1 is never":    {[]Candidate{{DirtyBytes: 10, MinRatio: 1}}, -1},
	} {
		if got := Pick(c.list); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestGroup(t *testing.T) {
	piece := func(base, next, size int64) Piece {
		return Piece{Base: base, Next: next, SizeBytes: size, IndexBytes: 8, TimeIndBytes: 12}
	}
	limits := Limits{SegmentBytes: 100, IndexBytes: 36, Offsets: math.MaxInt32}
	for name, c := range map[string]struct {
		pieces []Piece
		want   int
	}{
		"one":                 {[]Piece{piece(0, 1, 50)}, 1},
		"one above all":       {[]Piece{piece(0, 1<<40, 500)}, 1},
		"by size":             {[]Piece{piece(0, 1, 50), piece(1, 2, 50), piece(2, 3, 1)}, 2},
		"empty ones":          {[]Piece{piece(0, 1, 0), piece(1, 2, 100), piece(2, 3, 0)}, 3},
		"by time index":       {[]Piece{piece(0, 1, 0), piece(1, 2, 0), piece(2, 3, 0), piece(3, 4, 0)}, 3},
		"by offsets":          {[]Piece{piece(0, 5, 1), piece(5, 1+1<<31, 1)}, 1},
		"offsets just enough": {[]Piece{piece(0, 5, 1), piece(5, 1<<31, 1)}, 2},
	} {
		if got := Group(c.pieces, limits); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestThrottle lets several takers share a rate: over a long time no more goes through, and
// not much less.
func TestThrottle(t *testing.T) {
	rng := testkit.Rand(t)
	var th Throttle
	now := time.Unix(1000, 0)
	start := now
	const rate = 1 << 20
	var taken int64
	for now.Sub(start) < time.Minute {
		n := int64(rng.IntN(300_000))
		now = now.Add(th.Take(now, n, rate))
		taken += n
		if rng.IntN(50) == 0 {
			now = now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
		}
	}
	if got := float64(taken) / now.Sub(start).Seconds(); got > rate*1.02 || got < rate*0.85 {
		t.Errorf("%.0f bytes a second, limit %d", got, rate)
	}
	for _, limit := range []float64{0, -1, math.MaxFloat64, math.Inf(1)} {
		if d := th.Take(now, 1<<40, limit); d != 0 {
			t.Errorf("limit %v: waits %v", limit, d)
		}
	}
	if d := th.Take(now, 1<<60, 1e-300); d <= 0 || d > 2*time.Hour {
		t.Errorf("a tiny limit: waits %v", d)
	}
}

// build makes a batch with random contents: keys of a few letters, tombstones, headers.
func build(t testing.TB, rng *rand.Rand, base int64, codec compress.Codec, appendTimeMs int64) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{
		BaseOffset: base, Codec: codec, LeaderEpoch: 4, AppendTimeMs: appendTimeMs,
		Producer: &record.Producer{ID: 9, Epoch: 2, BaseSequence: 5},
	})
	delta := int32(0)
	for range 1 + rng.IntN(6) {
		value := []byte(fmt.Sprint(rng.Int64()))
		if rng.IntN(4) == 0 {
			value = nil
		}
		b.AppendAt(delta, 1_000_000+rng.Int64N(1000), []byte(fmt.Sprint("k", rng.IntN(5))), value, record.Header{Key: "h", Value: value})
		delta += 1 + int32(rng.IntN(3))
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return append(record.Batch(nil), out...)
}

type seen struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
	header            string
}

func recordsOf(t testing.TB, b record.Batch) (list []seen) {
	t.Helper()
	err := b.Iterate(nil, func(r *record.Record) error {
		s := seen{offset: r.Offset, timestamp: r.Timestamp, key: string(r.Key), value: string(r.Value), tombstone: r.Value == nil}
		list = append(list, s)
		return r.Headers(func(key, value []byte) bool {
			list[len(list)-1].header = string(key) + "=" + string(value)
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestBatchesKeepWhatTheyMust filters random batches again and again, as cleanings would, and
// holds what is left against the original: records as they were, the header's offsets,
// producer and epoch, a checksum that fits, a horizon once a tombstone is kept.
func TestBatchesKeepWhatTheyMust(t *testing.T) {
	rng := testkit.Rand(t)
	for round := range 2000 {
		appendTime := int64(0)
		if round%5 == 0 {
			appendTime = 2_000_000
		}
		b := build(t, rng, 100, compress.Codec(rng.IntN(5)), appendTime)
		original, nowMs := b, int64(5_000_000)
		all := recordsOf(t, original)
		var f record.Filter
		for range 3 {
			keep := make(map[int64]bool)
			for _, r := range all {
				keep[r.offset] = rng.IntN(4) > 0
			}
			var want []seen
			tombstone := false
			for _, r := range recordsOf(t, b) {
				if keep[r.offset] {
					want = append(want, r)
					tombstone = tombstone || r.tombstone
				}
			}
			horizonMs, had := b.DeleteHorizonMs()
			o := record.FilterOptions{KeepEmpty: rng.IntN(2) == 0, DeleteHorizonMs: nowMs}
			out, err := f.Filter(b, o, func(r *record.Record) bool { return keep[r.Offset] })
			if err != nil {
				t.Fatal(err)
			}
			if out.Kept != len(want) || (out.Batch == nil) != (len(want) == 0 && !o.KeepEmpty) {
				t.Fatalf("%d kept, want %d; %v", out.Kept, len(want), out.Batch == nil)
			}
			if out.Batch == nil {
				break
			}
			left := append(record.Batch(nil), out.Batch...)
			if err := left.CheckCRC(); err != nil {
				t.Fatal(err)
			}
			if _, rest, err := record.Next(left); err != nil || len(rest) > 0 {
				t.Fatalf("%d bytes behind the batch, %v", len(rest), err)
			}
			if left.BaseOffset() != original.BaseOffset() || left.LastOffset() != original.LastOffset() || left.LeaderEpoch() != 4 ||
				left.ProducerID() != 9 || left.ProducerEpoch() != 2 || left.BaseSequence() != 5 || left.LastSequence() != original.LastSequence() ||
				left.TimestampType() != original.TimestampType() {
				t.Fatalf("header %x, was %x", left[:record.HeaderBytes], original[:record.HeaderBytes])
			}
			got := recordsOf(t, left)
			largest := int64(-1)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("record %+v, want %+v", got[i], want[i])
				}
				largest = max(largest, want[i].timestamp)
			}
			if len(want) > 0 && left.MaxTimestamp() != largest {
				t.Fatalf("largest timestamp %d, want %d", left.MaxTimestamp(), largest)
			}
			switch ms, has := left.DeleteHorizonMs(); {
			case len(want) == 0:
			case has != (tombstone || had), has && had && ms != horizonMs, has && !had && ms != nowMs:
				t.Fatalf("horizon %d %v, was %d %v, tombstone %v", ms, has, horizonMs, had, tombstone)
			}
			b = left
			nowMs += 1000
		}
	}
}

// FuzzRound gives arbitrary bytes to both passes: an error, or a batch that is whole.
func FuzzRound(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for codec := range compress.Codec(5) {
		f.Add([]byte(build(f, rng, 3, codec, 0)), true)
	}
	marker, err := record.EndTxnMarker(record.ControlAbort, record.Producer{ID: 4}, 0, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(marker), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		b, _, err := record.Next(data)
		if err != nil {
			return
		}
		b = append(record.Batch(nil), b...)
		if seal {
			b.SetMaxTimestamp(b.MaxTimestamp() ^ 1) // makes the checksum fit
		}
		var stats Stats
		m := NewOffsetMap(SlotBytes*50, 0.9)
		full, err := NewMapping(m, 0, nil, &stats).Add(b)
		if err == nil && !full && m.Latest() < min(b.LastOffset(), 0) {
			t.Fatalf("put up to %d, batch ends at %d", m.Latest(), b.LastOffset())
		}
		out, err := NewRound(m, RoundOptions{NowMs: 1, UpTo: 7}, &stats).Filter(b)
		if err != nil || out.Batch == nil {
			return
		}
		left, rest, err := record.Next(out.Batch)
		if err != nil || len(rest) > 0 || left.CheckCRC() != nil || left.BaseOffset() != b.BaseOffset() || left.LastOffset() != b.LastOffset() {
			t.Fatalf("left %x of %x: %v", out.Batch, b, err)
		}
		if err := left.Iterate(nil, func(*record.Record) error { return nil }); err != nil {
			t.Fatalf("left %x of %x: %v", out.Batch, b, err)
		}
	})
}

func BenchmarkOffsetMapPut(b *testing.B) {
	m := NewOffsetMap(64<<20, 0.9)
	keys := make([][]byte, 1<<20)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user-%016d", i)
	}
	b.ResetTimer()
	for i := range b.N {
		m.Put(keys[i&(1<<20-1)], int64(i))
	}
}
