package tree

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/quorum/jute"
)

// NodeInfo is a node as a server stores it: what Stat shows, before it is made up for clients.
type NodeInfo struct {
	Data                []byte
	ACL                 []jute.ACL
	Czxid, Mzxid, Pzxid int64
	CtimeMs, MtimeMs    int64
	Version, Aversion   int32
	Creates             int32 // of children, ever
	Owner               int64 // a session's id, or the encoding of a container or a TTL
}

// Builder makes a State of nodes and sessions that come from somewhere else, without a word
// about ACLs and versions. It is for importing.
type Builder struct{ s *State }

// NewBuilder begins with no session and no node but the root, which Node must set.
func NewBuilder() *Builder { return &Builder{newEmpty()} }

// Session adds a session.
func (b *Builder) Session(id int64, timeoutMs int32) error {
	if kindOf(id) != ownedBySession || timeoutMs <= 0 || b.s.sessions[id] != nil {
		return fmt.Errorf("session %#x with a timeout of %d ms: %w: a bad id, a bad timeout or there already", id, timeoutMs, ErrCorrupt)
	}
	sess := &session{id: id, timeoutMs: timeoutMs}
	b.s.sessions[id] = sess
	b.s.digest += sess.digest()
	return nil
}

// Node adds a node. Its parent must be there, and so must the session that owns it.
func (b *Builder) Node(path string, info NodeInfo) error {
	if err := jute.CheckPath(path, false); err != nil {
		return err
	}
	n := node{
		czxid: info.Czxid, mzxid: info.Mzxid, pzxid: info.Pzxid, ctimeMs: info.CtimeMs, mtimeMs: info.MtimeMs,
		version: info.Version, creates: info.Creates, aversion: info.Aversion, owner: info.Owner,
	}
	if kindOf(info.Owner) == ownedBySession && b.s.sessions[info.Owner] == nil {
		return fmt.Errorf("node %s: %w: its session %#x is unknown", path, ErrCorrupt, info.Owner)
	}
	if err := b.place(path, &n, info); err != nil {
		return err
	}
	b.s.nodes++
	b.s.bytes += int64(len(path) + len(info.Data))
	b.s.register(n.id, n.owner)
	if at, ok := quotaFor(path); ok && n.name == limitsName {
		b.s.quotas[at] = struct{}{}
	}
	return nil
}

// place stores a node and puts it where its path says.
func (b *Builder) place(path string, n *node, info NodeInfo) error {
	s := b.s
	parentPath, name, _ := split(path)
	var parent node
	switch {
	case path == "/" && s.root != 0:
		return fmt.Errorf("%w: two roots", ErrCorrupt)
	case path == "/":
	case s.root == 0 || !s.at(parentPath, &parent) || s.child(parent.id, name) != 0:
		return fmt.Errorf("node %s: %w: its parent is missing, or it is there already", path, ErrCorrupt)
	}
	n.id, n.up, n.name, n.acl = s.recs.New(), parent.id, name, s.acls.acquire(info.ACL)
	s.setBytes(n, info.Data)
	s.store(n)
	if path == "/" {
		s.root = n.id
		return nil
	}
	s.attach(&parent, n.id)
	s.store(&parent)
	s.tidy()
	return nil
}

// State returns the whole: with ZooKeeper's own nodes, if they were not there, and with the
// counts of quotas made anew. The builder is done.
func (b *Builder) State(zxid, timeMs int64) (*State, error) {
	s := b.s
	if s.root == 0 {
		return nil, fmt.Errorf("%w: no root", ErrCorrupt)
	}
	s.zxid, s.timeMs = zxid, timeMs
	open := NodeInfo{Data: []byte{}, ACL: jute.OpenACL()}
	config := NodeInfo{Data: []byte{}, ACL: []jute.ACL{{Perms: jute.PermRead, ID: jute.WorldAnyone}}, Aversion: -1}
	for _, own := range []struct {
		path string
		info NodeInfo
	}{{systemPath, open}, {quotaPath, open}, {ConfigPath, config}} {
		if s.find(own.path) != 0 {
			continue
		}
		if err := b.Node(own.path, own.info); err != nil {
			return nil, err
		}
	}
	s.sumUp()
	for _, path := range slices.Sorted(maps.Keys(s.quotas)) {
		s.recountQuota(path)
	}
	s.past.add(s.zxid, s.Digest())
	return s, nil
}
