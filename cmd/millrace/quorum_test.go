package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// zooKeeper is one server of an ensemble as the tutorial sets it up: conf/zoo.cfg, its data,
// and the scripts in bin/ of an installation that it shares with the others.
type zooKeeper struct {
	t    *testing.T
	home string
	dir  string
	addr string // of clients
}

// ensemble writes the tutorial's zoo.cfg for n servers on this machine.
func ensemble(t *testing.T, n int, lines string) []*zooKeeper {
	t.Helper()
	home := install(t)
	servers := make([]*zooKeeper, n)
	list := ""
	for i := range servers {
		list += fmt.Sprintf("server.%d=%s:%s\n", i+1, freePort(t), portPart(freePort(t)))
	}
	for i := range servers {
		z := &zooKeeper{t: t, home: home, dir: t.TempDir(), addr: freePort(t)}
		z.write("data/myid", fmt.Sprintf("%d\n", i+1))
		z.write("conf/zoo.cfg", fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPortAddress=127.0.0.1\nclientPort=%s\nadmin.enableServer=false\n%s%s",
			filepath.Join(z.dir, "data"), portPart(z.addr), list, lines))
		servers[i] = z
		t.Cleanup(func() { z.script("stop") })
	}
	return servers
}

func portPart(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func (z *zooKeeper) write(name, text string) {
	z.t.Helper()
	name = filepath.Join(z.dir, name)
	must(z.t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(z.t, os.WriteFile(name, []byte(text), 0o644))
}

// script runs zkServer.sh.
func (z *zooKeeper) script(word string) (out string, code int) {
	z.t.Helper()
	cmd := exec.Command(filepath.Join(z.home, "bin", "zkServer.sh"), "--config", filepath.Join(z.dir, "conf"), word)
	cmd.Dir = z.dir
	cmd.Env = append(quickExit(), "ZOO_LOG_DIR="+filepath.Join(z.dir, "logs"))
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); cmd.ProcessState == nil {
		z.t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

func (z *zooKeeper) want(word, part string, code int) {
	z.t.Helper()
	out, got := z.script(word)
	if got != code || !strings.Contains(out, part) {
		z.t.Fatalf("%s: code %d, want %d with %q:\n%s\nlog:\n%s", word, got, code, part, out, z.log())
	}
}

func (z *zooKeeper) log() string {
	text := ""
	files, _ := filepath.Glob(filepath.Join(z.dir, "logs", "*"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		text += string(data)
	}
	return text
}

func (z *zooKeeper) pid() int {
	z.t.Helper()
	text, err := os.ReadFile(filepath.Join(z.dir, "data", "zookeeper_server.pid"))
	must(z.t, err)
	pid, err := strconv.Atoi(string(text))
	must(z.t, err)
	return pid
}

// mode is the word behind "Mode: ", empty while the server does not serve.
func (z *zooKeeper) mode() string {
	z.t.Helper()
	out, _ := z.script("status")
	_, after, _ := strings.Cut(out, "Mode: ")
	return strings.TrimSpace(after)
}

// leader waits until one of the servers leads and the others follow.
func leader(t *testing.T, servers []*zooKeeper) *zooKeeper {
	t.Helper()
	var lead *zooKeeper
	testkit.WaitFor(t, "a leader and followers", func() bool {
		leaders, followers := 0, 0
		for _, z := range servers {
			switch z.mode() {
			case "leader":
				leaders, lead = leaders+1, z
			case "follower":
				followers++
			}
		}
		return leaders == 1 && followers == len(servers)-1
	})
	return lead
}

// goClient is a session of a client that others wrote.
func goClient(t *testing.T, servers ...*zooKeeper) *zk.Conn {
	t.Helper()
	var addrs []string
	for _, z := range servers {
		addrs = append(addrs, z.addr)
	}
	c, _, err := zk.Connect(addrs, 30*time.Second, zk.WithLogInfo(false), zk.WithLogger(quietLog{}))
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}

// get reads a node, through connections that break.
func get(t *testing.T, c *zk.Conn, path string) string {
	t.Helper()
	var data []byte
	testkit.WaitFor(t, "an answer for "+path, func() bool {
		var err error
		data, _, err = c.Get(path)
		if err != nil && !errors.Is(err, zk.ErrConnectionClosed) && !errors.Is(err, zk.ErrNoServer) {
			t.Fatal(path, err)
		}
		return err == nil
	})
	return string(data)
}

// The tutorial's ensemble: started, asked, one of three killed, started again, wiped, stopped.
func TestEnsembleOfTheTutorial(t *testing.T) {
	servers := ensemble(t, 3, "")
	for _, z := range servers {
		z.want("start", "Starting zookeeper ... STARTED\n", 0)
	}
	servers[0].want("start", "Starting zookeeper ... already running as process "+strconv.Itoa(servers[0].pid())+".", 1)
	lead := leader(t, servers)
	c := goClient(t, servers...)
	if _, err := c.Create("/kept", []byte("data"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/mine", []byte("ephemeral"), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}

	must(t, syscall.Kill(lead.pid(), syscall.SIGKILL))
	lead.want("status", "Error contacting service. It is probably not running.\n", 1)
	var left []*zooKeeper
	for _, z := range servers {
		if z != lead {
			left = append(left, z)
		}
	}
	leader(t, left)
	if kept, mine := get(t, c, "/kept"), get(t, c, "/mine"); kept != "data" || mine != "ephemeral" {
		t.Errorf("after the leader was killed: %q, %q", kept, mine)
	}
	lead.want("start", "STARTED", 0) // its pid file is stale
	second := leader(t, servers)

	// A server that lost its data joins again, as another one.
	var wiped *zooKeeper
	for _, z := range servers {
		if z != second {
			wiped = z
		}
	}
	wiped.want("stop", "Stopping zookeeper ... STOPPED\n", 0)
	must(t, os.RemoveAll(filepath.Join(wiped.dir, "data", "quorum-1")))
	wiped.want("start", "STARTED", 0)
	leader(t, servers)
	if kept := get(t, goClient(t, wiped), "/kept"); kept != "data" {
		t.Errorf("the wiped server has %q", kept)
	}

	servers[1].want("restart", "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n", 0)
	leader(t, servers)
	for _, z := range servers {
		z.want("stop", "Stopping zookeeper ... STOPPED\n", 0)
		z.want("stop", "no zookeeper to stop (could not find file ", 0)
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	z := ensemble(t, 3, "")[0]
	z.write("data/myid", "7\n")
	z.want("start", "Starting zookeeper ... FAILED TO START\nthe configuration cannot be used:\n  "+z.dir+"/data/myid: myid=7: no line server.7 is in the list", 1)
	z.want("start-foreground", "no line server.7 is in the list", 2)
	must(t, os.Remove(filepath.Join(z.dir, "data", "myid")))
	z.want("start", "myid: the file is missing: write the N of this server's line server.N into it", 1)

	z.write("data/myid", "1\n")
	taken, err := net.Listen("tcp", z.addr)
	must(t, err)
	z.want("start-foreground", "clientPort: "+z.addr+" cannot be opened", 1)
	must(t, taken.Close())
	text, err := os.ReadFile(filepath.Join(z.dir, "conf", "zoo.cfg"))
	must(t, err)
	_, line, _ := strings.Cut(string(text), "server.1=")
	host, rest, _ := strings.Cut(line, ":")
	port, _, _ := strings.Cut(rest, ":")
	taken, err = net.Listen("tcp", host+":"+port)
	must(t, err)
	defer taken.Close()
	z.want("start-foreground", "server.1: "+host+":"+port+" cannot be opened", 14)
}

// A server in the foreground tells systemd when it runs, serves Go's client, survives kill -9
// with its data, and ends with 0 when it is told to.
func TestQuorumInTheForeground(t *testing.T) {
	z := ensemble(t, 1, "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\n")[0]
	socket := filepath.Join(z.dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer notify.Close()
	run := func(value string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(z.home, "bin", "millrace"), "quorum", filepath.Join(z.dir, "conf", "zoo.cfg"))
		cmd.Env = append(quickExit(), "NOTIFY_SOCKET="+socket)
		must(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		state := make([]byte, 64)
		n, err := notify.Read(state)
		if err != nil || string(state[:n]) != "READY=1" {
			t.Fatalf("it said %q, %v", state[:n], err)
		}
		c := goClient(t, z)
		if value == "" {
			_, err = c.Create("/a", []byte("kept"), 0, zk.WorldACL(zk.PermAll))
			must(t, err)
		} else if got := get(t, c, "/a"); got != value {
			t.Errorf("got %q, want %q", got, value)
		}
		if got := z.mode(); got != "standalone" {
			t.Errorf("mode %q", got)
		}
		return cmd
	}
	cmd := run("")
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	cmd = run("kept")
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

// TestQuorumMetrics: what a server of the quorum shows is what docs/metrics.md lists, and
// ZooKeeper's names are those that its own provider has.
func TestQuorumMetrics(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	must(t, os.WriteFile(file, []byte("dataDir="+dir+"/data\nclientPort=2181\nadmin.enableServer=false\nmetricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n"+
		"metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=0\nmetricsProvider.exportJvmInfo=false\n"), 0o644))
	cfg, _, err := zoocfg.Load(zoocfg.Input{File: file, FS: osfs.FS{}})
	must(t, err)
	cfg.ClientAddress = "127.0.0.1:0"
	running, err := startQuorum(t.Context(), cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	defer func() { must(t, running.Close(context.Background())) }()
	resp, err := http.Get("http://" + running.(*quorumServer).metrics.l.Addr().String() + "/metrics")
	must(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	must(t, err)
	_, chapter, _ := strings.Cut(string(doc), "## The quorum")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(chapter, -1) {
		listed[m[1]] = true
	}
	there := map[string]bool{}
	for name := range metricNames(string(body)) {
		if !strings.HasPrefix(name, "millrace_sync") {
			there[name] = true
		}
	}
	for _, m := range regexp.MustCompile("(?m)^# TYPE ([a-z_]+) summary").FindAllStringSubmatch(string(body), -1) {
		delete(there, m[1]+"_sum")
		delete(there, m[1]+"_count")
		there[m[1]] = true
	}
	for name := range there {
		if !listed[name] {
			t.Errorf("docs/metrics.md does not list %s", name)
		}
	}
	ofALeader := map[string]bool{} // of an ensemble
	for _, m := range zookeeperMetrics() {
		ofALeader[m.name] = m.leader
	}
	for name := range listed {
		if !there[name] && !ofALeader[name] {
			t.Errorf("docs/metrics.md lists %s, which the server does not have", name)
		}
	}
	if len(there) < 40 {
		t.Errorf("%d metrics: the test looks in the wrong place", len(there))
	}
}
