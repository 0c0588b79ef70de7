package raftlog

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/vfs/memfs"
)

func TestInspectLog(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	want := entriesOf(1, 20, 3, 300)
	for _, l := range want {
		must(t, s.Logs().StoreLog(l))
	}
	dir := options(fs).Dir
	read := func() (got []uint64, err error) {
		files, err := LogFiles(fs, dir)
		must(t, err)
		for _, file := range files {
			err = errors.Join(err, ReadLogFile(fs, file, func(e *Entry) error {
				if !same(&e.Log, want[e.Log.Index-1]) || e.File != file || e.Position < 0 {
					t.Errorf("entry %+v", e)
				}
				got = append(got, e.Log.Index)
				return nil
			}))
		}
		return got, err
	}
	all := make([]uint64, 20)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	if got, err := read(); err != nil || !slices.Equal(got, all) {
		t.Errorf("beside a running server: %v, %v", got, err)
	}
	must(t, s.Close())
	if got, err := read(); err != nil || !slices.Equal(got, all) {
		t.Errorf("after its end: %v, %v", got, err)
	}

	files, err := LogFiles(fs, dir)
	must(t, err)
	last := files[len(files)-1]
	f, err := fs.OpenFile(last, os.O_RDWR, 0)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	must(t, f.Truncate(size-7))
	var corrupt *CorruptError
	if got, err := read(); !errors.As(err, &corrupt) || !errors.Is(corrupt.Err, io.ErrUnexpectedEOF) || !slices.Equal(got, all[:19]) {
		t.Errorf("a torn end: %v, %v", got, err)
	}
	if _, err := f.WriteAt([]byte{0xff}, size/2-30); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); !errors.As(err, &corrupt) || corrupt.File != last || corrupt.Position >= size/2 || len(got) >= 19 {
		t.Errorf("damage in the middle: %v, %v", got, err)
	}
	must(t, f.Close())
	stop := errors.New("enough")
	if err := ReadLogFile(fs, files[0], func(*Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestInspectSnapshots(t *testing.T) {
	fs := memfs.New()
	o := options(fs)
	o.Retain = 10
	s := open(t, o)
	must(t, s.Logs().StoreLogs(entriesOf(1, 9, 1, 10)))
	for i := uint64(2); i <= 8; i++ {
		must(t, takeSnapshot(s, i, 1, bodyOf(i, 1000)))
	}
	must(t, s.Close())
	dir := path.Join(o.Dir, snapshotDir)
	files, err := SnapshotFiles(fs, dir)
	if err != nil || len(files) != 7 {
		t.Fatal(files, err)
	}
	meta, r, err := OpenSnapshotFile(fs, files[0])
	must(t, err)
	body, err := io.ReadAll(r)
	if err != nil || meta.Index != 8 || string(body) != string(bodyOf(8, 1000)) {
		t.Errorf("snapshot %+v: %d bytes, %v", meta, len(body), err)
	}
	must(t, r.Close())
	if _, _, err := OpenSnapshotFile(fs, path.Join(dir, "other")); err == nil {
		t.Error("a file of another name was taken")
	}
	if gone, err := PurgeSnapshots(fs, dir, 5); err != nil || !slices.Equal(gone, files[5:]) {
		t.Errorf("purged %v, %v", gone, err)
	}
	if gone, err := PurgeSnapshots(fs, dir, 0); err != nil || !slices.Equal(gone, files[3:5]) {
		t.Errorf("purged %v, %v", gone, err)
	}
	must(t, open(t, o).Close())
}

// FuzzInspect: a file of anybody's making costs an error.
func FuzzInspect(f *testing.F) {
	fs := memfs.New()
	s := open(f, options(fs))
	must(f, s.Logs().StoreLogs(entriesOf(1, 3, 1, 30)))
	must(f, takeSnapshot(s, 2, 1, bodyOf(2, 100)))
	must(f, s.Close())
	files, err := LogFiles(fs, options(fs).Dir)
	must(f, err)
	snapshots, err := SnapshotFiles(fs, path.Join(options(fs).Dir, snapshotDir))
	must(f, err)
	for _, name := range append(files, snapshots...) {
		file, err := fs.OpenFile(name, os.O_RDONLY, 0)
		must(f, err)
		size, err := file.Size()
		must(f, err)
		data := make([]byte, size)
		must(f, readAt(file, data, 0))
		must(f, file.Close())
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := memfs.New()
		must(t, fs.MkdirAll("/d", 0o755))
		for _, name := range []string{"/d/x.log", "/d/" + snapshotName{2, 1}.file()} {
			file, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
			must(t, err)
			if len(data) > 0 {
				_, err = file.WriteAt(data, 0)
				must(t, err)
			}
			must(t, file.Close())
		}
		n := 0
		_ = ReadLogFile(fs, "/d/x.log", func(e *Entry) error { n += len(e.Log.Data); return nil })
		if n > len(data) {
			t.Errorf("%d bytes of data in %d", n, len(data))
		}
		if meta, r, err := OpenSnapshotFile(fs, "/d/"+snapshotName{2, 1}.file()); err == nil {
			if body, err := io.ReadAll(r); err == nil && int64(len(body)) != meta.Size {
				t.Errorf("%d bytes of %d", len(body), meta.Size)
			}
			must(t, r.Close())
		}
	})
}
