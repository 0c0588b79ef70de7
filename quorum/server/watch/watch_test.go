package watch

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type receiver struct{ got []string }

func (r *receiver) Notify(e *Event) { r.got = append(r.got, fmt.Sprintf("%d %s", e.Type, e.Path)) }

func (r *receiver) take() []string {
	got := r.got
	r.got = nil
	return got
}

func roomy() *Table { return New(Limits{PerWatcherBytes: 1 << 30, TotalBytes: 1 << 40}) }

func events(list ...string) []string { return list }

func created(p string) string  { return fmt.Sprintf("%d %s", jute.EventCreated, p) }
func deleted(p string) string  { return fmt.Sprintf("%d %s", jute.EventDeleted, p) }
func changed(p string) string  { return fmt.Sprintf("%d %s", jute.EventDataChanged, p) }
func children(p string) string { return fmt.Sprintf("%d %s", jute.EventChildrenChanged, p) }

func TestEventsOfEachKind(t *testing.T) {
	for _, c := range []struct {
		name string
		add  map[string]Kind
		want []string // of: create /a/b, set /a/b, delete /a/b, and the same again
	}{
		{"data", map[string]Kind{"/a/b": Data}, events(created("/a/b"))},
		{"children of the node", map[string]Kind{"/a/b": Children}, events(deleted("/a/b"))},
		{"children of the parent", map[string]Kind{"/a": Children}, events(children("/a"))},
		{"data of the parent", map[string]Kind{"/a": Data}, nil},
		{"data and children", map[string]Kind{"/a/b": Data | Children}, events(created("/a/b"), deleted("/a/b"))},
		{"persistent", map[string]Kind{"/a/b": Persistent}, slices.Repeat(events(created("/a/b"), changed("/a/b"), deleted("/a/b")), 2)},
		{"persistent on the parent", map[string]Kind{"/a": Persistent}, slices.Repeat(events(children("/a"), children("/a")), 2)},
		{"recursive on the root", map[string]Kind{"/": Recursive}, slices.Repeat(events(created("/a/b"), changed("/a/b"), deleted("/a/b")), 2)},
		{"recursive on the node", map[string]Kind{"/a/b": Recursive}, slices.Repeat(events(created("/a/b"), changed("/a/b"), deleted("/a/b")), 2)},
		{"recursive twice is told once", map[string]Kind{"/": Recursive, "/a": Recursive, "/a/b": Recursive | Data | Persistent},
			slices.Repeat(events(created("/a/b"), changed("/a/b"), deleted("/a/b")), 2)},
		{"recursive and children of the parent", map[string]Kind{"/a": Recursive | Children},
			events(created("/a/b"), children("/a"), changed("/a/b"), deleted("/a/b"), created("/a/b"), changed("/a/b"), deleted("/a/b"))},
		{"a name that begins alike", map[string]Kind{"/a/bb": Recursive, "/aa": Recursive}, nil},
	} {
		table, r := roomy(), &receiver{}
		w := table.Watcher(r)
		for _, p := range slices.Sorted(maps.Keys(c.add)) {
			if !table.Add(w, p, c.add[p]) {
				t.Fatal("refused")
			}
		}
		for range 2 {
			table.Created(Node{Path: "/a/b"})
			table.Changed(Node{Path: "/a/b"})
			table.Deleted(Node{Path: "/a/b"})
		}
		if got := r.take(); !slices.Equal(got, c.want) {
			t.Errorf("%s: told %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWatcherThatLeftIsForgotten(t *testing.T) {
	table, r := roomy(), &receiver{}
	w, other := table.Watcher(r), table.Watcher(&receiver{})
	for i := range 100 {
		table.Add(w, fmt.Sprint("/", i), Kind(1<<(i%6)))
	}
	table.Add(other, "/5", Data)
	table.Leave(w)
	table.Add(w, "/late", Data)
	for i := range 100 {
		table.Deleted(Node{Path: fmt.Sprint("/", i)})
	}
	if got := r.take(); got != nil {
		t.Errorf("told %v", got)
	}
	if s := table.Summary(); s != (Summary{}) || len(table.paths) != 0 || table.recursive != 0 {
		t.Errorf("left behind: %+v, %d paths, %d recursive", s, len(table.paths), table.recursive)
	}
}

func TestGreedyWatcherIsRefusedAndModestOneIsNot(t *testing.T) {
	table := New(Limits{PerWatcherBytes: 100_000, TotalBytes: 150_000})
	fill := func(w *Watcher) (n int) {
		for ; n < 10_000; n++ {
			if !table.Add(w, fmt.Sprintf("/%p/%d", w, n), Data) {
				return n
			}
		}
		return n
	}
	greedy, second := table.Watcher(&receiver{}), table.Watcher(&receiver{})
	if n := fill(greedy); n < 100 || n > 700 {
		t.Errorf("the first got %d watches", n)
	}
	if n := fill(second); n < 10 || n > 400 {
		t.Errorf("the second got %d watches", n)
	}
	if !table.Add(table.Watcher(&receiver{}), "/modest", Data) {
		t.Error("who holds nothing is refused")
	}
	if !table.Add(greedy, fmt.Sprintf("/%p/0", greedy), Children) {
		t.Error("a mark on a path that is watched costs nothing and is refused")
	}
	table.Leave(greedy)
	table.Leave(second)
	if got := table.Summary().Bytes; got != cost("/modest") {
		t.Errorf("%d bytes are charged", got)
	}
}

// model is ZooKeeper's two watch managers, written down as plainly as possible.
type model map[string]map[string]Kind // watcher, path, marks

func (m model) fire(name string, typ jute.EventType) map[string][]string {
	out := map[string][]string{}
	trigger := func(at string, typ jute.EventType, once, stays, recursive Kind, quiet map[string]bool) map[string]bool {
		told := map[string]bool{}
		for w, paths := range m {
			for p, marks := range paths {
				hit := p == at && marks&(once|stays) != 0
				if typ != jute.EventChildrenChanged && marks&recursive != 0 && (p == at || p == "/" || strings.HasPrefix(at, p+"/")) {
					hit = true
				}
				if p == at {
					paths[p] = marks &^ once
				}
				if hit {
					told[w] = true
				}
			}
		}
		for w := range told {
			if !quiet[w] {
				out[w] = append(out[w], fmt.Sprintf("%d %s", typ, at))
			}
		}
		return told
	}
	told := trigger(name, typ, Data, persistentData, recursiveData, nil)
	if typ == jute.EventDeleted {
		trigger(name, typ, Children, persistentChildren, recursiveChildren, told)
	}
	if typ != jute.EventDataChanged {
		trigger(parent(name), jute.EventChildrenChanged, Children, persistentChildren, 0, nil)
	}
	return out
}

func (m model) summary() (s Summary) {
	paths := map[string]bool{}
	for _, marks := range m {
		had := false
		for p, k := range marks {
			if k&AllData != 0 {
				s.Watches++
				s.All++
				paths[p], had = true, true
			}
			if k&AllChildren != 0 {
				s.All++
			}
			if k != 0 {
				s.Bytes += cost(p)
			}
		}
		if had {
			s.Watchers++
		}
	}
	s.Paths = len(paths)
	return s
}

func TestAgainstAModel(t *testing.T) {
	rng := testkit.Rand(t)
	for range 200 {
		runModel(t, rng)
	}
}

func runModel(t *testing.T, rng *rand.Rand) {
	t.Helper()
	paths := []string{"/", "/a", "/b", "/a/b", "/a/c", "/ab", "/a/b/c", "/a/b/c/d"}
	kinds := []Kind{Data, Children, Persistent, Recursive}
	removes := []Kind{AllData, AllChildren, Any, Persistent, Recursive}
	table, m := roomy(), model{}
	receivers, watchers := map[string]*receiver{}, map[string]*Watcher{}
	for _, name := range []string{"x", "y", "z"} {
		receivers[name], m[name] = &receiver{}, map[string]Kind{}
		watchers[name] = table.Watcher(receivers[name])
	}
	pick := func() (string, string) { return []string{"x", "y", "z"}[rng.IntN(3)], paths[rng.IntN(len(paths))] }
	for step := range 150 {
		w, p := pick()
		switch n := rng.IntN(10); {
		case n < 5:
			k := kinds[rng.IntN(len(kinds))]
			table.Add(watchers[w], p, k)
			m[w][p] |= k
		case n == 5:
			k := removes[rng.IntN(len(removes))]
			if had, want := table.Has(watchers[w], p, k), m[w][p]&k != 0; had != want {
				t.Fatalf("step %d: %s has %v on %s: %v", step, w, k, p, had)
			}
			if was, want := table.Remove(watchers[w], p, k), m[w][p]&k != 0; was != want {
				t.Fatalf("step %d: removed: %v, want %v", step, was, want)
			}
			m[w][p] &^= k
		case n == 6 && rng.IntN(5) == 0:
			table.Leave(watchers[w])
			watchers[w], m[w] = table.Watcher(receivers[w]), map[string]Kind{}
		default:
			typ := []jute.EventType{jute.EventCreated, jute.EventDataChanged, jute.EventDeleted}[rng.IntN(3)]
			if p == "/" {
				typ = jute.EventDataChanged
			}
			want := m.fire(p, typ)
			switch typ {
			case jute.EventCreated:
				table.Created(Node{Path: p})
			case jute.EventDataChanged:
				table.Changed(Node{Path: p})
			default:
				table.Deleted(Node{Path: p})
			}
			for name, r := range receivers {
				if got := r.take(); !slices.Equal(got, want[name]) {
					t.Fatalf("step %d: %v of %s told %s %v, want %v", step, typ, p, name, got, want[name])
				}
			}
		}
		if got, want := table.Summary(), m.summary(); got != want {
			t.Fatalf("step %d: %+v, want %+v", step, got, want)
		}
	}
}

func BenchmarkOneShot(b *testing.B) {
	table := roomy()
	w := table.Watcher(&receiver{})
	table.Add(table.Watcher(&receiver{}), "/other", Data)
	b.ReportAllocs()
	for b.Loop() {
		table.Add(w, "/bench/node", Data)
		table.Changed(Node{Path: "/bench/node"})
		w.receiver.(*receiver).got = nil
	}
}
