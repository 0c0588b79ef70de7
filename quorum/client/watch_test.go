package client

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/quorum/jute"
)

func TestWhoIsToldWhat(t *testing.T) {
	var log []string
	var w watches
	for _, k := range []struct {
		name string
		call call
		code jute.Code
	}{
		{"data", call{op: jute.OpGetData, node: "/a/b"}, jute.OK},
		{"data by exists", call{op: jute.OpExists, node: "/a/b"}, jute.OK},
		{"exist", call{op: jute.OpExists, node: "/a/new"}, jute.NoNode},
		{"none", call{op: jute.OpGetData, node: "/a/new"}, jute.NoNode},
		{"child", call{op: jute.OpGetChildren, node: "/a/b"}, jute.OK},
		{"child2", call{op: jute.OpGetChildren2, node: "/a"}, jute.OK},
		{"persistent", call{op: jute.OpAddWatch, node: "/a"}, jute.OK},
		{"recursive", call{op: jute.OpAddWatch, node: "/a", addMode: jute.WatchPersistentRecursive}, jute.OK},
		{"root", call{op: jute.OpAddWatch, node: "/", addMode: jute.WatchPersistentRecursive}, jute.OK},
		{"no", call{op: jute.OpAddWatch, node: "/a"}, jute.NoAuth},
	} {
		k.call.watch = func(Event) { log = append(log, k.name) }
		w.register(&k.call, k.code)
	}
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Type: jute.EventChildrenChanged, Path: "/a"}, "child2 persistent"},
		{Event{Type: jute.EventChildrenChanged, Path: "/a"}, "persistent"},
		{Event{Type: jute.EventCreated, Path: "/a/new"}, "exist recursive root"},
		{Event{Type: jute.EventDataChanged, Path: "/a/new"}, "recursive root"},
		{Event{Type: jute.EventDataChanged, Path: "/a"}, "persistent recursive root"},
		{Event{Type: jute.EventDataChanged, Path: "/ab"}, "root"},
		{Event{Type: jute.EventDeleted, Path: "/a/b"}, "child data data by exists recursive root"},
		{Event{Type: jute.EventDeleted, Path: "/"}, "root"},
		{Event{Type: jute.EventDeleted, Path: ""}, ""},
	} {
		log = nil
		w.fire(c.e.Path, c.e)
		slices.Sort(log)
		if got := strings.Join(log, " "); got != c.want {
			t.Errorf("%v %s: told %q, want %q", c.e.Type, c.e.Path, got, c.want)
		}
	}
}

func TestWatchesAreRemoved(t *testing.T) {
	c, _ := newIdle()
	w := &c.watches
	var log []string
	told := 0
	c.cfg.OnEvent = func(Event) { told++ }
	add := func() {
		*w = watches{}
		told = 0
		for _, m := range []*watchMap{&w.data, &w.exist, &w.child, &w.persistent, &w.recursive} {
			m.add("/x", func(e Event) { log = append(log, e.Type.String()) })
		}
		log = nil
	}
	for _, k := range []struct {
		which      jute.WatcherType
		want       string
		left, told int
	}{
		{jute.WatcherChildren, "ChildWatchRemoved", 4, 1},
		{jute.WatcherData, "DataWatchRemoved DataWatchRemoved", 3, 1},
		{jute.WatcherAny, "DataWatchRemoved DataWatchRemoved ChildWatchRemoved PersistentWatchRemoved PersistentWatchRemoved", 0, 3},
	} {
		add()
		if err := c.removed(&call{path: "/x", node: "/x", watchers: k.which}); err != nil {
			t.Error(err)
		}
		if err := c.removed(&call{path: "/y", node: "/y", watchers: k.which}); !errors.Is(err, jute.NoWatcher) {
			t.Errorf("got %v", err)
		}
		left := len(w.data) + len(w.exist) + len(w.child) + len(w.persistent) + len(w.recursive)
		if got := strings.Join(log, " "); got != k.want || left != k.left || told != k.told {
			t.Errorf("%d: told %q, %d are left", k.which, got, left)
		}
	}
}

func TestChroot(t *testing.T) {
	c := &Client{chroot: "/root"}
	for _, p := range [][2]string{{"/", "/root"}, {"/a", "/root/a"}} {
		if got := c.serverPath(p[0]); got != p[1] {
			t.Errorf("%s became %s", p[0], got)
		}
		if got := c.clientPath(p[1]); got != p[0] {
			t.Errorf("%s became %s", p[1], got)
		}
	}
	for _, p := range []string{"/rooted", "/other", "/"} {
		if got := c.clientPath(p); got != p {
			t.Errorf("%s became %s", p, got)
		}
	}
}

// FuzzServer: no packet of a server makes a client panic or call twice.
func FuzzServer(f *testing.F) {
	for _, r := range []jute.Record{
		&jute.ReplyHeader{Xid: 1}, &jute.ReplyHeader{Xid: jute.XidNotification, Zxid: -1}, &jute.ReplyHeader{Xid: jute.XidAuth, Err: jute.AuthFailed}, &jute.ReplyHeader{Xid: jute.XidSetWatches},
	} {
		f.Add(int32(jute.OpMulti), append(r.AppendTo(nil), make([]byte, 80)...))
	}
	f.Fuzz(func(t *testing.T, op int32, packet []byte) {
		c, err := newIdle()
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		c.pending = []*call{{xid: 1, op: jute.OpCode(op), path: "/", done: func(*Reply, error) { told++ }, watch: func(Event) {}}}
		err = c.handle(jute.NewReader(packet))
		if want := 1 - len(c.pending); told != want {
			t.Fatalf("told %d times, %d pending, %v", told, len(c.pending), err)
		}
	})
}
