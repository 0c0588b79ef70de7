package zkdata

import (
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

// data is a server's memory while its files are read (DataTree and the session table). The
// root is under "".
type data struct {
	zxid       int64
	timeMs     int64 // of the newest change
	nodes      map[string]*znode
	sessions   map[int64]int32 // timeouts in ms
	ephemerals map[int64]map[string]struct{}
}

type znode struct{ info tree.NodeInfo }

func newData() *data {
	return &data{nodes: map[string]*znode{}, sessions: map[int64]int32{}, ephemerals: map[int64]map[string]struct{}{}}
}

// fresh is what a server begins with that finds nothing.
func fresh() *data {
	d := newData()
	d.nodes[""] = &znode{info: tree.NodeInfo{Data: []byte{}, ACL: jute.OpenACL()}}
	return d
}

// What an owner stands for, as far as it matters here: a session or not.
const (
	container = -1 << 63
	ttlMask   = -1 << 40
	ttlBits   = -1 << 56
)

func ownedBySession(owner int64) bool {
	return owner != 0 && owner != container && owner&ttlMask != ttlBits
}

func above(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

// put enters a node, and its owner's claim to it.
func (d *data) put(path string, n *znode) {
	d.nodes[path] = n
	d.timeMs = max(d.timeMs, n.info.CtimeMs, n.info.MtimeMs)
	if ownedBySession(n.info.Owner) {
		if d.ephemerals[n.info.Owner] == nil {
			d.ephemerals[n.info.Owner] = map[string]struct{}{}
		}
		d.ephemerals[n.info.Owner][path] = struct{}{}
	}
}

// create is DataTree.createNode. A parent's cversion only grows: the snapshot may have it
// from later on. creates -1 is of a log of 3.3, which did not tell it.
func (d *data) create(path string, info tree.NodeInfo, creates int32, v1 bool) {
	parent := d.nodes[above(path)]
	if parent == nil || !strings.Contains(path, "/") {
		return
	}
	_, exists := d.nodes[path]
	if exists && !v1 {
		return
	}
	if creates == -1 {
		creates = parent.info.Creates + 1
	}
	if creates > parent.info.Creates {
		parent.info.Creates, parent.info.Pzxid = creates, info.Czxid
	}
	if !exists {
		d.put(path, &znode{info: info})
	}
}

// delete is DataTree.deleteNode: the parent's pzxid moves although the node may be gone.
func (d *data) delete(path string, zxid int64) {
	parent := d.nodes[above(path)]
	if parent == nil || !strings.Contains(path, "/") {
		return
	}
	parent.info.Pzxid = max(parent.info.Pzxid, zxid)
	n := d.nodes[path]
	if n == nil {
		return
	}
	delete(d.nodes, path)
	if owned := d.ephemerals[n.info.Owner]; owned != nil {
		delete(owned, path)
	}
}

// at returns the node at a path, where the root has two names.
func (d *data) at(path string) *znode {
	if path == "/" {
		path = ""
	}
	return d.nodes[path]
}

func (d *data) setData(path string, b []byte, version int32, zxid, timeMs int64) {
	if n := d.at(path); n != nil {
		n.info.Data, n.info.Version, n.info.Mzxid, n.info.MtimeMs = b, version, zxid, timeMs
		d.timeMs = max(d.timeMs, timeMs)
	}
}

func (d *data) setACL(path string, list []jute.ACL, version int32) {
	if n := d.at(path); n != nil {
		n.info.ACL, n.info.Aversion = list, version
	}
}

// close is DataTree.killSession: first what the log names, then what else the session has.
func (d *data) close(session int64, named []string, zxid int64) {
	delete(d.sessions, session)
	owned := d.ephemerals[session]
	delete(d.ephemerals, session)
	for _, path := range named {
		d.delete(path, zxid)
		delete(owned, path)
	}
	for path := range owned {
		d.delete(path, zxid) // all at one zxid: their order does not show
	}
}

// digestVersion is of the digest that digest makes; version 1 was another.
const digestVersion = 2

// digest is ZooKeeper's own of the tree (DigestCalculator): a sum of CRCs.
func (d *data) digest() int64 {
	var sum int64
	for path, n := range d.nodes {
		if strings.HasPrefix(path, "/zookeeper/") {
			continue
		}
		i := &n.info
		var b [60]byte
		for at, v := range [...]int64{i.Czxid, i.Mzxid, i.Pzxid, i.CtimeMs, i.MtimeMs} {
			binary.BigEndian.PutUint64(b[8*at:], uint64(v))
		}
		for at, v := range [...]int32{i.Version, i.Creates, i.Aversion} {
			binary.BigEndian.PutUint32(b[40+4*at:], uint32(v))
		}
		binary.BigEndian.PutUint64(b[52:], uint64(i.Owner))
		crc := crc32.ChecksumIEEE([]byte(path))
		crc = crc32.Update(crc, crc32.IEEETable, i.Data)
		sum += int64(crc32.Update(crc, crc32.IEEETable, b[:]))
	}
	return sum
}
