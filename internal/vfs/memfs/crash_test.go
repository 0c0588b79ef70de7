package memfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func create(t *testing.T, m vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f vfs.File, off int64, b []byte) {
	t.Helper()
	_, err := f.WriteAt(b, off)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(m vfs.FS, name string) bool {
	_, err := m.Stat(name)
	return err == nil
}

func TestPowerCutKeepsWhatWasSynced(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	write(t, f, 0, bytes.Repeat([]byte{1}, 5000))
	must(t, f.SyncData())
	write(t, f, 1000, bytes.Repeat([]byte{2}, 9000))
	if c := m.CrashClone(rngOf(1), 0); exists(c, "f") {
		t.Error("a name that no SyncDir covered survived at 0%")
	}
	must(t, m.SyncDir("/"))

	got := readFile(t, m.CrashClone(rngOf(1), 0), "f")
	if !bytes.Equal(got, bytes.Repeat([]byte{1}, 5000)) {
		t.Errorf("0%%: %d bytes, sum %x: want the synced image", len(got), sum(got))
	}
	want := readFile(t, m, "f")
	if got := readFile(t, m.CrashClone(rngOf(1), 100), "f"); !bytes.Equal(got, want) {
		t.Errorf("100%%: %d bytes, want the current %d", len(got), len(want))
	}
}

// TestPowerCutTearsBySector looks for each kind of damage among many clones, and for
// damage that must not be.
func TestPowerCutTearsBySector(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("/"))
	const sectors = 16
	write(t, f, 0, bytes.Repeat([]byte{1}, sectors*memfs.SectorBytes))
	must(t, f.Sync())
	write(t, f, 0, bytes.Repeat([]byte{2}, 2*sectors*memfs.SectorBytes))
	var torn, reordered, short bool
	for seed := range uint64(200) {
		got := readFile(t, m.CrashClone(rngOf(seed), 50), "f")
		if len(got) < sectors*memfs.SectorBytes {
			t.Fatalf("seed %d: shrunk to %d", seed, len(got))
		}
		short = short || len(got) < 2*sectors*memfs.SectorBytes
		last := byte(2)
		for off := 0; off < len(got); off += memfs.SectorBytes {
			sector := got[off:min(off+memfs.SectorBytes, len(got))]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], len(sector))) {
				t.Fatalf("seed %d: a sector at %d is mixed", seed, off)
			}
			if old := sector[0] == 0; old != (off >= sectors*memfs.SectorBytes && sector[0] != 2) {
				t.Fatalf("seed %d: sector at %d holds %d", seed, off, sector[0])
			}
			torn = torn || last == 2 && sector[0] == 1
			reordered = reordered || last == 1 && sector[0] == 2
			last = sector[0]
		}
	}
	if !torn || !reordered || !short {
		t.Errorf("200 clones: torn %v, reordered %v, short %v: want all", torn, reordered, short)
	}
}

func TestPowerCutIsRepeatable(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("d/e", 0o755))
	for i := range 20 {
		f := create(t, m, fmt.Sprint("d/", i))
		write(t, f, 0, bytes.Repeat([]byte{byte(i)}, 3000))
		if i%3 == 0 {
			must(t, f.Sync())
			must(t, m.Rename(fmt.Sprint("d/", i), fmt.Sprint("d/e/", i)))
		}
	}
	must(t, m.SyncDir("/"))
	for seed := range uint64(20) {
		a := &twin{fs: m.CrashClone(rngOf(seed), 50), root: "/"}
		b := &twin{fs: m.CrashClone(rngOf(seed), 50), root: "/"}
		if x, y := a.tree(t), b.tree(t); x != y {
			t.Fatalf("seed %d\n%s\n%s", seed, x, y)
		}
	}
}

func TestRenameIsAtomicAndNotDurable(t *testing.T) {
	m := memfs.New()
	old := create(t, m, "f")
	write(t, old, 0, []byte("old"))
	must(t, old.Sync())
	must(t, m.SyncDir("/"))
	tmp := create(t, m, "f.tmp")
	write(t, tmp, 0, []byte("new"))
	must(t, tmp.Sync())
	must(t, m.Rename("f.tmp", "f"))
	seen := map[string]int{}
	for seed := range uint64(100) {
		c := m.CrashClone(rngOf(seed), 50)
		content := string(readFile(t, c, "f"))
		if content != "old" && content != "new" || content == "new" && exists(c, "f.tmp") {
			t.Fatalf("seed %d: f holds %q", seed, content)
		}
		seen[content]++
	}
	if len(seen) != 2 {
		t.Errorf("outcomes %v: want both", seen)
	}
	must(t, m.SyncDir("/"))
	if got := readFile(t, m.CrashClone(rngOf(0), 0), "f"); string(got) != "new" {
		t.Errorf("after SyncDir f holds %q", got)
	}
}

func TestRenameIntoAnotherFolderNeedsOneSync(t *testing.T) {
	for _, synced := range []string{"a", "b"} {
		m := memfs.New()
		must(t, m.MkdirAll("a", 0o755))
		must(t, m.MkdirAll("b", 0o755))
		must(t, m.SyncDir("/"))
		create(t, m, "a/f")
		must(t, m.Rename("a/f", "b/f"))
		must(t, m.SyncDir(synced))
		c := m.CrashClone(rngOf(0), 0)
		if exists(c, "a/f") || !exists(c, "b/f") {
			t.Errorf("SyncDir(%s): in a %v, in b %v", synced, exists(c, "a/f"), exists(c, "b/f"))
		}
	}
}

