package raftlog

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

func indexesOf(t *testing.T, s *Store) []uint64 {
	t.Helper()
	list, err := s.Snapshots().List()
	must(t, err)
	var out []uint64
	for _, m := range list {
		out = append(out, m.Index)
	}
	return out
}

func TestSnapshotsComeBack(t *testing.T) {
	fs := memfs.New()
	o := options(fs)
	o.Retain, o.SnapshotDir = 3, "snaps"
	s := open(t, o)
	must(t, s.Logs().StoreLogs(entriesOf(1, 60, 1, 10)))
	for i, size := range []int{0, 1, 1000, sinkBufferBytes * 2, 9 << 20} {
		must(t, takeSnapshot(s, uint64(10*i+10), uint64(i), bodyOf(uint64(i), size)))
	}
	for range 2 {
		if got := indexesOf(t, s); !reflect.DeepEqual(got, []uint64{50, 40, 30}) {
			t.Fatalf("listed %v", got)
		}
		list, err := s.Snapshots().List()
		must(t, err)
		for i, size := range []int{9 << 20, sinkBufferBytes * 2, 1000} {
			meta, body, err := readSnapshot(t, s, list[i].ID)
			must(t, err)
			n := uint64(4 - i)
			want := &raft.SnapshotMeta{Version: 1, ID: list[i].ID, Index: 10*n + 10, Term: n, Configuration: config(3), ConfigurationIndex: 10*n + 9, Size: int64(size)}
			if !reflect.DeepEqual(meta, want) || !reflect.DeepEqual(list[i], want) {
				t.Errorf("got %+v, want %+v", meta, want)
			}
			if !bytes.Equal(body, bodyOf(n, size)) {
				t.Errorf("snapshot %d has another body", meta.Index)
			}
		}
		must(t, s.Close())
		s = open(t, o)
	}
	if _, _, err := s.Snapshots().Open("nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of a name that is none: %v", err)
	}
	if _, _, err := s.Snapshots().Open(snapshotName{index: 3, term: 3}.id()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of an absent snapshot: %v", err)
	}
	entries, err := fs.ReadDir("snaps")
	must(t, err)
	if len(entries) != 3 {
		t.Errorf("the folder holds %v", entries)
	}
	s.Kill()
}

func TestAReaderKeepsAReapedSnapshot(t *testing.T) {
	o := options(memfs.New())
	o.Retain = 1
	s := open(t, o)
	defer s.Kill()
	must(t, s.Logs().StoreLogs(entriesOf(1, 60, 1, 10)))
	must(t, takeSnapshot(s, 10, 1, bodyOf(1, 100_000)))
	list, err := s.Snapshots().List()
	must(t, err)
	_, r, err := s.Snapshots().Open(list[0].ID)
	must(t, err)
	must(t, takeSnapshot(s, 20, 1, nil))
	body, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if !bytes.Equal(body, bodyOf(1, 100_000)) {
		t.Error("another body")
	}
}

func TestACancelledSnapshotLeavesNothing(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	must(t, s.Logs().StoreLogs(entriesOf(1, 60, 1, 10)))
	k, err := s.Snapshots().Create(1, 10, 1, config(1), 1, nil)
	must(t, err)
	twin, err := s.Snapshots().Create(1, 10, 1, config(1), 1, nil) // a leader's, meanwhile
	must(t, err)
	_, err = k.Write(make([]byte, 1<<20))
	must(t, err)
	must(t, k.Cancel())
	must(t, k.Cancel())
	if _, err := k.Write([]byte("x")); err == nil {
		t.Error("a cancelled sink takes bytes")
	}
	if k.Close() == nil {
		t.Error("a cancelled snapshot was closed well")
	}
	_, err = twin.Write([]byte("twin"))
	must(t, err)
	must(t, twin.Close())
	if _, body, err := readSnapshot(t, s, twin.ID()); err != nil || string(body) != "twin" {
		t.Errorf("the twin holds %q, %v", body, err)
	}
	k, err = s.Snapshots().Create(1, 20, 1, config(1), 1, nil)
	must(t, err)
	_, err = k.Write(make([]byte, 1<<20))
	must(t, err)
	s.Kill() // with an open sink
	must(t, k.Cancel())
	s = open(t, options(fs))
	defer s.Kill()
	if got := indexesOf(t, s); !reflect.DeepEqual(got, []uint64{10}) {
		t.Errorf("listed %v", got)
	}
	entries, err := fs.ReadDir("data/raft/snapshots")
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
}

// twoSnapshots is a store with snapshots of 20 and 40 and a log to 60, shortened by raft to
// begin at 41.
func twoSnapshots(t *testing.T, o Options) {
	t.Helper()
	s := open(t, o)
	for i := uint64(1); i <= 60; i++ {
		must(t, s.Logs().StoreLog(entryOf(i, 1, 500)))
		if i == 25 || i == 45 {
			must(t, takeSnapshot(s, i-5, 1, bodyOf(i-5, 5000)))
			first, _ := bounds(t, s.Logs())
			must(t, s.Logs().DeleteRange(first, i-5))
		}
	}
	wantBounds(t, s.Logs(), 41, 60)
	must(t, s.Close())
	s = open(t, o)
	wantBounds(t, s.Logs(), 41, 60) // the first index is kept
	must(t, s.Close())
}

