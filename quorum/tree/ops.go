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
	var parent node
	switch {
	case !s.at(parentPath, &parent):
		return jute.NoNode
	case !s.may(t, &parent, jute.PermCreate):
		return jute.NoAuth
	}
	path := op.Path
	if op.Mode.IsSequential() {
		path += sequence(parent.creates)
	}
	name := path[len(parentPath)+1:]
	switch {
	case jute.CheckPath(path, false) != nil:
		return jute.BadArguments
	case path == "/" || s.child(parent.id, name) != 0:
		return jute.NodeExists
	case parent.ephemeral():
		return jute.NoChildrenForEphemerals
	case s.overQuota(path, int64(len(op.Data)), 1):
		return jute.QuotaExceeded
	}
	n := s.make(&parent, parentPath, path, op.Data, acl, owner)
	r.Path, r.Stat = path, s.stat(&n)
	r.Stat.DataLength = int32(len(op.Data)) // ZooKeeper's answer is from before a stats node is filled
	data := op.Data
	if len(s.quotas) > 0 || name == statsName {
		data = s.again(&n, data)
	}
	s.changed(Change{Kind: NodeCreated, Path: path, Data: data, ParentACL: s.listOf(&parent)}, &n)
	return jute.OK
}

// again loads a node once more, after quotas were counted, which may have changed a node that
// holds the counts. It returns the node's data: data, if it still is that, else a copy.
func (s *State) again(n *node, data []byte) []byte {
	s.load(n.id, n)
	if n.null == (data == nil) && bytes.Equal(n.data, data) {
		return data
	}
	return n.kept()
}

