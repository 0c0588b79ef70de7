package segment

import (
	"bytes"
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// A hint is found again or was displaced, and never is another one's.
func TestHintsAgainstAMap(t *testing.T) {
	r := testkit.Rand(t)
	var h hints
	starts, ends := map[int64]int64{}, map[[2]int64]int64{}
	found := 0
	for range 50_000 {
		rel, pos, most := r.Int64N(200), r.Int64N(1<<31), 1+r.Int64N(4)*1000
		if r.IntN(3) == 0 {
			h.noteStart(rel, pos)
			starts[rel] = pos
			at := r.Int64N(100)
			ends[[2]int64{at, most}] = at + 1 + r.Int64N(most)
			h.noteEnd(at, most, ends[[2]int64{at, most}])
			continue
		}
		if got, ok := h.start(rel); ok {
			found++
			if want, known := starts[rel]; !known || got != want {
				t.Fatalf("offset %d: %d, want %d", rel, got, want)
			}
		}
		at := r.Int64N(100)
		if got, ok := h.end(at, most); ok {
			found++
			if got <= at || got-at > most {
				t.Fatalf("position %d, at most %d bytes: ends at %d", at, most, got)
			}
		}
	}
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// What does not fit into a word is not remembered, and not found as something else.
func TestHintsRefuseWhatDoesNotFit(t *testing.T) {
	var h hints
	for _, v := range []int64{-1, 1<<32 - 1, 1 << 40} {
		h.noteStart(v, 0)
		h.noteEnd(v, 1, 2)
		if _, ok := h.start(v); ok {
			t.Errorf("offset %d is found", v)
		}
		if _, ok := h.end(v, 1); ok {
			t.Errorf("position %d is found", v)
		}
	}
	h.noteStart(5, 1<<32)
	h.noteStart(6, -1)
	for _, rel := range []int64{0, 5, 6} {
		if pos, ok := h.start(rel); ok {
			t.Errorf("offset %d is found at %d", rel, pos)
		}
	}
}

// Consumers that read on, and again, get every byte of the log, with hints and after cuts
// that make hints wrong.
func TestReadsOnGetEveryByte(t *testing.T) {
	r := testkit.Rand(t)
	fs := memfs.New()
	if err := fs.MkdirAll("log", 0o755); err != nil {
		t.Fatal(err)
	}
	c, _, err := Open(Options{FS: fs, Clock: clock.Real{}, Dir: "log"}, Config{
		SegmentBytes: 64 << 10, SegmentMs: 1 << 50, IndexIntervalBytes: 1 << 10, IndexMaxBytes: 1 << 20,
	}, Recovery{Clean: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	old := rand.New(rand.NewSource(r.Int64()))
	var log []record.Batch
	for round := range 30 {
		for range r.IntN(80) {
			b := makeBatch(t, old, c.NextOffset(), 1+r.IntN(3), 1_700_000_000_000, 1+r.IntN(2000), compress.None)
			if err := c.Append(b, lastIsLatest(b)); err != nil {
				t.Fatal(err)
			}
			log = append(log, b)
		}
		for pass := range 3 {
			for _, most := range []int{1 << 10, 5000, 40 << 10} {
				checkReadOn(t, c, log, most)
			}
			if pass == 0 && round%3 == 2 && len(log) > 2 {
				cut := r.IntN(len(log))
				if err := c.TruncateTo(log[cut].BaseOffset()); err != nil {
					t.Fatal(err)
				}
				log = log[:cut]
			}
		}
	}
}

// checkReadOn reads the log from its start to its end, each read where the last one stopped.
func checkReadOn(t *testing.T, c *Chain, log []record.Batch, most int) {
	t.Helper()
	left := log
	offset := int64(0)
	for offset < c.NextOffset() {
		rng, err := c.Read(offset, most, c.NextOffset(), true)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, rng.LenBytes)
		err = rng.CopyTo(got)
		rng.Release()
		if err != nil || len(got) == 0 {
			t.Fatalf("read at %d of %d: %d bytes, %v", offset, c.NextOffset(), len(got), err)
		}
		for len(got) > 0 {
			if len(left) == 0 || !bytes.HasPrefix(got, left[0]) {
				t.Fatalf("the read at %d, at most %d bytes, is not what was appended", offset, most)
			}
			got, offset, left = got[len(left[0]):], left[0].NextOffset(), left[1:]
		}
	}
	if len(left) > 0 {
		t.Fatalf("%d batches were not read", len(left))
	}
}
