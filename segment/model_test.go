package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// model is the naive log: a slice of batches.
type model struct {
	start   int64
	batches []record.Batch
}

func (m *model) next() int64 {
	if len(m.batches) == 0 {
		return m.start
	}
	return m.batches[len(m.batches)-1].NextOffset()
}

func (m *model) truncate(offset int64) {
	for len(m.batches) > 0 && m.batches[len(m.batches)-1].LastOffset() >= offset {
		m.batches = m.batches[:len(m.batches)-1]
	}
}

func (m *model) dropHead(start int64) {
	for len(m.batches) > 0 && m.batches[0].BaseOffset() < start {
		m.batches = m.batches[1:]
	}
	m.start = start
}

// read is what Chain.Read must return, were all batches in one segment; segments says
// where they start, since a range never crosses into another.
func (m *model) read(offset int64, maxBytes int, upTo int64, minOne bool, segments []Info) []byte {
	var out []byte
	end := int64(-1)
	for _, b := range m.batches {
		if b.LastOffset() < offset {
			continue
		}
		if b.LastOffset() >= upTo || end >= 0 && b.BaseOffset() >= end {
			break
		}
		if end < 0 {
			end = segmentEnd(segments, b.BaseOffset())
		}
		if len(out)+len(b) > maxBytes && !(minOne && len(out) == 0) {
			break
		}
		out = append(out, b...)
	}
	return out
}

func segmentEnd(segments []Info, offset int64) int64 {
	for _, s := range segments {
		if offset >= s.Base && offset < s.Next {
			return s.Next
		}
	}
	return -1
}

func (m *model) findTimestamp(ts, from int64) (offset, timestamp int64, found bool) {
	for _, b := range m.batches {
		_ = b.Iterate(nil, func(r *record.Record) error {
			if r.Offset >= from && r.Timestamp >= ts {
				offset, timestamp, found = r.Offset, r.Timestamp, true
				return record.ErrStop
			}
			return nil
		})
		if found {
			break
		}
	}
	return offset, timestamp, found
}

func (m *model) maxTimestamp() (offset, timestamp int64, ok bool) {
	timestamp = -1
	for _, b := range m.batches {
		_ = b.Iterate(nil, func(r *record.Record) error {
			if r.Timestamp > timestamp {
				offset, timestamp, ok = r.Offset, r.Timestamp, true
			}
			return nil
		})
	}
	return offset, timestamp, ok
}

// makeBatch builds a batch of n records with timestamps around ts.
func makeBatch(t testing.TB, rng *rand.Rand, base int64, n int, ts int64, valueBytes int, codec compress.Codec) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{BaseOffset: base, Codec: codec})
	value := make([]byte, valueBytes)
	for i := range n {
		rng.Read(value)
		b.Append(ts+int64(rng.Intn(2000))-1000, []byte(fmt.Sprint(i)), value)
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out)
}

// lastIsLatest is the Addition of a batch whose last record has its largest timestamp.
func lastIsLatest(b record.Batch) Addition {
	return Addition{LastOffset: b.LastOffset(), MaxTimestamp: b.MaxTimestamp(), OffsetOfMaxTimestamp: b.LastOffset()}
}

// appendBatch appends b with what the engine would pass along.
func appendBatch(c *Chain, b record.Batch) error { return appendBy(c, b, false) }

// appendBatchToSync is appendBatch with the promise of a sync.
func appendBatchToSync(c *Chain, b record.Batch) error { return appendBy(c, b, true) }

func appendBy(c *Chain, b record.Batch, syncFollows bool) error {
	ts, at := b.MaxTimestamp(), b.LastOffset()
	if err := b.Iterate(nil, func(r *record.Record) error {
		if r.Timestamp == ts {
			at = r.Offset
			return record.ErrStop
		}
		return nil
	}); err != nil {
		return err
	}
	return c.Append(b, Addition{LastOffset: b.LastOffset(), MaxTimestamp: ts, OffsetOfMaxTimestamp: at, SyncFollows: syncFollows})
}

func smallConfig() Config {
	return Config{SegmentBytes: 4096, SegmentMs: 1 << 40, IndexIntervalBytes: 200, IndexMaxBytes: 1024}
}

