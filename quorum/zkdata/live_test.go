package zkdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// javaWithSnappy is Debian's server with the library that compressed snapshots need.
var javaWithSnappy = []string{
	"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-Dzookeeper.forceSync=no", "-cp",
	"/usr/share/java/zookeeper.jar:/usr/share/java/servlet-api.jar:/usr/share/java/slf4j-simple.jar:/usr/share/java/snappy-java.jar",
	"org.apache.zookeeper.server.quorum.QuorumPeerMain",
}

// kinds are the directories that differ in what is in them.
var kinds = map[string]zkserver.Options{
	"plain":    {},
	"gzip":     {Config: map[string]string{"snapshot.compression.method": "gz"}},
	"snappy":   {Config: map[string]string{"snapshot.compression.method": "snappy"}, Argv: javaWithSnappy},
	"ensemble": {Servers: 3},
	"old":      {Config: map[string]string{"digest.enabled": "false", "closeSessionTxn.enabled": "false"}},
}

// TestLikeZooKeeper lets Debian's ZooKeeper write directories, reads a copy of each, and
// compares with the tree that the server itself shows when it has started anew on it.
func TestLikeZooKeeper(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a dozen servers")
	}
	zkserver.Need(t)
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			if name == "snappy" {
				zkserver.NeedAll(t, absent("/usr/share/java/snappy-java.jar"), "libsnappy-java")
			}
			// The server draws when it writes its snapshots. One that holds the very last
			// transaction leaves none to read from the log: then another directory is written.
			for attempt, transactions := 1, 0; transactions == 0; attempt++ {
				if attempt > 5 {
					t.Fatal("no transaction was read from any log")
				}
				dir, want := written(t, o, testkit.Rounds(t, "ZKDATA_STEPS", 400))
				s, report, err := Read(Options{FS: osfs.FS{}, DataDir: dir})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", *report)
				last := report.Snapshot != "" && report.SnapshotZxid == report.Zxid
				if report.Snapshot == "" || report.Transactions == 0 && !last || len(report.Warnings) > 0 || report.Digest == (name == "old") {
					t.Fatalf("%+v", *report)
				}
				same(t, s, want)
				transactions = report.Transactions
			}
		})
	}
}

func absent(path string) string {
	if _, err := os.Stat(path); err != nil {
		return path
	}
	return ""
}

// written lets a server do steps random writes, ends it without warning, and returns a copy of
// its directory and its tree after a new start.
func written(t *testing.T, o zkserver.Options, steps int) (dir string, dump []string) {
	config := map[string]string{
		"snapCount": fmt.Sprint(max(steps/2, 2)), "maxSessionTimeout": "600000", "preAllocSize": "64", "znode.container.checkIntervalMs": "86400000",
		"snapshot.trust.empty": "true",
	}
	for k, v := range o.Config {
		config[k] = v
	}
	o.Config = config
	e := zkserver.Launch(t, o)
	r := testkit.Rand(t)
	write(t, r, e.Servers[0].Addr(), steps)
	for _, s := range e.Servers {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	copyDir(t, filepath.Join(e.Servers[0].DataDir(), versionDir), filepath.Join(dir, versionDir))
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return dir, dumpServer(t, e.Servers[0].Addr())
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, addr string, auth string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		Servers: addr, SessionTimeout: 10 * time.Minute, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(1, 1)),
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		},
		Auth: []client.Auth{{Scheme: "digest", Auth: []byte(auth)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abandon)
	return c
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	return ctx
}

// write makes random requests of all kinds in two sessions that stay and some that end.
func write(t *testing.T, r *rand.Rand, addr string, steps int) {
	ctx := patience(t)
	clients := []*client.Client{connect(t, addr, zkserver.SuperAuth), connect(t, addr, "alice:pw"), connect(t, addr, "bob:pw")}
	for range steps {
		i := r.IntN(len(clients))
		if i == 2 && r.IntN(8) == 0 {
			if err := clients[i].Close(ctx); err != nil {
				t.Fatal(err)
			}
			clients[i] = connect(t, addr, "bob:pw")
			continue
		}
		request := randomRequest(r)
		if r.IntN(5) == 0 {
			request = &client.Request{Op: jute.OpMulti}
			for range 1 + r.IntN(4) {
				if one := randomRequest(r); one.Op != jute.OpSetACL && one.Op != jute.OpMulti {
					if one.Op == jute.OpCreate2 {
						one.Op = jute.OpCreate
					}
					request.Ops = append(request.Ops, jute.MultiOp{
						Type: one.Op, Path: one.Path, Data: one.Data, ACL: one.ACL, Mode: one.Mode, TTLMs: one.TTLMs, Version: one.Version,
					})
				}
			}
		}
		if _, err := clients[i].Do(ctx, request); err != nil {
			var answer *client.Error
			if !errors.As(err, &answer) || answer.Code == jute.ConnectionLoss {
				t.Fatal(err)
			}
		}
	}
}

