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
	nodes, size, digest, dirs, blobs := 0, int64(0), uint64(0), 0, 0
	owned, reapable, quotas := map[int64]int{}, 0, map[string]struct{}{}
	refs := map[uint32]int{0: 1} // the open list stays
	for n := range s.subtree(s.root) {
		path := s.path(n.id)
		if got := s.find(path); got != n.id {
			t.Fatalf("%s is not found where it is", path)
		}
		if sum := hashString(hashSeed, string(n.data)); n.dataSum() != sum {
			t.Fatalf("%s has the hash %x of its data, counted %x", path, n.dataSum(), sum)
		}
		verifyRecord(t, s, n)
		nodes++
		size += int64(len(path) + len(n.data))
		digest += s.nodeDigest(hashPath(path), n)
		refs[n.acl]++
		switch kindOf(n.owner) {
		case ownedBySession:
			owned[n.owner]++
			if sess := s.sessions[n.owner]; sess == nil || !has(sess.owned, n.id) {
				t.Fatalf("%s is not in the list of its session %d", path, n.owner)
			}
		case isContainer, isTTL:
			reapable++
			if !has(s.reapable, n.id) {
				t.Fatalf("%s is not in the list of what may go", path)
			}
		}
		if at, ok := quotaFor(path); ok && n.name == limitsName {
			quotas[at] = struct{}{}
		}
		if n.dir != 0 {
			dirs++
		}
		if n.blob != 0 {
			blobs++
		}
		verifyChildren(t, s, n)
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
	if got := used(s.dirs); got != dirs {
		t.Fatalf("%d directories, counted %d", got, dirs)
	}
	if got := used(s.blobs); got != blobs {
		t.Fatalf("%d blobs, counted %d", got, blobs)
	}
	if s.recs.Untidy() {
		t.Fatal("the records are untidy between transactions")
	}
	verifyACLs(t, s, refs)
}

func has(set map[nodeID]struct{}, id nodeID) bool { _, ok := set[id]; return ok }

// used counts what has a number.
func used[T any](l numbered[T]) int { return max(len(l.list)-1, 0) - len(l.free) }

// verifyRecord: a record says what its node says, and leads back to it.
func verifyRecord(t testing.TB, s *State, n *node) {
	rec := s.recs.Get(n.id)
	packed, _ := n.pack(nil)
	if !bytes.Equal(packed, rec) {
		t.Fatalf("the record of %s is %x, packed again %x", s.path(n.id), rec, packed)
	}
	if got := s.ownerOf(rec); got != n.id {
		t.Fatalf("the record of node %d leads to node %d", n.id, got)
	}
	if (n.blob != 0) != (len(n.data) > maxInline) {
		t.Fatalf("%s has %d bytes of data and blob %d", s.path(n.id), len(n.data), n.blob)
	}
}

func verifyChildren(t testing.TB, s *State, n *node) {
	var kid node
	for _, id := range s.kidIDs(n) {
		if s.load(id, &kid); kid.up != n.id {
			t.Fatalf("%s is a child of %s and says that node %d is its parent", kid.name, s.path(n.id), kid.up)
		}
	}
	if n.dir == 0 {
		return
	}
	d := s.dirs.list[n.dir]
	taken, filled := 0, 0
	for i := range d.size {
		if v := d.slot(i); v != 0 {
			filled++
			if v&(1<<d.bits-1) != 1<<d.bits-1 {
				taken++
			}
		}
	}
	if taken != len(d.list) || filled != int(d.filled) || filled*5 > int(d.size)*4 || len(d.list) <= fewKids/2 {
		t.Fatalf("%s has %d children and %d of %d slots in use", s.path(n.id), len(d.list), taken, d.size)
	}
	for i, id := range d.list {
		if _, at, _ := s.lookup(d, s.nameOf(id)); at != i {
			t.Fatalf("%s is child %d of %s, found at %d", s.nameOf(id), i, s.path(n.id), at)
		}
	}
}

// nodeAt unpacks the node at a path.
func nodeAt(t testing.TB, s *State, path string) *node {
	t.Helper()
	n := &node{}
	if !s.at(path, n) {
		t.Fatalf("there is no %s", path)
	}
	return n
}

// alter changes the node at a path behind the state's back.
func alter(t testing.TB, s *State, path string, f func(n *node)) {
	t.Helper()
	n := nodeAt(t, s, path)
	f(n)
	s.store(n)
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
		var n node
		s.at(path, &n)
		fmt.Fprintf(&b, "%s %q null=%v %+v %v owner=%x\n", path, data, data == nil, st, acl, n.owner)
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
