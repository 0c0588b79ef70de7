package tree

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// model is the tree once more, as simply as it can be said: a map by path that a multi copies,
// sums that are counted when they are asked for.
type model struct {
	zxid, timeMs int64
	nodes        map[string]mnode
	sessions     map[int64]msession
	enforce      bool
}

type mnode struct {
	data                        string
	null                        bool
	acl                         []jute.ACL
	czxid, mzxid, pzxid         int64
	ctime, mtime, owner         int64
	version, creates, aversions int32
}

type msession struct {
	timeoutMs int32
	gen, seq  uint32
}

func newModel() *model {
	open := jute.OpenACL()
	return &model{sessions: map[int64]msession{}, nodes: map[string]mnode{
		"/": {acl: open}, "/zookeeper": {acl: open}, "/zookeeper/quota": {acl: open},
		"/zookeeper/config": {acl: []jute.ACL{{Perms: 1, ID: jute.WorldAnyone}}, aversions: -1},
	}}
}

func (m *model) children(path string) []string {
	prefix := strings.TrimSuffix(path, "/") + "/"
	var names []string
	for p := range m.nodes {
		if rest, ok := strings.CutPrefix(p, prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	sort.Strings(names)
	return names
}

func (m *model) stat(path string) jute.Stat {
	n := m.nodes[path]
	kids := int32(len(m.children(path)))
	st := jute.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, CtimeMs: n.ctime, MtimeMs: n.mtime, Version: n.version,
		Cversion: 2*n.creates - kids, Aversion: n.aversions, DataLength: int32(len(n.data)), NumChildren: kids,
	}
	if n.owner > 0 { // sessions of these tests are above 0
		st.EphemeralOwner = n.owner
	}
	return st
}

// outcome is what is compared.
type outcome struct {
	zxid    int64
	code    jute.Code
	dup     bool
	ops     []string
	changes []string
	closed  int64
}

func (m *model) apply(term int64, timeMs int64, t Txn) outcome {
	m.timeMs = timeMs
	o := outcome{zxid: m.zxid}
	zxid := max(m.zxid+1, term<<32)
	sess, alive := m.sessions[t.Session]
	guarded := false
	if t.Session != 0 && t.Op.Kind != CreateSession {
		if !alive {
			if t.Op.Kind != CloseSession {
				o.code = jute.SessionExpired
			}
			return o
		}
		if t.Seq != 0 {
			next := t.ConnGen == sess.gen && t.Seq == sess.seq+1 || t.ConnGen > sess.gen && t.Seq == 1
			if t.ConnGen == sess.gen && t.ConnGen > 0 && t.Seq <= sess.seq {
				o.dup = true
				return o
			}
			if !next || t.ConnGen == 0 {
				o.code = jute.SessionMoved
				return o
			}
			sess.gen, sess.seq = t.ConnGen, t.Seq
			m.sessions[t.Session], guarded = sess, true
		}
	}
	changed := guarded
	switch t.Op.Kind {
	case CreateSession:
		if alive {
			o.dup = true
			return o
		}
		m.sessions[t.Session], changed = msession{timeoutMs: t.Op.TimeoutMs}, true
	case CloseSession:
		for _, path := range slices.Sorted(maps.Keys(m.nodes)) {
			if m.nodes[path].owner == t.Session {
				m.drop(path, zxid, &o)
			}
		}
		delete(m.sessions, t.Session)
		o.closed, changed = t.Session, true
	case Multi:
		copied := maps.Clone(m.nodes)
		for i, op := range t.Op.Ops {
			code, result := m.one(t, op, zxid, &o)
			o.ops = append(o.ops, result)
			if code != jute.OK {
				m.nodes, o.code, o.changes, o.ops = copied, code, nil, nil
				for j := range t.Op.Ops {
					c := jute.OK
					if j == i {
						c = code
					} else if j > i {
						c = jute.RuntimeInconsistency
					}
					o.ops = append(o.ops, fmt.Sprint(int(c), "", jute.Stat{}))
				}
				break
			}
		}
	default:
		var result string
		o.code, result = m.one(t, t.Op, zxid, &o)
		o.ops = append(o.ops, result)
	}
	if changed || len(o.changes) > 0 {
		m.zxid, o.zxid = zxid, zxid
	}
	return o
}

// one does one operation on a node and returns its code and what its OpResult says.
func (m *model) one(t Txn, op Op, zxid int64, o *outcome) (jute.Code, string) {
	path, code, st := "", jute.Unimplemented, jute.Stat{}
	switch op.Kind {
	case Noop:
		code = jute.OK
	case Create:
		if path, code = m.create(t, op, zxid, o); code == jute.OK {
			st = m.stat(path)
			st.DataLength = int32(len(op.Data))
		} else {
			path = ""
		}
	case Delete:
		code = m.delete(t, op, zxid, o)
	case DeleteContainer:
		n, ok := m.nodes[op.Path]
		switch {
		case !ok:
			code = jute.NoNode
		case len(m.children(op.Path)) > 0:
			code = jute.NotEmpty
		case n.owner == -1<<63 && n.creates > 0, n.owner < 0 && n.owner != -1<<63 && m.timeMs-n.mtime > n.owner&(1<<40-1):
			m.drop(op.Path, zxid, o)
			code = jute.OK
		default:
			code = jute.BadVersion
		}
	case SetData:
		if code = m.look(t, op.Path, 2); code != jute.OK {
			break
		}
		n := m.nodes[op.Path]
		if m.over(op.Path, len(op.Data)-len(n.data), 0) {
			code = jute.QuotaExceeded
		} else if op.Version != -1 && op.Version != n.version {
			code = jute.BadVersion
		} else {
			m.count(op.Path, len(op.Data)-len(n.data), 0)
			n = m.nodes[op.Path]
			n.data, n.null, n.version, n.mzxid, n.mtime = string(op.Data), op.Data == nil, n.version+1, zxid, m.timeMs
			m.nodes[op.Path] = n
			st = m.stat(op.Path)
			o.changes = append(o.changes, fmt.Sprintf("set %s %q %+v", op.Path, n.data, st))
		}
	case SetACL:
		if !validModel(op.Path) {
			return jute.BadArguments, fmt.Sprint(int(jute.BadArguments), "", st)
		}
		list, ok := fixModel(op.ACL, t.Auth)
		if !ok {
			return jute.InvalidACL, fmt.Sprint(int(jute.InvalidACL), "", st)
		}
		if code = m.look(t, op.Path, 16); code != jute.OK {
			break
		}
		n := m.nodes[op.Path]
		if op.Version != -1 && op.Version != n.aversions {
			code = jute.BadVersion
			break
		}
		n.acl, n.aversions = list, n.aversions+1
		if n.aversions == -1 {
			n.aversions = 0
		}
		m.nodes[op.Path] = n
		st = m.stat(op.Path)
		o.changes = append(o.changes, fmt.Sprintf("acl %s %+v", op.Path, st))
	case Check:
		if code = m.look(t, op.Path, 1); code == jute.OK && op.Version != -1 && op.Version != m.nodes[op.Path].version {
			code = jute.BadVersion
		}
		if code == jute.OK {
			st = m.stat(op.Path)
		}
	}
	return code, fmt.Sprint(int(code), path, st)
}

func (m *model) look(t Txn, path string, perm int32) jute.Code {
	if !validModel(path) {
		return jute.BadArguments
	}
	if _, ok := m.nodes[path]; !ok {
		return jute.NoNode
	}
	return m.access(t, path, perm)
}

func (m *model) access(t Txn, path string, perm int32) jute.Code {
	if t.Session == 0 || slices.Contains(t.Auth, Super) {
		return jute.OK
	}
	for _, a := range m.nodes[path].acl {
		if a.Perms&perm != 0 && (a.ID == jute.WorldAnyone || slices.Contains(t.Auth, a.ID)) {
			return jute.OK
		}
	}
	return jute.NoAuth
}

// validModel knows what the scripts use.
func validModel(path string) bool {
	return path == "/" || strings.HasPrefix(path, "/") && !strings.HasSuffix(path, "/") && !strings.Contains(path, "//") &&
		!strings.Contains(path+"/", "/../")
}

// fixModel knows the ACLs that the scripts use.
func fixModel(list []jute.ACL, auth []jute.ID) (fixed []jute.ACL, ok bool) {
	for i, a := range list {
		switch {
		case slices.Contains(list[:i], a):
		case a.ID.Scheme == "auth":
			found := false
			for _, id := range auth {
				if id.Scheme == "digest" {
					fixed, found = append(fixed, jute.ACL{Perms: a.Perms, ID: id}), true
				}
			}
			if !found {
				return nil, false
			}
		case a.ID == jute.WorldAnyone, a.ID.Scheme == "digest":
			fixed = append(fixed, a)
		default:
			return nil, false
		}
	}
	return fixed, len(list) > 0
}

func above(path string) string {
	at := strings.LastIndexByte(path, '/')
	if at == 0 {
		return "/"
	}
	return path[:at]
}

func (m *model) create(t Txn, op Op, zxid int64, o *outcome) (string, jute.Code) {
	owner := int64(0)
	switch op.Mode {
	case jute.Ephemeral, jute.EphemeralSequential:
		owner = t.Session
	case jute.Container:
		owner = -1 << 63
	case jute.PersistentTTL, jute.PersistentSequentialTTL:
		owner = -1<<56 | op.TTLMs
	}
	if !strings.Contains(op.Path, "/") {
		return "", jute.BadArguments
	}
	list, ok := fixModel(op.ACL, t.Auth)
	if !ok {
		return "", jute.InvalidACL
	}
	up := above(op.Path)
	parent, ok := m.nodes[up]
	if !ok {
		return "", jute.NoNode
	}
	if code := m.access(t, up, 4); code != jute.OK {
		return "", code
	}
	path := op.Path
	if op.Mode.IsSequential() {
		path = fmt.Sprintf("%s%010d", path, parent.creates)
	}
	if !validModel(path) {
		return "", jute.BadArguments
	}
	if _, ok := m.nodes[path]; ok {
		return "", jute.NodeExists
	}
	if parent.owner > 0 {
		return "", jute.NoChildrenForEphemerals
	}
	if m.over(path, len(op.Data), 1) {
		return "", jute.QuotaExceeded
	}
	parent.creates, parent.pzxid = parent.creates+1, zxid
	m.nodes[up] = parent
	m.nodes[path] = mnode{
		data: string(op.Data), null: op.Data == nil, acl: list, czxid: zxid, mzxid: zxid, pzxid: zxid,
		ctime: m.timeMs, mtime: m.timeMs, owner: owner,
	}
	m.count(path, len(op.Data), 1)
	if rest, ok := strings.CutPrefix(path, "/zookeeper/quota/"); ok && strings.HasSuffix(rest, "/zookeeper_stats") {
		m.recount(path, "/"+strings.TrimSuffix(rest, "/zookeeper_stats"))
	}
	o.changes = append(o.changes, fmt.Sprintf("created %s %q %+v", path, m.nodes[path].data, m.stat(path)))
	return path, jute.OK
}

func (m *model) delete(t Txn, op Op, zxid int64, o *outcome) jute.Code {
	if !strings.Contains(op.Path, "/") || special(op.Path) {
		return jute.BadArguments
	}
	up := above(op.Path)
	if _, ok := m.nodes[up]; !ok {
		return jute.NoNode
	}
	if code := m.access(t, up, 8); code != jute.OK {
		return code
	}
	n, ok := m.nodes[op.Path]
	switch {
	case !ok:
		return jute.NoNode
	case op.Version != -1 && op.Version != n.version:
		return jute.BadVersion
	case len(m.children(op.Path)) > 0:
		return jute.NotEmpty
	}
	m.drop(op.Path, zxid, o)
	return jute.OK
}

func (m *model) drop(path string, zxid int64, o *outcome) {
	up := above(path)
	n := m.nodes[path]
	delete(m.nodes, path)
	parent := m.nodes[up]
	parent.pzxid = zxid
	m.nodes[up] = parent
	m.count(path, -len(n.data), -1)
	o.changes = append(o.changes, "deleted "+path)
}

// quota returns the deepest path with limits at or above path.
func (m *model) quota(path string) string {
	for ; path != "/"; path = above(path) {
		if _, ok := m.nodes["/zookeeper/quota"+path+"/zookeeper_limits"]; ok {
			return path
		}
	}
	return ""
}

func (m *model) over(path string, size, count int) bool {
	at := m.quota(path)
	limits, ok1 := m.nodes["/zookeeper/quota"+at+"/zookeeper_limits"]
	stats, ok2 := m.nodes["/zookeeper/quota"+at+"/zookeeper_stats"]
	if !m.enforce || at == "" || !ok1 || !ok2 {
		return false
	}
	var haveCount, haveBytes, hardCount, hardBytes int
	_, _ = fmt.Sscanf(stats.data, "count=%d,bytes=%d", &haveCount, &haveBytes)
	if _, err := fmt.Sscanf(limits.data, "count=-1,bytes=-1=;byteHardLimit=%d;countHardLimit=%d", &hardBytes, &hardCount); err != nil {
		return false
	}
	return count != 0 && haveCount+count > hardCount || size != 0 && haveBytes+size > hardBytes
}

func (m *model) count(path string, size, count int) {
	at := m.quota(path)
	stats := "/zookeeper/quota" + at + "/zookeeper_stats"
	n, ok := m.nodes[stats]
	if at == "" || !ok {
		return
	}
	haveCount, haveBytes := -1, -1
	_, _ = fmt.Sscanf(n.data, "count=%d,bytes=%d", &haveCount, &haveBytes)
	n.data, n.null = fmt.Sprintf("count=%d,bytes=%d", haveCount+count, haveBytes+size), false
	m.nodes[stats] = n
}

func (m *model) recount(stats, at string) {
	count, size := 0, 0
	for p, n := range m.nodes {
		if p == at || strings.HasPrefix(p, at+"/") {
			count, size = count+1, size+len(n.data)
		}
	}
	n := m.nodes[stats]
	n.data, n.null = fmt.Sprintf("count=%d,bytes=%d", count, size), false
	m.nodes[stats] = n
}
