package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs/osfs"
)

// BenchmarkAppendAgainstFloor writes 64 KiB batches in blocks of 16 MiB, in turns to a log and,
// after a CRC, to a fresh file whose space was taken ahead. Separate benchmarks of the two
// differ by what memory each happens to get; here both get the same. One operation is a block
// of each; x is the median over the blocks of log time by raw time.
func BenchmarkAppendAgainstFloor(b *testing.B) {
	const blockBytes = 16 << 20
	l := mustCreate(b, benchEnv(b).open(b), "bench", DefaultConfig())
	data := benchBatch(b, 64<<10)
	f, err := osfs.FS{}.OpenFile(filepath.Join(b.TempDir(), "raw"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	pos := int64(0)
	raw := func() {
		if err := f.Allocate(pos, blockBytes); err != nil {
			b.Fatal(err)
		}
		for end := pos + blockBytes; pos+int64(len(data)) <= end; pos += int64(len(data)) {
			if err := data.CheckCRC(); err != nil {
				b.Fatal(err)
			}
			if _, err := f.WriteAt(data, pos); err != nil {
				b.Fatal(err)
			}
		}
	}
	logged := func() {
		for range blockBytes / len(data) {
			if _, err := l.AppendAsLeader(data, 0, Client); err != nil {
				b.Fatal(err)
			}
		}
	}
	timed := func(f func()) float64 {
		start := time.Now()
		f()
		return float64(time.Since(start))
	}
	var ratios, logs, raws []float64
	for b.Loop() {
		var a, r float64
		if len(ratios)%2 == 0 {
			a, r = timed(logged), timed(raw)
		} else {
			r, a = timed(raw), timed(logged)
		}
		ratios, logs, raws = append(ratios, a/r), append(logs, a), append(raws, r)
	}
	median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	batches := float64(blockBytes / len(data))
	b.ReportMetric(median(ratios), "x")
	b.ReportMetric(median(logs)/batches, "log-ns/batch")
	b.ReportMetric(median(raws)/batches, "raw-ns/batch")
}
