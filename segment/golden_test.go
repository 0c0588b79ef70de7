package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/record"
)

// goldenConfig is what the golden topics were written with.
func goldenConfig() Config {
	return Config{SegmentBytes: 4096, SegmentMs: 7 * 24 * 3600 * 1000, IndexIntervalBytes: 200, IndexMaxBytes: 1024}
}

// copyGolden copies a partition that Apache Kafka wrote: opening it may change it.
func copyGolden(t testing.TB, dir string) string {
	t.Helper()
	from := filepath.Join("testdata", "golden", dir)
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) == 0 {
		t.Fatalf("no golden files in %s: %v", from, err)
	}
	return to
}

func openGolden(t testing.TB, dir string, r Recovery) (*Chain, RecoveryResult) {
	t.Helper()
	c, res, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir}, goldenConfig(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c, res
}

// TestRecoversAsKafkaDid opens what kill -9 left of a Kafka 1.0.0 and a 2.4.1 broker, and
// compares every log and index file with what the same Kafka made of it.
func TestRecoversAsKafkaDid(t *testing.T) {
	for _, version := range []string{"1.0.0", "2.4.1"} {
		for _, x := range []struct {
			name, want          string
			end, lastSize, torn int64
		}{
			{"03-unclean", "03-unclean-recovered", 220, 610, 0},
			{"03-unclean-torn-by-hand", "03-unclean-torn-recovered", 216, 464, 109},
		} {
			t.Run(version+"/"+x.name, func(t *testing.T) {
				dir := copyGolden(t, filepath.Join(version, x.name, "seg-kill-0"))
				c, res := openGolden(t, dir, Recovery{Point: 77, Contiguous: true}) // Kafka's was 76, a segment's base
				if c.NextOffset() != x.end || res.TruncatedBytes != x.torn || res.RemovedSegments != 0 {
					t.Errorf("log end %d, %+v; want end %d and %d bytes cut", c.NextOffset(), res, x.end, x.torn)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if size := fileSize(t, filepath.Join(dir, "00000000000000000208.log")); size != x.lastSize {
					t.Errorf("last log has %d bytes, want %d", size, x.lastSize)
				}
				compareFolders(t, dir, filepath.Join("testdata", "golden", version, x.want, "seg-kill-0"), version == "2.4.1")
			})
		}
	}
}

func fileSize(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// compareFolders compares log and index files byte by byte. Kafka 1.0.0 indexed the first
// offset of a batch where later versions take the last, and live appends put the offset
// of the record into the time index where recovery puts the last of its batch: when not
// exact, the offsets in indexes are left out of the comparison.
func compareFolders(t *testing.T, got, want string, exact bool) {
	t.Helper()
	names, err := fs.Glob(os.DirFS(want), "*")
	if err != nil || len(names) == 0 {
		t.Fatal("nothing to compare with", err)
	}
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		if !exact {
			a, b = withoutOffsets(name, a), withoutOffsets(name, b)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes, Kafka's %d\n%x\n%x", name, len(a), len(b), a, b)
		}
	}
}

// withoutOffsets wipes the relative offsets of index entries.
func withoutOffsets(name string, data []byte) []byte {
	size, at := 0, 0
	switch filepath.Ext(name) {
	case indexSuffix:
		size, at = index.OffsetEntryBytes, 0
	case timeSuffix:
		size, at = index.TimeEntryBytes, 8
	default:
		return data
	}
	data = bytes.Clone(data)
	for i := 0; i+size <= len(data); i += size {
		clear(data[i+at : i+at+4])
	}
	return data
}

// TestRebuiltIndexesEqualKafkas deletes the indexes of cleanly closed logs: rebuilt ones
// must have Kafka's entries.
func TestRebuiltIndexesEqualKafkas(t *testing.T) {
	for _, name := range []string{"2.4.1/03-unclean-recovered/seg-kill-0", "1.0.0/03-unclean-recovered/seg-kill-0"} {
		dir := copyGolden(t, name)
		for _, x := range globAll(t, dir, "*index") {
			if err := os.Remove(x); err != nil {
				t.Fatal(err)
			}
		}
		c, res := openGolden(t, dir, Recovery{Point: 1 << 40})
		if res.RebuiltIndexes != 4 {
			t.Errorf("%s: %d indexes rebuilt", name, res.RebuiltIndexes)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		compareFolders(t, dir, filepath.Join("testdata", "golden", name), false)
	}
}

func globAll(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestKafkasIndexesLeadToBatches opens clean logs in place and compares every lookup with a
// walk over all batches.
func TestKafkasIndexesLeadToBatches(t *testing.T) {
	for _, x := range []struct {
		name    string
		end     int64
		batches int // lines of the dump
	}{
		{"02-segments/seg-small-0", 220, 0}, {"02-segments/seg-lz4-0", 220, 0}, {"04-idempotent-txn/txn-0", 102, 44},
		{"05-compacted/compact-txn-0", 228, 38}, {"05-compacted/compact-gone-0", 216, 25}, {"07-timestamps-formats/append-time-gzip-0", 50, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, _ := openGolden(t, copyGolden(t, filepath.Join("2.4.1", x.name)), Recovery{Clean: true})
			if c.NextOffset() != x.end {
				t.Errorf("log end %d, want %d", c.NextOffset(), x.end)
			}
			m := modelOf(t, c)
			if x.batches != 0 && len(m.batches) != x.batches {
				t.Errorf("%d batches, Kafka's dump shows %d", len(m.batches), x.batches)
			}
			checkReads(t, c, m)
			checkTimestamps(t, c, m)
		})
	}
}

// modelOf reads the files of a chain without its lookups.
func modelOf(t testing.TB, c *Chain) *model {
	t.Helper()
	m := &model{start: c.StartOffset()}
	for _, name := range globAll(t, c.o.Dir, "*.log") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			m.batches = append(m.batches, b)
			data = rest
		}
	}
	return m
}

