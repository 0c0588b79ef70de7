package tree

import (
	"slices"

	"github.com/millrace/millrace/quorum/jute"
)

// Get returns a node's data (nil: null) and Stat. The data is a part of the state: it is not
// to be written to, and good until the next Apply; who keeps it copies it. The error is
// jute.NoNode.
func (s *State) Get(path string) ([]byte, jute.Stat, error) {
	var n node
	if !s.at(path, &n) {
		return nil, jute.Stat{}, jute.NoNode
	}
	return n.bytes(), s.stat(&n), nil
}

// Stat returns a node's Stat. The error is jute.NoNode.
func (s *State) Stat(path string) (jute.Stat, error) {
	var n node
	if !s.at(path, &n) {
		return jute.Stat{}, jute.NoNode
	}
	return s.stat(&n), nil
}

// Children returns the names of a node's children in a new slice, in the order of their
// creation, except that the last one takes the place of one that is deleted. That order is
// the same on every server. The names share one allocation. The error is jute.NoNode.
func (s *State) Children(path string) ([]string, jute.Stat, error) {
	var n node
	if !s.at(path, &n) {
		return nil, jute.Stat{}, jute.NoNode
	}
	kids := s.kidIDs(&n)
	names, size := make([]string, len(kids)), 0
	for i, kid := range kids {
		names[i] = s.nameOf(kid)
		size += len(names[i])
	}
	all := make([]byte, 0, size)
	for i, name := range names {
		all = append(all, name...)
		names[i] = text(all[len(all)-len(name):])
	}
	return names, s.stat(&n), nil
}

// ACL returns a node's ACL, which is not to be written to, and Stat. The error is jute.NoNode.
func (s *State) ACL(path string) ([]jute.ACL, jute.Stat, error) {
	var n node
	if !s.at(path, &n) {
		return nil, jute.Stat{}, jute.NoNode
	}
	return s.listOf(&n), s.stat(&n), nil
}

// Allowed tells whether one with these identities has one of the permissions on a node. The
// error is jute.NoNode or jute.NoAuth.
func (s *State) Allowed(path string, perms int32, auth []jute.ID) error {
	var n node
	switch {
	case !s.at(path, &n):
		return jute.NoNode
	case s.flags&SkipACL == 0 && !Allows(s.listOf(&n), perms, auth):
		return jute.NoAuth
	}
	return nil
}

// CountDescendants counts all nodes below one. The error is jute.NoNode.
func (s *State) CountDescendants(path string) (int, error) {
	id := s.find(path)
	switch id {
	case 0:
		return 0, jute.NoNode
	case s.root:
		return s.nodes - 1, nil
	}
	count := -1
	for range s.subtree(id) {
		count++
	}
	return count, nil
}

// subtree yields a node and all below, parents first, without recursion: a tree may be as deep
// as a path is long. What is yielded is good until the next one.
func (s *State) subtree(top nodeID) func(yield func(*node) bool) {
	return func(yield func(*node) bool) {
		var n node
		for stack := []nodeID{top}; len(stack) > 0; {
			last := len(stack) - 1
			s.load(stack[last], &n)
			stack = stack[:last]
			kids := s.kidIDs(&n)
			for i := len(kids) - 1; i >= 0; i-- {
				stack = append(stack, kids[i])
			}
			if !yield(&n) {
				return
			}
		}
	}
}

// Walk yields every node, parents first and children in the order of Children. Neither data
// nor acl is to be written to; data is good as that of Get is.
func (s *State) Walk(yield func(path string, data []byte, st jute.Stat, acl []jute.ACL) bool) {
	for n := range s.subtree(s.root) {
		if !yield(s.path(n.id), n.bytes(), s.stat(n), s.listOf(n)) {
			return
		}
	}
}

// Ephemerals returns the paths of a session's nodes, sorted.
func (s *State) Ephemerals(session int64) []string {
	sess := s.sessions[session]
	if sess == nil {
		return nil
	}
	paths := make([]string, 0, len(sess.owned))
	for id := range sess.owned {
		paths = append(paths, s.path(id))
	}
	slices.Sort(paths)
	return paths
}

// EphemeralCount counts the ephemeral nodes of all sessions.
func (s *State) EphemeralCount() int {
	count := 0
	for _, sess := range s.sessions {
		count += len(sess.owned)
	}
	return count
}

// Reapable returns DeleteContainer operations, sorted by path, for the containers that lost
// their last child, the TTL nodes that were not written to for longer than their TTL, and, if
// neverUsedMs is above 0, the containers that had no child for so long.
func (s *State) Reapable(nowMs, neverUsedMs int64) []Op {
	var ops []Op
	var n node
	for id := range s.reapable {
		if s.load(id, &n); s.due(&n, nowMs, neverUsedMs) {
			ops = append(ops, Op{Kind: DeleteContainer, Path: s.path(id), TTLMs: neverUsedMs})
		}
	}
	slices.SortFunc(ops, func(a, b Op) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return ops
}

// due tells whether a container or TTL node may go (ContainerManager.getCandidates).
func (s *State) due(n *node, nowMs, neverUsedMs int64) bool {
	if s.kidCount(n) > 0 {
		return false
	}
	idleMs := nowMs - n.mtimeMs
	switch kindOf(n.owner) {
	case isContainer:
		return n.creates > 0 || neverUsedMs > 0 && idleMs > neverUsedMs
	case isTTL:
		ttlMs := n.owner & maxTTLMs
		return ttlMs > 0 && idleMs > ttlMs
	}
	return false
}
