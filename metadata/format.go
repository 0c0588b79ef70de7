package metadata

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The file of a FileStore; docs/format/metadata-file.md draws it. All numbers are big
// endian. The checksum covers everything before it.
const (
	fileMagic       = "MILLTREE"
	fileVersion     = 1
	fileHeaderBytes = len(fileMagic) + 4 + 8 + 8 + 4 // magic, version, total bytes, zxid, nodes
	nodeFixedBytes  = 2 + 4 + 8*6 + 4*2              // without path and data
	fileCRCBytes    = 4
)

// encodeTree writes the tree with the drafts's changes on top into dst.
func encodeTree(dst []byte, t *tree, d *draft) []byte {
	dst = append(dst, fileMagic...)
	dst = binary.BigEndian.AppendUint32(dst, fileVersion)
	dst = binary.BigEndian.AppendUint64(dst, 0) // total, below
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.zxid))
	count := 0
	dst = binary.BigEndian.AppendUint32(dst, 0) // count, below
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		dst = encodeNode(dst, path, n)
		count++
		for _, name := range sortedKeys(n.children) {
			child := join(path, name)
			walk(child, d.get(child))
		}
	}
	walk("/", d.get("/"))
	binary.BigEndian.PutUint64(dst[len(fileMagic)+4:], uint64(len(dst)+fileCRCBytes))
	binary.BigEndian.PutUint32(dst[fileHeaderBytes-4:], uint32(count))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli()))
}

func encodeNode(dst []byte, path string, n *node) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(path)))
	dst = append(dst, path...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(n.data)))
	dst = append(dst, n.data...)
	for _, v := range [...]int64{n.czxid, n.mzxid, n.pzxid, n.ctimeMs, n.mtimeMs, n.owner} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.version))
	return binary.BigEndian.AppendUint32(dst, uint32(n.creates))
}

// decodeTree reads a whole file. Its tree aliases buf.
func decodeTree(buf []byte) (*tree, error) {
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
	t := &tree{zxid: int64(binary.BigEndian.Uint64(header[12:]))}
	return t, decodeNodes(t, body[fileHeaderBytes:], binary.BigEndian.Uint32(header[20:]))
}

// decodeNodes reads count nodes and checks that they make a tree.
func decodeNodes(t *tree, b []byte, count uint32) error {
	if t.zxid < 0 || uint64(count)*uint64(nodeFixedBytes) > uint64(len(b)) {
		return &FormatError{Reason: fmt.Sprintf("%d nodes do not fit in %d bytes", count, len(b))}
	}
	t.nodes = make(map[string]*node, count)
	for i := range count {
		path, n, rest, err := decodeNode(b)
		if err != nil {
			return err
		}
		b = rest
		if err := t.adopt(path, n, i == 0); err != nil {
			return err
		}
	}
	if len(b) > 0 || count == 0 {
		return &FormatError{Reason: fmt.Sprintf("%d bytes are left after %d nodes", len(b), count)}
	}
	return nil
}

func (t *tree) adopt(path string, n *node, first bool) error {
	if err := checkPath(path); err != nil || first != (path == "/") {
		return &FormatError{Reason: fmt.Sprintf("%q has no place in the tree", path)}
	}
	if !first {
		parentPath, name := split(path)
		parent := t.nodes[parentPath]
		if parent == nil || parent.owner != 0 || t.nodes[path] != nil {
			return &FormatError{Reason: fmt.Sprintf("%q has no parent, an ephemeral one, or stands twice", path)}
		}
		parent.children[name] = struct{}{}
	}
	t.nodes[path] = n
	return nil
}

func decodeNode(b []byte) (path string, n *node, rest []byte, err error) {
	short := &FormatError{Reason: "a node is cut off"}
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return "", nil, nil, short
	}
	size := int(binary.BigEndian.Uint16(b))
	path, b = string(b[2:2+size]), b[2+size:]
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return "", nil, nil, short
	}
	size = int(binary.BigEndian.Uint32(b))
	n = &node{data: b[4 : 4+size : 4+size], children: map[string]struct{}{}}
	b = b[4+size:]
	if len(b) < nodeFixedBytes-6 {
		return "", nil, nil, short
	}
	for _, field := range [...]*int64{&n.czxid, &n.mzxid, &n.pzxid, &n.ctimeMs, &n.mtimeMs, &n.owner} {
		*field, b = int64(binary.BigEndian.Uint64(b)), b[8:]
	}
	n.version, n.creates = int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	return path, n, b[8:], nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// FormatError is a metadata file that is not one, or was damaged.
type FormatError struct{ Reason string }

func (e *FormatError) Error() string { return "not a valid metadata file: " + e.Reason }
