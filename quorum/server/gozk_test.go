package server

import (
	"errors"
	"fmt"
	"io"
	"log"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// goClient is go-zookeeper's client.
func goClient(t *testing.T, p *testPort) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{p.addr}, 10*time.Second, zk.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	deadline := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return c
			}
		case <-deadline:
			t.Fatal("no session")
		}
	}
}

func await(t *testing.T, ch <-chan zk.Event, typ zk.EventType, path string) {
	t.Helper()
	select {
	case e := <-ch:
		if e.Type != typ || e.Path != path || e.Err != nil {
			t.Errorf("told %+v, want %v of %s", e, typ, path)
		}
	case <-time.After(patience):
		t.Errorf("not told %v of %s", typ, path)
	}
}

func TestGoZookeeper(t *testing.T) {
	p := startPort(t, nil)
	c, other := goClient(t, p), goClient(t, p)
	open := zk.WorldACL(zk.PermAll)

	_, _, made, err := other.ExistsW("/a")
	if err != nil {
		t.Fatal(err)
	}
	if path, err := c.Create("/a", []byte("1"), 0, open); path != "/a" || err != nil {
		t.Fatal(path, err)
	}
	await(t, made, zk.EventNodeCreated, "/a")

	data, st, changed, err := other.GetW("/a")
	if string(data) != "1" || st.Version != 0 || err != nil {
		t.Fatal(string(data), st, err)
	}
	_, _, children, err := other.ChildrenW("/a")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := c.Set("/a", []byte("2"), 0); err != nil || st.Version != 1 {
		t.Fatal(st, err)
	}
	await(t, changed, zk.EventNodeDataChanged, "/a")
	if _, err := c.Set("/a", []byte("2"), 0); !errors.Is(err, zk.ErrBadVersion) {
		t.Error(err)
	}
	path, err := c.CreateProtectedEphemeralSequential("/a/lock-", nil, open)
	if err != nil {
		t.Fatal(err)
	}
	await(t, children, zk.EventNodeChildrenChanged, "/a")
	names, st, err := other.Children("/a")
	if err != nil || len(names) != 1 || "/a/"+names[0] != path || st.NumChildren != 1 {
		t.Error(names, st, err, path)
	}
	if err := c.Delete("/a", -1); !errors.Is(err, zk.ErrNotEmpty) {
		t.Error(err)
	}
	if _, err := c.CreateContainer("/box", nil, zk.FlagContainer, open); err != nil {
		t.Error(err)
	}
	if _, err := c.CreateTTL("/ttl", nil, zk.FlagTTL, open, time.Minute); err != nil {
		t.Error(err)
	}
	if p, err := c.Sync("/a"); p != "/a" || err != nil {
		t.Error(p, err)
	}
	results, err := c.Multi(&zk.CheckVersionRequest{Path: "/a", Version: 1}, &zk.CreateRequest{Path: "/m", Data: []byte("m"), Acl: open},
		&zk.SetDataRequest{Path: "/a", Data: []byte("3"), Version: -1}, &zk.DeleteRequest{Path: "/m", Version: -1})
	if err != nil || len(results) != 4 || results[1].String != "/m" || results[2].Stat.Version != 2 {
		t.Error(results, err)
	}
	if results, err := c.Multi(&zk.SetDataRequest{Path: "/a", Version: -1}, &zk.DeleteRequest{Path: "/none", Version: -1}); !errors.Is(err, zk.ErrNoNode) {
		t.Error(results, err)
	}
	goACL(t, c, other)
}

func goACL(t *testing.T, c, other *zk.Conn) {
	t.Helper()
	if err := c.AddAuth("digest", []byte("joe:pw")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/mine", []byte("x"), 0, zk.AuthACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Get("/mine"); !errors.Is(err, zk.ErrNoAuth) {
		t.Error(err)
	}
	acl, _, err := c.GetACL("/mine")
	if err != nil || !slices.Equal(acl, zk.DigestACL(zk.PermAll, "joe", "pw")) {
		t.Error(acl, err)
	}
	if st, err := c.SetACL("/mine", zk.WorldACL(zk.PermRead), -1); err != nil || st.Aversion != 1 {
		t.Error(st, err)
	}
	if _, _, err := other.Get("/mine"); err != nil {
		t.Error(err)
	}
}

// The client's own recipe.
func TestGoZookeeperLock(t *testing.T) {
	p := startPort(t, nil)
	c, other := goClient(t, p), goClient(t, p)
	lock := zk.NewLock(c, "/lock", zk.WorldACL(zk.PermAll))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	second := zk.NewLock(other, "/lock", zk.WorldACL(zk.PermAll))
	go func() { got <- second.Lock() }()
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the lock was not had")
	}
}

func TestGoZookeeperReadsTheWords(t *testing.T) {
	p := startPort(t, func(o *Options) { o.Facts.Built = time.Date(2026, 11, 26, 17, 30, 0, 0, time.UTC) })
	c := goClient(t, p)
	for i := range 10 {
		if _, err := c.Create(fmt.Sprint("/", i), nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	stats, ok := zk.FLWSrvr([]string{p.addr}, patience)
	if !ok || stats[0].Error != nil {
		t.Fatalf("%+v", stats[0])
	}
	s := stats[0]
	if s.Mode != zk.ModeStandalone || s.NodeCount != 15 || s.Version != "3.8.0-millrace" || s.Connections != 2 || s.Received < 11 || s.Sent < 11 || s.Epoch != 1 || s.Counter < 10 ||
		!s.BuildTime.Equal(time.Date(2026, 11, 26, 17, 30, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	if ok := zk.FLWRuok([]string{p.addr}, patience); !ok[0] {
		t.Error("it is not well")
	}
	// Its parser of cons wants a session on every line, and the connection that asks has none.
	const line = `(?m)^ /127\.0\.0\.1:\d+\[[15]\]\(queued=0,recved=\d+,sent=\d+,sid=(0x[0-9a-f]+),lop=CREA,est=\d+,to=10000,` +
		`lcxid=0x[0-9a-f]+,lzxid=0x[0-9a-f]+,lresp=\d+,llat=\d+,minlat=\d+,avglat=\d+,maxlat=\d+\)$`
	m := regexp.MustCompile(line).FindStringSubmatch(p.word("cons"))
	if m == nil || m[1] != fmt.Sprintf("0x%x", c.SessionID()) {
		t.Errorf("cons: %q", p.word("cons"))
	}
}
