package raftlog

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// Snapshots is hashicorp/raft's SnapshotStore: one file for each snapshot, written aside.
type Snapshots struct {
	s   *Store
	dir string

	mu   sync.Mutex
	list []snapshotName // whole ones, newest first
	// sinks counts the calls of Create, for names.
	sinks uint64
}

// snapshotName is what a file's name tells: the last entry that the snapshot holds.
type snapshotName struct {
	index, term uint64
}

// Suffixes of snapshot files.
const (
	snapshotSuffix = ".snapshot"
	damagedSuffix  = ".damaged" // behind snapshotSuffix
)

// id is the name without suffix; by name is by index.
func (n snapshotName) id() string   { return fmt.Sprintf("%020d-%020d", n.index, n.term) }
func (n snapshotName) file() string { return n.id() + snapshotSuffix }

func parseSnapshotID(id string) (n snapshotName, ok bool) {
	_, err := fmt.Sscanf(id, "%020d-%020d", &n.index, &n.term)
	return n, err == nil && n.id() == id
}

// openSnapshots lists the folder, removes what was not finished, and checks the newest
// snapshots until one is whole. damaged are those that are not, newest first.
func (s *Store) openSnapshots() (_ *Snapshots, damaged []snapshotName, err error) {
	sn := &Snapshots{s: s, dir: s.o.SnapshotDir}
	entries, err := s.o.FS.ReadDir(sn.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		id, isSnapshot := cutSuffix(name, snapshotSuffix)
		if n, ok := parseSnapshotID(id); ok && isSnapshot {
			sn.list = append(sn.list, n)
		} else if _, temp := cutSuffix(name, snapshotSuffix+tempSuffix); temp {
			if err := s.o.FS.Remove(path.Join(sn.dir, name)); err != nil {
				return nil, nil, err
			}
		}
	}
	slices.SortFunc(sn.list, func(a, b snapshotName) int {
		if a.index != b.index {
			return compare(b.index, a.index)
		}
		return compare(b.term, a.term)
	})
	for len(sn.list) > 0 {
		err := verifySnapshot(s.o.FS, path.Join(sn.dir, sn.list[0].file()), sn.list[0])
		if err == nil {
			break
		}
		if !errors.Is(err, ErrCorrupt) {
			return nil, nil, err
		}
		s.o.Log.Error("skipping a damaged snapshot: the one before it and the log must do", "err", err)
		damaged = append(damaged, sn.list[0])
		sn.list = sn.list[1:]
	}
	return sn, damaged, nil
}

