package quorum

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/netx"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli/clitest"
)

// apacheData is a directory that ZooKeeper 3.8.0 wrote.
const apacheData = "../../quorum/zkdata/testdata/plain"

func toolOf(name string) *cobra.Command {
	switch name {
	case "zkSnapShotToolkit.sh":
		return SnapshotToolkit(name)
	case "zkTxnLogToolkit.sh":
		return TxnLogToolkit(name)
	case "zkCleanup.sh":
		return Cleanup(name)
	}
	return Command(name, "serves", Program{})
}

func runTool(t *testing.T, words ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t.Context(), toolOf(words[0]), "", words[1:]...)
}

// blocks are the znodes of a dump, sorted. ZooKeeper's tool prints the fields of the file where
// ours prints what clients are told: its cversion counts creations only, and its owners of
// containers and TTL nodes are marks.
func blocks(dump string) []string {
	var out []string
	dump = regexp.MustCompile(`(?m)^  cversion = .*\n`).ReplaceAllString(dump, "")
	dump = regexp.MustCompile(`(?m)^  ephemeralOwner = 0x(80|ff)\w+$`).ReplaceAllString(dump, "  ephemeralOwner = 0x00000000000000")
	for b := range strings.SplitSeq(dump, "----\n") {
		if strings.HasPrefix(b, "/") && !strings.HasPrefix(b, "/zookeeper/config\n") { // it is not taken over
			out = append(out, b)
		}
	}
	slices.Sort(out)
	return out
}

// What an import makes of a snapshot is printed as Debian's own tool prints the original.
func TestSnapshotLikeZooKeeper(t *testing.T) {
	zkserver.Need(t)
	snapshots, err := filepath.Glob(filepath.Join(apacheData, "version-2", "snapshot.*"))
	must(t, err)
	if len(snapshots) == 0 {
		t.Fatal("there is no snapshot in " + apacheData)
	}
	original := snapshots[len(snapshots)-1]
	from, to := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, "version-2"), 0o755))
	data, err := os.ReadFile(original)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(from, "version-2", filepath.Base(original)), data, 0o644))
	if r := runTool(t, "quorum", "import", "--from", from, "--to", to); r.Code != 0 || !strings.HasPrefix(r.Out, "Imported ") {
		t.Fatalf("import: %+v", r)
	}
	cmd := exec.Command("java", "-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.server.SnapshotFormatter", "-d", original)
	want, err := cmd.Output()
	must(t, err)
	got := runTool(t, "zkSnapShotToolkit.sh", "-d", to)
	if got.Code != 0 {
		t.Fatalf("%+v", got)
	}
	theirs, ours := blocks(string(want)), blocks(got.Out)
	if len(theirs) < 5 || !slices.Equal(theirs, ours) {
		t.Errorf("theirs:\n%s\nours:\n%s", strings.Join(theirs, ""), strings.Join(ours, ""))
	}
}

// serverWithData runs a server in dir, lets a client do a little of everything, and stops it.
func serverWithData(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	q, err := quorum.Start(ctx, quorum.Options{Config: zoocfg.Embedded(dir, "127.0.0.1:0"), FS: osfs.FS{}, Net: netx.TCP{}})
	must(t, err)
	cl, err := client.New(client.Config{Servers: q.Addr(), Dial: netx.TCP{}.Dial, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(1, 2))})
	must(t, err)
	must(t, cl.WaitConnected(ctx))
	_, err = cl.Create(ctx, "/a", []byte("one"), jute.OpenACL(), jute.Persistent)
	must(t, err)
	_, err = cl.Create(ctx, "/a/s", nil, jute.OpenACL(), jute.EphemeralSequential)
	must(t, err)
	_, err = cl.Set(ctx, "/a", []byte("two"), 0)
	must(t, err)
	must(t, cl.Close(ctx))
	must(t, q.Close(ctx))
}

