package zk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
	"github.com/millrace/millrace/tools/cli"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// debianCLI is ZooKeeper's own shell.
const debianCLI = "/usr/share/zookeeper/bin/zkCli.sh"

// result is what a user sees of a run.
type result struct {
	out, errs string
	code      int
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	return ctx
}

// theirs runs ZooKeeper's shell.
func theirs(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(patience(t), debianCLI, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// ours runs this one.
func ours(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := Command("zkCli.sh")
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(cli.NormalizeFor(cmd, args))
	ran, err := cmd.ExecuteContextC(patience(t))
	code := cli.Report(ran, err)
	return result{out.String(), errs.String(), code}
}

var (
	hexNumber = regexp.MustCompile(`0x[0-9a-f]+`)
	date      = regexp.MustCompile(`(?m)^([cm]time = ).*$`)
	version   = regexp.MustCompile(`(?m)^(ZooKeeper CLI version: 3\.8\.0).*$`)
	watcher   = regexp.MustCompile(`(?m)^\nWATCHER::\n`)
	event     = regexp.MustCompile(`(?m)^\nWatchedEvent (.*)\n`)
	logLine   = regexp.MustCompile(`(?m)^SLF4J: .*\n`)
	paths     = regexp.MustCompile(`(?m)^\[/.*\]$`)
	cause     = regexp.MustCompile(`(?m)(KeeperErrorCode = ConnectionLoss for \S+) \(.*\)$`)
)

// scrub takes out what differs from run to run, and what is ours on purpose. Events come
// when they like, in two pieces: they are returned apart. ZooKeeper's shell may be gone before
// it tells that it closed.
func scrub(r result) (scrubbed result, events []string) {
	out := watcher.ReplaceAllString(r.out, "")
	for _, m := range event.FindAllStringSubmatch(out, -1) {
		events = append(events, m[1])
	}
	if n := len(events); n > 0 && strings.HasPrefix(events[n-1], "state:Closed ") {
		events = events[:n-1]
	}
	sortRemoved(events)
	out = event.ReplaceAllString(out, "")
	out = hexNumber.ReplaceAllString(out, "0xN")
	out = date.ReplaceAllString(out, "${1}DATE")
	out = version.ReplaceAllString(out, "$1")
	out = paths.ReplaceAllStringFunc(out, func(line string) string {
		list := strings.Split(line[1:len(line)-1], ", ")
		slices.Sort(list)
		return "[" + strings.Join(list, ", ") + "]"
	})
	errs := logLine.ReplaceAllString(r.errs, "")
	errs = strings.NewReplacer("get [-s] [-w] [-b] [-x] path", "get [-s] [-w] path", "\thelp \n", "").Replace(errs)
	errs = cause.ReplaceAllString(errs, "$1")
	return result{out, errs, r.code}, events
}

// sortRemoved sorts events of watches that were removed together, which ZooKeeper's client
// tells in any order.
func sortRemoved(events []string) {
	for i := 0; i < len(events); i++ {
		end := i
		for end < len(events) && strings.Contains(events[end], "WatchRemoved") {
			end++
		}
		slices.Sort(events[i:end])
		i = end
	}
}

// transcript is a run as a text that can be compared.
func transcript(r result) string {
	r, events := scrub(r)
	return fmt.Sprintf("-- output\n%s-- error output\n%s-- events\n%s\n-- exit code %d\n", r.out, r.errs, strings.Join(events, "\n"), r.code)
}

// compare holds a run of ours against one of theirs.
func compare(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("line %d differs\n  ours: %q\ntheirs: %q\n-- ours, whole\n%s\n-- theirs, whole\n%s", i+1, g[min(i, len(g)):][:1], w[min(i, len(w)):][:1], got, want)
		}
	}
}