type world struct {
	t    *testing.T
	rng  *rand.Rand
	o    Options
	cfg  Config
	c    *Chain
	m    model
	held []heldRange
	ts   int64
	// mapped counts the reads that came from a mapping too.
	mapped int
}

// heldRange is a range that somebody sends slowly: it must keep its bytes, or end.
type heldRange struct {
	r    vfs.Range
	want []byte
}

func TestChainAgainstModel(t *testing.T) {
	for _, mode := range []Mode{Pwrite, Mapped} {
		for round := range 12 {
			t.Run(fmt.Sprintf("mode%d/%d", mode, round), func(t *testing.T) {
				seed := int64(testkit.Seed(t)) + int64(round)
				w := &world{t: t, rng: rand.New(rand.NewSource(seed)), cfg: smallConfig(), ts: 1_700_000_000_000}
				w.cfg.SyncEveryAppend = round%2 == 1
				w.o = Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: t.TempDir(), Mode: mode}
				w.open(Recovery{Clean: true})
				for range 400 {
					w.step()
				}
				w.checkAll()
				w.releaseHeld()
				if err := w.c.Close(); err != nil {
					t.Fatal(err)
				}
				if (w.mapped > 0) != (mode == Mapped && !w.cfg.SyncEveryAppend) {
					t.Errorf("%d reads came from a mapping", w.mapped)
				}
			})
		}
	}
}

func (w *world) open(r Recovery) {
	c, _, err := Open(w.o, w.cfg, r)
	if err != nil {
		w.t.Fatalf("open %+v: %v", r, err)
	}
	w.c = c
	if c.NextOffset() != w.m.next() || c.StartOffset() > w.m.start {
		w.t.Fatalf("opened [%d, %d), want [%d, %d)", c.StartOffset(), c.NextOffset(), w.m.start, w.m.next())
	}
}

func (w *world) step() {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	switch n := w.rng.Intn(100); {
	case n < 55:
		w.append()
	case n < 75:
		w.read()
	case n < 80:
		w.find()
	case n < 83:
		must(w.c.Roll())
	case n < 86:
		at := w.m.start + w.rng.Int63n(w.m.next()-w.m.start+2)
		must(w.c.TruncateTo(at))
		w.m.truncate(at)
	case n < 87:
		at := w.m.next() + int64(w.rng.Intn(10))
		must(w.c.TruncateFullyAndStartAt(at))
		w.m = model{start: at}
	case n < 89:
		_, err := w.c.DropHead(w.m.start + w.rng.Int63n(w.m.next()-w.m.start+1))
		must(err)
		w.m.dropHead(w.c.StartOffset())
	case n < 91:
		must(w.c.Idle())
	case n < 94:
		up, err := w.c.Sync()
		must(err)
		if up != w.m.next() || w.c.SyncedOffset() != up {
			w.t.Fatalf("synced to %d, log ends at %d", up, w.m.next())
		}
	case n < 96:
		w.releaseHeld()
	case n < 98:
		w.checkAll()
		w.releaseHeld() // pins do not outlive the process
		must(w.c.Close())
		w.open(Recovery{Clean: true})
	default:
		w.releaseHeld()
		if w.cfg.SyncEveryAppend {
			_, err := w.c.Sync() // what was left to it would be lost
			must(err)
		}
		w.c.Kill()
		w.open(Recovery{Point: w.m.start + w.rng.Int63n(w.m.next()-w.m.start+1)})
	}
}

func (w *world) append() {
	codec := compress.None
	if w.rng.Intn(4) == 0 {
		codec = compress.Gzip
	}
	w.ts += int64(w.rng.Intn(500))
	b := makeBatch(w.t, w.rng, w.m.next(), 1+w.rng.Intn(4), w.ts, w.rng.Intn(120), codec)
	add := appendBatch
	if w.cfg.SyncEveryAppend && w.rng.Intn(4) > 0 {
		add = appendBatchToSync
	}
	if err := add(w.c, b); err != nil {
		w.t.Fatalf("append at %d: %v", w.m.next(), err)
	}
	w.m.batches = append(w.m.batches, b)
	if w.c.NextOffset() != w.m.next() {
		w.t.Fatalf("next offset %d, want %d", w.c.NextOffset(), w.m.next())
	}
}

