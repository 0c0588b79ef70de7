package quorum

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/zoocfg"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load is a lone server's configuration with a port of the system's choice.
func load(t *testing.T, dir, lines string) *zoocfg.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	must(t, os.WriteFile(file, []byte("tickTime=100\nmaxSessionTimeout=60000\ndataDir="+dir+"\nclientPort=2181\nadmin.enableServer=false\n"+lines), 0o644))
	c, _, err := zoocfg.Load(zoocfg.Input{File: file, FS: osfs.FS{}})
	must(t, err)
	if c.ClientAddress == ":2181" {
		c.ClientAddress = "127.0.0.1:0"
	}
	return c
}

func options(t *testing.T, c *zoocfg.Config) Options {
	return Options{Config: c, FS: osfs.FS{}, Net: netx.TCP{}, Log: testkit.Logger(t)}
}

func start(t *testing.T, o Options) *Quorum {
	t.Helper()
	q, err := Start(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { _ = q.Close(context.Background()) })
	return q
}

func stop(t *testing.T, q *Quorum) {
	t.Helper()
	must(t, q.Close(context.Background()))
	if err := q.Wait(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// connect opens a session.
func connect(t *testing.T, at string, config *tls.Config) *client.Client {
	t.Helper()
	cl, err := client.New(client.Config{
		Servers: at, Dial: netx.TCP{}.Dial, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(1, 2)), TLS: config, SessionTimeout: time.Minute,
	})
	must(t, err)
	t.Cleanup(cl.Abandon)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	must(t, cl.WaitConnected(ctx))
	return cl
}

// create makes a node. An election may come in between on a busy machine: then it is asked for again.
func create(t *testing.T, cl *client.Client, path, data string) {
	t.Helper()
	lost := false
	testkit.WaitFor(t, "an answer to the creation of "+path, func() bool {
		_, err := cl.Create(t.Context(), path, []byte(data), jute.OpenACL(), jute.Persistent)
		switch {
		case errors.Is(err, jute.ConnectionLoss):
			lost = true
			return false
		case err != nil && !(lost && errors.Is(err, jute.NodeExists)):
			t.Fatal(err)
		}
		return true
	})
}

func TestALoneServerKeepsItsData(t *testing.T) {
	c := load(t, t.TempDir(), "")
	q := start(t, options(t, c))
	cl := connect(t, q.Addr(), nil)
	if _, err := cl.Create(t.Context(), "/a", []byte("kept"), jute.OpenACL(), jute.Persistent); err != nil {
		t.Fatal(err)
	}
	must(t, cl.Close(t.Context()))
	stop(t, q)
	q = start(t, options(t, c))
	data, _, err := connect(t, q.Addr(), nil).Get(t.Context(), "/a")
	if err != nil || string(data) != "kept" {
		t.Errorf("%q, %v", data, err)
	}
	if got := q.Node().Status().Mode; got != node.Standalone {
		t.Errorf("it is %v", got)
	}
	if s := q.Server().Stats(); s.Connections != 1 || s.Nodes < 2 {
		t.Errorf("stats %+v", s)
	}
}

// Without a client port the quorum is its process's own.
func TestEmbedded(t *testing.T) {
	q := start(t, options(t, zoocfg.Embedded(filepath.Join(t.TempDir(), "quorum"), "")))
	if q.Addr() != "" || q.SecureAddr() != "" || q.AdminAddr() != "" {
		t.Errorf("it listens on %q %q %q", q.Addr(), q.SecureAddr(), q.AdminAddr())
	}
	stop(t, q)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	o := options(t, zoocfg.Embedded(t.TempDir(), ""))
	o.Client = l
	q = start(t, o)
	if q.Addr() != l.Addr().String() {
		t.Errorf("it listens on %q, was given %v", q.Addr(), l.Addr())
	}
	connect(t, q.Addr(), nil)
}

func TestForceSyncOffMakesNoSync(t *testing.T) {
	c := load(t, t.TempDir(), "forceSync=no\n")
	o := options(t, c)
	var syncs atomic.Int64
	o.FS = errorfs.Wrap(osfs.FS{}, func(op errorfs.Op) (none errorfs.Fault) {
		if errorfs.Syncs()(op) {
			syncs.Add(1)
		}
		return none
	})
	q := start(t, o)
	cl := connect(t, q.Addr(), nil)
	if _, err := cl.Create(t.Context(), "/a", nil, jute.OpenACL(), jute.Persistent); err != nil {
		t.Fatal(err)
	}
	if got := syncs.Load(); got != 0 {
		t.Errorf("%d syncs", got)
	}
}

// A disk that fails ends the server with an error that says so; it is not tried again.
func TestAFailedSyncEndsTheServer(t *testing.T) {
	c := load(t, t.TempDir(), "")
	o := options(t, c)
	failing := errorfs.Wrap(osfs.FS{}, nil)
	o.FS = failing
	q := start(t, o)
	cl := connect(t, q.Addr(), nil)
	failing.SetRule(errorfs.From(0, errorfs.Fault{Err: syscall.EIO}, errorfs.Syncs()))
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if _, err := cl.Create(ctx, "/a", nil, jute.OpenACL(), jute.Persistent); err == nil {
		t.Error("a write was acknowledged that is not on the disk")
	}
	var store *node.StoreError
	if err := q.Wait(); !errors.As(err, &store) || !errors.Is(err, syscall.EIO) {
		t.Errorf("it ended with %v", err)
	}
}

func TestPortsThatAreTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct{ lines, key string }{
		{"clientPort=" + port + "\nclientPortAddress=127.0.0.1\n", "clientPort"},
		{"admin.enableServer=true\nadmin.serverPort=" + port + "\n", "admin.serverPort"},
	} {
		dir := t.TempDir()
		c := load(t, dir, tt.lines)
		_, err := Start(t.Context(), options(t, c))
		var taken *PortError
		if !errors.As(err, &taken) || taken.Key != tt.key || !errors.Is(err, syscall.EADDRINUSE) ||
			!strings.Contains(err.Error(), "127.0.0.1:"+port+" cannot be opened") || !strings.Contains(err.Error(), "or change "+tt.key+" in "+c.File) {
			t.Errorf("%s: %v", tt.key, err)
		}
		if _, err := os.Stat(filepath.Join(dir, zoocfg.Folder)); err == nil {
			t.Errorf("%s: data was made before the ports were open", tt.key)
		}
	}
	// The default port of the admin server is no reason not to start.
	c := load(t, t.TempDir(), "admin.enableServer=true\n")
	c.Admin.Port = l.Addr().(*net.TCPAddr).Port
	if q := start(t, options(t, c)); q.AdminAddr() != "" {
		t.Errorf("the admin server is on %s", q.AdminAddr())
	}
}

