package tree

import (
	"slices"

	"github.com/millrace/millrace/quorum/jute"
)

// Get returns a node's data, which is not to be written to (nil: null), and Stat.
// The error is jute.NoNode.
func (s *State) Get(path string) ([]byte, jute.Stat, error) {
	n := s.find(path)
	if n == nil {
		return nil, jute.Stat{}, jute.NoNode
	}
	return n.bytes(), n.stat(), nil
}

// Stat returns a node's Stat. The error is jute.NoNode.
func (s *State) Stat(path string) (jute.Stat, error) {
	n := s.find(path)
	if n == nil {
		return jute.Stat{}, jute.NoNode
	}
	return n.stat(), nil
}

// Children returns the names of a node's children in a new slice, in the order of their
// creation, except that the last one takes the place of one that is deleted. That order is
// the same on every server. The error is jute.NoNode.
func (s *State) Children(path string) ([]string, jute.Stat, error) {
	n := s.find(path)
	if n == nil {
		return nil, jute.Stat{}, jute.NoNode
	}
	kids := n.kids()
	names := make([]string, len(kids))
	for i, kid := range kids {
		names[i] = kid.name
	}
	return names, n.stat(), nil
}

// ACL returns a node's ACL, which is not to be written to, and Stat. The error is jute.NoNode.
func (s *State) ACL(path string) ([]jute.ACL, jute.Stat, error) {
	n := s.find(path)
	if n == nil {
		return nil, jute.Stat{}, jute.NoNode
	}
	return s.listOf(n), n.stat(), nil
}

// Allowed tells whether one with these identities has one of the permissions on a node. The
// error is jute.NoNode or jute.NoAuth.
func (s *State) Allowed(path string, perms int32, auth []jute.ID) error {
	n := s.find(path)
	switch {
	case n == nil:
		return jute.NoNode
	case s.flags&SkipACL == 0 && !Allows(s.listOf(n), perms, auth):
		return jute.NoAuth
	}
	return nil
}

// CountDescendants counts all nodes below one. The error is jute.NoNode.
func (s *State) CountDescendants(path string) (int, error) {
	n := s.find(path)
	switch n {
	case nil:
		return 0, jute.NoNode
	case s.root:
		return s.nodes - 1, nil
	}
	count := -1
	for range n.subtree {
		count++
	}
	return count, nil
}

// subtree yields n and all below, parents first, without recursion: a tree may be as deep as
// a path is long.
func (n *node) subtree(yield func(*node) bool) {
	stack := []*node{n}
	for len(stack) > 0 {
		last := len(stack) - 1
		n, stack = stack[last], stack[:last]
		if !yield(n) {
			return
		}
		kids := n.kids()
		for i := len(kids) - 1; i >= 0; i-- {
			stack = append(stack, kids[i])
		}
	}
}

// Walk yields every node, parents first and children in the order of Children. Neither data
// nor acl is to be written to.
func (s *State) Walk(yield func(path string, data []byte, st jute.Stat, acl []jute.ACL) bool) {
	for n := range s.root.subtree {
		if !yield(n.path(), n.bytes(), n.stat(), s.listOf(n)) {
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
	for n := range sess.owned {
		paths = append(paths, n.path())
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
	for n := range s.reapable {
		if due(n, nowMs, neverUsedMs) {
			ops = append(ops, Op{Kind: DeleteContainer, Path: n.path(), TTLMs: neverUsedMs})
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
func due(n *node, nowMs, neverUsedMs int64) bool {
	if len(n.kids()) > 0 {
		return false
	}
	idleMs := nowMs - n.mtimeMs
	switch kindOf(n.owner()) {
	case isContainer:
		return n.creates() > 0 || neverUsedMs > 0 && idleMs > neverUsedMs
	case isTTL:
		ttlMs := n.owner() & maxTTLMs
		return ttlMs > 0 && idleMs > ttlMs
	}
	return false
}
