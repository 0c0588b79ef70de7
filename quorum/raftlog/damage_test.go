package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// threeWrites leaves a log of entries 1 to 3, 4 to 6 and 7 to 9, each written by one call, and
// tells where in the file each entry begins.
func threeWrites(t *testing.T, fs vfs.FS) (name string, at []int64) {
	t.Helper()
	s := open(t, options(fs))
	for _, from := range []uint64{1, 4, 7} {
		must(t, s.Logs().StageCommitIndex(from-1))
		must(t, s.Logs().StoreLogs(entriesOf(from, from+2, 1, 100)))
	}
	for i := int64(1); i <= 9; i++ {
		rng, err := s.logs.chain.Read(i, 1, 10, true)
		must(t, err)
		at = append(at, rng.Pos)
		rng.Release()
	}
	s.Kill()
	name = "data/raft/log/00000000000000000001.log"
	return name, append(at, at[8]+at[8]-at[7])
}

// TestDamagedEntries flips each byte of a log in turn. In the last write it may be a power cut:
// the log ends before it. In an older one it is damage: the file and the position are named.
func TestDamagedEntries(t *testing.T) {
	fs := memfs.New()
	name, at := threeWrites(t, fs)
	for position := int64(0); position < at[9]; position++ {
		flip(t, fs, name, position)
		entry := uint64(0)
		for entry < 9 && at[entry] <= position {
			entry++
		}
		s, err := Open(options(fs))
		if err == nil {
			s.Kill()
		}
		var corrupt *CorruptError
		switch {
		case entry < 7 && (!errors.As(err, &corrupt) || corrupt.File != name || corrupt.Position != at[entry-1]):
			t.Fatalf("byte %d of entry %d: got %v, want an error about position %d", position, entry, err, at[entry-1])
		case entry >= 7 && err != nil && position-at[entry-1] < 16 && errors.As(err, &corrupt) && corrupt.Position == at[entry-1]:
			// Offset and epoch, which the CRC leaves out and the key has: no power cut does that.
			flip(t, fs, name, position)
		case entry >= 7 && err != nil:
			t.Fatalf("byte %d of entry %d, in the last write: %v", position, entry, err)
		case entry >= 7:
			wantBounds(t, s.Logs(), 1, entry-1)
			fs = memfs.New()
			threeWrites(t, fs)
		default:
			flip(t, fs, name, position) // the failed start left the file alone
		}
	}
	s := open(t, options(fs))
	wantBounds(t, s.Logs(), 1, 9)
	s.Kill()
}

// TestTornTails cuts the file anywhere.
func TestTornTails(t *testing.T) {
	_, at := threeWrites(t, memfs.New())
	for size := int64(0); size < at[9]; size += 7 {
		fs := memfs.New()
		name, _ := threeWrites(t, fs)
		f, err := fs.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		must(t, f.Truncate(size))
		must(t, f.Close())
		whole := uint64(0)
		for whole < 9 && at[whole+1] <= size {
			whole++
		}
		s := open(t, options(fs))
		if _, last := bounds(t, s.Logs()); last != whole {
			t.Fatalf("%d bytes: ends at %d, want %d", size, last, whole)
		}
		must(t, s.Logs().StoreLogs(entriesOf(whole+1, whole+3, 2, 100)))
		s.Kill()
	}
}