func checkReads(t testing.TB, c *Chain, m *model) {
	t.Helper()
	segments := c.Segments()
	for offset := c.StartOffset(); offset <= c.NextOffset(); offset++ {
		for _, maxBytes := range []int{1, 700, 1 << 20} {
			for _, upTo := range []int64{1 << 40, offset + 9} {
				r, err := c.Read(offset, maxBytes, upTo, true)
				if err != nil {
					t.Fatalf("read %d: %v", offset, err)
				}
				got := make([]byte, r.LenBytes)
				if r.LenBytes > 0 {
					if err := r.CopyTo(got); err != nil {
						t.Fatal(err)
					}
				}
				r.Release()
				if want := m.read(offset, maxBytes, upTo, true, segments); !bytes.Equal(got, want) {
					t.Fatalf("Read(%d, %d, %d): %d bytes, want %d", offset, maxBytes, upTo, len(got), len(want))
				}
			}
		}
	}
}

func checkTimestamps(t testing.TB, c *Chain, m *model) {
	t.Helper()
	for _, b := range m.batches {
		for _, ts := range []int64{b.MaxTimestamp() - 1, b.MaxTimestamp(), b.MaxTimestamp() + 1} {
			offset, timestamp, found, err := c.FindTimestamp(ts, 0)
			wantOffset, wantTimestamp, wantFound := m.findTimestamp(ts, 0)
			if err != nil || found != wantFound || offset != wantOffset || timestamp != wantTimestamp {
				t.Fatalf("FindTimestamp(%d) = %d, %d, %v, %v; want %d, %d, %v", ts, offset, timestamp, found, err, wantOffset, wantTimestamp, wantFound)
			}
		}
	}
	offset, timestamp, ok, err := c.MaxTimestamp()
	wantOffset, wantTimestamp, wantOK := m.maxTimestamp()
	if err != nil || ok != wantOK || offset != wantOffset || timestamp != wantTimestamp {
		t.Fatalf("MaxTimestamp() = %d, %d, %v, %v; want %d, %d, %v", offset, timestamp, ok, err, wantOffset, wantTimestamp, wantOK)
	}
}

// TestOldMagicIsRefused opens logs of magic 0 and 1: refused, and not a byte changed.
func TestOldMagicIsRefused(t *testing.T) {
	for _, name := range []string{"v1-none-0", "v0-none-0", "v1-then-v2-0"} {
		for _, r := range []Recovery{{Clean: true}, {}} {
			dir := copyGolden(t, filepath.Join("2.4.1/07-timestamps-formats", name))
			_, _, err := Open(Options{FS: osfs.FS{}, Clock: clock.Real{}, Dir: dir}, goldenConfig(), r)
			if !errors.Is(err, record.ErrUnsupportedMagic) {
				t.Errorf("%s %+v: %v", name, r, err)
			}
			compareFolders(t, dir, filepath.Join("testdata/golden/2.4.1/07-timestamps-formats", name), true)
		}
	}
}

