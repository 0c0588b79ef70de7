package metadata

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"

	"github.com/millrace/millrace/internal/vfs"
)

// A broker kept its tree in one file before it had a quorum inside
// (docs/format/metadata-file.md). ImportFile takes such a file over. All its numbers are big
// endian; the checksum covers everything before it.
const (
	fileMagic       = "MILLTREE"
	fileVersion     = 1
	fileHeaderBytes = len(fileMagic) + 4 + 8 + 8 + 4 // magic, version, total bytes, zxid, nodes
	nodeFixedBytes  = 2 + 4 + 8*6 + 4*2              // without path and data
	fileCRCBytes    = 4
)

// ImportedSuffix is what a file's name ends with once its tree was taken over.
const ImportedSuffix = ".imported"

// fileNode is one node of a file.
type fileNode struct {
	path    string
	data    []byte
	version int32
	owner   int64
}

// ImportFile brings the tree of a former metadata file into s, and then renames the file: an
// import that was interrupted is done again, which changes nothing of what is there. It
// returns false when there is no such file. Ephemerals are left out. Nobody else may write to
// s meanwhile.
func ImportFile(ctx context.Context, fsys vfs.FS, file string, s Store) (done bool, err error) {
	nodes, err := readFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("metadata file %s: %w", file, err)
	}
	// It only took space, which may be wanted now.
	_ = fsys.Remove(file + ".reserve")
	if err := importNodes(ctx, s, nodes); err != nil {
		return false, fmt.Errorf("metadata file %s: its tree could not be taken over: %w", file, err)
	}
	if err := fsys.Rename(file, file+ImportedSuffix); err != nil {
		return false, err
	}
	for _, left := range []string{".lock", ".tmp"} {
		_ = fsys.Remove(file + left)
	}
	return true, fsys.SyncDir(path.Dir(file))
}

func readFile(fsys vfs.FS, file string) ([]fileNode, error) {
	f, err := fsys.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, size)
	if n, err := f.ReadAt(buf, 0); n != len(buf) {
		return nil, fmt.Errorf("read %d of %d bytes: %w", n, len(buf), err)
	}
	return decodeFile(buf)
}

// importBytes is how much goes into one transaction.
const importBytes = 256 << 10

func importNodes(ctx context.Context, s Store, nodes []fileNode) error {
	var ops []Op
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := s.Multi(ctx, ops...)
		ops, size = nil, 0
		return err
	}
	for _, n := range nodes {
		if n.owner != 0 || n.path == "/" {
			continue
		}
		more, err := importOps(ctx, s, n)
		if err != nil {
			return err
		}
		if size += len(n.path) + len(n.data); size > importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		ops = append(ops, more...)
	}
	return flush()
}

// importOps makes one node what it was. Brokers' generated ids are counted by the version of
// their node, so that is raised to what it was; other versions begin anew.
func importOps(ctx context.Context, s Store, n fileNode) ([]Op, error) {
	data, stat, err := s.Get(ctx, n.path)
	var ops []Op
	switch {
	case errors.Is(err, ErrNoNode):
		ops = append(ops, Create(n.path, n.data))
	case err != nil:
		return nil, err
	case string(data) != string(n.data):
		ops = append(ops, Set(n.path, n.data, AnyVersion))
	}
	if n.path == BrokerSeqIDPath {
		for v := stat.Version; v < min(n.version, 1<<12); v++ {
			ops = append(ops, Set(n.path, n.data, AnyVersion))
		}
	}
	return ops, nil
}

// decodeFile reads a whole file; its nodes alias buf and stand parents first.
func decodeFile(buf []byte) ([]fileNode, error) {
	if len(buf) < fileHeaderBytes+fileCRCBytes || string(buf[:len(fileMagic)]) != fileMagic {
		return nil, &FormatError{Reason: "it does not begin as one"}
	}
	header := buf[len(fileMagic):]
	if v := binary.BigEndian.Uint32(header); v != fileVersion {
		return nil, &FormatError{Reason: fmt.Sprintf("its version is %d, this program reads %d", v, fileVersion)}
	}
	if total := binary.BigEndian.Uint64(header[4:]); total != uint64(len(buf)) {
		return nil, &FormatError{Reason: fmt.Sprintf("it has %d bytes and says %d", len(buf), total)}
	}
	body, sum := buf[:len(buf)-fileCRCBytes], binary.BigEndian.Uint32(buf[len(buf)-fileCRCBytes:])
	if got := crc32.Checksum(body, castagnoli()); got != sum {
		return nil, &FormatError{Reason: fmt.Sprintf("its checksum is %08x and says %08x", got, sum)}
	}
	return decodeNodes(body[fileHeaderBytes:], binary.BigEndian.Uint32(header[20:]))
}

// decodeNodes reads count nodes and checks that they make a tree.
func decodeNodes(b []byte, count uint32) ([]fileNode, error) {
	if uint64(count)*uint64(nodeFixedBytes) > uint64(len(b)) {
		return nil, &FormatError{Reason: fmt.Sprintf("%d nodes do not fit in %d bytes", count, len(b))}
	}
	nodes := make([]fileNode, 0, count)
	owners := make(map[string]int64, count)
	for i := range count {
		n, rest, err := decodeNode(b)
		if err != nil {
			return nil, err
		}
		b = rest
		if err := checkPath(n.path); err != nil || (i == 0) != (n.path == "/") {
			return nil, &FormatError{Reason: fmt.Sprintf("%q has no place in the tree", n.path)}
		}
		if i > 0 {
			parent, _ := split(n.path)
			owner, ok := owners[parent]
			_, twice := owners[n.path]
			if !ok || owner != 0 || twice {
				return nil, &FormatError{Reason: fmt.Sprintf("%q has no parent, an ephemeral one, or stands twice", n.path)}
			}
		}
		owners[n.path] = n.owner
		nodes = append(nodes, n)
	}
	if len(b) > 0 || count == 0 {
		return nil, &FormatError{Reason: fmt.Sprintf("%d bytes are left after %d nodes", len(b), count)}
	}
	return nodes, nil
}

func decodeNode(b []byte) (n fileNode, rest []byte, err error) {
	short := &FormatError{Reason: "a node is cut off"}
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return n, nil, short
	}
	size := int(binary.BigEndian.Uint16(b))
	n.path, b = string(b[2:2+size]), b[2+size:]
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return n, nil, short
	}
	size = int(binary.BigEndian.Uint32(b))
	n.data, b = b[4:4+size:4+size], b[4+size:]
	if len(b) < nodeFixedBytes-6 {
		return n, nil, short
	}
	// After five numbers that a new tree counts itself: zxids and times.
	n.owner = int64(binary.BigEndian.Uint64(b[8*5:]))
	n.version = int32(binary.BigEndian.Uint32(b[8*6:]))
	return n, b[8*6+4*2:], nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// FormatError is a metadata file that is not one, or was damaged.
type FormatError struct{ Reason string }

func (e *FormatError) Error() string { return "not a valid metadata file: " + e.Reason }
