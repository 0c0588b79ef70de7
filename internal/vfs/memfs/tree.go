package memfs

import (
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// node is a file or a folder. Fields above mu belong to FS.mu.
type node struct {
	entries map[string]*node // nil for a file
	durable map[string]*node // folder: the names that a power cut leaves
	links   int              // names that point here, as seen now
	opens   int              // handles, locks and mappings

	mu      sync.RWMutex // guards content; mapped stores go around it, as on a machine
	content              // file only

	mode    fs.FileMode
	modTime time.Time // guarded by mu
}

func newDir(now time.Time) *node {
	return &node{entries: map[string]*node{}, durable: map[string]*node{}, mode: fs.ModeDir | 0o755, modTime: now}
}

func newFile(perm fs.FileMode, now time.Time) *node {
	return &node{mode: perm.Perm(), modTime: now}
}

func (n *node) isDir() bool { return n.entries != nil }

// names lists a folder's entries, sorted.
func (n *node) names() []string {
	out := make([]string, 0, len(n.entries))
	for name := range n.entries {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// holds reports whether other is n or lies below it.
func (n *node) holds(other *node) bool {
	if n == other {
		return true
	}
	for _, child := range n.entries {
		if child.isDir() && child.holds(other) {
			return true
		}
	}
	return false
}

// nameOp is one change of names: a link (node set), an unlink (node nil), or a rename
// (node and fromDir set), which is atomic.
type nameOp struct {
	dir      *node
	name     string
	node     *node
	fromDir  *node
	fromName string
}

func (op nameOp) touches(dirs map[*node]bool) bool {
	return dirs[op.dir] || op.fromDir != nil && dirs[op.fromDir]
}

// apply does the operation on durable names. A rename whose source has meanwhile
// become another file takes nothing away.
func (op nameOp) apply(names func(dir *node) map[string]*node) {
	if op.fromDir != nil {
		if from := names(op.fromDir); from[op.fromName] == op.node {
			delete(from, op.fromName)
		}
	}
	if op.node == nil {
		delete(names(op.dir), op.name)
		return
	}
	names(op.dir)[op.name] = op.node
}

func split(name string) []string {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return nil
	}
	return strings.Split(clean[1:], "/")
}

func (m *FS) lookupLocked(name string) (*node, error) {
	n := m.root
	for _, part := range split(name) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[part]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parentLocked finds the folder that holds name. For the root, base is empty.
func (m *FS) parentLocked(name string) (dir *node, base string, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return m.root, "", nil
	}
	dir, err = m.lookupLocked(strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && !dir.isDir() {
		err = syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], err
}

func (m *FS) linkLocked(dir *node, base string, n *node) {
	dir.entries[base] = n
	n.links++
	m.pending = append(m.pending, nameOp{dir: dir, name: base, node: n})
}

func (m *FS) unlinkLocked(dir *node, base string) {
	n := dir.entries[base]
	delete(dir.entries, base)
	m.pending = append(m.pending, nameOp{dir: dir, name: base})
	m.droppedLocked(n)
}

func (m *FS) droppedLocked(n *node) {
	n.links--
	m.reclaimLocked(n)
}

// reclaimLocked gives a file's space back once no name and no handle is left. Its
// synced image stays for a power cut that undoes the removal.
func (m *FS) reclaimLocked(n *node) {
	if n.isDir() || n.links > 0 || n.opens > 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := m.reserve(-n.blocks.count); err != nil {
		panic(err) // giving back cannot fail
	}
	n.blocks = bitmap{}
}

// settleLocked makes the names of dir durable: its operations, and older ones of other
// folders that a rename ties to them.
func (m *FS) settleLocked(dir *node) {
	dirs := map[*node]bool{dir: true}
	settled := make([]bool, len(m.pending))
	for i := len(m.pending) - 1; i >= 0; i-- {
		if op := m.pending[i]; op.touches(dirs) {
			settled[i] = true
			dirs[op.dir] = true
			if op.fromDir != nil {
				dirs[op.fromDir] = true
			}
		}
	}
	var rest []nameOp
	for i, op := range m.pending {
		if settled[i] {
			op.apply(func(d *node) map[string]*node { return d.durable })
		} else {
			rest = append(rest, op)
		}
	}
	m.pending = rest
}

// filesLocked lists all files that a power cut could leave, in the order of their
// paths, each once.
func (m *FS) filesLocked() []*node {
	seen := map[*node]bool{}
	var out []*node
	var walk func(n *node)
	walk = func(n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if !n.isDir() {
			out = append(out, n)
			return
		}
		for _, name := range sortedNames(n.durable) {
			walk(n.durable[name])
		}
		for _, name := range n.names() {
			walk(n.entries[name])
		}
	}
	walk(m.root)
	for _, op := range m.pending {
		walk(op.node)
	}
	return out
}

func sortedNames(names map[string]*node) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

type info struct {
	name      string
	sizeBytes int64
	mode      fs.FileMode
	modTime   time.Time
}

func (n *node) info(name string) fs.FileInfo {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return info{name: name, sizeBytes: n.sizeBytes, mode: n.mode, modTime: n.modTime}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.sizeBytes }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modTime }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
