package suite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the pages of a file that the kernel holds, by mincore(2).
func resident(t *testing.T, path string) (pages int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	vec := make([]byte, (len(m)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, v := range vec {
		pages += int(v & 1)
	}
	return pages
}

func TestDropCache(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skipf("%s lies in memory, or %v: its pages stay", dir, err)
	}
	path := filepath.Join(dir, "topic-0", "0.log")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, mib), 0o644); err != nil {
		t.Fatal(err)
	}
	if resident(t, path) == 0 {
		t.Fatal("a file just written is not in the page cache: the test sees nothing")
	}
	if err := dropCache(dir); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, path); n > 0 {
		t.Errorf("%d of 256 pages are still in the page cache", n)
	}
	var cold *ColdError
	if err := (&Target{}).emptyCache()(); err == nil || !errors.As(err, &cold) {
		t.Errorf("an unknown folder: %v", err)
	}
}
