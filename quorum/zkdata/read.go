package zkdata

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/tree"
)

// Options says where the files are.
type Options struct {
	FS      vfs.FS
	DataDir string // dataDir of zoo.cfg: the snapshots
	LogDir  string // dataLogDir: the logs; empty: DataDir
	// TrustEmptySnapshot takes logs without a snapshot for the whole history
	// (snapshot.trust.empty), which they are on a server of 3.4 that never took one.
	TrustEmptySnapshot bool
}

// Report says what was read.
type Report struct {
	Snapshot     string // the file; empty: none
	SnapshotZxid int64
	Logs         []string
	Transactions int   // replayed after the snapshot
	Zxid         int64 // of the last one
	Nodes        int
	Sessions     int
	// Digest tells that the tree is the one whose digest the server wrote last. It is false
	// too when there was none to compare with; one that differs is a warning.
	Digest bool
	// Config is the old ensemble's configuration. The state has none, so that the servers that
	// take it do not look for the old ones.
	Config   string
	Warnings []string
}

func (r *Report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// ErrNoSnapshot: there are logs, and nothing that says that they are all.
var ErrNoSnapshot = errors.New("no snapshot that can be read")

// Read reads a data directory, which no server may be writing to. Errors wrap ErrCorrupt
// where a file is damaged, and are *DamageError where a log is.
func Read(o Options) (*tree.State, *Report, error) {
	if o.LogDir == "" {
		o.LogDir = o.DataDir
	}
	snapshots, err := folder(o.FS, o.DataDir)
	if err != nil {
		return nil, nil, err
	}
	logs, err := folder(o.FS, o.LogDir)
	if err != nil {
		return nil, nil, err
	}
	r := &Report{}
	d, digest, err := newest(o, snapshots, r)
	if err != nil {
		return nil, nil, err
	}
	if digest, err = replay(o, logs, d, digest, r); err != nil {
		return nil, nil, err
	}
	if d == nil || d.nodes[""] == nil {
		return nil, nil, fmt.Errorf("%s: %w", snapshots, ErrNoSnapshot)
	}
	compare(d, digest, r)
	s, err := d.state(r)
	return s, r, err
}

// newest reads the newest snapshot that is whole.
func newest(o Options, dir string, r *Report) (*data, *digestAt, error) {
	files, err := list(o.FS, dir, "snapshot")
	if err != nil {
		return nil, nil, err
	}
	for _, f := range slices.Backward(files) {
		d, digest, err := readSnapshot(o.FS, f)
		switch {
		case err == nil:
			r.Snapshot, r.SnapshotZxid = f.name, d.zxid
			return d, digest, nil
		case errors.Is(err, ErrCorrupt):
			r.warn("snapshot left out: %v", err)
		default:
			return nil, nil, err
		}
	}
	if o.TrustEmptySnapshot && len(files) == 0 {
		return fresh(), nil, nil
	}
	return nil, nil, fmt.Errorf("%s: %w: %d files are named so (a server of 3.4 that never took one: snapshot.trust.empty)", dir, ErrNoSnapshot, len(files))
}

// replay does what the logs say of the transactions after the snapshot. Its digest is the last
// one that the server wrote.
func replay(o Options, dir string, d *data, digest *digestAt, r *Report) (*digestAt, error) {
	files, err := list(o.FS, dir, "log")
	if err != nil {
		return nil, err
	}
	from := d.zxid + 1
	first := 0
	for i, f := range files {
		if f.zxid < from {
			first = i // may hold from
		}
	}
	if len(files) > 0 && files[first].zxid > from && files[first].zxid&0xffffffff > 1 { // a leader begins with 1
		r.warn("the oldest log %s begins after the snapshot, with transaction %#x: what is between is missing, if there was anything", files[first].name, files[first].zxid)
	}
	for i, f := range files[min(first, len(files)):] {
		torn, err := readLog(o.FS, f.name, func(offset int64, b []byte) error {
			if zxid, ok := peekZxid(b); ok && zxid < from {
				return nil
			}
			found, err := d.apply(b, digest)
			if err != nil {
				return &DamageError{f.name, offset, err.Error()}
			}
			digest = found
			r.Transactions++
			return nil
		})
		if err != nil {
			return nil, err
		}
		r.Logs = append(r.Logs, f.name)
		if torn && first+i < len(files)-1 {
			r.warn("log %s ends in the middle of a record, and there are newer ones", f.name)
		}
	}
	r.Zxid = d.zxid
	return digest, nil
}

// peekZxid reads the zxid of a record.
func peekZxid(b []byte) (int64, bool) {
	if len(b) < 8+4+8 {
		return 0, false
	}
	var zxid int64
	for _, c := range b[12:20] {
		zxid = zxid<<8 | int64(c)
	}
	return zxid, true
}

// compare compares with the server's own digest, if it is of this tree.
func compare(d *data, digest *digestAt, r *Report) {
	if digest == nil || digest.version != digestVersion || digest.zxid != d.zxid {
		return
	}
	have := d.digest()
	r.Digest = have == digest.sum
	if !r.Digest {
		r.warn("the tree as of %#x has the digest %#x, the server wrote %#x: nodes may differ", d.zxid, have, digest.sum)
	}
}

// state makes the State. Ephemeral nodes whose session is gone go as well, as when a server
// starts (ZooKeeperServer.loadData).
func (d *data) state(r *Report) (*tree.State, error) {
	b := tree.NewBuilder()
	for _, id := range slices.Sorted(maps.Keys(d.ephemerals)) {
		if _, alive := d.sessions[id]; !alive && len(d.ephemerals[id]) > 0 {
			r.warn("session %#x is gone, and so are its %d ephemeral nodes", id, len(d.ephemerals[id]))
			d.close(id, nil, d.zxid)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.sessions)) {
		if err := b.Session(id, d.sessions[id]); err != nil {
			return nil, err
		}
	}
	if n := d.nodes[tree.ConfigPath]; n != nil {
		r.Config, n.info.Data = string(n.info.Data), []byte{}
	}
	paths := slices.Sorted(maps.Keys(d.nodes)) // parents first
	for _, path := range paths {
		n := d.nodes[path]
		if path == "" {
			path = "/"
		} else if d.nodes[above(path)] == nil {
			r.warn("node %s has no parent and is left out", path)
			delete(d.nodes, path)
			continue
		}
		if err := b.Node(path, n.info); err != nil {
			return nil, err
		}
	}
	s, err := b.State(d.zxid, d.timeMs)
	if err != nil {
		return nil, err
	}
	r.Nodes, r.Sessions = s.NodeCount(), s.SessionCount()
	return s, nil
}