func cutSuffix(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || s[len(s)-len(suffix):] != suffix {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// setAside renames damaged snapshots, so that they can be looked at and are not met again.
func (sn *Snapshots) setAside(damaged []snapshotName) {
	for _, n := range damaged {
		name := path.Join(sn.dir, n.file())
		if err := sn.s.o.FS.Rename(name, name+damagedSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			sn.s.o.Log.Warn("a damaged snapshot could not be set aside", "file", name, "err", err)
		}
	}
}

// newest is the index of the newest whole snapshot, 0 if there is none.
func (sn *Snapshots) newest() uint64 {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if len(sn.list) == 0 {
		return 0
	}
	return sn.list[0].index
}

// needFrom is the first entry that the log must keep: it follows the snapshot before the
// newest one. On a full disk, or when one snapshot is all that is kept, the newest.
func (sn *Snapshots) needFrom() uint64 {
	full := sn.s.reserve.inUse()
	sn.mu.Lock()
	defer sn.mu.Unlock()
	keep := 1
	if full || sn.s.o.Retain == 1 {
		keep = 0
	}
	if len(sn.list) <= keep {
		return 0
	}
	return sn.list[keep].index + 1
}

// List implements raft.SnapshotStore, newest first.
func (sn *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	sn.mu.Lock()
	list := slices.Clone(sn.list)
	sn.mu.Unlock()
	var metas []*raft.SnapshotMeta
	for _, n := range list {
		meta, err := sn.meta(n)
		if errors.Is(err, ErrCorrupt) {
			sn.drop(n, err)
			continue
		}
		if errors.Is(err, os.ErrNotExist) {
			continue // reaped meanwhile
		}
		if err != nil {
			return nil, err
		}
		metas = append(metas, meta)
	}
	return metas, nil
}

func (sn *Snapshots) meta(n snapshotName) (*raft.SnapshotMeta, error) {
	f, err := sn.s.o.FS.OpenFile(path.Join(sn.dir, n.file()), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	h, err := readSnapshotHead(f, n)
	return &h.meta, errors.Join(err, f.Close())
}

// drop takes a snapshot that turned out to be damaged off the list. The log goes back to
// where the one before it ends, if it still does.
func (sn *Snapshots) drop(n snapshotName, err error) {
	sn.s.o.Log.Error("a snapshot is damaged: the one before it and the log must do", "err", err)
	sn.mu.Lock()
	sn.list = slices.DeleteFunc(sn.list, func(other snapshotName) bool { return other == n })
	sn.mu.Unlock()
	sn.setAside([]snapshotName{n})
	sn.s.logs.turn.take()
	defer sn.s.logs.turn.give()
	sn.s.logs.startAt(0, 0)
}

// Open implements raft.SnapshotStore. The reader ends with a *CorruptError instead of io.EOF
// when the bytes are not those that were written.
func (sn *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	n, ok := parseSnapshotID(id)
	if !ok {
		return nil, nil, fmt.Errorf("no snapshot %q: %w", id, os.ErrNotExist)
	}
	f, err := sn.s.o.FS.OpenFile(path.Join(sn.dir, n.file()), os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	h, err := readSnapshotHead(f, n)
	if err != nil {
		if errors.Is(err, ErrCorrupt) {
			sn.drop(n, err)
		}
		return nil, nil, errors.Join(err, f.Close())
	}
	r := newSnapshotReader(f, h)
	r.onDamage = func(err error) { sn.drop(n, err) }
	return &h.meta, r, nil
}

// Create implements raft.SnapshotStore.
func (sn *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("snapshots of version %d are not supported", version)
	}
	if err := sn.s.latch.check(); err != nil {
		return nil, err
	}
	if index == 0 || index >= math.MaxInt64 {
		return nil, fmt.Errorf("a snapshot of entry %d makes no sense", index)
	}
	n := snapshotName{index: index, term: term}
	sn.mu.Lock()
	sn.sinks++
	temp := fmt.Sprintf("%s.%d%s", n.id(), sn.sinks, snapshotSuffix+tempSuffix)
	sn.mu.Unlock()
	k := &sink{sn: sn, n: n, stall: sn.s.newStall(), name: path.Join(sn.dir, n.file()), temp: path.Join(sn.dir, temp)}
	head, err := appendSnapshotHead(nil, n, configuration, configurationIndex)
	if err != nil {
		return nil, err
	}
	return k, k.start(head)
}

// add puts a snapshot that is durable on the list, and reaps old ones.
func (sn *Snapshots) add(n snapshotName) {
	keep := sn.s.o.Retain
	if sn.s.reserve.inUse() {
		keep = 1
	}
	sn.mu.Lock()
	sn.list = slices.DeleteFunc(sn.list, func(other snapshotName) bool { return other == n })
	at, _ := slices.BinarySearchFunc(sn.list, n, func(a, b snapshotName) int { return compare(b.index, a.index) })
	sn.list = slices.Insert(sn.list, at, n)
	var old []snapshotName
	if len(sn.list) > keep {
		old = slices.Clone(sn.list[keep:])
		sn.list = sn.list[:keep]
	}
	sn.mu.Unlock()
	for _, n := range old {
		name := path.Join(sn.dir, n.file())
		if err := sn.s.o.FS.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			sn.s.o.Log.Warn("an old snapshot could not be removed", "file", name, "err", err)
		}
	}
	sn.s.reserve.take()
}
