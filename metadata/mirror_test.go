package metadata

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// world is a server, a client with a mirror, and the wire between them, without a clock: each
// step is drawn.
type world struct {
	t        *testing.T
	tree     *testTree
	past     map[int64]map[string]string // the whole tree, by zxid
	mirror   *mirror
	requests []*read
	wire     []any // events (string) and answers, in the order of the server
	view     map[string]string
	zxid     int64
}

type answer struct {
	read  *read
	node  *mirrored
	names []string
	zxid  int64
}

// apply has the server take a transaction: its events are on the wire at once.
func (w *world) apply(ops ...Op) {
	events, err := w.tree.run(ops...)
	if err != nil {
		return
	}
	for _, e := range events {
		w.wire = append(w.wire, e.Path)
	}
	w.remember()
}

func (w *world) remember() {
	state := map[string]string{}
	for _, e := range w.tree.snapshot().Events {
		state[e.Path] = fmt.Sprint(e.Stat.Czxid, e.Stat.Mzxid)
	}
	w.past[w.tree.zxid()] = state
}

// serve has the server answer the next read.
func (w *world) serve() {
	if len(w.requests) == 0 {
		return
	}
	r := w.requests[0]
	w.requests = w.requests[1:]
	a := answer{read: r, zxid: w.tree.zxid()}
	for _, e := range w.tree.snapshot().Events {
		parent, name := split(e.Path)
		switch {
		case r.children && parent == r.path && e.Path != "/":
			a.names = append(a.names, name)
		case !r.children && e.Path == r.path:
			a.node = &mirrored{data: e.Data, stat: e.Stat}
		}
	}
	w.wire = append(w.wire, a)
}

// receive has the client take the next thing from the wire.
func (w *world) receive() {
	if len(w.wire) == 0 {
		return
	}
	next := w.wire[0]
	w.wire = w.wire[1:]
	switch x := next.(type) {
	case string:
		w.mirror.changed(x)
	case answer:
		if x.read.children {
			w.tell(w.mirror.listed(x.read, x.names, x.zxid))
		} else {
			w.tell(w.mirror.answered(x.read, x.node, x.zxid))
		}
	}
	w.send()
}

func (w *world) send() { w.requests = append(w.requests, w.mirror.next()...) }

// reconnect breaks the connection: what is on the wire is lost.
func (w *world) reconnect() {
	w.wire, w.requests = nil, nil
	w.mirror.stop()
	w.mirror.reset()
	w.send()
}

// tell checks each transaction: zxids grow, parents come first, and every node is as it was at
// the transaction's zxid or later.
func (w *world) tell(txns []Txn) {
	for _, txn := range txns {
		if txn.Snapshot {
			w.view = map[string]string{}
		} else if txn.Zxid <= w.zxid {
			w.t.Fatalf("zxid %d after %d: %v", txn.Zxid, w.zxid, txn.Events)
		}
		w.zxid = txn.Zxid
		for _, e := range txn.Events {
			_, had := w.view[e.Path]
			parent, _ := split(e.Path)
			if _, ok := w.view[parent]; e.Path != "/" && e.Kind == Created && !ok || had != (e.Kind != Created) {
				w.t.Fatalf("%v %s, there before %t, its parent %t", e.Kind, e.Path, had, ok)
			}
			if e.Kind == Changed && !strings.HasPrefix(w.view[e.Path], fmt.Sprint(e.Stat.Czxid, " ")) {
				w.t.Fatalf("%s is another node, and its end was not told", e.Path)
			}
			if e.Kind == Deleted {
				delete(w.view, e.Path)
			} else {
				w.view[e.Path] = fmt.Sprint(e.Stat.Czxid, e.Stat.Mzxid)
			}
		}
		w.check()
	}
}

func (w *world) check() {
	paths := map[string]bool{}
	for zxid, state := range w.past {
		if zxid >= w.zxid {
			for path := range state {
				paths[path] = true
			}
		}
	}
	for path := range w.view {
		paths[path] = true
	}
	latest := int64(0) // the state at the transaction's zxid is that of the last change up to it
	for zxid := range w.past {
		if zxid <= w.zxid {
			latest = max(latest, zxid)
		}
	}
	for path := range paths {
		told, there := w.view[path]
		ok := false
		for zxid, state := range w.past {
			if zxid < latest {
				continue
			}
			was, existed := state[path]
			ok = ok || there == existed && told == was
		}
		if !ok {
			w.t.Fatalf("told zxid %d, and %s is %q (%t), which it was at no time since", w.zxid, path, told, there)
		}
	}
}

func randomChange(rng *rand.Rand) []Op {
	path := func() string {
		p := ""
		for range 1 + rng.IntN(3) {
			p += "/" + string(rune('a'+rng.IntN(3)))
		}
		return p
	}
	var ops []Op
	for range 1 + rng.IntN(3) {
		switch rng.IntN(4) {
		case 0, 1:
			ops = append(ops, Create(path(), nil))
		case 2:
			ops = append(ops, Set(path(), []byte{1}, AnyVersion))
		case 3:
			ops = append(ops, Delete(path(), AnyVersion))
		}
	}
	return ops
}

// TestMirrorFollows draws what happens where next; in the end the mirror has the tree.
func TestMirrorFollows(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range testkit.Rounds(t, "MIRROR_ROUNDS", 100) {
		rng := testkit.NewRand(seed + uint64(round))
		w := &world{t: t, tree: newTestTree(), past: map[int64]map[string]string{}, mirror: newMirror(), view: map[string]string{}}
		w.remember()
		w.reconnect()
		for range 150 {
			switch n := rng.IntN(40); {
			case n < 10:
				w.apply(randomChange(rng)...)
			case n < 22:
				w.serve()
			case n < 36:
				w.receive()
			case n < 39:
				if len(w.mirror.batches) > 0 && w.mirror.zxid > 0 { // as under a load that never pauses
					last := w.mirror.batches[len(w.mirror.batches)-1]
					if !last.walk && !last.ended {
						last.ended, last.zxid = true, w.mirror.seen
					}
				}
			default:
				w.reconnect()
			}
		}
		for len(w.wire)+len(w.requests) > 0 {
			w.serve()
			w.receive()
		}
		w.apply(Create("/end", nil))
		for len(w.wire)+len(w.requests) > 0 {
			w.serve()
			w.receive()
		}
		if want := w.past[w.tree.zxid()]; !maps.Equal(w.view, want) {
			t.Fatalf("SEED=%d, round %d: told\n%v\nthe tree is\n%v", seed, round, w.view, want)
		}
	}
}
