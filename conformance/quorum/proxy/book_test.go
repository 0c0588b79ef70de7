package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// fact is that a node had a value at a version, since a transaction.
type fact struct {
	path    string
	version int32
	zxid    int64
	value   string
}

// attempt is one write. Its value is its alone.
type attempt struct {
	client, path string
	number       int
	acked        bool
	zxid         int64 // of who was told
}

// book is what all clients were told.
type book struct {
	mu       sync.Mutex
	attempts map[string]*attempt // by value
	told     map[string][]fact   // by client and session, in the order in which it was told
	newest   map[string]int32    // the highest version acknowledged, by path
	acks     int
}

// reporter is a testing.TB, or who wants to know what was found.
type reporter interface {
	Errorf(format string, args ...any)
}

func newBook() *book {
	return &book{attempts: map[string]*attempt{}, told: map[string][]fact{}, newest: map[string]int32{}}
}

func valueOf(client string, number int) string { return fmt.Sprintf("%s %d", client, number) }

// try notes a write before it is sent.
func (b *book) try(client string, number int, path string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	value := valueOf(client, number)
	b.attempts[value] = &attempt{client: client, path: path, number: number}
	return value
}

// ack notes that a write was acknowledged. An empty session means that it is not known.
func (b *book) ack(value, session string, f fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.attempts[value]
	a.acked, a.zxid = true, f.zxid
	b.newest[f.path] = max(b.newest[f.path], f.version)
	b.acks++
	if session == "" {
		session = "some session of " + value
	}
	b.told[session] = append(b.told[session], f)
}

// append notes that a node was appended.
func (b *book) append(value, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.attempts[value]
	a.acked, a.path = true, path
	b.acks++
}

// see notes what a client read.
func (b *book) see(session string, f fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told[session] = append(b.told[session], f)
}

// least is the version that who syncs now must see.
func (b *book) least(path string) int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest[path]
}

func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acks
}

// checkRegisters compares everything that was told of the nodes that are overwritten with
// their last facts: one value for each version and one version for each value, zxids that
// grow with versions, no acknowledged write that is not there.
func (b *book) checkRegisters(r reporter, last []fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	facts := map[string]map[int32]fact{}
	versions := map[string]fact{}
	all := slices.Concat(slices.Collect(maps.Values(b.told))...)
	for _, f := range append(all, last...) {
		if facts[f.path] == nil {
			facts[f.path] = map[int32]fact{}
		}
		if old, ok := facts[f.path][f.version]; ok && old != f {
			r.Errorf("one version, two values: %+v and %+v", old, f)
		}
		facts[f.path][f.version] = f
		if f.version == 0 {
			continue
		}
		if old, ok := versions[f.value]; ok && old != f {
			r.Errorf("one write, two versions: %+v and %+v", old, f)
		}
		versions[f.value] = f
		if a := b.attempts[f.value]; a == nil || a.path != f.path {
			r.Errorf("nobody wrote that: %+v", f)
		}
	}
	for _, f := range last {
		acked, tried := 0, 0
		for _, a := range b.attempts {
			if a.path == f.path {
				tried++
				if a.acked {
					acked++
				}
			}
		}
		if n := int(f.version); n < acked || n > tried || f.version < b.newest[f.path] {
			r.Errorf("%s has version %d: %d writes were acknowledged, up to version %d, of %d", f.path, n, acked, b.newest[f.path], tried)
		}
	}
	chains := map[string][]fact{}
	for path, of := range facts {
		chains[path] = slices.SortedFunc(maps.Values(of), func(x, y fact) int { return cmp.Compare(x.version, y.version) })
		for i, f := range chains[path][1:] {
			if before := chains[path][i]; before.zxid >= f.zxid {
				r.Errorf("the zxid of %+v is not above that of %+v", f, before)
			}
		}
	}
	b.checkOrder(r, versions)
	b.checkForward(r, chains)
}

// checkOrder looks at each client's writes: those that are known to have been executed were so
// in the order in which they were sent, also where their acknowledgement was lost.
func (b *book) checkOrder(r reporter, versions map[string]fact) {
	known := map[string][]*attempt{}
	for value, f := range versions {
		if a := b.attempts[value]; a != nil {
			a.zxid = f.zxid
			known[a.client] = append(known[a.client], a)
		}
	}
	for client, of := range known {
		slices.SortFunc(of, func(x, y *attempt) int { return cmp.Compare(x.number, y.number) })
		for i, a := range of[1:] {
			if before := of[i]; before.zxid >= a.zxid {
				r.Errorf("client %s: write %d has zxid %#x, write %d after it %#x", client, before.number, before.zxid, a.number, a.zxid)
			}
		}
	}
}

// checkForward looks at each session: who was told of a transaction never reads a state from
// before it again, at whichever server.
func (b *book) checkForward(r reporter, chains map[string][]fact) {
	for session, of := range b.told {
		newest := int64(0)
		for _, f := range of {
			chain := chains[f.path]
			i, _ := slices.BinarySearchFunc(chain, f.version+1, func(g fact, v int32) int { return cmp.Compare(g.version, v) })
			if i < len(chain) && chain[i].zxid <= newest {
				r.Errorf("session %s knew zxid %#x and then read %+v, which %+v had replaced", session, newest, f, chain[i])
			}
			newest = max(newest, f.zxid)
		}
	}
}

// checkLog compares the nodes that were appended with what was told: those acknowledged are
// there, each one once, and those of a client in its order.
func (b *book) checkLog(r reporter, nodes map[string]node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string][]node{} // by client
	seen := map[string]string{}
	for path, n := range nodes {
		a := b.attempts[n.data]
		if a == nil {
			r.Errorf("%s holds %q, which nobody wrote", path, n.data)
			continue
		}
		if other := seen[n.data]; other != "" {
			r.Errorf("%q is there twice: %s and %s", n.data, other, path)
		}
		seen[n.data] = path
		n.number = a.number
		n.path = path
		found[a.client] = append(found[a.client], n)
	}
	for value, a := range b.attempts {
		if strings.HasPrefix(a.path, logPath) && a.acked && seen[value] != a.path {
			r.Errorf("%q was acknowledged as %s and is at %q", value, a.path, seen[value])
		}
	}
	for client, of := range found {
		slices.SortFunc(of, func(x, y node) int { return cmp.Compare(x.number, y.number) })
		for i, n := range of[1:] {
			if before := of[i]; before.stat.Czxid >= n.stat.Czxid || before.path >= n.path {
				r.Errorf("client %s: write %d is %s (%#x), write %d after it %s (%#x)", client, before.number, before.path, before.stat.Czxid, n.number, n.path, n.stat.Czxid)
			}
		}
	}
}
