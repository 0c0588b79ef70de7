package quorum

import (
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/server"
)

// timedSyncs is a file system that measures the syncs of the files in a folder: fsynctime.
type timedSyncs struct {
	vfs.FS
	dir   string
	clock clock.Clock
	times *server.Timing
}

func (t timedSyncs) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := t.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasPrefix(filepath.Clean(name), filepath.Clean(t.dir)+string(filepath.Separator)) {
		return f, err
	}
	return timedFile{f, t.clock, t.times}, nil
}

type timedFile struct {
	vfs.File
	clock clock.Clock
	times *server.Timing
}

func (f timedFile) Sync() error     { return f.timed(f.File.Sync) }
func (f timedFile) SyncData() error { return f.timed(f.File.SyncData) }

func (f timedFile) timed(sync func() error) error {
	start := f.clock.Now()
	err := sync()
	f.times.Add(clock.Since(f.clock, start))
	return err
}

// timedSnapshots measures the writing of snapshots, from their beginning until they are durable:
// snapshottime.
type timedSnapshots struct {
	raft.SnapshotStore
	clock clock.Clock
	times *server.Timing
}

func (t timedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := t.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	return timedSink{sink, t.clock.Now(), t.clock, t.times}, nil
}

type timedSink struct {
	raft.SnapshotSink
	start time.Time
	clock clock.Clock
	times *server.Timing
}

func (s timedSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		s.times.Add(clock.Since(s.clock, s.start))
	}
	return err
}

// lastSnapshot is how far the newest snapshot goes and when it was written.
func (q *Quorum) lastSnapshot() (zxid int64, at time.Time, ok bool) {
	if zxid, ok = q.node.SnapshotZxid(); !ok {
		return 0, at, false
	}
	entries, err := q.o.FS.ReadDir(q.o.Config.SnapshotFolder())
	if err != nil {
		return 0, at, false
	}
	for i := len(entries) - 1; i >= 0; i-- { // their names grow
		if info, err := entries[i].Info(); err == nil && strings.HasSuffix(entries[i].Name(), ".snapshot") {
			return zxid, info.ModTime(), true
		}
	}
	return 0, at, false
}
