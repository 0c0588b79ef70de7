package quorum

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/cli/clitest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layout is an installation in a temporary folder that is the working directory: conf/zoo.cfg
// with its data in data/.
func layout(t *testing.T, lines string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ZOOCFGDIR", "ZOOCFG", "ZOO_LOG_DIR", "ZOO_LOG_FILE", "ZOOPIDFILE", "ZOO_DATADIR_AUTOCREATE_DISABLE", "SERVER_JVMFLAGS", "JVMFLAGS"} {
		t.Setenv(name, "")
	}
	t.Setenv("USER", "khg")
	must(t, os.MkdirAll(filepath.Join(dir, "conf"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "conf", "zoo.cfg"), []byte("dataDir="+dir+"/data\n"+lines), 0o644))
	return dir
}

// tools are the commands of this package under a word each.
func run(t *testing.T, words ...string) clitest.Result {
	t.Helper()
	name := words[0]
	var cmd *cobra.Command
	switch name {
	case "zkServer-initialize.sh":
		cmd = Initialize(name)
	default:
		cmd = Command(name, "serves", Program{Version: "1.0", Serve: func(cmd *cobra.Command, file string, log Logging) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "serves %s (%s, %s)\n", file, log.Format, log.Level)
			return err
		}})
	}
	return clitest.Run(t.Context(), cmd, "", words[1:]...)
}

func script(t *testing.T, name, dir string, more ...string) {
	t.Helper()
	host, err := os.Hostname()
	must(t, err)
	exe, err := os.Executable()
	must(t, err)
	scrub := strings.NewReplacer(append([]string{dir, "DIR", exe, "MILLRACE", host, "HOST"}, more...)...)
	clitest.Script(t, name, scrub, func(words ...string) clitest.Result {
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "DIR", dir)
		}
		return run(t, words...)
	})
}

// answering is a client port that says one thing.
func answering(t *testing.T, answer string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			word := make([]byte, 4)
			if _, err := c.Read(word); err == nil && string(word) == "srvr" {
				fmt.Fprint(c, answer)
			}
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func TestScriptOfStatus(t *testing.T) {
	port := answering(t, "Zookeeper version: 3.8.0\nLatency min/avg/max: 0/0.0/0\nMode: follower\nNode count: 5\n")
	dir := layout(t, "clientPort="+port+"\nclientPortAddress=127.0.0.1\n")
	other := answering(t, "This ZooKeeper instance is not currently serving requests\n")
	for name, lines := range map[string]string{
		"other.cfg":  "clientPort=" + other + "\nclientPortAddress=127.0.0.1\n",
		"broken.cfg": "tickTime=soon\nclientPort=2181\n",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("dataDir="+dir+"/data\n"+lines), 0o644))
	}
	script(t, "status", dir, port, "PORT", other, "OTHER")
}

func TestScriptOfWords(t *testing.T) {
	script(t, "words", layout(t, "clientPort=2181\n"))
}

func TestScriptOfInitialize(t *testing.T) {
	dir := layout(t, "clientPort=2181\n")
	must(t, os.MkdirAll(filepath.Join(dir, "data/version-2/kept"), 0o755))
	script(t, "initialize", dir)
	data := filepath.Join(dir, "data")
	text, err := os.ReadFile(filepath.Join(data, "myid"))
	if err != nil || string(text) != "3\n" || !exists(filepath.Join(data, "initialize")) || !exists(filepath.Join(data, "quorum-1")) || !exists(filepath.Join(data, "version-2/kept")) {
		t.Errorf("myid %q, %v", text, err)
	}
}

