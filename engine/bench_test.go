package engine

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
)

// benchEnv is a store on the machine's file system and clock, with work in the background
// as a broker has it.
func benchEnv(b *testing.B) *env {
	b.Helper()
	e := &env{fs: osfs.FS{}, dir: b.TempDir()}
	e.opts = e.storeOptions(b)
	e.opts.Clock = clock.Real{}
	e.opts.Inline = false
	return e
}

func benchBatch(b *testing.B, sizeBytes int) record.Batch {
	b.Helper()
	const overhead = 61 + 12
	return batch(b, time.Now().UnixMilli(), strings.Repeat("x", max(sizeBytes-overhead, 1)))
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := mustCreate(b, benchEnv(b).open(b), "bench", DefaultConfig())
			data := benchBatch(b, size)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.AppendAsLeader(data, 0, Client); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRawAppend is what an append cannot be cheaper than: a CRC and a write to a fresh
// file whose space was taken ahead, as the log takes it. Files have the size of segments.
func BenchmarkRawAppend(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data := benchBatch(b, size)
			dir, n := b.TempDir(), int64(len(data))
			const step, fileBytes = 16 << 20, 1 << 30
			var f vfs.File
			pos, allocated := int64(fileBytes), int64(0)
			b.SetBytes(n)
			for b.Loop() {
				if pos+n > fileBytes {
					if f != nil {
						f.Close()
					}
					var err error
					if f, err = (osfs.FS{}).OpenFile(filepath.Join(dir, fmt.Sprint(b.N, time.Now().UnixNano())), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
						b.Fatal(err)
					}
					pos, allocated = 0, 0
				}
				if pos+n > allocated {
					if err := f.Allocate(allocated, step); err != nil {
						b.Fatal(err)
					}
					allocated += step
				}
				if err := data.CheckCRC(); err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt(data, pos); err != nil {
					b.Fatal(err)
				}
				pos += n
			}
			f.Close()
		})
	}
}

// BenchmarkAppendIdempotent adds producer state to the 200 B append.
func BenchmarkAppendIdempotent(b *testing.B) {
	l := mustCreate(b, benchEnv(b).open(b), "bench", DefaultConfig())
	data := idempotent(b, 7, 0, 0, strings.Repeat("x", 120))
	b.ReportAllocs()
	seq := uint32(0)
	for b.Loop() {
		binary.BigEndian.PutUint32(data[53:], seq)
		seq++
		resealCRC(data) // as the client would: its time counts here, some 20 ns
		if _, err := l.AppendAsLeader(data, 0, Client); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDurable compares a thousand appenders that wait for a shared sync with as many
// that sync by themselves, and with one alone.
func BenchmarkDurable(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("group/%d", n), func(b *testing.B) { benchGroup(b, n) })
	}
	b.Run("fdatasync/1000", func(b *testing.B) { benchNaive(b, 1000) })
}

func benchGroup(b *testing.B, appenders int) {
	cfg := DefaultConfig()
	cfg.FlushMessages = 1
	l := mustCreate(b, benchEnv(b).open(b), "bench", cfg)
	parallel(b, appenders, func() func() error {
		data, done := benchBatch(b, 1024), make(waiter, 1)
		return func() error {
			a, err := l.AppendAsLeader(data, 0, Client)
			if err != nil {
				return err
			}
			l.WhenSynced(a.NextOffset, done)
			return <-done
		}
	})
}

func benchNaive(b *testing.B, appenders int) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var mu sync.Mutex
	var pos int64
	file, err := osfs.FS{}.OpenFile(f.Name(), os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	parallel(b, appenders, func() func() error {
		data := benchBatch(b, 1024)
		return func() error {
			mu.Lock()
			at := pos
			pos += int64(len(data))
			_, err := file.WriteAt(data, at)
			mu.Unlock()
			if err != nil {
				return err
			}
			return file.SyncData()
		}
	})
}

// parallel runs b.N operations on n goroutines and reports operations a second.
func parallel(b *testing.B, n int, prepare func() func() error) {
	b.Helper()
	work := make([]func() error, n)
	for i := range work {
		work[i] = prepare()
	}
	left := make(chan struct{}, b.N)
	for range b.N {
		left <- struct{}{}
	}
	close(left)
	b.ResetTimer()
	start := time.Now()
	var wg sync.WaitGroup
	for _, op := range work {
		wg.Go(func() {
			for range left {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "acks/s")
}

// BenchmarkRecovery reads an unclean log of 256 MiB by CRC from the page cache.
func BenchmarkRecovery(b *testing.B) {
	e := benchEnv(b)
	cfg := DefaultConfig()
	cfg.SegmentBytes = 64 << 20
	s := e.open(b)
	l := mustCreate(b, s, "bench", cfg)
	data := benchBatch(b, 16<<10)
	for l.SizeBytes() < 256<<20 {
		mustAppend(b, l, data)
	}
	size := l.SizeBytes()
	if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		os.Remove(filepath.Join(e.dir, ".kafka_cleanshutdown"))
		os.Remove(filepath.Join(e.dir, "recovery-point-offset-checkpoint"))
		s, err := OpenStore(b.Context(), e.opts)
		if err != nil {
			b.Fatal(err)
		}
		s.Kill()
	}
}

// BenchmarkOpenPartitions opens 10,000 small partitions after a clean stop and reports what
// they cost while idle.
func BenchmarkOpenPartitions(b *testing.B) {
	const partitions = 10_000
	e := benchEnv(b)
	e.opts.RecoveryThreads = 2
	s := e.open(b)
	data := benchBatch(b, 200)
	for i := range int32(partitions) {
		l, err := s.Create(TopicPartition{"bench", i}, [16]byte{1}, DefaultConfig())
		if err != nil {
			b.Fatal(err)
		}
		for range 3 {
			mustAppend(b, l, data)
		}
		if err := l.chain.Idle(); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	s = nil
	for b.Loop() {
		before, fds, maps := heapBytes(), countDir(b, "/proc/self/fd"), mappings(b)
		start := time.Now()
		s, err := OpenStore(b.Context(), e.opts)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/open")
		b.ReportMetric(float64(heapBytes()-before)/partitions, "heap-B/partition")
		b.ReportMetric(float64(countDir(b, "/proc/self/fd")-fds)/partitions, "fds/partition")
		b.ReportMetric(float64(mappings(b)-maps)/partitions, "maps/partition")
		if err := s.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func countDir(b *testing.B, name string) int {
	b.Helper()
	entries, err := os.ReadDir(name)
	if err != nil {
		b.Skip(err)
	}
	return len(entries)
}

func mappings(b *testing.B) int {
	b.Helper()
	return strings.Count(string(mustRead(b, "/proc/self/maps")), "\n")
}
