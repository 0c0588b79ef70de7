package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// TestReadersBesideTheWriter appends, rolls, syncs, idles, truncates and deletes while
// readers read, look timestamps up and hold ranges. memfs's mappings are heap memory, so
// that the race detector sees a reader that touches what is not published. Every range must
// hold whole batches that were appended, in order, from the offset that was asked for.
func TestReadersBesideTheWriter(t *testing.T) {
	for _, mode := range []Mode{Mapped, Pwrite} {
		t.Run(fmt.Sprint("mode", mode), func(t *testing.T) {
			seed := testkit.Seed(t)
			disk := memfs.New()
			must(t, disk.MkdirAll("log", 0o755))
			var work sync.WaitGroup
			o := Options{FS: disk, Clock: clock.Real{}, Dir: "log", Mode: mode, Background: func(f func()) { work.Go(f) }}
			cfg := Config{SegmentBytes: 32 << 10, SegmentMs: 1 << 50, IndexIntervalBytes: 300, IndexMaxBytes: 8192}
			c, _, err := Open(o, cfg, Recovery{Clean: true})
			must(t, err)
			w := &contest{t: t, c: c}
			var stop atomic.Bool
			var readers sync.WaitGroup
			for i := range 3 {
				readers.Go(func() { w.readers(testkit.NewRand(seed+uint64(i)).Int64(), &stop) })
			}
			w.write(seed)
			stop.Store(true)
			readers.Wait()
			work.Wait()
			must(t, c.Close())
		})
	}
}

// contest knows, for each offset, the bytes of the batch that was last appended there.
type contest struct {
	t       *testing.T
	c       *Chain
	batches sync.Map     // base offset -> record.Batch; a truncation replaces them
	rewound atomic.Int64 // how often offsets were taken back
}

func (w *contest) write(seed uint64) {
	rng := rand.New(rand.NewSource(int64(seed)))
	ts := int64(1_700_000_000_000)
	var bases []int64
	for i := range 2500 {
		ts += int64(rng.Intn(50))
		size := rng.Intn(150)
		if i%40 == 0 {
			size = 10_000
		}
		b := makeBatch(w.t, rng, w.c.NextOffset(), 1+rng.Intn(3), ts, size, compress.None)
		w.batches.Store(b.BaseOffset(), b)
		bases = append(bases, b.BaseOffset())
		must(w.t, appendBatch(w.c, b))
		switch n := rng.Intn(300); {
		case n < 8:
			_, err := w.c.Sync()
			must(w.t, err)
		case n < 10:
			must(w.t, w.c.Idle())
		case n < 12:
			must(w.t, w.c.Roll())
		case n < 13 && len(bases) > 0:
			w.rewound.Add(1)
			must(w.t, w.c.TruncateFullyAndStartAt(w.c.NextOffset()))
			bases = nil
		case n < 15 && len(bases) > 30:
			at := bases[len(bases)-1-rng.Intn(20)]
			w.rewound.Add(1)
			must(w.t, w.c.TruncateTo(at))
			w.rewound.Add(1) // a read that began in between saw what was there before
			for bases[len(bases)-1] >= at {
				bases = bases[:len(bases)-1]
			}
		case n < 17:
			_, err := w.c.DropHead(w.c.NextOffset() - 500)
			must(w.t, err)
			must(w.t, w.c.RemoveDeleted(w.c.o.Clock.Now()))
		}
	}
}

func (w *contest) readers(seed int64, stop *atomic.Bool) {
	rng := rand.New(rand.NewSource(seed))
	for !stop.Load() {
		start, end := w.c.StartOffset(), w.c.NextOffset()
		if end <= start {
			continue
		}
		offset := start + rng.Int63n(end-start)
		if rng.Intn(4) > 0 {
			offset = max(start, end-rng.Int63n(30))
		}
		rewound := w.rewound.Load()
		switch rng.Intn(10) {
		case 0:
			_, _, _, err := w.c.FindTimestamp(1_700_000_000_000+rng.Int63n(60_000), offset)
			w.allow(err, rewound)
		case 1:
			_, _, _, err := w.c.MaxTimestamp()
			w.allow(err, rewound)
		default:
			w.read(rng, offset, rewound)
		}
	}
}

// allow fails the test unless the error is one that a truncation or deletion explains.
func (w *contest) allow(err error, rewound int64) {
	if err == nil || errors.Is(err, ErrOutOfRange) || w.rewound.Load() != rewound {
		return
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrNotExist) {
		return
	}
	w.t.Error(err)
}

func (w *contest) read(rng *rand.Rand, offset, rewound int64) {
	r, err := w.c.Read(offset, rng.Intn(6000), w.c.NextOffset(), true)
	if err != nil {
		w.allow(err, rewound)
		return
	}
	defer r.Release()
	if r.LenBytes == 0 {
		return
	}
	got := make([]byte, r.LenBytes)
	if err := r.CopyTo(got); err != nil {
		w.allow(err, rewound)
		return
	}
	for first := true; len(got) > 0; first = false {
		b, rest, err := record.Next(got)
		if err != nil {
			w.t.Errorf("range from %d: %v", offset, err)
			return
		}
		if first && (b.BaseOffset() > offset || b.LastOffset() < offset) && w.rewound.Load() == rewound {
			w.t.Errorf("read %d got offsets %d to %d", offset, b.BaseOffset(), b.LastOffset())
		}
		want, ok := w.batches.Load(b.BaseOffset())
		if w.rewound.Load() == rewound && (!ok || !bytes.Equal(b, want.(record.Batch))) {
			w.t.Errorf("batch at %d is not what was appended", b.BaseOffset())
		}
		if err := b.CheckCRC(); err != nil {
			w.t.Errorf("batch at %d: %v", b.BaseOffset(), err)
		}
		got = rest
	}
}