// TestALogThatWasClosedDoesNotShrink: after a clean stop even the last entry is known.
func TestALogThatWasClosedDoesNotShrink(t *testing.T) {
	fs := memfs.New()
	name, at := threeWrites(t, fs)
	s := open(t, options(fs))
	must(t, s.Close())
	flip(t, fs, name, at[8]+50)
	if _, err := Open(options(fs)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
}

// TestMissingFiles removes each file of a log of many.
func TestMissingFiles(t *testing.T) {
	make := func() *memfs.FS {
		fs := memfs.New()
		s := open(t, options(fs))
		for i := uint64(1); i <= 40; i++ {
			must(t, s.Logs().StoreLog(entryOf(i, 1, 700)))
		}
		must(t, s.Close())
		return fs
	}
	entries, err := make().ReadDir("data/raft/log")
	must(t, err)
	logs := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".log") {
			continue
		}
		logs++
		fs := make()
		must(t, fs.Remove(path.Join("data/raft/log", e.Name())))
		if _, err := Open(options(fs)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: %v", e.Name(), err)
		}
	}
	if logs < 5 {
		t.Errorf("only %d files", logs)
	}
	fs := make()
	must(t, fs.Remove("data/raft/stable"))
	if _, err := Open(options(fs)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without the stable file: %v", err)
	}
}

// TestRotInAnOldSegment is found when the entry is read, and is final.
func TestRotInAnOldSegment(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	for i := uint64(1); i <= 40; i++ {
		must(t, s.Logs().StoreLog(entryOf(i, 1, 700)))
	}
	must(t, s.Close())
	name := "data/raft/log/00000000000000000001.log"
	flip(t, fs, name, 2000)
	s = open(t, options(fs))
	defer s.Kill()
	var l raft.Log
	for i := uint64(1); i <= 40; i++ {
		err := s.Logs().GetLog(i, &l)
		var corrupt *CorruptError
		if i == 3 {
			if !errors.As(err, &corrupt) || corrupt.File != name {
				t.Errorf("entry 3: %v", err)
			}
			<-s.Failed()
		} else {
			must(t, err)
		}
	}
}

// TestDamagedStableFile: each slot alone may be torn, both are not.
func TestDamagedStableFile(t *testing.T) {
	const name = "data/raft/stable"
	for position := int64(0); position < slotHeader+30; position++ {
		for slot := range int64(2) {
			fs := memfs.New()
			s := open(t, options(fs))
			must(t, s.Stable().SetUint64([]byte("CurrentTerm"), 1))
			must(t, s.Stable().SetUint64([]byte("CurrentTerm"), 2))
			newer := int64(s.stable.state.generation % 2)
			s.Kill()
			length := slotHeader + 2 + int64(len("CurrentTerm")) + 8
			flip(t, fs, name, slot*slotBytes+position)
			s = open(t, options(fs))
			got, err := s.Stable().GetUint64([]byte("CurrentTerm"))
			must(t, err)
			want := uint64(2)
			if slot == newer && position < length {
				want = 1
			}
			if got != want {
				t.Fatalf("byte %d of slot %d: term %d, want %d", position, slot, got, want)
			}
			must(t, s.Stable().SetUint64([]byte("CurrentTerm"), 7))
			s.Kill()
			s = open(t, options(fs))
			if got, _ := s.Stable().GetUint64([]byte("CurrentTerm")); got != 7 {
				t.Fatalf("term %d after the repair, want 7", got)
			}
			s.Kill()
		}
	}
	fs := memfs.New()
	s := open(t, options(fs))
	s.Kill()
	flip(t, fs, name, 3)
	flip(t, fs, name, slotBytes+3)
	var corrupt *CorruptError
	if _, err := Open(options(fs)); !errors.As(err, &corrupt) || corrupt.File != name {
		t.Errorf("both slots: %v", err)
	}
}

// TestALyingSyncIsFoundOut: the disk said that the first of two writes is durable, kept only
// the second, and lost power.
func TestALyingSyncIsFoundOut(t *testing.T) {
	fs := memfs.New()
	name, at := threeWrites(t, fs)
	f, err := fs.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, at[6]-at[3]), at[3])
	must(t, err)
	must(t, f.Close())
	_, err = Open(options(fs))
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != name || corrupt.Position != at[3] {
		t.Errorf("got %v, want an error about position %d", err, at[3])
	}
	if want := fmt.Sprint("entry 4 can not be read"); err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
}
