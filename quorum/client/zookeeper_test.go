package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/quorum/jute"
)

// connect returns a client of real servers.
func connect(t *testing.T, servers string, change func(*Config)) *Client {
	t.Helper()
	seed := testkit.Seed(t)
	cfg := Config{
		Servers: servers, SessionTimeout: 10 * time.Second, Dial: dialTCP, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(seed, 1)),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	return c
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// patience is for what only a broken test waits for.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAgainstZooKeeper(t *testing.T) {
	zkserver.Need(t)
	e := zkserver.Launch(t, zkserver.Options{Config: map[string]string{"extendedTypesEnabled": "true"}})
	testServer(t, e.ConnectString())
}

// testServer holds one server to what the client needs of it.
func testServer(t *testing.T, address string) {
	ctx := patience(t)
	base := connect(t, address, nil)
	if err := base.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := base.Create(ctx, "/root", nil, nil, jute.Persistent); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, *Client){
		"nodes": testNodes, "multi": testMulti, "watches": testWatches, "acl": testACL, "persistent": testPersistent, "lists": testLists, "large": testLarge,
	} {
		t.Run(name, func(t *testing.T) {
			ctx := patience(t)
			if _, err := base.Create(ctx, "/root/"+name, nil, nil, jute.Persistent); err != nil {
				t.Fatal(err)
			}
			c := connect(t, address+"/root/"+name, nil)
			test(t, c)
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func testNodes(t *testing.T, c *Client) {
	ctx := patience(t)
	path, st, err := c.CreateStat(ctx, "/a", []byte("1"), nil, jute.Persistent)
	if err != nil || path != "/a" || st.Czxid == 0 || st.DataLength != 1 {
		t.Fatal(path, st, err)
	}
	if _, err := c.Create(ctx, "/a", nil, nil, jute.Persistent); !errors.Is(err, jute.NodeExists) || err.Error() != "create /a: NodeExists" {
		t.Errorf("got %v", err)
	}
	if path, err = c.Create(ctx, "/a/s-", nil, nil, jute.PersistentSequential); err != nil || path != "/a/s-0000000000" {
		t.Error(path, err)
	}
	if path, err = c.Create(ctx, "/a/e", []byte{}, nil, jute.Ephemeral); err != nil {
		t.Error(err)
	}
	if _, err := c.Create(ctx, "/a/e/x", nil, nil, jute.Persistent); !errors.Is(err, jute.NoChildrenForEphemerals) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Create(ctx, "/cont", nil, nil, jute.Container); err != nil {
		t.Error(err)
	}
	if _, _, err := c.CreateTTL(ctx, "/ttl", nil, nil, jute.PersistentTTL, 60_000); err != nil {
		t.Error(err)
	}
	// Null and empty data are two things.
	if data, _, err := c.Get(ctx, "/a/s-0000000000"); err != nil || data != nil {
		t.Errorf("null data became %v (%v)", data, err)
	}
	if data, st, err := c.Get(ctx, "/a/e"); err != nil || data == nil || len(data) != 0 || st.EphemeralOwner != c.Session().ID {
		t.Errorf("empty data became %v (%+v, %v)", data, st, err)
	}
	if st, err = c.Set(ctx, "/a", []byte("22"), 0); err != nil || st.Version != 1 {
		t.Error(st, err)
	}
	if _, err = c.Set(ctx, "/a", nil, 0); !errors.Is(err, jute.BadVersion) {
		t.Errorf("got %v", err)
	}
	if data, _, err := c.Get(ctx, "/a"); string(data) != "22" || err != nil {
		t.Error(data, err)
	}
	names, st, err := c.Children(ctx, "/a")
	if slices.Sort(names); !slices.Equal(names, []string{"e", "s-0000000000"}) || st.NumChildren != 2 || err != nil {
		t.Error(names, st, err)
	}
	if there, _, err := c.Exists(ctx, "/nope"); there || err != nil {
		t.Error(there, err)
	}
	if there, st, err := c.Exists(ctx, "/a"); !there || err != nil || st.Version != 1 {
		t.Error(there, err)
	}
	if err := c.Delete(ctx, "/a", -1); !errors.Is(err, jute.NotEmpty) {
		t.Errorf("got %v", err)
	}
	if err := c.Delete(ctx, "/a/s-0000000000", 0); err != nil {
		t.Error(err)
	}
	if err := c.Sync(ctx, "/"); err != nil {
		t.Error(err)
	}
	if _, _, err := c.EnsembleConfig(ctx); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Get(ctx, "/nope"); !errors.Is(err, jute.NoNode) || CodeOf(err) != jute.NoNode {
		t.Errorf("got %v", err)
	}
}

func testMulti(t *testing.T, c *Client) {
	ctx := patience(t)
	res, err := c.Multi(ctx,
		jute.MultiOp{Type: jute.OpCreate, Path: "/a", Data: []byte("1")},
		jute.MultiOp{Type: jute.OpCreate2, Path: "/a/b"},
		jute.MultiOp{Type: jute.OpSetData, Path: "/a", Data: []byte("2"), Version: 0},
		jute.MultiOp{Type: jute.OpCheck, Path: "/a", Version: 1},
		jute.MultiOp{Type: jute.OpDelete, Path: "/a/b", Version: -1})
	if err != nil || len(res) != 5 || res[0].Path != "/a" || res[1].Path != "/a/b" || res[2].Stat.Version != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = c.Multi(ctx,
		jute.MultiOp{Type: jute.OpSetData, Path: "/a", Version: -1},
		jute.MultiOp{Type: jute.OpDelete, Path: "/nope", Version: -1},
		jute.MultiOp{Type: jute.OpCheck, Path: "/a", Version: -1})
	var e *Error
	if !errors.As(err, &e) || e.Code != jute.NoNode || e.Path != "/nope" || e.Op != jute.OpDelete || len(res) != 3 || res[0].Err != jute.OK || res[2].Err != jute.RuntimeInconsistency {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = c.MultiRead(ctx, jute.MultiOp{Type: jute.OpGetData, Path: "/a"}, jute.MultiOp{Type: jute.OpGetData, Path: "/nope"}, jute.MultiOp{Type: jute.OpGetChildren, Path: "/"})
	if err != nil || len(res) != 3 || string(res[0].Data) != "2" || res[1].Err != jute.NoNode || !slices.Equal(res[2].Children, []string{"a"}) {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := c.Multi(ctx); err != nil || len(res) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func testWatches(t *testing.T, c *Client) {
	ctx := patience(t)
	_, _, created, err := c.ExistsW(ctx, "/w")
	if err != nil {
		t.Fatal(err)
	}
	_, _, children, err := c.ChildrenW(ctx, "/")
	if err != nil {
		t.Fatal(err)
	}
	want := func(ch <-chan Event, typ jute.EventType, path string) {
		t.Helper()
		// The event is there before the answer to what caused it.
		select {
		case e := <-ch:
			if e != (Event{Type: typ, State: Connected, Path: path}) {
				t.Errorf("got %+v, want %v %s", e, typ, path)
			}
		default:
			t.Errorf("no event, want %v %s", typ, path)
		}
	}
	if _, err := c.Create(ctx, "/w", nil, nil, jute.Persistent); err != nil {
		t.Fatal(err)
	}
	want(created, jute.EventCreated, "/w")
	want(children, jute.EventChildrenChanged, "/")
	_, _, data, err := c.GetW(ctx, "/w")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(ctx, "/w", nil, -1); err != nil {
		t.Fatal(err)
	}
	want(data, jute.EventDataChanged, "/w")
	_, _, removed, err := c.GetW(ctx, "/w")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveWatches(ctx, "/w", jute.WatcherAny); err != nil {
		t.Error(err)
	}
	if e := <-removed; e.Type != jute.EventDataWatchRemoved {
		t.Errorf("got %+v", e)
	}
	if err := c.RemoveWatches(ctx, "/w", jute.WatcherAny); !errors.Is(err, jute.NoWatcher) {
		t.Errorf("got %v", err)
	}
}

func testPersistent(t *testing.T, c *Client) {
	ctx := patience(t)
	var mu sync.Mutex
	var log []string
	note := func(name string) func(Event) {
		return func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprint(name, " ", e.Type, " ", e.Path))
		}
	}
	if err := c.AddWatch(ctx, "/p", jute.WatchPersistent, note("p")); err != nil {
		t.Fatal(err)
	}
	if err := c.AddWatch(ctx, "/", jute.WatchPersistentRecursive, note("r")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/p", "/p/q", "/p/q/r"} {
		if _, err := c.Create(ctx, path, nil, nil, jute.Persistent); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Set(ctx, "/p", nil, -1); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, "/p/q/r", -1); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := "p NodeCreated /p|r NodeCreated /p|r NodeCreated /p/q|p NodeChildrenChanged /p|r NodeCreated /p/q/r|p NodeDataChanged /p|r NodeDataChanged /p|r NodeDeleted /p/q/r"
	if got := strings.Join(log, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func testACL(t *testing.T, c *Client) {
	ctx := patience(t)
	me := jute.DigestID("user:secret")
	acl := []jute.ACL{{Perms: jute.PermAll, ID: me}, {Perms: jute.PermRead, ID: jute.WorldAnyone}}
	if _, err := c.Create(ctx, "/a", nil, acl, jute.Persistent); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(ctx, "/a", nil, -1); !errors.Is(err, jute.NoAuth) {
		t.Errorf("got %v", err)
	}
	if err := c.AddAuth(ctx, jute.SchemeDigest, []byte("user:secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(ctx, "/a", nil, -1); err != nil {
		t.Error(err)
	}
	got, st, err := c.GetACL(ctx, "/a")
	if err != nil || !slices.Equal(got, acl) || st.Aversion != 0 {
		t.Error(got, st, err)
	}
	if st, err := c.SetACL(ctx, "/a", jute.OpenACL(), 0); err != nil || st.Aversion != 1 {
		t.Error(st, err)
	}
	infos, err := c.WhoAmI(ctx)
	if err != nil || !slices.Contains(infos, jute.ClientInfo{Scheme: "digest", User: "user"}) {
		t.Error(infos, err)
	}
	if err := c.AddAuth(ctx, "nonsense", nil); !errors.Is(err, jute.AuthFailed) || c.State() != AuthFailed {
		t.Errorf("got %v, and the state is %v", err, c.State())
	}
}

func testLists(t *testing.T, c *Client) {
	ctx := patience(t)
	for _, path := range []string{"/e1", "/e2", "/other"} {
		if _, err := c.Create(ctx, path, nil, nil, jute.Ephemeral); err != nil {
			t.Fatal(err)
		}
	}
	paths, err := c.Ephemerals(ctx, "/e")
	if slices.Sort(paths); err != nil || !slices.Equal(paths, []string{"/e1", "/e2"}) {
		t.Error(paths, err)
	}
	if n, err := c.AllChildrenNumber(ctx, "/"); err != nil || n != 3 {
		t.Error(n, err)
	}
}

func testLarge(t *testing.T, c *Client) {
	ctx := patience(t)
	data := make([]byte, 900_000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	if _, err := c.Create(ctx, "/large", data, nil, jute.Persistent); err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.Get(ctx, "/large"); err != nil || !slices.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Many calls at once.
	var mu sync.Mutex
	done, order := make(chan struct{}), 0
	for i := range 2000 {
		_ = c.Send(&Request{Op: jute.OpCreate, Path: fmt.Sprintf("/n%d", i), Data: data[:100]}, func(p *Reply, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil || p.Path != fmt.Sprintf("/n%d", i) || order != i {
				t.Errorf("%d: %v, at place %d", i, err, order)
			}
			if order++; order == 2000 {
				close(done)
			}
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}

// The session and its watches outlive the server that they are on.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an ensemble of three")
	}
	zkserver.Need(t)
	e := zkserver.Launch(t, zkserver.Options{Servers: 3})
	ctx := patience(t)
	again := make(chan struct{}, 100)
	c := connect(t, e.ConnectString(), func(cfg *Config) {
		cfg.OnState = func(s State) {
			if s == Connected {
				again <- struct{}{}
			}
		}
	})
	if _, err := c.Create(ctx, "/e", []byte("x"), nil, jute.Ephemeral); err != nil {
		t.Fatal(err)
	}
	<-again
	_, _, ch, err := c.GetW(ctx, "/e")
	if err != nil {
		t.Fatal(err)
	}
	session, server := c.Session(), c.Server()
	for _, s := range e.Servers {
		if s.Addr() == server {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-again
	if c.Session().ID != session.ID || c.Server() == server {
		t.Errorf("session %x on %s became %x on %s", session.ID, server, c.Session().ID, c.Server())
	}
	for {
		// The connection may break once more while the ensemble elects.
		_, err := c.Set(ctx, "/e", nil, -1)
		if err == nil {
			break
		}
		if !errors.Is(err, jute.ConnectionLoss) {
			t.Fatal(err)
		}
	}
	select {
	case ev := <-ch:
		if ev.Type != jute.EventDataChanged || ev.Path != "/e" {
			t.Errorf("got %+v", ev)
		}
	default:
		t.Error("the watch was lost")
	}
}
