package tree

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// may tells whether who asks has one of perms on a node. No ACL binds the ensemble itself.
func (s *State) may(t *Txn, n *node, perms int32) bool {
	return t.Session == 0 || s.flags&SkipACL != 0 || Allows(s.listOf(n), perms, t.Auth)
}

// create makes a node. The order of the checks is ZooKeeper's (PrepRequestProcessor): it
// decides which error one gets who makes two mistakes.
func (s *State) create(t *Txn, op *Op, r *OpResult) jute.Code {
	owner, code := s.newOwner(t, op)
	if code != jute.OK {
		return code
	}
	parentPath, _, ok := split(op.Path)
	if !ok {
		return jute.BadArguments
	}
	acl, ok := s.fixACL(t, op.ACL)
	if !ok {
		return jute.InvalidACL
	}
	parent := s.find(parentPath)
	switch {
	case parent == nil:
		return jute.NoNode
	case !s.may(t, parent, jute.PermCreate):
		return jute.NoAuth
	}
	path := op.Path
	if op.Mode.IsSequential() {
		path += sequence(parent.creates())
	}
	name := path[len(parentPath)+1:]
	switch {
	case jute.CheckPath(path, false) != nil:
		return jute.BadArguments
	case path == "/" || s.child(parent, name) != nil:
		return jute.NodeExists
	case parent.ephemeral():
		return jute.NoChildrenForEphemerals
	case s.overQuota(path, int64(len(op.Data)), 1):
		return jute.QuotaExceeded
	}
	n := s.make(parent, parentPath, path, op.Data, acl, owner)
	r.Path, r.Stat = path, n.stat()
	r.Stat.DataLength = int32(len(op.Data)) // ZooKeeper's answer is from before a stats node is filled
	s.changed(NodeCreated, path, n)
	return jute.OK
}

// target returns the node at a path, or what is wrong with the path. A path that leads to a
// node is good, so it is not looked at once more.
func (s *State) target(path string) (*node, jute.Code) {
	n := s.find(path)
	switch {
	case n != nil && path != "":
		return n, jute.OK
	case jute.CheckPath(path, false) != nil:
		return nil, jute.BadArguments
	}
	return nil, jute.NoNode
}

// newOwner returns the owner field of a node to be made.
func (s *State) newOwner(t *Txn, op *Op) (int64, jute.Code) {
	switch {
	case op.Mode < jute.Persistent || op.Mode > jute.PersistentSequentialTTL:
		return 0, jute.BadArguments
	case op.Mode.IsTTL():
		if s.flags&RefuseTTL != 0 {
			return 0, jute.Unimplemented
		}
		if op.TTLMs <= 0 || op.TTLMs > maxTTLMs {
			return 0, jute.BadArguments
		}
		return ownerTTLBits | op.TTLMs, jute.OK
	case op.TTLMs > 0:
		return 0, jute.BadArguments
	case op.Mode.IsEphemeral():
		if t.Session == 0 {
			return 0, jute.BadArguments
		}
		return t.Session, jute.OK
	case op.Mode == jute.Container:
		return ownerContainer, jute.OK
	}
	return 0, jute.OK
}

// fixACL is fixACL in the table's own room: the list is good until the next call.
func (s *State) fixACL(t *Txn, asked []jute.ACL) ([]jute.ACL, bool) {
	var ok bool
	s.acls.fixed, ok = fixACL(s.acls.fixed[:0], asked, t.Auth)
	return s.acls.fixed, ok
}

// sequence is Java's "%010d": a sign counts as a digit.
func sequence(n int32) string {
	var buf [11]byte
	digits := strconv.AppendInt(buf[:0], int64(n), 10)
	if len(digits) >= 10 {
		return string(digits)
	}
	if n < 0 {
		return "-" + strings.Repeat("0", 10-len(digits)) + string(digits[1:])
	}
	const zeros = "0000000000"
	return zeros[:10-len(digits)] + string(digits)
}

// make puts a new node into the tree. Everything was checked.
func (s *State) make(parent *node, parentPath, path string, data []byte, acl []jute.ACL, owner int64) *node {
	n := &node{
		name:  strings.Clone(path[len(parentPath)+1:]),
		czxid: s.step.zxid, mzxid: s.step.zxid, ctimeMs: s.timeMs, mtimeMs: s.timeMs,
		acl: aclRef(s.acls.acquire(acl)),
	}
	n.setBytes(data)
	if owner != 0 {
		n.extend().owner = owner
	}
	s.save(parent)
	hash := hashPath(parentPath)
	s.digest -= s.nodeDigest(hash, parent)
	s.attach(parent, n)
	parent.more.creates++
	parent.more.pzxid = s.step.zxid
	s.digest += s.nodeDigest(hash, parent) + s.nodeDigest(hashPath(path), n)
	s.note(undo{kind: undoCreate, node: n})
	s.nodes++
	s.bytes += int64(len(path) + len(data))
	s.register(n)
	if len(n.name) == len(limitsName) || len(n.name) == len(statsName) {
		s.quotaNodeMade(path, n)
	}
	s.countQuota(path, int64(len(data)), 1)
	return n
}

// register enters a node where its owner is looked up.
func (s *State) register(n *node) {
	switch kindOf(n.owner()) {
	case ownedBySession:
		if sess := s.sessions[n.more.owner]; sess != nil {
			sess.own(n)
		}
	case isContainer, isTTL:
		s.reapable[n] = struct{}{}
	}
}

// disown is the inverse of register.
func (s *State) disown(n *node) {
	switch kindOf(n.owner()) {
	case ownedBySession:
		if sess := s.sessions[n.more.owner]; sess != nil {
			delete(sess.owned, n)
		}
	case isContainer, isTTL:
		delete(s.reapable, n)
	}
}

