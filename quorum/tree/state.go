package tree

import (
	"hash/maphash"

	"github.com/millrace/millrace/quorum/jute"
)

// State is the tree, its sessions and counters at one zxid. It has no lock: who calls Apply
// keeps readers out meanwhile, and readers may share.
type State struct {
	seed   maphash.Seed // of the children's tables; nothing that is visible depends on it
	root   *node
	zxid   int64
	timeMs int64 // of the last entry; may go back
	nodes  int   // in the tree, with the root
	bytes  int64 // of all paths and data
	acls   aclTable

	sessions map[int64]*session
	reapable map[*node]struct{}  // containers and TTL nodes
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
	s.root = &node{sum: hashString(hashSeed, "")}
	s.acls.acquire(jute.OpenACL())
	s.nodes, s.bytes = 1, 1
	s.digest += s.nodeDigest(hashPath("/"), s.root)
	system := s.plant(s.root, systemPath, &node{name: "zookeeper"}, jute.OpenACL())
	s.plant(system, quotaPath, &node{name: "quota"}, jute.OpenACL())
	config := &node{name: "config", more: &more{aversion: -1}}
	s.plant(system, ConfigPath, config, []jute.ACL{{Perms: jute.PermRead, ID: jute.WorldAnyone}})
	return s
}

func newEmpty() *State {
	return &State{
		seed: maphash.MakeSeed(), acls: newACLTable(),
		sessions: map[int64]*session{}, reapable: map[*node]struct{}{}, quotas: map[string]struct{}{},
	}
}

// plant puts n, which is whole but for its place, data hash and ACL, below parent without
// counting a creation.
func (s *State) plant(parent *node, path string, n *node, acl []jute.ACL) *node {
	parentPath, _, _ := split(path)
	at := hashPath(parentPath)
	s.digest -= s.nodeDigest(at, parent)
	n.acl = n.acl.withList(s.acls.acquire(acl))
	n.sum = hashString(hashSeed, n.data)
	s.attach(parent, n)
	s.nodes++
	s.bytes += int64(len(path) + len(n.data))
	s.digest += s.nodeDigest(at, parent) + s.nodeDigest(hashPath(path), n)
	return n
}

// attach puts n below parent, as the last.
func (s *State) attach(parent, n *node) {
	m := parent.extend()
	if m.kids == nil {
		m.kids = &children{}
	}
	n.up = parent
	m.kids.add(s.seed, n)
}

// listOf returns a node's ACL.
func (s *State) listOf(n *node) []jute.ACL { return s.acls.entries[n.acl.list()].list }

// child returns a child of n by name, or nil.
func (s *State) child(n *node, name string) *node {
	if n.more == nil {
		return nil
	}
	return n.more.kids.get(s.seed, name)
}

// find returns the node at path, or nil. The root has two names, as in ZooKeeper: "" and "/".
func (s *State) find(path string) *node {
	if path == "" || path == "/" {
		return s.root
	}
	if path[0] != '/' {
		return nil
	}
	n := s.root
	for from := 1; ; {
		to := from
		for to < len(path) && path[to] != '/' {
			to++
		}
		if n = s.child(n, path[from:to]); n == nil || to == len(path) {
			return n
		}
		from = to + 1
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
