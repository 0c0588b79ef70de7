package metadata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/millrace/millrace/metadata"
)

// suite is what every Store has to do. open gives another session on one and the same tree,
// below which there is nothing yet.
func suite(t *testing.T, tree func(t *testing.T) (open func() Store)) {
	for name, test := range map[string]func(*testing.T, func() Store){
		"semantics": testSemantics, "sessions": testSessions, "subscribe": testSubscribe, "many": testMany, "model": testModel, "refusals": testRefusals,
		"context": testContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, tree(t)) })
	}
}

func multi(t *testing.T, s Store, ops ...Op) Result {
	t.Helper()
	r, err := s.Multi(t.Context(), ops...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, s Store, path string) string {
	t.Helper()
	data, _, err := s.Get(t.Context(), path)
	if errors.Is(err, ErrNoNode) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func statOf(t *testing.T, s Store, path string) Stat {
	t.Helper()
	_, stat, err := s.Get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return stat
}

func testSemantics(t *testing.T, open func() Store) {
	s := open()
	must := func(ops ...Op) []OpResult { t.Helper(); return multi(t, s, ops...).Ops }
	refused := func(want error, index int, ops ...Op) {
		t.Helper()
		_, err := s.Multi(t.Context(), ops...)
		var m *MultiError
		if !errors.As(err, &m) || !errors.Is(err, want) || m.Index != index {
			t.Errorf("got %v, want %v at %d", err, want, index)
		}
	}
	must(Create("/a", []byte("x")))
	must(Create("/a/b", nil), Set("/a", []byte("y"), 0), Check("/a", 1))
	refused(ErrBadVersion, 1, Create("/z", nil), Set("/a", nil, 0))
	refused(ErrNodeExists, 2, Set("/a", []byte("q"), AnyVersion), Delete("/a/b", AnyVersion), Create("/a", nil))
	if get(t, s, "/a") != "y" || get(t, s, "/a/b") != "" || get(t, s, "/z") != "(none)" {
		t.Error("a refused multi left a trace")
	}
	refused(ErrNotEmpty, 0, Delete("/a", AnyVersion))
	refused(ErrNoNode, 0, Check("/nope", AnyVersion))
	refused(ErrNoNode, 0, Create("/no/parent", nil))
	refused(ErrNodeExists, 0, Create("/a/b", nil))
	refused(ErrBadArguments, 0, Create("/a/", nil))
	owner := must(CreateEphemeral("/e", nil))[0].Stat.EphemeralOwner
	refused(ErrNoChildrenForEphemerals, 0, Create("/e/c", nil))
	if owner != s.Session().ID || owner == 0 || statOf(t, s, "/e").EphemeralOwner != owner {
		t.Errorf("owner 0x%x, session 0x%x", owner, s.Session().ID)
	}
	must(Delete("/e", 0))
	if r := must(Set("/a", nil, 1), Set("/a", []byte("1"), 2)); r[0].Stat.Version != 2 || r[1].Stat.Version != 3 {
		t.Errorf("versions %+v", r)
	}

	// Sequential names count the creations, not the children.
	must(Create("/q", nil))
	names := []string{
		must(CreateSequential("/q/n-", nil))[0].Path,
		must(Create("/q/other", nil), CreateSequential("/q/n-", nil))[1].Path,
	}
	must(Delete("/q/other", AnyVersion))
	r := multi(t, s, CreateSequential("/q/", []byte("12345")))
	names = append(names, r.Ops[0].Path)
	if want := []string{"/q/n-0000000000", "/q/n-0000000002", "/q/0000000003"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	stat := statOf(t, s, "/q")
	if stat.Cversion != 5 || stat.NumChildren != 3 || stat.Pzxid != r.Zxid || stat.Version != 0 {
		t.Errorf("four creations and a removal: %+v", stat)
	}
	if stat := statOf(t, s, "/q/0000000003"); stat.Czxid != r.Zxid || stat.Mzxid != r.Zxid || stat.DataBytes != 5 || stat.CtimeMs == 0 {
		t.Errorf("%+v", stat)
	}
	if names, _, err := s.Children(t.Context(), "/q"); err != nil || fmt.Sprint(names) != "[0000000003 n-0000000000 n-0000000002]" {
		t.Errorf("children %v, %v", names, err)
	}
	if _, _, err := s.Children(t.Context(), "/nope"); !errors.Is(err, ErrNoNode) {
		t.Errorf("children of nothing: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "nope"); !errors.Is(err, ErrBadArguments) {
		t.Errorf("a path without a slash: %v", err)
	}
}

func testSessions(t *testing.T, open func() Store) {
	s, other := open(), open()
	multi(t, s, Create("/ids", nil), CreateEphemeral("/ids/1", []byte("me")))
	multi(t, other, CreateEphemeral("/ids/2", nil))
	if a, b := s.Session(), other.Session(); a.ID == b.ID || a.ID == 0 {
		t.Errorf("sessions %x and %x", a.ID, b.ID)
	}
	gone := make(chan struct{})
	once := sync.OnceFunc(func() { close(gone) })
	cancel, _ := s.Subscribe(0, func(txn Txn) {
		for _, e := range txn.Events {
			if e.Kind == Deleted && e.Path == "/ids/2" {
				once()
			}
		}
	})
	defer cancel()
	if names, _, err := s.Children(t.Context(), "/ids"); err != nil || fmt.Sprint(names) != "[1 2]" {
		t.Errorf("children %v, %v", names, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	<-other.Session().Done
	<-gone
	if get(t, s, "/ids/2") != "(none)" || get(t, s, "/ids/1") != "me" {
		t.Error("closing a session removes its ephemerals and no others")
	}
	if _, err := other.Multi(t.Context(), Create("/x", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed store writes: %v", err)
	}
	select {
	case <-s.Session().Done:
		t.Error("the other session ended too")
	default:
	}
}

// testRefusals: refused multis between others leave the rest alone.
func testRefusals(t *testing.T, open func() Store) {
	s := open()
	multi(t, s, Create("/q", nil))
	const n = 50
	var wg sync.WaitGroup
	results := make([]Result, n)
	errs := make([]error, n)
	for i := range n {
		ops := []Op{CreateSequential("/q/n", nil)}
		if i%5 == 0 {
			ops = append(ops, Check("/nope", AnyVersion))
		}
		wg.Go(func() { results[i], errs[i] = s.Multi(context.Background(), ops...) })
	}
	wg.Wait()
	seen := map[string]bool{}
	zxids := map[int64]bool{}
	for i := range n {
		if i%5 == 0 {
			if !errors.Is(errs[i], ErrNoNode) {
				t.Errorf("multi %d: %v", i, errs[i])
			}
			continue
		}
		if errs[i] != nil || seen[results[i].Ops[0].Path] || zxids[results[i].Zxid] {
			t.Fatalf("multi %d: %v, %v", i, results[i], errs[i])
		}
		seen[results[i].Ops[0].Path], zxids[results[i].Zxid] = true, true
	}
	if names, _, err := s.Children(t.Context(), "/q"); err != nil || len(names) != n*4/5 {
		t.Errorf("%d children, %v", len(names), err)
	}
}

// view folds what a subscription tells.
type view struct {
	mu    sync.Mutex
	nodes map[string]string
	zxid  int64
	moved chan struct{}
	wrong []string
}

func follow(t *testing.T, s Store, from int64) *view {
	v := &view{nodes: map[string]string{}, moved: make(chan struct{}), zxid: from}
	cancel, _ := s.Subscribe(from, v.told)
	t.Cleanup(cancel)
	return v
}

func (v *view) told(txn Txn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if txn.Snapshot {
		v.nodes = map[string]string{}
	} else if txn.Zxid <= v.zxid {
		v.wrong = append(v.wrong, fmt.Sprintf("zxid %d after %d", txn.Zxid, v.zxid))
	}
	v.zxid = txn.Zxid
	for _, e := range txn.Events {
		_, had := v.nodes[e.Path]
		parent := e.Path[:max(1, strings.LastIndexByte(e.Path, '/'))]
		if _, ok := v.nodes[parent]; !ok && e.Kind == Created && parent != "/" {
			v.wrong = append(v.wrong, e.Path+" before its parent")
		}
		switch {
		case e.Kind == Created && had, e.Kind != Created && !had:
			v.wrong = append(v.wrong, fmt.Sprintf("%s %v, and it was there: %t", e.Path, e.Kind, had))
		case e.Kind == Deleted:
			delete(v.nodes, e.Path)
		default:
			v.nodes[e.Path] = string(e.Data)
		}
	}
	close(v.moved)
	v.moved = make(chan struct{})
}

// await returns once the view holds a transaction.
func (v *view) await(t *testing.T, zxid int64) map[string]string {
	t.Helper()
	for {
		v.mu.Lock()
		at, moved := v.zxid, v.moved
		nodes, wrong := map[string]string{}, v.wrong
		for path, data := range v.nodes {
			nodes[path] = data
		}
		v.mu.Unlock()
		if len(wrong) > 0 {
			t.Fatalf("the stream is wrong: %v", wrong)
		}
		if at >= zxid {
			return nodes
		}
		select {
		case <-moved:
		case <-t.Context().Done():
			t.Fatal("the test ends")
		}
	}
}

func testSubscribe(t *testing.T, open func() Store) {
	s := open()
	r := multi(t, s, Create("/a", []byte("1")))
	v := follow(t, s, 0)
	if nodes := v.await(t, r.Zxid); nodes["/a"] != "1" {
		t.Errorf("a snapshot: %v", nodes)
	}
	multi(t, s, Create("/b", nil), Set("/b", []byte("x"), 0))
	multi(t, s, Delete("/b", AnyVersion), Create("/c", nil))
	last := multi(t, s, Set("/a", []byte("2"), AnyVersion), Create("/c/d", []byte("3")))
	nodes := v.await(t, last.Zxid)
	if _, ok := nodes["/b"]; ok || nodes["/a"] != "2" || nodes["/c/d"] != "3" {
		t.Errorf("got %v", nodes)
	}
	checked := multi(t, s, Check("/a", AnyVersion)) // whose zxid is waited for as well
	v.await(t, checked.Zxid)

	// One that is late, and one whose zxid does not exist.
	late := make(chan Txn, 100)
	cancel, _ := s.Subscribe(1<<62, func(txn Txn) { late <- txn })
	if txn := <-late; !txn.Snapshot || txn.Zxid < last.Zxid {
		t.Errorf("from a zxid that does not exist: %+v", txn)
	}
	cancel()
	multi(t, s, Create("/e", nil))
	select {
	case txn := <-late:
		t.Errorf("after cancel: %+v", txn)
	default:
	}
}

// testMany: many writers, readers and subscribers; what a subscriber folds is the tree.
func testMany(t *testing.T, open func() Store) {
	s, other := open(), open()
	multi(t, s, Create("/q", nil), Create("/n", []byte("0")))
	views := []*view{follow(t, s, 0), follow(t, other, 0), follow(t, s, 0)}
	const writers, each = 8, 20
	var work sync.WaitGroup
	for i := range writers {
		w := []Store{s, other}[i%2]
		work.Go(func() {
			for range each {
				r, err := w.Multi(context.Background(), CreateSequential("/q/n", nil), Set("/n", nil, AnyVersion))
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := w.Get(context.Background(), r.Ops[0].Path); err != nil {
					t.Errorf("what was written is not there: %v", err)
				}
			}
		})
	}
	work.Wait()
	last := multi(t, s, Set("/n", []byte("end"), AnyVersion))
	names, _, err := s.Children(t.Context(), "/q")
	if err != nil || len(names) != writers*each {
		t.Errorf("%d children, %v", len(names), err)
	}
	for i, v := range views {
		nodes := v.await(t, last.Zxid)
		for _, name := range names {
			if _, ok := nodes["/q/"+name]; !ok {
				t.Errorf("view %d lacks %s", i, name)
			}
		}
		if nodes["/n"] != "end" {
			t.Errorf("view %d: %v", i, nodes)
		}
	}
}

func testContext(t *testing.T, open func() Store) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Multi(ctx, Create("/a", nil)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("a context that had ended: %v", err)
	}
	if _, _, err := s.Get(ctx, "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	if get(t, s, "/a") != "(none)" {
		t.Error("it was written")
	}
}
