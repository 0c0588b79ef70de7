package segment

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// appendSizes are the batch sizes of docs/adr/0002-active-segment-append.md.
var appendSizes = []int{200, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10}

// sizedBatch is a valid batch of sizeBytes or a few more.
func sizedBatch(tb testing.TB, sizeBytes int) record.Batch {
	tb.Helper()
	value := max(1, sizeBytes-record.HeaderBytes-12)
	return makeBatch(tb, rand.New(rand.NewSource(1)), 0, 1, 1_700_000_000_000, value, compress.None)
}

func benchConfig() Config {
	return Config{SegmentBytes: 256 << 20, SegmentMs: 1 << 50, IndexIntervalBytes: 4096, IndexMaxBytes: 10 << 20}
}

// benchLog appends b.N batches through a chain. Full segments are removed off the clock, as
// the raw files below are, so that both write into pages that were freed just before.
func benchLog(b *testing.B, o Options, cfg Config, batch record.Batch, add func(c *Chain, b []byte, offset int64) error) {
	o.FS, o.Clock, o.Dir = osfs.FS{}, clock.Real{}, b.TempDir()
	c, _, err := Open(o, cfg, Recovery{Clean: true})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Kill()
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	b.ResetTimer()
	left := cfg.SegmentBytes
	for i := range int64(b.N) {
		batch.Stamp(i, 0)
		if err := add(c, batch, i); err != nil {
			b.Fatal(err)
		}
		if left -= int64(len(batch)); left < 0 {
			left = cfg.SegmentBytes
			b.StopTimer()
			if _, err := c.DropHead(c.ActiveBase()); err != nil {
				b.Fatal(err)
			}
			if err := c.RemoveDeleted(c.o.Clock.Now()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}

// background runs preparation work in a goroutine, as the engine does.
func background(b *testing.B) func(func()) {
	work := make(chan func(), 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range work {
			f()
		}
	}()
	b.Cleanup(func() { close(work); <-done })
	return func(f func()) { work <- f }
}

// benchAddition is that of a batch of one record.
func benchAddition(offset int64) Addition {
	return Addition{LastOffset: offset, MaxTimestamp: 1_700_000_000_000, OffsetOfMaxTimestamp: offset}
}

// BenchmarkAppend compares the two modes of a chain, and what is left to a sync, interleaved
// by size.
func BenchmarkAppend(b *testing.B) {
	for _, size := range appendSizes {
		batch := sizedBatch(b, size)
		for _, m := range []struct {
			name string
			mode Mode
		}{{"mapped", Mapped}, {"pwrite", Pwrite}} {
			b.Run(fmt.Sprintf("%s/%d", m.name, size), func(b *testing.B) {
				benchLog(b, Options{Mode: m.mode, Background: background(b)}, benchConfig(), batch, func(c *Chain, b []byte, at int64) error {
					return c.Append(b, benchAddition(at))
				})
			})
		}
		b.Run(fmt.Sprintf("to sync/%d", size), func(b *testing.B) {
			cfg := benchConfig()
			cfg.SyncEveryAppend = true
			benchLog(b, Options{Background: background(b)}, cfg, batch, func(c *Chain, b []byte, at int64) error {
				a := benchAddition(at)
				a.SyncFollows = true
				return c.Append(b, a)
			})
		})
	}
}

// BenchmarkRawAppend measures the mechanisms alone, on a fresh file of 256 MiB per round:
// what the chain is held against.
func BenchmarkRawAppend(b *testing.B) {
	for _, size := range appendSizes {
		batch := sizedBatch(b, size)
		b.Run(fmt.Sprintf("pwrite-extending/%d", size), func(b *testing.B) { benchRaw(b, batch, 0, 0) })
		b.Run(fmt.Sprintf("pwrite-fallocated/%d", size), func(b *testing.B) { benchRaw(b, batch, 16<<20, 0) })
		for _, window := range []int64{256 << 10, 1 << 20, 4 << 20} {
			b.Run(fmt.Sprintf("mapped-%dK/%d", window>>10, size), func(b *testing.B) { benchRaw(b, batch, 16<<20, window) })
		}
		b.Run(fmt.Sprintf("crc/%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			for range b.N {
				if err := batch.CheckCRC(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const rawFileBytes = 256 << 20

// benchRaw appends to a file without a chain: by pwrite, into space taken in steps (step > 0)
// or extending the file, or by stores through a mapping populated window bytes ahead.
func benchRaw(b *testing.B, batch []byte, step, window int64) {
	b.SetBytes(int64(len(batch)))
	dir := b.TempDir()
	var r *rawFile
	for i := range b.N {
		if r == nil || r.pos+int64(len(batch)) > rawFileBytes {
			b.StopTimer()
			r.close(b)
			r = openRaw(b, filepath.Join(dir, fmt.Sprint(i)), window)
			b.StartTimer()
		}
		r.append(b, batch, step, window)
	}
	b.StopTimer()
	r.close(b)
}

type rawFile struct {
	f                         vfs.File
	m                         vfs.Mapping
	pos, allocated, populated int64
}

func openRaw(b *testing.B, name string, window int64) *rawFile {
	f, err := osfs.FS{}.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	r := &rawFile{f: f}
	if window > 0 {
		if r.m, err = f.Map(rawFileBytes, true); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

func (r *rawFile) append(b *testing.B, batch []byte, step, window int64) {
	end := r.pos + int64(len(batch))
	if step > 0 && end > r.allocated {
		to := min(max(r.allocated+step, end), rawFileBytes)
		if err := r.f.Allocate(r.allocated, to-r.allocated); err != nil {
			b.Fatal(err)
		}
		r.allocated = to
	}
	if window == 0 {
		if _, err := r.f.WriteAt(batch, r.pos); err != nil {
			b.Fatal(err)
		}
		r.pos = end
		return
	}
	if end > r.populated {
		to := min(max(r.populated+window, end), r.allocated)
		if err := r.m.Populate(r.populated, to-r.populated); err != nil {
			b.Fatal(err)
		}
		r.populated = to
	}
	copy(r.m.Bytes()[r.pos:end], batch)
	r.pos = end
}

func (r *rawFile) close(b *testing.B) {
	if r == nil {
		return
	}
	if r.m != nil {
		if err := r.m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	name := r.f.Name()
	if err := r.f.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRecovery scans a log of 256 MiB from the page cache: bytes of log per second.
func BenchmarkRecovery(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			o := Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: b.TempDir()}
			cfg := benchConfig()
			cfg.SegmentBytes = 128 << 20
			c, _, err := Open(o, cfg, Recovery{Clean: true})
			if err != nil {
				b.Fatal(err)
			}
			batch := sizedBatch(b, size)
			for i := int64(0); c.SizeBytes() < 256<<20; i++ {
				batch.Stamp(i, 0)
				if err := c.Append(batch, benchAddition(i)); err != nil {
					b.Fatal(err)
				}
			}
			total := c.SizeBytes()
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(total)
			b.ResetTimer()
			for range b.N {
				c, res, err := Open(o, cfg, Recovery{})
				if err != nil || res.ScannedBytes != total {
					b.Fatal(res, err)
				}
				c.Kill()
			}
		})
	}
}

// BenchmarkOpenClean opens a small log after a clean stop and makes it idle.
func BenchmarkOpenClean(b *testing.B) {
	o := Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: b.TempDir()}
	c, _, err := Open(o, benchConfig(), Recovery{Clean: true})
	if err != nil {
		b.Fatal(err)
	}
	batch := sizedBatch(b, 1024)
	for i := range int64(20) {
		batch.Stamp(i, 0)
		if err := c.Append(batch, benchAddition(i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, _, err := Open(o, benchConfig(), Recovery{Clean: true})
		if err != nil {
			b.Fatal(err)
		}
		c.Kill()
	}
}

// BenchmarkRead finds a range of at most 16 KiB, at the tail of the active segment and
// anywhere in it.
func BenchmarkRead(b *testing.B) {
	o := Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: b.TempDir()}
	c, _, err := Open(o, benchConfig(), Recovery{Clean: true})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Kill()
	batch := sizedBatch(b, 1024)
	const n = 100_000
	for i := range int64(n) {
		batch.Stamp(i, 0)
		if err := c.Append(batch, benchAddition(i)); err != nil {
			b.Fatal(err)
		}
	}
	for _, x := range []struct {
		name  string
		among int64
	}{{"tail", 10}, {"uniform", n}} {
		b.Run(x.name, func(b *testing.B) {
			rng := rand.New(rand.NewSource(1))
			b.ReportAllocs()
			for range b.N {
				r, err := c.Read(n-1-rng.Int63n(x.among), 16<<10, n, true)
				if err != nil {
					b.Fatal(err)
				}
				r.Release()
			}
		})
	}
}

// BenchmarkAppendSync appends 4 KiB and syncs: msync behind stores through the mapping, and
// fdatasync behind WriteAt.
func BenchmarkAppendSync(b *testing.B) {
	batch := sizedBatch(b, 4<<10)
	for _, x := range []struct {
		name   string
		synced bool
	}{{"mapped-msync", false}, {"pwrite-fdatasync", true}} {
		b.Run(x.name, func(b *testing.B) {
			cfg := benchConfig()
			cfg.SyncEveryAppend = x.synced
			c, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: b.TempDir(), Mode: Mapped}, cfg, Recovery{Clean: true})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Kill()
			b.ResetTimer()
			for i := range int64(b.N) {
				batch.Stamp(i, 0)
				if err := c.Append(batch, benchAddition(i)); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