func TestTxnLog(t *testing.T) {
	dir := t.TempDir()
	serverWithData(t, dir)
	r := runTool(t, "zkTxnLogToolkit.sh", dir)
	if r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{
		`(?m)^Quorum log file .*/quorum-1/log/00000000000000000001\.log$`,
		`(?m)^\d+/\d+/\d\d \d+:\d\d:\d\d [AP]M \S+ session 0x0 cxid 0x0 entry \d+/0 term \d+ initCluster \[hidden\]$`,
		`(?m) session 0x1[0-9a-f]{14} cxid 0x0 entry \d+/\d term \d+ createSession \d+$`,
		`(?m) cxid 0x1 entry \d+/\d term \d+ create /a,one,\[31,s\{'world,'anyone\}\],F$`,
		`(?m) cxid 0x2 entry \d+/\d term \d+ create /a/s<sequence>,,\[31,s\{'world,'anyone\}\],T$`,
		`(?m) cxid 0x3 entry \d+/\d term \d+ setData /a,two,0$`,
		`(?m) closeSession$`,
		`(?m)^EOF reached after \d+ txns\.$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.Out) {
			t.Errorf("%s is not in\n%s", want, r.Out)
		}
	}
	if again := runTool(t, "quorum", "dump-log", dir); again.Out != r.Out {
		t.Errorf("quorum dump-log: %+v", again)
	}
	file := filepath.Join(dir, "quorum-1", "log", "00000000000000000001.log")
	info, err := os.Stat(file)
	must(t, err)
	must(t, os.Truncate(file, info.Size()-3))
	if r := runTool(t, "zkTxnLogToolkit.sh", "-d", file); r.Code != 0 || !strings.Contains(r.Out, "A last entry is not whole, at position ") {
		t.Errorf("a torn end: %+v", r)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{0xff, 0xff}, info.Size()/2)
	must(t, err)
	must(t, f.Close())
	if r := runTool(t, "zkTxnLogToolkit.sh", file); r.Code != 1 || !strings.Contains(r.Err, "corrupt file "+file+" at position ") {
		t.Errorf("damage: %+v", r)
	}
}

func TestSnapshotAsJSON(t *testing.T) {
	to := t.TempDir()
	if r := runTool(t, "quorum", "import", "--from", apacheData, "--to", to); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	r := runTool(t, "zkSnapShotToolkit.sh", "-json", to)
	var tree []any
	if err := json.Unmarshal([]byte(r.Out), &tree); r.Code != 0 || err != nil || len(tree) != 4 || tree[3].([]any)[0].(map[string]any)["name"] != "/" {
		t.Errorf("%v: %+v", err, r)
	}
	if r := runTool(t, "zkSnapShotToolkit.sh", "-d", "-json", to); r.Code != 1 || !strings.Contains(r.Err, "Cannot specify both data dump (-d) and json mode (-json)") {
		t.Errorf("%+v", r)
	}
	if r := runTool(t, "zkSnapShotToolkit.sh", filepath.Join(apacheData, "version-2", "snapshot.0")); r.Code != 1 || !strings.Contains(r.Err, "is no snapshot: its name must be") {
		t.Errorf("%+v", r)
	}
}

func TestImportSaysWhatIsWrong(t *testing.T) {
	to := t.TempDir()
	for _, tt := range []struct {
		words, want string
		code        int
	}{
		{"import --to DIR", `Missing required argument "[from]"`, 1},
		{"import --from SRC", "give either the zoo.cfg of the server, or --to DIR", 1},
		{"import --from DIR/none --to DIR", "has no folder version-2", 3},
		{"import --from DIR --to DIR", "", 3},
		{"import --from SRC DIR/zoo.cfg", "no such file", 2},
		{"import --from SRC --to DIR", "", 0},
		{"import --from SRC --to DIR", "this server has data already", 3},
	} {
		words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(tt.words, "DIR", to), "SRC", apacheData))
		r := runTool(t, append([]string{"quorum"}, words...)...)
		if r.Code != tt.code || !strings.Contains(r.Err, tt.want) {
			t.Errorf("%s: %+v", tt.words, r)
		}
	}
}

func TestCleanup(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "quorum-1", "snapshots")
	must(t, os.MkdirAll(folder, 0o755))
	for i := range 6 {
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%020d-%020d.snapshot", i+1, 1)), nil, 0o644))
	}
	if r := runTool(t, "zkCleanup.sh", dir, "-n", "2"); r.Code != 1 || !strings.Contains(r.Err, "greater than or equal to 3") {
		t.Errorf("%+v", r)
	}
	if r := runTool(t, "zkCleanup.sh", dir, "-n", "4"); r.Code != 0 || strings.Count(r.Out, "Removing file: "+folder) != 2 {
		t.Errorf("%+v", r)
	}
	layout(t, "")
	t.Setenv("ZOOCFGDIR", dir)
	must(t, os.WriteFile(filepath.Join(dir, "zoo.cfg"), []byte("dataDir="+dir+"\n"), 0o644))
	if r := runTool(t, "zkCleanup.sh", "-n", "3"); r.Code != 0 || strings.Count(r.Out, "Removing file: ") != 1 {
		t.Errorf("%+v", r)
	}
	if r := runTool(t, "zkCleanup.sh", t.TempDir(), "-n", "3"); r.Code != 1 || !strings.Contains(r.Err, "is no data directory of a server") {
		t.Errorf("%+v", r)
	}
}
