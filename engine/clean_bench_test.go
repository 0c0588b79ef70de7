package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// BenchmarkClean compacts a log of 256 MiB whose records have 1 KiB of value that does not
// compress and one of as many keys as half its records: what stays is a third or so. The cost
// is that of both passes together, for the bytes of the log, in time of the processor
// (cpu-MB/s, what a core does when the disk keeps up) and of the clock (MB/s). heap-MiB is
// what the cleaning took besides the log's own memory, dedupe-MiB the limit for keys.
func BenchmarkClean(b *testing.B) {
	for _, c := range []struct {
		name       string
		valueBytes int
		perBatch   int
		codec      compress.Codec
		keep       bool // every key once: all is kept
	}{
		{"1KiB", 1024, 16, compress.None, false},
		{"1KiB/all kept", 1024, 16, compress.None, true},
		{"1KiB/one a batch", 1024, 1, compress.None, false},
		{"100B", 100, 100, compress.None, false},
		{"1KiB/lz4", 1024, 16, compress.LZ4, false},
		{"1KiB/zstd", 1024, 16, compress.Zstd, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			var cpu, clock time.Duration
			var bytes, heap int64
			for range b.N {
				b.StopTimer()
				s, l := logToClean(b, c.valueBytes, c.perBatch, c.codec, c.keep)
				bytes += l.SizeBytes()
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				thread := &cleanThread{s: s}
				start, used := time.Now(), cpuTime(b)
				b.StartTimer()
				s.cleanNext(thread)
				b.StopTimer()
				cpu, clock = cpu+cpuTime(b)-used, clock+time.Since(start)
				runtime.GC()
				runtime.ReadMemStats(&after)
				heap = max(heap, int64(after.HeapAlloc)-int64(before.HeapAlloc))
				if st := s.CleanerStatus(); st.Cleanings != 1 || st.Failed != 0 {
					b.Fatalf("%+v", st)
				}
				runtime.KeepAlive(thread)
				s.Kill()
			}
			b.ReportMetric(float64(bytes)/1e6/cpu.Seconds(), "cpu-MB/s")
			b.ReportMetric(float64(bytes)/1e6/clock.Seconds(), "MB/s")
			b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func logToClean(b *testing.B, valueBytes, perBatch int, codec compress.Codec, keep bool) (*Store, *Log) {
	e := compactEnv(b)
	e.opts.Log = quiet()
	e.opts.DefaultConfig.SegmentBytes = 128 << 20
	s := e.open(b)
	l := mustCreate(b, s, "c", e.opts.DefaultConfig)
	rng := rand.New(rand.NewPCG(1, 2))
	const logBytes = 256 << 20
	keys := logBytes / valueBytes / 2
	value := make([]byte, valueBytes)
	build := record.NewBuilder(record.BuilderOptions{})
	for n, written := 0, 0; written < logBytes; {
		build.Reset(record.BuilderOptions{Codec: codec})
		for range perBatch {
			for i := range value {
				value[i] = byte(rng.Uint32())
				if codec != compress.None {
					value[i] &= 0x0f
				}
			}
			key := n
			if !keep {
				key = rng.IntN(keys)
			}
			build.Append(testStart.UnixMilli(), fmt.Appendf(nil, "user-%016d", key), value)
			n++
		}
		batch, err := build.Finish()
		if err != nil {
			b.Fatal(err)
		}
		written += perBatch * valueBytes
		if _, err := l.AppendAsLeader(batch, 0, Client); err != nil {
			b.Fatal(err)
		}
	}
	l.SetHighWatermark(l.LogEndOffset())
	if err := l.chain.Roll(); err != nil {
		b.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		b.Fatal(err)
	}
	return s, l
}