func (w *world) read() {
	offset := w.m.start + w.rng.Int63n(w.m.next()-w.m.start+1)
	maxBytes, minOne := w.rng.Intn(3000), w.rng.Intn(2) == 0
	upTo := w.boundary()
	r, err := w.c.Read(offset, maxBytes, upTo, minOne)
	if err != nil {
		w.t.Fatalf("read %d of [%d, %d): %v", offset, w.m.start, w.m.next(), err)
	}
	want := w.m.read(offset, maxBytes, upTo, minOne, w.c.Segments())
	w.compare(r, want, fmt.Sprintf("read(%d, %d, %d, %v)", offset, maxBytes, upTo, minOne))
	if r.LenBytes > 0 && w.rng.Intn(5) == 0 {
		w.held = append(w.held, heldRange{r, want})
	} else {
		r.Release()
	}
	if _, err := w.c.Read(w.m.next()+1, 1, 1<<60, true); !errors.Is(err, ErrOutOfRange) {
		w.t.Fatalf("read past the end: %v", err)
	}
}

// boundary is where readers may read to: a batch boundary, now and then within a batch.
func (w *world) boundary() int64 {
	if len(w.m.batches) == 0 || w.rng.Intn(3) == 0 {
		return 1 << 60
	}
	b := w.m.batches[w.rng.Intn(len(w.m.batches))]
	return b.BaseOffset() + int64(w.rng.Intn(2))
}

func (w *world) compare(r vfs.Range, want []byte, what string) {
	w.t.Helper()
	if r.LenBytes != len(want) {
		w.t.Fatalf("%s: %d bytes, want %d", what, r.LenBytes, len(want))
	}
	got := make([]byte, len(want))
	if len(got) > 0 {
		if err := r.CopyTo(got); err != nil {
			w.t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		w.t.Fatalf("%s: other bytes than were appended", what)
	}
	if r.Mem != nil {
		w.mapped++
		if !bytes.Equal(r.Mem, want) {
			w.t.Fatalf("%s: other bytes in the mapping than were appended", what)
		}
	}
}

// releaseHeld checks that no held range shows other bytes than when it was read.
func (w *world) releaseHeld() {
	for i := range w.held {
		h := &w.held[i]
		got := make([]byte, h.r.LenBytes)
		n, _ := h.r.File.ReadAt(got, h.r.Pos)
		if !bytes.Equal(got[:n], h.want[:n]) {
			w.t.Fatalf("a pinned range of %d bytes changed under its reader", h.r.LenBytes)
		}
		h.r.Release()
	}
	w.held = nil
}

func (w *world) find() {
	ts := w.ts - int64(w.rng.Intn(20_000)) + 2000
	from := w.m.start + w.rng.Int63n(w.m.next()-w.m.start+1)
	offset, timestamp, found, err := w.c.FindTimestamp(ts, from)
	if err != nil {
		w.t.Fatal(err)
	}
	wantOffset, wantTimestamp, wantFound := w.m.findTimestamp(ts, from)
	if found != wantFound || offset != wantOffset || timestamp != wantTimestamp {
		w.t.Fatalf("find %d from %d: (%d, %d, %v), want (%d, %d, %v)", ts, from, offset, timestamp, found, wantOffset, wantTimestamp, wantFound)
	}
	offset, timestamp, ok, err := w.c.MaxTimestamp()
	if err != nil {
		w.t.Fatal(err)
	}
	wantOffset, wantTimestamp, wantFound = w.m.maxTimestamp()
	if ok != wantFound || timestamp != wantTimestamp || ok && offset != wantOffset {
		w.t.Fatalf("max timestamp (%d, %d, %v), want (%d, %d, %v)", offset, timestamp, ok, wantOffset, wantTimestamp, wantFound)
	}
}

// checkAll compares the whole log.
func (w *world) checkAll() {
	w.t.Helper()
	i := 0
	err := w.c.Scan(w.m.start, func(b record.Batch, _, _ int64) error {
		if i >= len(w.m.batches) || !bytes.Equal(b, w.m.batches[i]) {
			w.t.Fatalf("batch %d differs", i)
		}
		i++
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if i != len(w.m.batches) {
		w.t.Fatalf("%d batches, want %d", i, len(w.m.batches))
	}
	var size int64
	for _, b := range w.m.batches {
		size += int64(len(b))
	}
	if w.c.SizeBytes() != size {
		w.t.Fatalf("size %d, want %d", w.c.SizeBytes(), size)
	}
}
