package memfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
)

// TestBehavesAsTheMachine runs the same random operations on memfs and on the real
// file system and compares every result, error and byte.
func TestBehavesAsTheMachine(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range uint64(testkit.Rounds(t, "MEMFS_ROUNDS", 40)) {
		runScript(t, rand.New(rand.NewPCG(seed, round)), 300)
	}
}

// scriptMap remembers how a mapping was made: a store to a read-only one is a signal.
type scriptMap struct {
	vfs.Mapping
	writable bool
}

// twin is one file system with the handles and mappings that a script opened on it.
type twin struct {
	fs    vfs.FS
	root  string
	files []vfs.File
	maps  []scriptMap
	locks []func() error
}

func runScript(t *testing.T, rng *rand.Rand, steps int) {
	real := &twin{fs: osfs.FS{}, root: t.TempDir()}
	mem := &twin{fs: memfs.New(), root: "/disk"}
	if err := mem.fs.MkdirAll(mem.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for step := range steps {
		kind, a := rng.IntN(100), [4]int{rng.IntN(1 << 16), rng.IntN(1 << 16), rng.IntN(1 << 16), rng.IntN(1 << 16)}
		want, got := real.do(kind, a), mem.do(kind, a)
		if want != got {
			t.Fatalf("step %d, operation %d %v\nmachine: %s\nmemfs:   %s", step, kind, a, want, got)
		}
	}
	for _, tw := range []*twin{real, mem} {
		for _, m := range tw.maps {
			m.Close()
		}
		for _, f := range tw.files {
			f.Close()
		}
		for _, unlock := range tw.locks {
			unlock()
		}
	}
	if want, got := real.tree(t), mem.tree(t); want != got {
		t.Fatalf("trees differ\nmachine: %s\nmemfs:   %s", want, got)
	}
	m := mem.fs.(*memfs.FS)
	if leaks := m.Leaks(); len(leaks) > 0 {
		t.Fatalf("left open: %q", leaks)
	}
	if bad := m.Violations(); len(bad) > 0 {
		t.Fatalf("violations: %q", bad)
	}
}

var scriptNames = []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "a/b"}

func (tw *twin) name(n int) string { return filepath.Join(tw.root, scriptNames[n%len(scriptNames)]) }

// do runs one operation and describes its outcome in words that are equal on both.
func (tw *twin) do(kind int, a [4]int) string {
	switch {
	case kind < 15:
		flags := []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_CREATE | os.O_TRUNC}
		return tw.open(tw.name(a[0]), flags[a[1]%len(flags)])
	case kind < 18:
		return outcome(tw.fs.Remove(tw.name(a[0])))
	case kind < 19:
		return outcome(tw.fs.RemoveAll(tw.name(a[0])))
	case kind < 23:
		return outcome(tw.fs.Rename(tw.name(a[0]), tw.name(a[1])))
	case kind < 26:
		return outcome(tw.fs.MkdirAll(tw.name(a[0]), 0o755))
	case kind < 28:
		return tw.list(tw.name(a[0]))
	case kind < 30:
		return outcome(tw.fs.SyncDir(tw.name(a[0])))
	case kind < 32:
		return tw.lock(tw.name(2), a[1]%2 == 0)
	case kind < 85 && len(tw.files) > 0:
		return tw.doFile(a[0]%len(tw.files), (kind-32)/6, a)
	case len(tw.maps) > 0:
		return tw.doMap(a[0]%len(tw.maps), kind%5, a)
	}
	return "nothing"
}

func (tw *twin) open(name string, flag int) string {
	// The os package opens a folder for reading; the contract has no use for it.
	if st, err := tw.fs.Stat(name); err == nil && st.IsDir() {
		return "folder"
	}
	f, err := tw.fs.OpenFile(name, flag, 0o644)
	if err != nil {
		return outcome(err)
	}
	tw.files = append(tw.files, f)
	return "open"
}

func (tw *twin) list(name string) string {
	if st, err := tw.fs.Stat(name); err == nil && !st.IsDir() {
		return fmt.Sprint("file of ", st.Size())
	}
	entries, err := tw.fs.ReadDir(name)
	out := outcome(err)
	for _, e := range entries {
		out += fmt.Sprint(" ", e.Name(), e.IsDir())
	}
	return out
}

