package errorfs_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// replace is the work of most tests: it replaces a small file as checkpoints are.
func replace(w vfs.FS, content string) error {
	f, err := w.OpenFile("/f.tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := w.Rename("/f.tmp", "/f"); err != nil {
		return err
	}
	return w.SyncDir("/")
}

func TestEachCallFailsInTurn(t *testing.T) {
	var failed []errorfs.Kind
	runs := errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: syscall.EIO}, errorfs.All(), func(n int64, rule errorfs.Rule) bool {
		m := memfs.New()
		w := errorfs.Wrap(m, func(op errorfs.Op) errorfs.Fault {
			f := rule(op)
			if f.Err != nil {
				failed = append(failed, op.Kind)
			}
			return f
		})
		err := replace(w, "new")
		if last := n == 6; errors.Is(err, syscall.EIO) == last {
			t.Errorf("call %d: got %v", n, err)
		}
		if leaks := m.Leaks(); len(leaks) > 0 {
			t.Errorf("call %d: %q", n, leaks)
		}
		return true
	})
	want := []errorfs.Kind{errorfs.Create, errorfs.Write, errorfs.Sync, errorfs.Close, errorfs.Rename, errorfs.SyncDir}
	if runs != 6 || !slices.Equal(failed, want) {
		t.Errorf("%d runs failed %v, want %v", runs, failed, want)
	}
}

func TestOnceAndFrom(t *testing.T) {
	match := errorfs.All(errorfs.Kinds(errorfs.Stat), errorfs.Name("*.log"))
	for name, want := range map[string][]bool{"once": {true, false, true, true}, "from": {true, false, false, false}} {
		rule := errorfs.Once(1, errorfs.Fault{Err: syscall.EINTR}, match)
		if name == "from" {
			rule = errorfs.From(1, errorfs.Fault{Err: syscall.EINTR}, match)
		}
		m := memfs.New()
		w := errorfs.Wrap(m, rule)
		f, err := w.OpenFile("/a.log", os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		for i, ok := range want {
			if _, err := w.Stat("/"); err != nil {
				t.Errorf("%s: a call that does not match: %v", name, err)
			}
			if _, err := w.Stat("/a.log"); (err == nil) != ok || err != nil && !errors.Is(err, syscall.EINTR) {
				t.Errorf("%s, call %d: %v", name, i, err)
			}
		}
		if got := w.Calls(); got != 10 {
			t.Errorf("%s: %d calls", name, got)
		}
	}
}

func TestShortWrite(t *testing.T) {
	fault := errorfs.Fault{Err: syscall.ENOSPC, PartBytes: 3}
	w := errorfs.Wrap(memfs.New(), errorfs.Once(0, fault, errorfs.Kinds(errorfs.Write)))
	f, err := w.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := f.WriteAt([]byte("abcdef"), 0)
	var pe *fs.PathError
	if n != 3 || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &pe) || pe.Path != "/f" {
		t.Errorf("wrote %d: %v", n, err)
	}
	if size, _ := f.Size(); size != 3 {
		t.Errorf("size %d", size)
	}
}

func TestLyingSyncIsNotDone(t *testing.T) {
	m := memfs.New()
	w := errorfs.Wrap(m, errorfs.From(0, errorfs.Fault{Lie: true}, errorfs.Syncs()))
	if err := replace(w, "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Stat("/f"); err != nil {
		t.Fatal(err)
	}
	clone := m.CrashClone(testkit.NewRand(1), 0)
	if _, err := clone.Stat("/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that was not synced survived: %v", err)
	}
}

func TestMappingCallsAreSeen(t *testing.T) {
	var seen []string
	w := errorfs.Wrap(memfs.New(), func(op errorfs.Op) errorfs.Fault {
		seen = append(seen, op.String())
		return errorfs.Fault{}
	})
	f, err := w.OpenFile("/f", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Allocate(0, 8192); err != nil {
		t.Fatal(err)
	}
	m, err := f.Map(8192, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{m.Populate(4096, 100), m.Sync(0, 10), m.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"Create f", "Allocate f [0, +8192)", "Map f [0, +8192)", "Populate f [4096, +100)", "MapSync f [0, +10)", "Unmap f", "Close f"}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q\nwant %q", seen, want)
	}
}