// A pid file is believed only if the process in it is a server of this program.
func TestPIDFiles(t *testing.T) {
	dir := layout(t, "clientPort=2181\n")
	t.Chdir(dir)
	must(t, os.MkdirAll("data", 0o755))
	file := filepath.Join(dir, "data", "zookeeper_server.pid")
	for _, tt := range []struct {
		text, want string
		code       int
		left       bool
	}{
		{strconv.Itoa(os.Getpid()), "Stopping zookeeper ... no zookeeper to stop (process " + strconv.Itoa(os.Getpid()) + " of " + file + " is no server)\n", 0, false},
		{"2147483647", "no zookeeper to stop (process 2147483647 of", 0, false},
		{"rubbish", "Stopping zookeeper ... FAILED\n", 1, true},
		{"", "Stopping zookeeper ... FAILED\n", 1, true},
	} {
		must(t, os.WriteFile(file, []byte(tt.text), 0o644))
		r := run(t, "zkServer.sh", "--config", "conf", "stop")
		if r.Code != tt.code || !strings.Contains(r.Out, tt.want) || exists(file) != tt.left {
			t.Errorf("%q: code %d, %q, %q", tt.text, r.Code, r.Out, r.Err)
		}
	}
	must(t, os.Remove(file))
	t.Setenv("ZOOPIDFILE", filepath.Join(dir, "run", "zk.pid"))
	if r := run(t, "zkServer.sh", "--config", "conf", "stop"); r.Code != 0 || !strings.Contains(r.Out, "run/zk.pid") {
		t.Errorf("ZOOPIDFILE: %+v", r)
	}
}

func TestServersAreKnownByTheirCommandLine(t *testing.T) {
	for line, want := range map[string]bool{
		"/opt/zookeeper/bin/millrace --as /opt/zookeeper/bin/zkServer.sh start-foreground /x/zoo.cfg": true,
		"millrace quorum zoo.cfg":      true,
		"millrace --as zkServer start": true,
		"millrace server":              false,
		"millrace --as zkCli.sh":       false,
		"vi zoo.cfg":                   false,
		"millrace":                     false,
	} {
		if got := isServer(strings.Fields(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestWhereTheFilesAre(t *testing.T) {
	dir := layout(t, "")
	t.Chdir(dir)
	must(t, os.WriteFile("here.cfg", nil, 0o644))
	must(t, os.WriteFile("conf/there.cfg", nil, 0o644))
	must(t, os.WriteFile("both.cfg", nil, 0o644))
	must(t, os.WriteFile("conf/both.cfg", nil, 0o644))
	conf := filepath.Join(dir, "conf")
	for _, tt := range []struct{ called, file, want string }{
		{"zkServer.sh", "", conf + "/zoo.cfg"},
		{"zkServer.sh", "there.cfg", conf + "/there.cfg"},
		{"zkServer.sh", "both.cfg", conf + "/both.cfg"},
		{"zkServer.sh", "here.cfg", "here.cfg"},
		{"zkServer.sh", "./both.cfg", "./both.cfg"},
		{"quorum", "both.cfg", "both.cfg"},
		{"quorum", "there.cfg", conf + "/there.cfg"},
		{"quorum", "/etc/x.cfg", "/etc/x.cfg"},
		{"quorum", "none.cfg", "none.cfg"},
	} {
		if got := configFile(tt.called, conf, tt.file); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.called, tt.file, got, tt.want)
		}
	}
	t.Setenv("ZOOCFGDIR", "/etc/zk")
	t.Setenv("ZOOCFG", "mine.cfg")
	if got := configFile("zkServer.sh", "", ""); got != "/etc/zk/mine.cfg" {
		t.Errorf("ZOOCFGDIR: %s", got)
	}
}

func TestNoFoldersWhereNoneMayBeMade(t *testing.T) {
	t.Chdir(layout(t, "clientPort=2181\n"))
	t.Setenv("ZOO_DATADIR_AUTOCREATE_DISABLE", "1")
	r := run(t, "zkServer.sh", "--config", "conf", "start")
	if r.Code != 1 || !strings.Contains(r.Out, "ZooKeeper data directory is missing at") || exists("data") || exists("logs") {
		t.Errorf("%+v", r)
	}
}

func TestHelpIsWhole(t *testing.T) {
	for _, words := range [][]string{{"quorum", "--help"}, {"zkServer.sh", "--help"}, {"zkServer.sh", "status", "--help"}, {"zkServer-initialize.sh", "--help"}} {
		r := run(t, words...)
		if r.Code != 0 || !strings.Contains(r.Out, "Usage:\n  ") {
			t.Errorf("%v: %+v", words, r)
		}
		if len(words) == 2 && (!strings.Contains(r.Out, "Examples:\n  # ") || !strings.Contains(r.Out, cli.Called(words[0]))) {
			t.Errorf("%v has no example that calls it so: %s", words, r.Out)
		}
	}
}