func (s *State) delete(t *Txn, op *Op) jute.Code {
	parentPath, name, ok := split(op.Path)
	if !ok || special(op.Path) {
		return jute.BadArguments
	}
	parent := s.find(parentPath)
	switch {
	case parent == nil:
		return jute.NoNode
	case !s.may(t, parent, jute.PermDelete):
		return jute.NoAuth
	}
	n := s.child(parent, name)
	switch {
	case n == nil:
		return jute.NoNode
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	case len(n.kids()) > 0:
		return jute.NotEmpty
	}
	s.remove(op.Path, n)
	return jute.OK
}

// deleteContainer deletes a container or TTL node if it is still due: who proposed it saw an
// older state.
func (s *State) deleteContainer(op *Op) jute.Code {
	n := s.find(op.Path)
	switch {
	case special(op.Path):
		return jute.BadArguments
	case n == nil:
		return jute.NoNode
	case len(n.kids()) > 0:
		return jute.NotEmpty
	case !due(n, s.timeMs, op.TTLMs):
		return jute.BadVersion
	}
	s.remove(op.Path, n)
	return jute.OK
}

// remove takes a node without children out of the tree.
func (s *State) remove(path string, n *node) {
	parentPath, _, _ := split(path)
	parent := n.up
	s.save(parent)
	hash := hashPath(parentPath)
	s.digest -= s.nodeDigest(hash, parent) + s.nodeDigest(hashPath(path), n)
	at := parent.more.kids.position(s.seed, n)
	parent.more.kids.remove(s.seed, at)
	parent.more.pzxid = s.step.zxid
	s.digest += s.nodeDigest(hash, parent)
	s.note(undo{kind: undoDelete, node: n, at: at})
	list := s.listOf(n)
	s.releaseACL(n.acl.list())
	s.disown(n)
	s.nodes--
	s.bytes -= int64(len(path) + len(n.data))
	s.quotaNodeGone(path, n.name)
	s.countQuota(path, -int64(len(n.data)), -1)
	s.step.out.Changes = append(s.step.out.Changes,
		Change{Kind: NodeDeleted, Path: path, Ephemeral: n.ephemeral(), ACL: list, ParentACL: s.listOf(parent)})
}

func (s *State) setData(t *Txn, op *Op, r *OpResult) jute.Code {
	n, code := s.target(op.Path)
	switch {
	case n == nil:
		return code
	case !s.may(t, n, jute.PermWrite):
		return jute.NoAuth
	case s.overQuota(op.Path, int64(len(op.Data)-len(n.data)), 0):
		return jute.QuotaExceeded
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	}
	s.write(op.Path, n, op.Data, nextVersion(n.version))
	r.Stat = n.stat()
	return jute.OK
}

// nextVersion skips -1, which in a request means any (ZOOKEEPER-4743).
func nextVersion(v int32) int32 {
	if v++; v == -1 {
		return 0
	}
	return v
}

// write gives a node new data.
func (s *State) write(path string, n *node, data []byte, version int32) {
	s.save(n)
	hash := hashPath(path)
	s.digest -= s.nodeDigest(hash, n)
	more := int64(len(data) - len(n.data))
	n.setBytes(data)
	n.version, n.mzxid, n.mtimeMs = version, s.step.zxid, s.timeMs
	s.digest += s.nodeDigest(hash, n)
	s.bytes += more
	s.countQuota(path, more, 0)
	s.changed(NodeDataChanged, path, n)
}

// setConfig writes the ensemble's configuration. The node's version is always -1: the
// configuration has one of its own, in its text, which is the zxid of the reconfig.
func (s *State) setConfig(text []byte) {
	n := s.find(ConfigPath)
	if n == nil {
		return
	}
	if !bytes.HasPrefix(text, []byte("version=")) && !bytes.Contains(text, []byte("\nversion=")) {
		text = bytes.Clone(text)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = strconv.AppendInt(append(text, "version="...), s.step.zxid, 16)
	}
	s.write(ConfigPath, n, text, -1)
}

func (s *State) setACL(t *Txn, op *Op, r *OpResult) jute.Code {
	n, code := s.target(op.Path)
	if code == jute.BadArguments {
		return code
	}
	acl, ok := s.fixACL(t, op.ACL)
	switch {
	case !ok:
		return jute.InvalidACL
	case n == nil:
		return code
	case !s.may(t, n, jute.PermAdmin):
		return jute.NoAuth
	case op.Version != -1 && op.Version != n.aversion():
		return jute.BadVersion
	}
	s.saveWith(n, true)
	hash := hashPath(op.Path)
	s.digest -= s.nodeDigest(hash, n)
	s.releaseACL(n.acl.list())
	n.acl = n.acl.withList(s.acls.acquire(acl))
	m := n.extend()
	m.aversion = nextVersion(m.aversion)
	s.digest += s.nodeDigest(hash, n)
	r.Stat = n.stat()
	s.changed(NodeACLChanged, op.Path, n)
	return jute.OK
}

func (s *State) check(t *Txn, op *Op, r *OpResult) jute.Code {
	n, code := s.target(op.Path)
	switch {
	case n == nil:
		return code
	case !s.may(t, n, jute.PermRead):
		return jute.NoAuth
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	}
	r.Stat = n.stat()
	return jute.OK
}

func (s *State) changed(kind ChangeKind, path string, n *node) {
	c := Change{Kind: kind, Path: path, Ephemeral: n.ephemeral(), Data: n.bytes(), Stat: n.stat(), ACL: s.listOf(n)}
	if kind == NodeCreated {
		c.ParentACL = s.listOf(n.up)
	}
	s.step.out.Changes = append(s.step.out.Changes, c)
}
