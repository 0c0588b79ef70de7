package zkdata

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
)

var update = flag.Bool("update", false, "write testdata anew, with Debian's ZooKeeper")

// writeTestdata lets a server write one of the directories, with its own view of it.
func writeTestdata(t *testing.T, name string, o zkserver.Options) {
	dir, dump := written(t, o, 120)
	to := filepath.Join("testdata", name)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	copyDir(t, dir, to)
	logs, _ := filepath.Glob(filepath.Join(to, versionDir, "log.*"))
	for _, log := range logs { // most of a log is zeros that it was filled with beforehand
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		b = append(bytes.TrimRight(b, "\x00"), make([]byte, 32)...)
		if err := os.WriteFile(log, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(to, "dump.txt"), []byte(strings.Join(dump, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, dir string) (*tree.State, *Report, error) {
	t.Helper()
	return Read(Options{FS: osfs.FS{}, DataDir: dir})
}

// TestRead reads directories that Debian's ZooKeeper 3.8.0 wrote. Its own view of each is in
// dump.txt.
func TestRead(t *testing.T) {
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			if *update {
				zkserver.Need(t)
				writeTestdata(t, name, o)
			}
			dir := filepath.Join("testdata", name)
			dump, err := os.ReadFile(filepath.Join(dir, "dump.txt"))
			if err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{dir, filepath.Join(dir, versionDir)} {
				s, report, err := read(t, dir)
				if err != nil {
					t.Fatal(err)
				}
				same(t, s, strings.Split(strings.TrimSpace(string(dump)), "\n"))
				if report.Digest == (name == "old") || report.Transactions == 0 || len(report.Warnings) > 0 ||
					report.Zxid != s.Zxid() || report.Nodes != s.NodeCount() || report.Sessions != s.SessionCount() || report.Sessions == 0 {
					t.Errorf("%+v", *report)
				}
				if text, _, _ := s.Get(tree.ConfigPath); len(text) > 0 || strings.Contains(report.Config, "server.3=") != (name == "ensemble") {
					t.Errorf("configuration %q, was %q", text, report.Config)
				}
				var b bytes.Buffer
				if err := s.Encode(&b); err != nil {
					t.Fatal(err)
				}
				if again, err := tree.Decode(&b); err != nil || again.Digest() != s.Digest() {
					t.Fatal(err)
				}
			}
		})
	}
}

// scratch is a copy of a directory with the path of its newest log.
func scratch(t testing.TB, kind string) (dir, log string) {
	t.Helper()
	dir = t.TempDir()
	if t, ok := t.(*testing.T); ok {
		copyDir(t, filepath.Join("testdata", kind), dir)
	}
	files, err := list(osfs.FS{}, filepath.Join(dir, versionDir), "log")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	return dir, files[len(files)-1].name
}

// TestTornLog cuts the newest log anywhere: what is whole is read, and nothing fails.
func TestTornLog(t *testing.T) {
	dir, log := scratch(t, "plain")
	_, whole, err := read(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	last := whole.Transactions
	for cut := len(b); cut >= 0; cut -= 1 + cut%7 {
		for _, end := range [][]byte{nil, make([]byte, 300)} { // as it was filled beforehand
			if err := os.WriteFile(log, append(bytes.Clone(b[:cut]), end...), 0o644); err != nil {
				t.Fatal(err)
			}
			_, report, err := read(t, dir)
			var damage *DamageError
			if end != nil && errors.As(err, &damage) {
				continue // zeros for the last bytes of a record: a checksum, or a head that is cut
			}
			if err != nil || report.Transactions > last {
				t.Fatalf("cut at %d of %d with %d zeros: %v", cut, len(b), len(end), err)
			}
			if end == nil {
				last = report.Transactions
			}
		}
	}
	if last >= whole.Transactions {
		t.Errorf("%d transactions without the newest log", last)
	}
}

// TestDamagedLog changes every byte of the newest log in turn: each is found, or ends the log
// where it is.
func TestDamagedLog(t *testing.T) {
	dir, log := scratch(t, "plain")
	_, whole, err := read(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(b, "\x00"))
	r := testkit.Rand(t)
	found := 0
	for i := 0; i < used; i += 1 + r.IntN(5) {
		if i >= 4 && i < logHead && i/8 == 1 { // the database's id is nobody's business
			continue
		}
		bad := bytes.Clone(b)
		bad[i] ^= byte(1 + r.IntN(255))
		if err := os.WriteFile(log, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		_, report, err := read(t, dir)
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			found++
			if damage.File != log || !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		case err != nil:
			t.Fatal(err)
		case report.Transactions >= whole.Transactions:
			t.Fatalf("byte %d was changed, and nobody saw", i)
		}
	}
	if found < used/20 {
		t.Errorf("found %d of about %d", found, used/3)
	}
}

// TestDamagedSnapshot: the one before is taken, and its logs lead to the same tree.
func TestDamagedSnapshot(t *testing.T) {
	for _, kind := range []string{"plain", "gzip", "snappy"} {
		dir, _ := scratch(t, kind)
		want, _, err := read(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := list(osfs.FS{}, filepath.Join(dir, versionDir), "snapshot")
		if err != nil || len(files) < 2 {
			t.Fatal(err, files)
		}
		newest := files[len(files)-1].name
		b, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += 1 + len(b)/200 {
			bad := bytes.Clone(b)
			bad[i] ^= 0x55
			if kind == "plain" && i >= len(b)-46 {
				break // the digest after the seal is not the tree's
			}
			if i%2 == 0 {
				bad = bad[:i]
			}
			if err := os.WriteFile(newest, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			got, report, err := read(t, dir)
			if err != nil {
				t.Fatalf("%s, byte %d: %v", kind, i, err)
			}
			if report.Snapshot != newest && len(report.Warnings) == 0 || !reflect.DeepEqual(dumpState(got), dumpState(want)) || got.Zxid() != want.Zxid() {
				t.Fatalf("%s, byte %d: %+v", kind, i, *report)
			}
		}
	}
}

func TestWhatIsNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := read(t, dir); err == nil || !strings.Contains(err.Error(), versionDir) {
		t.Error(err)
	}
	if _, _, err := read(t, filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there")
	}
	dir, _ = scratch(t, "plain")
	snapshots, _ := filepath.Glob(filepath.Join(dir, versionDir, "snapshot.*"))
	for _, s := range snapshots {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := read(t, dir); !errors.Is(err, ErrNoSnapshot) {
		t.Error(err)
	}
	s, report, err := Read(Options{FS: osfs.FS{}, DataDir: dir, TrustEmptySnapshot: true})
	if err != nil || report.Snapshot != "" || report.Transactions == 0 || s.NodeCount() != report.Nodes {
		t.Error(err, report)
	}
}

// TestSeparateLogs: dataLogDir is another folder.
func TestSeparateLogs(t *testing.T) {
	dir, _ := scratch(t, "plain")
	want, _, err := read(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	if err := os.Mkdir(filepath.Join(logs, versionDir), 0o755); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, versionDir, "log.*"))
	for _, f := range files {
		if err := os.Rename(f, filepath.Join(logs, versionDir, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := Read(Options{FS: osfs.FS{}, DataDir: dir, LogDir: logs})
	if err != nil || s.Digest() != want.Digest() {
		t.Fatal(err)
	}
}

// txn is a record of the log.
func txn(session, zxid int64, op jute.OpCode, body ...[]byte) []byte {
	b := jute.AppendInt64(nil, session)
	b = jute.AppendInt32(b, 7)
	b = jute.AppendInt64(jute.AppendInt64(b, zxid), 1000+zxid)
	return append(jute.AppendInt32(b, int32(op)), bytes.Join(body, nil)...)
}

func createTxn(path string, ephemeral bool, creates int32) []byte {
	b := jute.AppendACLs(jute.AppendBuffer(jute.AppendString(nil, path), []byte("d")), jute.OpenACL())
	b = jute.AppendBool(b, ephemeral)
	if creates < 0 {
		return b // a log of 3.3
	}
	return jute.AppendInt32(b, creates)
}

// TestReplay has what the directories of 3.8 do not: old forms, and what a snapshot that was
// taken meanwhile has already.
func TestReplay(t *testing.T) {
	d := fresh()
	apply := func(b []byte) {
		t.Helper()
		if _, err := d.apply(b, nil); err != nil {
			t.Fatal(err)
		}
	}
	apply(txn(5, 1, jute.OpCreateSession, jute.AppendInt32(nil, 4000)))
	apply(txn(5, 2, jute.OpCreate, createTxn("/a", false, -1)))
	apply(txn(5, 3, jute.OpCreate, createTxn("/a/e", true, 1)))
	apply(txn(5, 4, jute.OpCreate, createTxn("/a/x", false, 9))) // the snapshot had lost some
	apply(txn(5, 5, jute.OpCreate, createTxn("/none/x", false, 1)))
	if a := d.nodes["/a"].info; a.Creates != 9 || a.Pzxid != 4 || d.nodes[""].info.Creates != 1 || len(d.nodes) != 4 {
		t.Fatalf("%+v %d", a, len(d.nodes))
	}
	apply(txn(5, 6, jute.OpCreate, createTxn("/a/x", false, 12))) // there already: the parent moves on
	apply(txn(5, 7, jute.OpCreate2, createTxn("/a/x", false, 15)))
	if a := d.nodes["/a"].info; a.Creates != 12 || a.Pzxid != 6 || d.nodes["/a/x"].info.Czxid != 4 {
		t.Fatalf("%+v", a)
	}
	apply(txn(5, 8, jute.OpDelete, jute.AppendString(nil, "/a/gone")))
	if a := d.nodes["/a"].info; a.Pzxid != 8 {
		t.Fatalf("%+v", a)
	}
	failed := jute.AppendInt32(nil, 2)
	failed = jute.AppendBuffer(jute.AppendInt32(failed, int32(jute.OpDelete)), jute.AppendString(nil, "/a/x"))
	failed = jute.AppendBuffer(jute.AppendInt32(failed, int32(jute.OpError)), jute.AppendInt32(nil, -101))
	apply(txn(5, 9, jute.OpMulti, failed))
	if d.nodes["/a/x"] == nil || d.zxid != 9 {
		t.Fatal("a multi that failed did something")
	}
	apply(txn(5, 10, jute.OpCloseSession)) // before 3.6 it names no nodes
	if d.nodes["/a/e"] != nil || len(d.sessions) != 0 || d.nodes["/a"].info.Pzxid != 10 {
		t.Fatal("the session is not gone")
	}
	apply(txn(0, 11, jute.OpError, jute.AppendInt32(nil, -1)))
	for _, b := range [][]byte{nil, txn(1, 12, 99), txn(1, 12, jute.OpDelete), txn(1, 12, jute.OpMulti, []byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})} {
		if _, err := d.apply(b, nil); err == nil {
			t.Errorf("%x is a transaction", b)
		}
	}
	// an ephemeral node of a session that nobody knows goes, as when a server starts
	apply(txn(6, 13, jute.OpCreate, createTxn("/a/e", true, 20)))
	r := &Report{}
	s, err := d.state(r)
	if err != nil || s.Zxid() != 13 || s.TimeMs() != 1013 || len(r.Warnings) != 1 {
		t.Fatal(err, r)
	}
	if _, err := s.Stat("/a/e"); err == nil {
		t.Error("it stayed")
	}
	if _, _, err := s.Get(tree.ConfigPath); err != nil {
		t.Error(err)
	}
}

func FuzzApply(f *testing.F) {
	f.Add(txn(5, 1, jute.OpCreateSession, jute.AppendInt32(nil, 4000)))
	f.Add(txn(5, 3, jute.OpCreate, createTxn("/a/e", true, 1)))
	f.Add(txn(5, 3, jute.OpCloseSession, jute.AppendStrings(nil, []string{"/a/x"}), make([]byte, 12)))
	for _, kind := range []string{"plain", "old"} {
		files, err := filepath.Glob(filepath.Join("testdata", kind, versionDir, "log.*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			if _, err := readLog(osfs.FS{}, name, func(_ int64, b []byte) error { f.Add(b); return nil }); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := fresh()
		for _, first := range [][]byte{
			txn(5, 1, jute.OpCreateSession, jute.AppendInt32(nil, 4000)), txn(5, 2, jute.OpCreate, createTxn("/a", false, 1)), txn(5, 3, jute.OpCreate, createTxn("/a/e", true, 1)),
		} {
			if _, err := d.apply(first, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.apply(b, nil); err != nil {
			return
		}
		d.digest()
		if s, err := d.state(&Report{}); err == nil {
			dumpState(s)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	for kind := range kinds {
		files, err := list(osfs.FS{}, filepath.Join("testdata", kind, versionDir), "snapshot")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file.name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, filepath.Ext(file.name))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, ext string) {
		plain, err := uncompressed("snapshot.1"+ext, bytes.NewReader(b))
		if err != nil {
			return
		}
		s, d := newStream(plain), newData()
		snapshotBody(s, d)
		if _, ok := d.nodes[""]; ok { // though its sum is wrong, most of the time
			if s, err := d.state(&Report{}); err == nil {
				dumpState(s)
			}
		}
	})
}

func ExampleRead() {
	s, report, err := Read(Options{FS: osfs.FS{}, DataDir: "testdata/old"})
	fmt.Println(err, s.Zxid() == report.Zxid)
	// Output: <nil> true
}
