package raftlog

import (
	"bytes"
	"io"
	"os"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/vfs/memfs"
	"github.com/millrace/millrace/record"
)

// FuzzDecodeEntry: what is read is what would be written.
func FuzzDecodeEntry(f *testing.F) {
	var enc encoder
	for _, l := range []*raft.Log{entryOf(1, 1, 10), entryOf(7, 1<<40, 0), {Index: 3}} {
		b, err := enc.append(nil, l, 5, 0)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < record.HeaderBytes {
			return
		}
		fixed := record.Batch(bytes.Clone(b))
		fixCRC(fixed)
		for _, b := range [][]byte{b, fixed} {
			e, err := decodeEntry(b)
			if err != nil {
				continue
			}
			again, err := new(encoder).append(nil, &e.log, e.commit, int(e.before))
			must(t, err)
			back, err := decodeEntry(again)
			if err != nil || !reflect.DeepEqual(e, back) {
				t.Fatalf("%+v became %+v, %v", e, back, err)
			}
		}
	})
}

// fixCRC makes the checksum right, so that what lies behind it is reached.
func fixCRC(b record.Batch) {
	if b.Magic() == record.CurrentMagic && b.SizeBytes() == len(b) {
		ts := b.MaxTimestamp()
		b.SetMaxTimestamp(ts ^ 1)
		b.SetMaxTimestamp(ts)
	}
}

func FuzzDecodeSlot(f *testing.F) {
	s := stableState{generation: 2, first: 3, closed: 4, values: map[string]string{"a": "b", "": "", "CurrentTerm": "12345678"}}
	b, err := s.appendSlot(nil)
	must(f, err)
	f.Add(b)
	f.Add(make([]byte, slotHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := range uint64(2) {
			s, err := decodeSlot(b, n)
			if err != nil {
				continue
			}
			again, err := s.appendSlot(nil)
			must(t, err)
			if back, err := decodeSlot(again, n); err != nil || !reflect.DeepEqual(s, back) {
				t.Fatalf("%+v became %+v, %v", s, back, err)
			}
		}
	})
}

// FuzzSnapshotFile reads any bytes as a snapshot.
func FuzzSnapshotFile(f *testing.F) {
	n := snapshotName{index: 5, term: 2}
	fs := memfs.New()
	s := open(f, options(fs))
	must(f, takeSnapshot(s, n.index, n.term, []byte("body")))
	must(f, s.Close())
	name := "data/raft/snapshots/" + n.file()
	file, err := fs.OpenFile(name, os.O_RDONLY, 0)
	must(f, err)
	size, err := file.Size()
	must(f, err)
	b := make([]byte, size)
	_, err = file.ReadAt(b, 0)
	must(f, err)
	must(f, file.Close())
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := memfs.New()
		file, err := fs.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		defer file.Close()
		_, err = file.WriteAt(b, 0)
		must(t, err)
		h, err := readSnapshotHead(file, n)
		if err != nil {
			return
		}
		body, err := io.ReadAll(newSnapshotReader(file, h))
		if err == nil && int64(len(body)) != h.meta.Size {
			t.Fatalf("%d bytes of %d", len(body), h.meta.Size)
		}
		if len(b) > 40 {
			_, _ = decodeSnapshotHead(b[:len(b)-tailBytes])
		}
	})
}

// FuzzOpenLog opens a folder in which the log is any bytes: it opens and can be appended to,
// or is refused; and what was refused is left alone.
func FuzzOpenLog(f *testing.F) {
	var enc encoder
	var b []byte
	for i := uint64(1); i < 6; i++ {
		b, _ = enc.append(b, entryOf(i, 1, 20), i-1, int(i-1)%2)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add(append(bytes.Clone(b[:100]), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := memfs.New()
		s := open(t, options(fs))
		must(t, s.Logs().StoreLog(entryOf(1, 1, 1)))
		s.Kill()
		file, err := fs.OpenFile("data/raft/log/00000000000000000001.log", os.O_RDWR|os.O_TRUNC, 0)
		must(t, err)
		_, err = file.WriteAt(b, 0)
		must(t, err)
		must(t, file.Close())
		s, err = Open(options(fs))
		if err == nil {
			first, last := bounds(t, s.Logs())
			for i := first; i > 0 && i <= last; i++ {
				var l raft.Log
				must(t, s.Logs().GetLog(i, &l))
			}
			must(t, s.Logs().StoreLog(entryOf(last+1, 2, 10)))
			must(t, s.Close())
		}
		if left := fs.Leaks(); len(left) > 0 {
			t.Fatalf("left open: %v", left)
		}
	})
}