func TestFoldersThatCannotBeUsed(t *testing.T) {
	apache := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(apache, "version-2"), 0o755))
	must(t, os.WriteFile(filepath.Join(apache, "version-2", "snapshot.0"), nil, 0o644))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	wiped := t.TempDir()
	for _, tt := range []struct{ dir, lines, want string }{
		{apache, "", "version-2/snapshot.0 is data of Apache ZooKeeper: take it over with \"millrace quorum import --from " + apache},
		{file, "", "it is a file: name a folder"},
		{filepath.Join(wiped, "none"), "zookeeper.datadir.autocreate=false\n", "it is missing, and zookeeper.datadir.autocreate=false"},
		{wiped, "zookeeper.db.autocreate=false\n", "there is no data, and zookeeper.db.autocreate=false"},
	} {
		c := zoocfg.Embedded(tt.dir, "")
		c.CreateDirs = !strings.Contains(tt.lines, "datadir")
		c.CreateData = !strings.Contains(tt.lines, "db.auto")
		_, err := Start(t.Context(), options(t, c))
		var data *DataError
		if !errors.As(err, &data) || data.Dir != tt.dir || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
	// The marker of zkServer-initialize.sh is good for one start.
	marker := filepath.Join(wiped, "initialize")
	must(t, os.WriteFile(marker, nil, 0o644))
	c := zoocfg.Embedded(wiped, "")
	c.CreateData = false
	stop(t, start(t, options(t, c)))
	if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the marker is still there: %v", err)
	}
	stop(t, start(t, options(t, c))) // now there is data
	must(t, os.RemoveAll(filepath.Join(wiped, zoocfg.Folder)))
	if _, err := Start(t.Context(), options(t, c)); err == nil {
		t.Error("a wiped server came back as if it were new")
	}
}

// Two servers must not share a folder.
func TestAFolderThatIsInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, options(t, zoocfg.Embedded(dir, "")))
	_, err := Start(t.Context(), options(t, zoocfg.Embedded(dir, "")))
	var data *DataError
	if !errors.As(err, &data) || !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("got %v", err)
	}
}

// Data that is set aside is kept, and the server begins anew.
func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, "dataLogDir="+filepath.Join(dir, "log")+"\n")
	stop(t, start(t, options(t, c)))
	moved, err := SetAside(osfs.FS{}, c, ".diverged")
	if err != nil || len(moved) != 2 {
		t.Fatal(moved, err)
	}
	for _, folder := range moved {
		if entries, err := os.ReadDir(folder); err != nil || len(entries) == 0 {
			t.Errorf("%s: %v", folder, err)
		}
	}
	stop(t, start(t, options(t, c)))
	if moved, err := SetAside(osfs.FS{}, zoocfg.Embedded(t.TempDir(), ""), ".x"); err != nil || len(moved) != 0 {
		t.Errorf("nothing to move: %v, %v", moved, err)
	}
}