// target unpacks the node at a path, or tells what is wrong with the path. A path that leads
// to a node is good, so it is not looked at once more.
func (s *State) target(path string, n *node) jute.Code {
	switch {
	case path != "" && s.at(path, n):
		return jute.OK
	case jute.CheckPath(path, false) != nil:
		return jute.BadArguments
	}
	return jute.NoNode
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
func (s *State) make(parent *node, parentPath, path string, data []byte, acl []jute.ACL, owner int64) node {
	n := node{
		id: s.recs.New(), up: parent.id, name: path[len(parentPath)+1:], acl: s.acls.acquire(acl), owner: owner,
		czxid: s.step.zxid, mzxid: s.step.zxid, pzxid: s.step.zxid, ctimeMs: s.timeMs, mtimeMs: s.timeMs,
	}
	s.setBytes(&n, data)
	s.store(&n)
	s.save(parent)
	hash := hashPath(parentPath)
	s.digest -= s.nodeDigest(hash, parent)
	s.attach(parent, n.id)
	parent.creates++
	parent.pzxid = s.step.zxid
	s.store(parent)
	s.digest += s.nodeDigest(hash, parent) + s.nodeDigest(hashPath(path), &n)
	s.note(undo{kind: undoCreate, node: n.id})
	s.nodes++
	s.bytes += int64(len(path) + len(data))
	s.register(n.id, owner)
	if len(n.name) == len(limitsName) || len(n.name) == len(statsName) {
		s.quotaNodeMade(path, &n)
	}
	s.countQuota(path, int64(len(data)), 1)
	return n
}

// register enters a node where its owner is looked up.
func (s *State) register(id nodeID, owner int64) {
	switch kindOf(owner) {
	case ownedBySession:
		if sess := s.sessions[owner]; sess != nil {
			sess.own(id)
		}
	case isContainer, isTTL:
		s.reapable[id] = struct{}{}
	}
}

// disown is the inverse of register.
func (s *State) disown(id nodeID, owner int64) {
	switch kindOf(owner) {
	case ownedBySession:
		if sess := s.sessions[owner]; sess != nil {
			delete(sess.owned, id)
		}
	case isContainer, isTTL:
		delete(s.reapable, id)
	}
}

func (s *State) delete(t *Txn, op *Op) jute.Code {
	parentPath, name, ok := split(op.Path)
	if !ok || special(op.Path) {
		return jute.BadArguments
	}
	var parent, n node
	switch {
	case !s.at(parentPath, &parent):
		return jute.NoNode
	case !s.may(t, &parent, jute.PermDelete):
		return jute.NoAuth
	}
	id := s.child(parent.id, name)
	if id == 0 {
		return jute.NoNode
	}
	s.load(id, &n)
	switch {
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	case s.kidCount(&n) > 0:
		return jute.NotEmpty
	}
	s.remove(op.Path, &n)
	return jute.OK
}

// deleteContainer deletes a container or TTL node if it is still due: who proposed it saw an
// older state.
func (s *State) deleteContainer(op *Op) jute.Code {
	var n node
	switch {
	case special(op.Path):
		return jute.BadArguments
	case !s.at(op.Path, &n):
		return jute.NoNode
	case s.kidCount(&n) > 0:
		return jute.NotEmpty
	case !s.due(&n, s.timeMs, op.TTLMs):
		return jute.BadVersion
	}
	s.remove(op.Path, &n)
	return jute.OK
}

// remove takes a node without children out of the tree.
func (s *State) remove(path string, n *node) {
	parentPath, _, _ := split(path)
	var parent node
	s.load(n.up, &parent)
	s.save(&parent)
	hash := hashPath(parentPath)
	s.digest -= s.nodeDigest(hash, &parent) + s.nodeDigest(hashPath(path), n)
	at := s.detach(&parent, n.id, n.name)
	parent.pzxid = s.step.zxid
	s.store(&parent)
	s.digest += s.nodeDigest(hash, &parent)
	list := s.listOf(n)
	s.releaseACL(n.acl)
	s.disown(n.id, n.owner)
	s.nodes--
	s.bytes -= int64(len(path) + len(n.data))
	s.discard(n, at)
	s.quotaNodeGone(path, n.name)
	s.countQuota(path, -int64(len(n.data)), -1)
	s.step.out.Changes = append(s.step.out.Changes,
		Change{Kind: NodeDeleted, Path: path, Ephemeral: n.ephemeral(), ACL: list, ParentACL: s.listOf(&parent)})
}

func (s *State) setData(t *Txn, op *Op, r *OpResult) jute.Code {
	var n node
	code := s.target(op.Path, &n)
	switch {
	case code != jute.OK:
		return code
	case !s.may(t, &n, jute.PermWrite):
		return jute.NoAuth
	case s.overQuota(op.Path, int64(len(op.Data)-len(n.data)), 0):
		return jute.QuotaExceeded
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	}
	s.write(op.Path, &n, op.Data, nextVersion(n.version))
	r.Stat = s.stat(&n)
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
	s.setBytes(n, data)
	n.version, n.mzxid, n.mtimeMs = version, s.step.zxid, s.timeMs
	s.store(n)
	s.digest += s.nodeDigest(hash, n)
	s.bytes += more
	s.countQuota(path, more, 0)
	if len(s.quotas) > 0 {
		data = s.again(n, data)
	}
	s.changed(Change{Kind: NodeDataChanged, Path: path, Data: data}, n)
}

// setConfig writes the ensemble's configuration. The node's version is always -1: the
// configuration has one of its own, in its text, which is the zxid of the reconfig.
func (s *State) setConfig(text []byte) {
	var n node
	if !s.at(ConfigPath, &n) {
		return
	}
	if !bytes.HasPrefix(text, []byte("version=")) && !bytes.Contains(text, []byte("\nversion=")) {
		text = bytes.Clone(text)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = strconv.AppendInt(append(text, "version="...), s.step.zxid, 16)
	}
	s.write(ConfigPath, &n, text, -1)
}

func (s *State) setACL(t *Txn, op *Op, r *OpResult) jute.Code {
	var n node
	code := s.target(op.Path, &n)
	if code == jute.BadArguments {
		return code
	}
	acl, ok := s.fixACL(t, op.ACL)
	switch {
	case !ok:
		return jute.InvalidACL
	case code != jute.OK:
		return code
	case !s.may(t, &n, jute.PermAdmin):
		return jute.NoAuth
	case op.Version != -1 && op.Version != n.aversion:
		return jute.BadVersion
	}
	s.saveWith(&n, true)
	hash := hashPath(op.Path)
	s.digest -= s.nodeDigest(hash, &n)
	s.releaseACL(n.acl)
	n.acl, n.aversion = s.acls.acquire(acl), nextVersion(n.aversion)
	s.store(&n)
	s.digest += s.nodeDigest(hash, &n)
	r.Stat = s.stat(&n)
	s.changed(Change{Kind: NodeACLChanged, Path: op.Path, Data: n.kept()}, &n)
	return jute.OK
}

func (s *State) check(t *Txn, op *Op, r *OpResult) jute.Code {
	var n node
	code := s.target(op.Path, &n)
	switch {
	case code != jute.OK:
		return code
	case !s.may(t, &n, jute.PermRead):
		return jute.NoAuth
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	}
	r.Stat = s.stat(&n)
	return jute.OK
}

// changed tells of a change of a node, which is as it is after it.
func (s *State) changed(c Change, n *node) {
	c.Ephemeral, c.Stat, c.ACL = n.ephemeral(), s.stat(n), s.listOf(n)
	s.step.out.Changes = append(s.step.out.Changes, c)
}
