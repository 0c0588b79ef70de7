package tree

import (
	"hash/maphash"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree/internal/arena"
)

// State is the tree, its sessions and counters at one zxid. It has no lock: who calls Apply
// keeps readers out meanwhile, and readers may share.
type State struct {
	seed   maphash.Seed // of the directories' tables; nothing that is visible depends on it
	recs   arena.Arena  // the nodes, as record.go packs them
	dirs   numbered[*directory]
	blobs  numbered[blob]
	packed []byte // scratch
	root   nodeID
	zxid   int64
	timeMs int64 // of the last entry; may go back
	nodes  int   // in the tree, with the root
	bytes  int64 // of all paths and data
	acls   aclTable

	sessions map[int64]*session
	reapable map[nodeID]struct{} // containers and TTL nodes
	quotas   map[string]struct{} // the paths that have a zookeeper_limits node

	secret []byte
	flags  Flags

	digest uint64 // see digest.go; without the counters
	past   history

	step step
}

// New returns the state before the first entry: ZooKeeper's own nodes and nothing else.
func New() *State {
	s := newEmpty()
	// ZooKeeper makes these without counting them, so the root's cversion is -1 at first.
	s.root = s.recs.New()
	root := node{id: s.root, acl: s.acls.acquire(jute.OpenACL())}
	s.store(&root)
	s.nodes, s.bytes = 1, 1
	s.digest += s.nodeDigest(hashPath("/"), &root)
	s.plant(systemPath, node{}, jute.OpenACL())
	s.plant(quotaPath, node{}, jute.OpenACL())
	s.plant(ConfigPath, node{aversion: -1}, []jute.ACL{{Perms: jute.PermRead, ID: jute.WorldAnyone}})
	return s
}

func newEmpty() *State {
	return &State{
		seed: maphash.MakeSeed(), acls: newACLTable(),
		sessions: map[int64]*session{}, reapable: map[nodeID]struct{}{}, quotas: map[string]struct{}{},
	}
}

// plant puts n, which is whole but for its place, number and ACL, at a path, without counting
// a creation.
func (s *State) plant(path string, n node, acl []jute.ACL) {
	parentPath, name, _ := split(path)
	var parent node
	s.at(parentPath, &parent)
	at := hashPath(parentPath)
	s.digest -= s.nodeDigest(at, &parent)
	n.id, n.up, n.name, n.acl = s.recs.New(), parent.id, name, s.acls.acquire(acl)
	s.store(&n)
	s.attach(&parent, n.id)
	s.store(&parent)
	s.nodes++
	s.bytes += int64(len(path) + len(n.data))
	s.digest += s.nodeDigest(at, &parent) + s.nodeDigest(hashPath(path), &n)
}

// listOf returns a node's ACL.
func (s *State) listOf(n *node) []jute.ACL { return s.acls.entries[n.acl].list }

// find returns the number of the node at path, or 0. The root has two names, as in ZooKeeper:
// "" and "/".
func (s *State) find(path string) nodeID {
	if path == "" || path == "/" {
		return s.root
	}
	if path[0] != '/' {
		return 0
	}
	id, _ := s.walk(path)
	return id
}

// walk returns the number and the record of the node at a path that begins with a slash and
// goes on, or 0.
func (s *State) walk(path string) (nodeID, []byte) {
	rec := s.recs.Get(s.root)
	for from := 1; ; {
		to := from
		for to < len(path) && path[to] != '/' {
			to++
		}
		id, kid := s.childIn(rec, path[from:to])
		if id == 0 || to == len(path) {
			return id, kid
		}
		rec, from = kid, to+1
	}
}

// Zxid is that of the last transaction that changed something.
func (s *State) Zxid() int64 { return s.zxid }

// TimeMs is the time of the last entry.
func (s *State) TimeMs() int64 { return s.timeMs }

// Secret is what InitCluster set, nil before. It is not to be written to.
func (s *State) Secret() []byte { return s.secret }

// Flags are the settings that decide what a transaction does.
func (s *State) Flags() Flags { return s.flags }

// NodeCount counts the nodes as ZooKeeper does, the root twice: 5 in a new state.
func (s *State) NodeCount() int { return s.nodes + 1 }

// Bytes is the length of all paths and data (ZooKeeper's approximate data size).
func (s *State) Bytes() int64 { return s.bytes }

// Digest is the digest of the state as of Zxid.
func (s *State) Digest() uint64 {
	return hashNumbers(s.digest, uint64(s.zxid), uint64(s.flags), hashString(hashC, string(s.secret)))
}