var lists = [][]jute.ACL{
	jute.OpenACL(), jute.OpenACL(), jute.OpenACL(), {{Perms: 31, ID: jute.ID{Scheme: "auth"}}},
	{{Perms: 31, ID: jute.DigestID("bob:pw")}, {Perms: 7, ID: jute.WorldAnyone}},
}

func randomRequest(r *rand.Rand) *client.Request {
	names := []string{"a", "b", "ü", "n-0000000001"}
	path := ""
	for range 1 + r.IntN(3) {
		path += "/" + names[r.IntN(len(names))]
	}
	var data []byte
	if n := r.IntN(20); n > 0 {
		data = make([]byte, n-1)
	}
	list := lists[r.IntN(len(lists))]
	switch n := r.IntN(100); {
	case n < 30:
		return &client.Request{Op: jute.OpCreate2, Path: path, Data: data, ACL: list, Mode: jute.CreateMode(r.IntN(4))}
	case n < 34:
		return &client.Request{Op: jute.OpCreateContainer, Path: path, Data: data, ACL: list, Mode: jute.Container}
	case n < 38:
		return &client.Request{Op: jute.OpCreateTTL, Path: path, Data: data, ACL: list, Mode: jute.PersistentTTL, TTLMs: 1 << 39}
	case n < 40: // as zkCli's setquota: with another order ZooKeeper's counts depend on when it last started
		at := "/zookeeper/quota/" + names[r.IntN(2)]
		multi := &client.Request{Op: jute.OpMulti}
		for _, name := range []string{"", "/zookeeper_limits", "/zookeeper_stats"} {
			multi.Ops = append(multi.Ops, jute.MultiOp{Type: jute.OpCreate, Path: at + name, Data: []byte("count=5,bytes=7"), ACL: jute.OpenACL()})
		}
		return multi
	case n < 60:
		return &client.Request{Op: jute.OpDelete, Path: path, Version: -1}
	case n < 90:
		return &client.Request{Op: jute.OpSetData, Path: path, Data: data, Version: -1}
	}
	return &client.Request{Op: jute.OpSetACL, Path: path, ACL: list, Version: -1}
}

func line(path string, data []byte, st jute.Stat, list []jute.ACL) string {
	return fmt.Sprintf("%s %q null=%v %+v %v", path, data, data == nil, st, list)
}

// dumpServer shows the tree of a server.
func dumpServer(t *testing.T, addr string) (lines []string) {
	ctx := patience(t)
	c := connect(t, addr, zkserver.SuperAuth)
	paths := []string{"/"}
	for len(paths) > 0 {
		path := paths[0]
		paths = paths[1:]
		data, st, err := c.Get(ctx, path)
		list, _, err2 := c.GetACL(ctx, path)
		kids, _, err3 := c.Children(ctx, path)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line(path, data, st, list))
		for _, kid := range kids {
			paths = append(paths, strings.TrimSuffix(path, "/")+"/"+kid)
		}
	}
	slices.Sort(lines)
	return lines
}

// dumpState shows the tree of a state in the same way.
func dumpState(s *tree.State) (lines []string) {
	s.Walk(func(path string, data []byte, st jute.Stat, list []jute.ACL) bool {
		lines = append(lines, line(path, data, st, list))
		return true
	})
	slices.Sort(lines)
	return lines
}

func same(t *testing.T, s *tree.State, want []string) {
	t.Helper()
	drop := func(lines []string) []string { // a server writes its configuration there when it starts
		return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, tree.ConfigPath+" ") })
	}
	got, want := drop(dumpState(s)), drop(want)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of %d differs:\n      got %s\nZooKeeper %s", i, len(want), at(got, i), at(want, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}
