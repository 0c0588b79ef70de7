package quorum

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx/ports"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zkdata"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// apache is a directory that ZooKeeper 3.8.0 wrote.
const apache = "zkdata/testdata/plain"

func importTo(t *testing.T, c *zoocfg.Config) (*zkdata.Report, error) {
	t.Helper()
	return Import(ImportOptions{Config: c, FS: osfs.FS{}, Clock: clock.Real{}, Log: testkit.Logger(t), From: zkdata.Options{FS: osfs.FS{}, DataDir: apache}})
}

// contents is all that a state holds of nodes.
func contents(s *tree.State) string {
	var b strings.Builder
	for _, path := range []string{"/", "/zookeeper"} {
		names, _, err := s.Children(path)
		fmt.Fprintln(&b, path, len(names), err)
	}
	return b.String()
}

func TestImport(t *testing.T) {
	want, _, err := zkdata.Read(zkdata.Options{FS: osfs.FS{}, DataDir: apache})
	must(t, err)
	c := load(t, t.TempDir(), "")
	report, err := importTo(t, c)
	if err != nil || report.Nodes != want.NodeCount() || report.Zxid != want.Zxid() {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := importTo(t, c); err == nil || !strings.Contains(err.Error(), "this server has data already") {
		t.Errorf("a second import: %v", err)
	}
	for range 2 { // and again after a restart
		q := start(t, options(t, c))
		must(t, q.WaitServing(t.Context()))
		q.Node().Read(func(s *tree.State) {
			if contents(s) != contents(want) || s.Zxid() < want.Zxid() {
				t.Errorf("got\n%s, zxid %#x\nwant\n%s, zxid %#x", contents(s), s.Zxid(), contents(want), want.Zxid())
			}
		})
		// What it started from is the last snapshot.
		if zxid, at, ok := q.lastSnapshot(); !ok || zxid != want.Zxid() || at.IsZero() {
			t.Errorf("the last snapshot is of %#x, %v, %v", zxid, at, ok)
		}
		stop(t, q)
	}
}

// The servers of an ensemble import the same directory and make the same of it.
func TestImportIntoAnEnsemble(t *testing.T) {
	lines := ensemble
	for i := range 3 {
		lines += fmt.Sprintf("server.%d=127.0.0.1:%s:%s\n", i+1, freePort(t), freePort(t))
	}
	var configs []*zoocfg.Config
	snapshots := map[string]bool{}
	for i := range 3 {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "myid"), fmt.Append(nil, i+1), 0o644))
		c := load(t, dir, lines)
		_, err := importTo(t, c)
		must(t, err)
		files, err := raftlog.SnapshotFiles(osfs.FS{}, c.SnapshotFolder())
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		text, err := os.ReadFile(files[0])
		must(t, err)
		snapshots[string(text)] = true
		configs = append(configs, c)
	}
	if len(snapshots) != 1 {
		t.Error("the servers made different data of the same directory")
	}
	var servers []*Quorum
	for _, c := range configs {
		servers = append(servers, start(t, options(t, c)))
	}
	want, _, err := zkdata.Read(zkdata.Options{FS: osfs.FS{}, DataDir: apache})
	must(t, err)
	for _, q := range servers {
		must(t, q.WaitServing(t.Context()))
		q.Node().Read(func(s *tree.State) {
			config, _, err := s.Get("/zookeeper/config")
			if contents(s) != contents(want) || err != nil || !strings.Contains(string(config), "server.3=127.0.0.1:") {
				t.Errorf("%s\n%s, %v", contents(s), config, err)
			}
		})
	}
	for _, q := range servers {
		stop(t, q)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	r, err := ports.Reserve(1)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return strconv.Itoa(r.Numbers[0])
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
