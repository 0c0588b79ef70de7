package tree

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

// verify works out anew everything that a state keeps count of.
func verify(t testing.TB, s *State) {
	t.Helper()
	nodes, size, digest := 0, int64(0), uint64(0)
	owned, reapable, quotas := map[int64]int{}, 0, map[string]struct{}{}
	refs := map[uint32]int{0: 1} // the open list stays
	for n := range s.root.subtree {
		path := n.path()
		if got := s.find(path); got != n {
			t.Fatalf("%s is not found where it is", path)
		}
		nodes++
		size += int64(len(path) + len(n.data))
		digest += s.nodeDigest(hashPath(path), n)
		refs[n.acl.list()]++
		switch kindOf(n.owner()) {
		case ownedBySession:
			owned[n.owner()]++
			if sess := s.sessions[n.owner()]; sess == nil || !has(sess.owned, n) {
				t.Fatalf("%s is not in the list of its session %d", path, n.owner())
			}
		case isContainer, isTTL:
			reapable++
			if !has(s.reapable, n) {
				t.Fatalf("%s is not in the list of what may go", path)
			}
		}
		if at, ok := quotaFor(path); ok && n.name == limitsName {
			quotas[at] = struct{}{}
		}
		if n.more != nil && n.more.kids != nil {
			verifyChildren(t, s, n)
		}
	}
	for id, sess := range s.sessions {
		digest += sess.digest()
		if len(sess.owned) != owned[id] {
			t.Fatalf("session %d owns %d nodes, its list has %d", id, owned[id], len(sess.owned))
		}
	}
	if nodes != s.nodes || size != s.bytes || digest != s.digest || reapable != len(s.reapable) || !maps.Equal(quotas, s.quotas) {
		t.Fatalf("nodes %d bytes %d digest %x reapable %d quotas %v, counted %d %d %x %d %v",
			s.nodes, s.bytes, s.digest, len(s.reapable), s.quotas, nodes, size, digest, reapable, quotas)
	}
	verifyACLs(t, s, refs)
}

func has(set map[*node]struct{}, n *node) bool { _, ok := set[n]; return ok }

func verifyChildren(t testing.TB, s *State, n *node) {
	c := n.more.kids
	used := 0
	for _, v := range c.slots {
		if v != 0 {
			used++
		}
	}
	if c.slots != nil && used != len(c.list) {
		t.Fatalf("%s has %d children and %d slots in use", n.path(), len(c.list), used)
	}
	for i, kid := range c.list {
		if kid.up != n || c.position(s.seed, kid) != i {
			t.Fatalf("%s is child %d of %s, not found there", kid.name, i, n.path())
		}
	}
}

func verifyACLs(t testing.TB, s *State, refs map[uint32]int) {
	for i, e := range s.acls.entries {
		if e.refs != refs[uint32(i)] {
			t.Fatalf("ACL %d %v has %d users, counted %d", i, e.list, e.refs, refs[uint32(i)])
		}
	}
	if len(s.acls.byKey)+len(s.acls.free) != len(s.acls.entries) {
		t.Fatalf("%d ACLs, %d by key, %d free", len(s.acls.entries), len(s.acls.byKey), len(s.acls.free))
	}
}

// dump shows every node, in order.
func dump(s *State) string {
	var b strings.Builder
	s.Walk(func(path string, data []byte, st jute.Stat, acl []jute.ACL) bool {
		fmt.Fprintf(&b, "%s %q null=%v %+v %v owner=%x\n", path, data, data == nil, st, acl, s.find(path).owner())
		return true
	})
	return b.String()
}

func encode(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// applyAll applies transactions as one entry, through its bytes, and returns copies of what
// became of them.
func applyAll(t testing.TB, s *State, term uint64, timeMs int64, txns ...Txn) []Outcome {
	t.Helper()
	e, err := DecodeEntry(AppendEntry(nil, &Entry{TimeMs: timeMs, Txns: txns}))
	if err != nil {
		t.Fatal(err)
	}
	var outs []Outcome
	s.Apply(term, e, func(o *Outcome) {
		c := *o
		c.Changes = append([]Change(nil), o.Changes...)
		c.Result.Ops = append([]OpResult(nil), o.Result.Ops...)
		outs = append(outs, c)
	})
	return outs
}