// session runs the commands of testdata/session.txt.
func session(t *testing.T, shell func(*testing.T, string, ...string) result, server string) string {
	t.Helper()
	script, err := os.ReadFile("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := shell(t, strings.ReplaceAll(string(script), "SERVER", server), "-server", server)
	return strings.ReplaceAll(transcript(r), server, "SERVER")
}

// golden is what ZooKeeper's shell made of that session on ZooKeeper.
const golden = "testdata/session.golden"

func wantSession(t *testing.T) string {
	t.Helper()
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

func debian(t *testing.T) string {
	return zkserver.Launch(t, zkserver.Options{Config: map[string]string{"extendedTypesEnabled": "true"}}).ConnectString()
}

// The golden file is true: it is what Debian's shell prints on Debian's server. With
// UPDATE_GOLDEN=1 it is written anew.
func TestGoldenIsZooKeepers(t *testing.T) {
	zkserver.Need(t)
	got := session(t, theirs, debian(t))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, got, wantSession(t))
}

func TestSessionOnZooKeeper(t *testing.T) {
	zkserver.Need(t)
	compare(t, session(t, ours, debian(t)), wantSession(t))
}

func TestSessionOnOurServer(t *testing.T) {
	compare(t, session(t, ours, ownServer(t)), wantSession(t))
}

// One command a run, for the exit codes.
func TestCommandsAsZooKeepers(t *testing.T) {
	zkserver.Need(t)
	e := zkserver.Launch(t, zkserver.Options{})
	at := e.ConnectString()
	for _, args := range [][]string{
		{"-server", at, "ls", "/zookeeper"},
		{"-server", at, "-timeout", "5000", "-waitforconnection", "get", "/nope"},
		{"-server", at, "foo"},
		{"-server", at + "/zookeeper", "-r", "ls", "/"},
		{"-server", "127.0.0.1:1", "stat", "/"},
	} {
		t.Run(strings.Join(args[2:], " "), func(t *testing.T) {
			compare(t, transcript(ours(t, "", args...)), transcript(theirs(t, "", args...)))
		})
	}
}

var configVersion = regexp.MustCompile(`(?m)^(version=|)[0-9a-f]{9,}( |$)`)

// Both shells change the same ensemble in turn. The leader stays, and is asked: a server
// that is to go takes its clients with it.
func TestReconfigAsZooKeepers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an ensemble of three")
	}
	zkserver.Need(t)
	e := zkserver.Launch(t, zkserver.Options{Servers: 3, Config: map[string]string{"reconfigEnabled": "true", "skipACL": "yes", "standaloneEnabled": "false"}})
	leader, err := e.Leader()
	if err != nil {
		t.Fatal(err)
	}
	leaves := fmt.Sprint(leader.ID%3 + 1)
	whole := ours(t, "", "-server", leader.Addr(), "config")
	members := regexp.MustCompile(`(?m)^server\..*$`).FindAllString(whole.out, -1)
	file := filepath.Join(t.TempDir(), "members")
	if err := os.WriteFile(file, []byte(strings.Join(members, "\n")+"\n"), 0o644); err != nil || len(members) != 3 {
		t.Fatalf("%v, %+v", err, whole)
	}
	back := members[slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, "server."+leaves+"=") })]
	input := strings.Join([]string{
		"config -c", "config -s", "reconfig -v 1 -remove " + leaves, "reconfig -remove " + leaves, "config", "reconfig -add " + back, "config",
		"reconfig -remove 9", "reconfig -add nonsense", "reconfig -members " + strings.Join(members, ","), "reconfig -s -remove " + leaves,
		"reconfig -file " + file, "reconfig -file /no/such/file", "quit",
	}, "\n") + "\n"
	run := func(shell func(*testing.T, string, ...string) result) string {
		r := shell(t, input, "-server", leader.Addr())
		// Java adds its own words for a file that is not there.
		r.errs = regexp.MustCompile(`(?m)^(Error processing /no/such/file).*$`).ReplaceAllString(r.errs, "$1")
		return configVersion.ReplaceAllString(transcript(r), "${1}VERSION$2")
	}
	compare(t, run(ours), run(theirs))
}