// TestADamagedSnapshotIsSkipped flips bytes all over the newest snapshot: each time the one
// before it is used, with the log from there on, and somebody is told loudly.
func TestADamagedSnapshotIsSkipped(t *testing.T) {
	first := memfs.New()
	twoSnapshots(t, options(first))
	name := "data/raft/snapshots/" + snapshotName{index: 40, term: 1}.file()
	size := fileSize(t, first, name)
	for position := int64(0); position < size; position += max(1, size/150) {
		fs := first.CrashClone(testkit.NewRand(0), 100)
		flip(t, fs, name, position)
		var said bytes.Buffer
		o := options(fs)
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
		s := open(t, o)
		if got := indexesOf(t, s); !reflect.DeepEqual(got, []uint64{20}) {
			t.Fatalf("byte %d: listed %v", position, got)
		}
		if f, l := bounds(t, s.Logs()); f > 21 || l != 60 {
			t.Fatalf("byte %d: log is [%d, %d]", position, f, l)
		}
		if !strings.Contains(said.String(), "level=ERROR") || !strings.Contains(said.String(), name) {
			t.Errorf("byte %d: said %q", position, said.String())
		}
		must(t, s.Close())
		s = open(t, o) // it was set aside
		if got := indexesOf(t, s); !reflect.DeepEqual(got, []uint64{20}) {
			t.Fatalf("byte %d: listed %v after another start", position, got)
		}
		must(t, s.Close())
	}
}

// TestDamageThatNothingCoversIsAnError: no snapshot is good that the log reaches.
func TestDamageThatNothingCoversIsAnError(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, o Options)
		file   string
	}{
		{"both", func(t *testing.T, o Options) {
			twoSnapshots(t, o)
			flip(t, o.FS, "data/raft/snapshots/"+snapshotName{index: 40, term: 1}.file(), 100)
			flip(t, o.FS, "data/raft/snapshots/"+snapshotName{index: 20, term: 1}.file(), 100)
		}, snapshotName{index: 40, term: 1}.file()},
		{"gone", func(t *testing.T, o Options) {
			twoSnapshots(t, o)
			must(t, o.FS.Remove("data/raft/snapshots/"+snapshotName{index: 40, term: 1}.file()))
			must(t, o.FS.Remove("data/raft/snapshots/"+snapshotName{index: 20, term: 1}.file()))
		}, "data/raft/log"},
		{"the only one, from the leader", func(t *testing.T, o Options) {
			s := open(t, o)
			must(t, takeSnapshot(s, 100, 1, nil))
			must(t, s.Close())
			flip(t, o.FS, "data/raft/snapshots/"+snapshotName{index: 100, term: 1}.file(), 30)
		}, snapshotName{index: 100, term: 1}.file()},
		{"above the log", func(t *testing.T, o Options) {
			s := open(t, o)
			must(t, s.Logs().StoreLogs(entriesOf(1, 10, 1, 10)))
			must(t, takeSnapshot(s, 100, 1, nil))
			must(t, s.Close())
			flip(t, o.FS, "data/raft/snapshots/"+snapshotName{index: 100, term: 1}.file(), 30)
		}, snapshotName{index: 100, term: 1}.file()},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(memfs.New())
			c.damage(t, o)
			for range 2 { // a second start does not forget
				s, err := Open(o)
				var corrupt *CorruptError
				if err == nil {
					s.Kill()
				}
				if !errors.As(err, &corrupt) || !strings.HasSuffix(corrupt.File, c.file) {
					t.Fatalf("got %v, want one about %s", err, c.file)
				}
			}
		})
	}
}

// TestDamageIsSeenWhileRunning: a reader gets an error instead of the end, and the snapshot is
// not listed any more.
func TestDamageIsSeenWhileRunning(t *testing.T) {
	o := options(memfs.New())
	twoSnapshots(t, o)
	s := open(t, o)
	defer s.Kill()
	id := snapshotName{index: 40, term: 1}.id()
	flip(t, o.FS, "data/raft/snapshots/"+id+snapshotSuffix, 2000)
	if _, _, err := readSnapshot(t, s, id); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("read: %v", err)
	}
	if got := indexesOf(t, s); !reflect.DeepEqual(got, []uint64{20}) {
		t.Errorf("listed %v", got)
	}
	if f, _ := bounds(t, s.Logs()); f > 21 {
		t.Errorf("the log begins at %d", f)
	}
	var l raft.Log
	must(t, s.Logs().GetLog(21, &l))
}

// TestALogBelowTheSnapshotIsRemoved is a power cut between the arrival of the leader's
// snapshot and the removal of the log, which could not be appended to any more.
func TestALogBelowTheSnapshotIsRemoved(t *testing.T) {
	fs := memfs.New()
	s := open(t, options(fs))
	must(t, s.Logs().StoreLogs(entriesOf(1, 10, 1, 10)))
	must(t, takeSnapshot(s, 100, 2, nil))
	s.Kill()
	s = open(t, options(fs))
	wantBounds(t, s.Logs(), 0, 0)
	must(t, s.Logs().StoreLogs(entriesOf(101, 105, 2, 10)))
	s.Kill()
	s = open(t, options(fs))
	wantBounds(t, s.Logs(), 101, 105)
	s.Kill()
}

func fileSize(t testing.TB, fs vfs.FS, name string) int64 {
	t.Helper()
	info, err := fs.Stat(name)
	must(t, err)
	return info.Size()
}

// flip changes one byte of a file.
func flip(t testing.TB, fs vfs.FS, name string, position int64) {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], position)
	must(t, err)
	b[0] ^= 0x55
	_, err = f.WriteAt(b[:], position)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}