func TestRemovalCanBeUndone(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("d", 0o755))
	f := create(t, m, "d/f")
	write(t, f, 0, []byte("kept"))
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	must(t, m.SyncDir("/"))
	must(t, m.RemoveAll("d"))
	if got := readFile(t, m.CrashClone(rngOf(0), 0), "d/f"); string(got) != "kept" {
		t.Errorf("0%%: %q", got)
	}
	if exists(m.CrashClone(rngOf(0), 100), "d") {
		t.Error("100%: the folder is back")
	}
}

func TestTruncateCanBeUndoneAsAWhole(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("/"))
	write(t, f, 0, bytes.Repeat([]byte{1}, 4096))
	must(t, f.Sync())
	must(t, f.Truncate(1024))
	write(t, f, 1024, bytes.Repeat([]byte{2}, 3072))
	for seed := range uint64(100) {
		got := readFile(t, m.CrashClone(rngOf(seed), 50), "f")
		undone := bytes.Equal(got, bytes.Repeat([]byte{1}, 4096))
		if !undone && bytes.IndexByte(got[1024:], 1) >= 0 {
			t.Fatalf("seed %d: bytes from before the truncation came back among newer ones", seed)
		}
	}
	if got := readFile(t, m.CrashClone(rngOf(0), 0), "f"); len(got) != 4096 || got[4095] != 1 {
		t.Errorf("0%%: %d bytes", len(got))
	}
	must(t, f.SyncData())
	if got := readFile(t, m.CrashClone(rngOf(0), 0), "f"); len(got) != 4096 || got[4095] != 2 {
		t.Errorf("after the sync: %d bytes", len(got))
	}
}

func TestMappingSyncCoversItsPagesOnly(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("/"))
	must(t, f.Allocate(0, 4*memfs.BlockBytes))
	must(t, f.Sync())
	mp, err := f.Map(1<<20, true)
	must(t, err)
	for i := range 4 * memfs.BlockBytes {
		mp.Bytes()[i] = 7
	}
	must(t, mp.Sync(memfs.BlockBytes+10, 10))
	got := readFile(t, m.CrashClone(rngOf(0), 0), "f")
	for page := range 4 {
		if kept := got[page*memfs.BlockBytes+5] == 7; kept != (page == 1) {
			t.Errorf("page %d durable: %v", page, kept)
		}
	}
	must(t, mp.Close())
	if got := readFile(t, m.CrashClone(rngOf(0), 100), "f"); !bytes.Equal(got, bytes.Repeat([]byte{7}, 4*memfs.BlockBytes)) {
		t.Error("stores were lost at 100% after the mapping was closed")
	}
}

func TestWritebackReachesStatesInBetween(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("/"))
	write(t, f, 0, []byte{1})
	m.Writeback(rngOf(0), 100)
	write(t, f, 0, []byte{2})
	if got := readFile(t, m.CrashClone(rngOf(0), 0), "f"); !bytes.Equal(got, []byte{1}) {
		t.Errorf("got %v, want the middle content", got)
	}
}

func TestPowerOffStopsWhatStillRuns(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	m.PowerOff()
	_, err := f.WriteAt([]byte{1}, 0)
	for _, err := range []error{err, f.Sync(), m.Remove("f"), m.SyncDir("/")} {
		if !errors.Is(err, memfs.ErrPowerOff) {
			t.Errorf("got %v", err)
		}
	}
	must(t, f.Close())
}

// TestCutWhileStoring cuts the power while one goroutine stores through a mapping and
// syncs: what it was told is durable must be in every clone. The race detector must
// stay silent about the clone and about readers of published bytes.
func TestCutWhileStoring(t *testing.T) {
	seed := testkit.Seed(t)
	m := memfs.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("/"))
	const size = 64 << 10
	must(t, f.Allocate(0, size))
	mp, err := f.Map(size, true)
	must(t, err)
	var published, synced atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for off := int64(0); off < size; off += 100 {
			end := min(off+100, size)
			for i := off; i < end; i++ {
				mp.Bytes()[i] = byte(i%250 + 1)
			}
			published.Store(end)
			if off%700 == 0 {
				if err := mp.Sync(0, end); err != nil {
					t.Error(err)
				}
				synced.Store(end)
			}
		}
	})
	rng := rngOf(seed)
	for synced.Load() < size-700 {
		durable := synced.Load()
		got := readFile(t, m.CrashClone(rng, 50), "f")
		visible := make([]byte, published.Load())
		if _, err := f.ReadAt(visible, 0); err != nil && len(visible) > 0 {
			t.Fatal(err)
		}
		for i := range durable {
			if want := byte(i%250 + 1); got[i] != want || visible[i] != want {
				t.Fatalf("byte %d of %d durable ones: clone %d, reader %d, want %d", i, durable, got[i], visible[i], want)
			}
		}
	}
	wg.Wait()
	must(t, mp.Close())
}

func TestOpenErrorsWrap(t *testing.T) {
	m := memfs.New()
	_, err := m.OpenFile("none", os.O_RDWR, 0)
	var pe *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &pe) || pe.Path != "none" {
		t.Errorf("got %v", err)
	}
}
