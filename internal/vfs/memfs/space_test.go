package memfs_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

func free(t *testing.T, m vfs.FS) int64 {
	t.Helper()
	u, err := m.Usage("/")
	must(t, err)
	return u.FreeBytes
}

func TestFullDisk(t *testing.T) {
	const block = memfs.BlockBytes
	m := memfs.NewWith(memfs.Options{CapacityBytes: 10 * block})
	f := create(t, m, "f")
	if err := f.Allocate(0, 11*block); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("allocate beyond the disk: %v", err)
	}
	if size, _ := f.Size(); size != 0 || free(t, m) != 10*block {
		t.Fatalf("a refused Allocate left size %d and %d free", size, free(t, m))
	}
	must(t, f.Allocate(0, 8*block))
	must(t, f.Allocate(100, 8*block-100)) // again: costs nothing
	if got := free(t, m); got != 2*block {
		t.Fatalf("free %d", got)
	}
	g := create(t, m, "g")
	n, err := g.WriteAt(make([]byte, 3*block), 100)
	if n != 2*block-100 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	_, err = f.WriteAt([]byte{1}, 8*block-1) // in allocated space
	must(t, err)

	must(t, m.Remove("g"))
	if got := free(t, m); got != 0 {
		t.Fatalf("an open file gave its space back: %d", got)
	}
	must(t, g.Close())
	must(t, f.Truncate(block+1))
	if got := free(t, m); got != 8*block {
		t.Fatalf("free %d", got)
	}
	m.SetCapacity(block)
	if err := f.Allocate(0, 3*block); !errors.Is(err, syscall.ENOSPC) || free(t, m) != 0 {
		t.Fatalf("on a shrunk disk: %v, %d free", err, free(t, m))
	}
}

func TestPopulateFillsHolesOrSaysWhyNot(t *testing.T) {
	const block = memfs.BlockBytes
	m := memfs.NewWith(memfs.Options{CapacityBytes: 2 * block})
	f := create(t, m, "f")
	must(t, f.Truncate(4*block))
	mp, err := f.Map(8*block, true)
	must(t, err)
	defer mp.Close()
	must(t, mp.Populate(0, 2*block))
	if err := mp.Populate(2*block, block); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	if err := mp.Populate(4*block, 1); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("past the end: %v", err)
	}
	if err := mp.Populate(8*block, 1); err == nil {
		t.Error("past the mapping: no error")
	}
}

func TestViolationsAreSeen(t *testing.T) {
	const block = memfs.BlockBytes
	m := memfs.New()
	f := create(t, m, "f")
	must(t, f.Allocate(0, block))
	mp, err := f.Map(16*block, true)
	must(t, err)
	mp.Bytes()[block-1] = 1
	if got := m.Violations(); len(got) != 0 {
		t.Fatalf("a store in bounds: %q", got)
	}
	mp.Bytes()[block] = 1
	must(t, f.Allocate(block, block))
	if mp.Bytes()[block] != 0 {
		t.Error("new space does not read as zeros")
	}
	must(t, f.Truncate(4*block))
	mp.Bytes()[3*block] = 1
	must(t, mp.Close())
	got := strings.Join(m.Violations(), "\n")
	if !strings.Contains(got, "past the end at 4096") || !strings.Contains(got, "in a hole") {
		t.Errorf("violations: %s", got)
	}
}

func TestUseAfterUnmapIsSeen(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	must(t, f.Allocate(0, 100))
	mp, err := f.Map(100, true)
	must(t, err)
	stale := mp.Bytes()
	stale[0] = 1
	must(t, mp.Close())
	if stale[0] == 1 {
		t.Error("a closed mapping still shows the content")
	}
	stale[0] = 9
	if got := readFile(t, m, "f"); got[0] != 1 {
		t.Errorf("the file took a store through a closed mapping, or lost one: %d", got[0])
	}
	if err := mp.Close(); err == nil {
		t.Error("closed twice without an error")
	}
}

func TestMappedFileGrowsUnderItsMapping(t *testing.T) {
	m := memfs.New()
	f := create(t, m, "f")
	mp, err := f.Map(128<<10, true)
	must(t, err)
	for off := int64(0); off < 256<<10; off += 4096 {
		must(t, f.Allocate(off, 4096))
		if off < 128<<10 {
			mp.Bytes()[off] = byte(off >> 12)
		} else {
			write(t, f, off, []byte{byte(off >> 12)}) // behind the mapping
		}
	}
	write(t, f, 128<<10-1, []byte{0xAA, 0xBB}) // across its end
	if mp.Bytes()[128<<10-1] != 0xAA {
		t.Error("the mapping does not show a write")
	}
	var two [2]byte
	_, err = f.ReadAt(two[:], 128<<10-1)
	must(t, err)
	if two != [2]byte{0xAA, 0xBB} {
		t.Errorf("read across the mapping's end: %x", two)
	}
	write(t, f, 128<<10, []byte{32})
	must(t, mp.Close())
	got := readFile(t, m, "f")
	for off := 0; off < 256<<10; off += 4096 {
		if got[off] != byte(off>>12) {
			t.Fatalf("at %d: %d", off, got[off])
		}
	}
}

func TestLeaksAreListed(t *testing.T) {
	m := memfs.New()
	f, err := m.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	mp, err := f.Map(10, false)
	must(t, err)
	lock, err := m.Lock("l")
	must(t, err)
	if got, want := m.Leaks(), []string{"open file f", "open file l", "mapping of f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := m.Lock("l"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	must(t, f.Close())
	must(t, mp.Close())
	must(t, lock.Close())
	if got := m.Leaks(); len(got) != 0 {
		t.Errorf("after closing: %q", got)
	}
}
