package zkdata

import (
	"bytes"
	"fmt"
	"io"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// digestAt is a digest that the server wrote: of its tree after the transaction zxid.
type digestAt struct {
	zxid    int64
	version int32
	sum     int64
}

const (
	snapshotMagic = 'Z'<<24 | 'K'<<16 | 'S'<<8 | 'N'
	fileVersion   = 2
)

// readSnapshot reads one snapshot file (FileSnap). The digest is nil if it has none.
func readSnapshot(fsys vfs.FS, f file) (d *data, digest *digestAt, err error) {
	raw, closer, err := open(fsys, f.name)
	if err != nil {
		return nil, nil, err
	}
	defer closer.Close() // only read
	plain, err := uncompressed(f.name, raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.name, err)
	}
	s := newStream(plain)
	d = newData()
	d.zxid = f.zxid
	snapshotBody(s, d)
	s.seal()
	digest = snapshotTail(s, d)
	if s.err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.name, s.err)
	}
	return d, digest, nil
}

func snapshotBody(s *stream, d *data) {
	snapshotHead(s)
	for n := s.count(); n > 0 && s.err == nil; n-- {
		id := s.int64()
		d.sessions[id] = s.int32()
	}
	snapshotNodes(s, d)
}

func snapshotHead(s *stream) {
	magic, version, _ := s.int32(), s.int32(), s.int64()
	if s.err == nil && (magic != snapshotMagic || version != fileVersion) {
		s.fail("it begins with %08x and version %d, not as a snapshot", magic, version)
	}
}

// openList is the number of the ACL that lets everybody do everything.
const openList = -1

func snapshotNodes(s *stream, d *data) {
	lists := map[int64][]jute.ACL{openList: jute.OpenACL()}
	for n := s.count(); n > 0 && s.err == nil; n-- {
		number := s.int64()
		lists[number] = s.acls()
	}
	for s.err == nil {
		path := s.string()
		if path == "/" || s.err != nil { // the end: the root's own path is empty
			break
		}
		info := tree.NodeInfo{Data: s.buffer()}
		number := s.int64()
		list, ok := lists[number]
		info.ACL = list
		info.Czxid, info.Mzxid, info.CtimeMs, info.MtimeMs = s.int64(), s.int64(), s.int64(), s.int64()
		info.Version, info.Creates, info.Aversion = s.int32(), s.int32(), s.int32()
		info.Owner, info.Pzxid = s.int64(), s.int64()
		switch {
		case s.err != nil:
		case !ok:
			s.fail("node %s has ACL %d, which is not there", path, number)
		case path != "" && d.nodes[above(path)] == nil || path != "" && path[0] != '/':
			s.fail("node %s comes before its parent", path)
		default:
			d.put(path, &znode{info: info})
		}
	}
	if s.err == nil && d.nodes[""] == nil {
		s.fail("it has no root")
	}
}

// snapshotTail reads what later versions added after the seal, each with a seal of its own:
// a digest since 3.6, the last zxid since 3.9. Either may be turned off.
func snapshotTail(s *stream, d *data) *digestAt {
	const lastZxid, seal = 8, 8 + 4 + 1
	rest, err := io.ReadAll(io.LimitReader(s.r, 4096))
	if s.err != nil || err != nil || len(rest) == 0 {
		return nil // 3.4 and 3.5 end here; damage here is no damage to the tree
	}
	s.r = bytes.NewReader(rest)
	var digest *digestAt
	if len(rest) != lastZxid+seal {
		digest = &digestAt{zxid: s.int64(), version: s.int32()}
		if digest.version < digestVersion {
			s.buffer() // in hex
		} else {
			digest.sum = s.int64()
		}
		s.seal()
	}
	if s.err == nil && s.r.(*bytes.Reader).Len() > 0 {
		zxid := s.int64()
		if s.seal(); s.err == nil {
			d.zxid = zxid
		}
	}
	return digest
}
