package segment

import (
	"bytes"
	"errors"
	"math/rand"
	randv2 "math/rand/v2"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// history is what a log was told: enough to judge any state after a power cut.
type history struct {
	c       *Chain
	batches []record.Batch // as appended, truncations applied
	synced  int64          // offset that the last Sync returned, lowered by truncations
	floor   int64          // durable log start
}

// TestPowerCut does random work on a disk that loses what was not synced, cuts the power
// again and again and checks what recovery makes of it: a prefix of what was appended,
// with everything that was synced, byte for byte, and a log that goes on from there.
func TestPowerCut(t *testing.T) {
	seed := testkit.Seed(t)
	rounds := testkit.Rounds(t, "CRASH_ROUNDS", 60)
	for round := range uint64(rounds) {
		powerCutRound(t, seed+round)
	}
}

func powerCutRound(t *testing.T, seed uint64) {
	t.Helper()
	rng := testkit.NewRand(seed)
	disk := memfs.New()
	must(t, disk.MkdirAll("log", 0o755))
	must(t, disk.SyncDir("/"))
	o := Options{FS: disk, Clock: clock.Real{}, Dir: "log", Mode: Mode(rng.IntN(2))}
	cfg := smallConfig()
	cfg.SyncEveryAppend = rng.IntN(4) == 0
	c, _, err := Open(o, cfg, Recovery{Clean: true})
	must(t, err)
	h := &history{c: c}
	values := rand.New(rand.NewSource(int64(seed)))
	for cut := range 4 {
		for range 5 + rng.IntN(40) {
			h.work(t, rng, values, disk)
		}
		after := disk.CrashClone(rng, []int{0, 30, 70, 100}[rng.IntN(4)])
		disk.PowerOff()
		h.c.Kill()
		disk, o.FS = after, after
		point := h.synced
		if rng.IntN(3) == 0 {
			point = 0
		}
		c, _, err = Open(o, cfg, Recovery{Point: point, Contiguous: true})
		if err != nil {
			t.Fatalf("seed %d, cut %d: recovery: %v", seed, cut, err)
		}
		h.c = c
		h.judge(t, seed, c)
	}
	must(t, h.c.Close())
}

func (h *history) next() int64 {
	if len(h.batches) == 0 {
		return h.floor
	}
	return h.batches[len(h.batches)-1].NextOffset()
}

func (h *history) work(t *testing.T, rng *randv2.Rand, values *rand.Rand, disk *memfs.FS) {
	t.Helper()
	switch n := rng.IntN(100); {
	case n < 70:
		size := rng.IntN(200)
		if rng.IntN(8) == 0 {
			size = 9000 // by WriteAt, and a segment of its own
		}
		b := makeBatch(t, values, h.next(), 1+rng.IntN(3), 1_700_000_000_000, size, compress.None)
		if h.c.cfg.SyncEveryAppend && rng.IntN(4) > 0 {
			must(t, appendBatchToSync(h.c, b))
		} else {
			must(t, appendBatch(h.c, b))
		}
		h.batches = append(h.batches, b)
	case n < 84:
		upTo, err := h.c.Sync()
		must(t, err)
		if upTo != h.next() {
			t.Fatalf("synced to %d of %d", upTo, h.next())
		}
		h.synced = upTo
	case n < 88:
		must(t, h.c.Roll())
	case n < 91:
		must(t, h.c.Idle())
	case n < 94:
		disk.Writeback(rng, 50)
	case n < 96:
		h.truncate(t, rng)
	case n < 97:
		at := h.next() + int64(rng.IntN(3))
		must(t, h.c.TruncateFullyAndStartAt(at))
		h.batches, h.floor, h.synced = nil, at, at
	case n < 98:
		_, err := h.c.DropHead(h.synced)
		must(t, err)
		h.floor = h.c.StartOffset()
		for len(h.batches) > 0 && h.batches[0].BaseOffset() < h.floor {
			h.batches = h.batches[1:]
		}
		must(t, h.c.RemoveDeleted(h.c.o.Clock.Now()))
	default:
		must(t, h.c.Close())
		again, _, err := Open(h.c.o, h.c.cfg, Recovery{Clean: true})
		must(t, err)
		h.c, h.synced = again, h.next()
	}
}

func (h *history) truncate(t *testing.T, rng *randv2.Rand) {
	t.Helper()
	if len(h.batches) == 0 {
		return
	}
	at := h.batches[rng.IntN(len(h.batches))].BaseOffset()
	must(t, h.c.TruncateTo(at))
	for len(h.batches) > 0 && h.batches[len(h.batches)-1].LastOffset() >= at {
		h.batches = h.batches[:len(h.batches)-1]
	}
	h.synced = min(h.synced, at)
}

// judge compares what is left with what was told, and forgets what was lost.
func (h *history) judge(t *testing.T, seed uint64, c *Chain) {
	t.Helper()
	i := 0
	if c.StartOffset() > h.floor {
		t.Fatalf("seed %d: the log starts at %d, want %d or before", seed, c.StartOffset(), h.floor)
	}
	err := c.Scan(h.floor, func(b record.Batch, _, _ int64) error {
		if i >= len(h.batches) || !bytes.Equal(b, h.batches[i]) {
			t.Fatalf("seed %d: batch %d at offset %d is not what was appended", seed, i, b.BaseOffset())
		}
		i++
		return nil
	})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	h.batches = h.batches[:i]
	if c.NextOffset() < h.synced {
		t.Fatalf("seed %d: the log ends at %d, but was synced to %d", seed, c.NextOffset(), h.synced)
	}
	if len(h.batches) > 0 && c.NextOffset() != h.next() {
		t.Fatalf("seed %d: next offset %d behind batches that end at %d", seed, c.NextOffset(), h.next())
	}
	h.synced = c.NextOffset()
	checkReadsOf(t, c, &model{start: c.StartOffset(), batches: h.batches})
}

// checkReadsOf reads the log batch by batch through its indexes.
func checkReadsOf(t *testing.T, c *Chain, m *model) {
	t.Helper()
	segments := c.Segments()
	for _, b := range m.batches {
		r, err := c.Read(b.LastOffset(), 1000, c.NextOffset(), true)
		must(t, err)
		got := make([]byte, r.LenBytes)
		must(t, r.CopyTo(got))
		r.Release()
		if want := m.read(b.LastOffset(), 1000, c.NextOffset(), true, segments); !bytes.Equal(got, want) {
			t.Fatalf("read at %d: %d bytes, want %d", b.LastOffset(), len(got), len(want))
		}
	}
}

// TestEachCallFails runs the same work once for each call that it makes to the file system,
// and fails that call with EIO or ENOSPC. Nothing that was acknowledged as synced may be
// lost, a full disk must leave the log usable, and a failed one must say so ever after.
func TestEachCallFails(t *testing.T) {
	for _, way := range []callWay{{mode: Mapped}, {mode: Pwrite}, {mode: Mapped, gather: true}} {
		for _, injected := range []error{syscall.EIO, syscall.ENOSPC} {
			calls := 0
			for fail := int64(0); ; fail++ {
				if !failOne(t, way, injected, fail) {
					break
				}
				calls++
			}
			if calls < 30 {
				t.Errorf("only %d calls were failed", calls)
			}
		}
	}
}

// callWay is how failOne appends: gather leaves small batches to the sync.
type callWay struct {
	mode   Mode
	gather bool
}

func failOne(t *testing.T, way callWay, injected error, fail int64) (reached bool) {
	t.Helper()
	mode, cfg, add := way.mode, smallConfig(), appendBatch
	if way.gather {
		cfg.SyncEveryAppend, add = true, appendBatchToSync
	}
	disk := memfs.New()
	must(t, disk.MkdirAll("log", 0o755))
	must(t, disk.SyncDir("/"))
	n := int64(0)
	broken := errorfs.Wrap(disk, func(op errorfs.Op) errorfs.Fault {
		if op.Kind == errorfs.Close || op.Kind == errorfs.Unmap || op.Kind == errorfs.ReadDir {
			return errorfs.Fault{}
		}
		n++
		if n-1 == fail {
			reached = true
			return errorfs.Fault{Err: injected}
		}
		return errorfs.Fault{}
	})
	c, _, err := Open(Options{FS: broken, Clock: clock.Real{}, Dir: "log", Mode: mode}, cfg, Recovery{Clean: true})
	if err != nil {
		return reached
	}
	values := rand.New(rand.NewSource(1))
	var kept []record.Batch
	var synced int64
	failed := false
	next := int64(0)
	for i := range 24 {
		b := makeBatch(t, values, next, 2, 1_700_000_000_000, 200+i%3*4000, compress.None)
		err := add(c, b)
		if failed && err == nil {
			t.Fatalf("call %d: an append after %v succeeded", fail, err)
		}
		if err == nil {
			kept = append(kept, b)
			next = b.NextOffset()
		} else if !IsDiskFull(err) || errors.As(err, new(*PoisonedError)) {
			failed = true
		}
		if c.NextOffset() != next {
			t.Fatalf("call %d: next offset %d after an append of %v, want %d", fail, c.NextOffset(), err, next)
		}
		if i%5 == 4 {
			if upTo, err := c.Sync(); err == nil {
				synced = upTo
			} else {
				failed = true
			}
		}
	}
	c.Kill()
	after := disk.CrashClone(testkit.NewRand(uint64(fail)), 50)
	again, _, err := Open(Options{FS: after, Clock: clock.Real{}, Dir: "log", Mode: mode}, smallConfig(), Recovery{Contiguous: true})
	must(t, err)
	defer again.Kill()
	if again.NextOffset() < synced {
		t.Fatalf("call %d (%v): the log ends at %d, but was synced to %d", fail, injected, again.NextOffset(), synced)
	}
	i := 0
	must(t, again.Scan(0, func(b record.Batch, _, _ int64) error {
		if i >= len(kept) || !bytes.Equal(b, kept[i]) {
			t.Fatalf("call %d (%v): batch %d at %d is not what was appended (%d kept, failed %v)", fail, injected, i, b.BaseOffset(), len(kept), failed)
		}
		i++
		return nil
	}))
	return reached
}