func (tw *twin) lock(name string, take bool) string {
	switch {
	case take:
		if st, err := tw.fs.Stat(name); err == nil && st.IsDir() {
			return "folder"
		}
		c, err := tw.fs.Lock(name)
		if err == nil {
			tw.locks = append(tw.locks, c.Close)
		}
		return outcome(err)
	case len(tw.locks) > 0:
		unlock := tw.locks[0]
		tw.locks = tw.locks[1:]
		return outcome(unlock())
	}
	return "nothing"
}

func (tw *twin) doFile(i, kind int, a [4]int) string {
	f := tw.files[i]
	off, length := int64(a[1])%20000, a[2]%9000
	switch kind {
	case 0, 1:
		buf := make([]byte, length)
		n, err := f.ReadAt(buf, off)
		return fmt.Sprintf("%d %s %x", n, outcome(err), sum(buf[:n]))
	case 2, 3:
		n, err := f.WriteAt(bytes.Repeat([]byte{byte(a[3])}, length), off)
		return fmt.Sprint(n, outcome(err))
	case 4:
		// Cutting a file under its mapping is outside the contract.
		if len(tw.maps) > 0 {
			return "nothing"
		}
		return outcome(f.Truncate(off))
	case 5:
		return outcome(f.Allocate(off, int64(length)))
	case 6:
		n, err := f.Size()
		return fmt.Sprint(n, outcome(err))
	case 7:
		// Remapping beyond a mapping in use is the one thing that memfs does not do.
		m, err := f.Map(64<<10, a[1]%2 == 0)
		if err == nil {
			tw.maps = append(tw.maps, scriptMap{m, a[1]%2 == 0})
		}
		return outcome(err)
	}
	tw.files = append(tw.files[:i], tw.files[i+1:]...)
	return fmt.Sprint(outcome(f.Sync()), outcome(f.SyncData()), outcome(f.Close()), outcome(f.Close()))
}

func (tw *twin) doMap(i, kind int, a [4]int) string {
	m := tw.maps[i]
	off, length := int64(a[1])%20000, int64(a[2])%9000
	// Populate says how far the file reaches, to the page; touching more would be a signal.
	populated := m.Populate(off, length+memfs.BlockBytes) == nil && length > 0
	switch {
	case kind == 4:
		tw.maps = append(tw.maps[:i], tw.maps[i+1:]...)
		return outcome(m.Close())
	case !populated:
		return "past the end"
	case kind == 3:
		return outcome(m.Sync(off, length))
	case kind == 2 && m.writable:
		for j := range m.Bytes()[off : off+length] {
			m.Bytes()[off+int64(j)] = byte(a[3] + j)
		}
	}
	return fmt.Sprintf("%x", sum(m.Bytes()[off:off+length]))
}

func sum(b []byte) (h uint32) {
	for _, c := range b {
		h = h*16777619 ^ uint32(c)
	}
	return h
}

// outcome names an error by what callers tell apart.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	for _, known := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrClosed, vfs.ErrLocked, syscall.ENOTEMPTY, syscall.ENOTDIR, syscall.EISDIR, syscall.EINVAL, syscall.EBADF, syscall.EACCES} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "EOF or other: " + fmt.Sprint(err.Error() == "EOF")
}

// tree describes every name and all contents.
func (tw *twin) tree(t *testing.T) string {
	t.Helper()
	var out string
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := tw.fs.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			rel, _ := filepath.Rel(tw.root, name)
			if e.IsDir() {
				out += fmt.Sprintf("%s/\n", rel)
				walk(name)
				continue
			}
			content := readFile(t, tw.fs, name)
			out += fmt.Sprintf("%s %d %x\n", rel, len(content), sum(content))
		}
	}
	walk(tw.root)
	return out
}

func readFile(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	if n, err := f.ReadAt(content, 0); n != len(content) {
		t.Fatal(n, err)
	}
	return content
}
