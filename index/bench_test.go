package index_test

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// fullIndex is the index of a segment of 1 GiB: 262,144 entries, one for each 4 KiB, of
// batches that hold one to a hundred records.
func fullIndex(b *testing.B) (name string, last index.OffsetEntry) {
	b.Helper()
	name = filepath.Join(b.TempDir(), "x.index")
	x, err := index.CreateOffset(osfs.FS{}, name, 0, 10<<20, 0)
	must(b, err)
	rng := testkit.NewRand(1)
	for i := range int64(262_144) {
		last = index.OffsetEntry{Offset: last.Offset + 1 + rng.Int64N(100), Position: i * 4096}
		must(b, x.Append(last.Offset, last.Position))
	}
	must(b, x.Trim())
	must(b, x.Close())
	return name, last
}

// BenchmarkLookup finds offsets in a full index: mapped as the active segment's is, and by
// pread as a sealed one's is; anywhere, and among the newest 30,000.
func BenchmarkLookup(b *testing.B) {
	name, last := fullIndex(b)
	mapped, err := index.CreateOffset(osfs.FS{}, name, 0, 10<<20, 262_144)
	must(b, err)
	must(b, mapped.Reserve(1))
	defer mapped.Close()
	sealed, err := index.OpenOffset(osfs.FS{}, name, 0, last.Position+1)
	must(b, err)
	defer sealed.Close()
	for _, x := range []struct {
		name string
		x    *index.Offset
	}{{"mapped", mapped}, {"sealed", sealed}} {
		b.Run(x.name+"/uniform", func(b *testing.B) { benchLookup(b, x.x, last.Offset, last.Offset) })
		b.Run(x.name+"/tail", func(b *testing.B) { benchLookup(b, x.x, last.Offset, 30_000) })
	}
}

func benchLookup(b *testing.B, x *index.Offset, last, among int64) {
	rng := testkit.NewRand(2)
	targets := make([]int64, 1<<16)
	for i := range targets {
		targets[i] = last - rng.Int64N(among)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, ok, err := x.Lookup(targets[i&(len(targets)-1)]); err != nil || !ok && targets[i&(len(targets)-1)] > 100 {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkAppendEntry adds entries to a mapped index.
func BenchmarkAppendEntry(b *testing.B) {
	x, err := index.CreateOffset(osfs.FS{}, filepath.Join(b.TempDir(), "x.index"), 0, 1<<30, 0)
	must(b, err)
	defer x.Close()
	b.ReportAllocs()
	for i := range int64(b.N) {
		must(b, x.Append(1+i, 1+i))
	}
}
