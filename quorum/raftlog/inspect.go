package raftlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/record"
)

// This file looks at the files of a server without opening its store: nothing is written and
// nothing is locked, so that a server may run meanwhile. What it is about to write may show in
// part.

// Entry is one entry of a log as it lies in a file.
type Entry struct {
	Log      raft.Log
	Commit   uint64 // the commit index that was known when it was written
	File     string
	Position int64
}

// LogFiles lists the files of the log in a server's folder (Options.Dir), oldest first.
func LogFiles(fs vfs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(path.Join(dir, logDir))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			files = append(files, path.Join(dir, logDir, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// ReadLogFile calls f for each entry of one file of a log, in order, until it returns an error.
// The entry's memory is used again. A *CorruptError says where something is that is no entry; a
// file that ends in the middle of one is what a power cut leaves in the newest file.
func ReadLogFile(fs vfs.FS, name string, f func(*Entry) error) error {
	file, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	var batch record.Batch
	for pos := int64(0); pos < size; pos += int64(len(batch)) {
		if batch, err = readBatch(file, pos, size, batch); err != nil || batch == nil {
			return err
		}
		e, err := decodeEntry(batch)
		if err != nil {
			return &CorruptError{File: name, Position: pos, Err: err}
		}
		if err := f(&Entry{Log: e.log, Commit: e.commit, File: name, Position: pos}); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads the batch at pos into buf; nil where the file has only been allocated.
func readBatch(file vfs.File, pos, size int64, buf record.Batch) (record.Batch, error) {
	corrupt := func(err error) error { return &CorruptError{File: file.Name(), Position: pos, Err: err} }
	var head [record.HeaderBytes]byte
	n, err := file.ReadAt(head[:], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !slices.ContainsFunc(head[:n], func(b byte) bool { return b != 0 }) {
		return nil, nil
	}
	if n < len(head) {
		return nil, corrupt(io.ErrUnexpectedEOF)
	}
	length, err := record.Peek(head[:])
	if err != nil {
		return nil, corrupt(err)
	}
	if int64(length) > size-pos {
		return nil, corrupt(fmt.Errorf("an entry of %d bytes, and %d are left: %w", length, size-pos, io.ErrUnexpectedEOF))
	}
	if cap(buf) < length {
		buf = make(record.Batch, length)
	}
	buf = buf[:length]
	if err := readAt(file, buf, pos); err != nil {
		return nil, err
	}
	return buf, nil
}

// SnapshotFiles lists the snapshots in a folder (Options.SnapshotDir), newest first.
func SnapshotFiles(fs vfs.FS, dir string) ([]string, error) {
	names, err := snapshotNames(fs, dir)
	files := make([]string, len(names))
	for i, n := range names {
		files[i] = path.Join(dir, n.file())
	}
	return files, err
}

func snapshotNames(fs vfs.FS, dir string) ([]snapshotName, error) {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []snapshotName
	for _, e := range entries {
		id, isSnapshot := cutSuffix(e.Name(), snapshotSuffix)
		if n, ok := parseSnapshotID(id); ok && isSnapshot {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b snapshotName) int {
		if a.index != b.index {
			return compare(b.index, a.index)
		}
		return compare(b.term, a.term)
	})
	return names, nil
}

// OpenSnapshotFile opens one snapshot. The reader gives the state machine's bytes, and a
// *CorruptError in place of io.EOF when they are not those that were written.
func OpenSnapshotFile(fs vfs.FS, name string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	id, _ := cutSuffix(path.Base(name), snapshotSuffix)
	n, ok := parseSnapshotID(id)
	if !ok {
		return nil, nil, fmt.Errorf("%s is no snapshot: its name must be INDEX-TERM%s", name, snapshotSuffix)
	}
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	h, err := readSnapshotHead(f, n)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &h.meta, newSnapshotReader(f, h), nil
}

// minKept is how many snapshots PurgeSnapshots leaves at least: the log reaches back to the
// second newest only.
const minKept = 3

// PurgeSnapshots removes all but the newest snapshots of a folder, and returns the files that
// are gone. Less than three are never left.
func PurgeSnapshots(fs vfs.FS, dir string, keep int) ([]string, error) {
	files, err := SnapshotFiles(fs, dir)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, name := range files[min(max(keep, minKept), len(files)):] {
		if err := fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return gone, err
		}
		gone = append(gone, name)
	}
	return gone, fs.SyncDir(dir)
}