// TestAbortedTransactions reads the .txnindex files of Kafka.
func TestAbortedTransactions(t *testing.T) {
	c, _ := openGolden(t, copyGolden(t, "2.4.1/04-idempotent-txn/txn-0"), Recovery{Clean: true})
	all, err := c.Aborted(0, 1<<40)
	if err != nil || len(all) != 6 {
		t.Fatalf("%d aborted transactions, want 6: %v", len(all), err)
	}
	for from := int64(0); from < 102; from += 7 {
		for to := from + 1; to < 110; to += 11 {
			got, err := c.Aborted(from, to)
			if err != nil {
				t.Fatal(err)
			}
			var want []index.AbortedTxn
			for _, x := range all {
				if x.LastOffset >= from && x.FirstOffset < to {
					want = append(want, x)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("Aborted(%d, %d) = %v, want %v", from, to, got, want)
			}
		}
	}
	must(t, c.AppendAborted(all[5])) // a replay of what is there
	if got, err := c.Aborted(0, 1<<40); err != nil || len(got) != 6 {
		t.Fatalf("after a replay: %v, %v", got, err)
	}
	must(t, c.TruncateTo(101))
	if got, err := c.Aborted(0, 1<<40); err != nil || len(got) != 5 {
		t.Fatalf("after truncation: %v, %v", got, err)
	}
	must(t, c.AppendAborted(all[5]))
	if got, err := c.Aborted(0, 1<<40); err != nil || fmt.Sprint(got) != fmt.Sprint(all) {
		t.Fatalf("after appending it again: %v, %v", got, err)
	}
}

// TestLeftoversOfKafka: *.deleted and *.cleaned go, a finished compaction's *.swap replaces
// what it covers, one that belongs to an unfinished split goes, orphaned indexes go.
func TestLeftoversOfKafka(t *testing.T) {
	dir := copyGolden(t, "2.4.1/02-segments/seg-small-0")
	logs := globAll(t, dir, "*.log")
	first, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	_, rest, err := record.Next(first)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base := filepath.Base(logs[0])
	write(base+".swap", rest) // the first segment without its first batch
	write("00000000000000009000.log.swap", first)
	write("00000000000000008000.log.cleaned", first)
	write("00000000000000007000.index", []byte("orphan!!"))
	write("00000000000000006000.log.deleted", first)
	write(nextPrefix+".log", first)
	write("partition.metadata", []byte("version: 0\n"))
	if err := os.Remove(strings.TrimSuffix(logs[1], ".log") + ".timeindex"); err != nil {
		t.Fatal(err)
	}
	c, _ := openGolden(t, dir, Recovery{})
	m := modelOf(t, c)
	if first, _, _ := record.Next(rest); m.batches[0].BaseOffset() != first.BaseOffset() || c.NextOffset() != 220 {
		t.Errorf("log from %d to %d: the swap was not completed", m.batches[0].BaseOffset(), c.NextOffset())
	}
	checkReads(t, c, m)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, e := range entries {
		_, suffix, ok := parseName(e.Name())
		switch {
		case e.Name() == "partition.metadata":
			kept++
		case !ok, suffix != logSuffix && suffix != indexSuffix && suffix != timeSuffix:
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if kept != 1 {
		t.Error("a file that is not ours was removed")
	}
}

// A kill leaves space that was taken ahead behind the last batch. That is no damage.
func TestSpaceTakenAheadIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	c, _ := openGolden(t, dir, Recovery{})
	b := sizedBatch(t, 200)
	if err := c.Append(b, lastIsLatest(b)); err != nil {
		t.Fatal(err)
	}
	c.Kill()
	again, res := openGolden(t, dir, Recovery{})
	if again.NextOffset() != b.NextOffset() || res.TruncatedBytes != 0 || res.SpareBytes == 0 {
		t.Fatalf("log end %d after %+v; want nothing truncated and some space given back", again.NextOffset(), res)
	}
}
