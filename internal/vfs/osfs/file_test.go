package osfs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

func open(t *testing.T) *file {
	t.Helper()
	f, err := FS{}.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.(*file)
}

// Both ways of taking space must leave the same file.
func TestAllocate(t *testing.T) {
	ways := map[string]func(f *file, end int64) error{
		"fallocate": func(f *file, end int64) error { return f.Allocate(0, end) },
		"writing":   (*file).allocateByWriting,
	}
	for name, allocate := range ways {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			if _, err := f.WriteAt([]byte("kept"), 0); err != nil {
				t.Fatal(err)
			}
			for _, end := range []int64{3<<20 + 17, 100} { // the second is covered already
				if err := allocate(f, end); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			want := append([]byte("kept"), make([]byte, 3<<20+17-4)...)
			if !bytes.Equal(got, want) {
				t.Fatalf("the file has %d bytes, want %d, or lost what it held", len(got), len(want))
			}
		})
	}
}

// Stores through a mapping and writes are one file; a range past the end is an error, not a signal.
func TestMappingIsTheFile(t *testing.T) {
	f := open(t)
	if err := f.Allocate(0, 1<<16); err != nil {
		t.Fatal(err)
	}
	m, err := f.Map(1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Populate(0, 1<<16); err != nil {
		t.Fatal(err)
	}
	copy(m.Bytes()[5000:], "stored")
	if err := m.Sync(5000, 6); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if err := (vfs.Range{File: f, Pos: 5000, LenBytes: 6}).CopyTo(got); err != nil || string(got) != "stored" {
		t.Fatalf("read %q, %v", got, err)
	}
	if _, err := f.WriteAt([]byte("written"), 6000); err != nil {
		t.Fatal(err)
	}
	if got := string(m.Bytes()[6000:6007]); got != "written" {
		t.Fatalf("the mapping shows %q", got)
	}
	if err := m.Populate(1<<16, 1<<16); err == nil {
		t.Fatal("populating past the end of the file was no error")
	}
}

func TestLockIsExclusive(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".lock")
	l, err := FS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := (FS{}).Lock(name); err == nil {
		second.Close()
		t.Fatal("the lock was taken twice")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := FS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
