package zk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
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
	ephemeral = regexp.MustCompile(`(?m)^\[/es-0000000005, /es-0000000004\]$`)
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
	out = ephemeral.ReplaceAllString(out, "[/es-0000000004, /es-0000000005]")
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

// compare holds a run of ours against one of theirs.
func compare(t *testing.T, got, want result) {
	t.Helper()
	g, gotEvents := scrub(got)
	w, wantEvents := scrub(want)
	diff(t, "output", g.out, w.out)
	diff(t, "error output", g.errs, w.errs)
	diff(t, "events", strings.Join(gotEvents, "\n"), strings.Join(wantEvents, "\n"))
	if g.code != w.code {
		t.Errorf("exit code %d, ZooKeeper's is %d", g.code, w.code)
	}
}

func diff(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Errorf("%s differs at line %d\n ours: %q\ntheirs: %q\n-- ours --\n%s\n-- theirs --\n%s", what, i+1, g[min(i, len(g)):], w[min(i, len(w)):], got, want)
			return
		}
	}
}

// The same session on the same kind of server, by both shells.
func TestSessionAsZooKeepers(t *testing.T) {
	zkserver.Need(t)
	t.Setenv("TZ", "UTC")
	script, err := os.ReadFile("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	run := func(shell func(*testing.T, string, ...string) result) result {
		e := zkserver.Launch(t, zkserver.Options{Config: map[string]string{"extendedTypesEnabled": "true"}})
		at := e.ConnectString()
		r := shell(t, strings.ReplaceAll(string(script), "SERVER", at), "-server", at)
		return result{strings.ReplaceAll(r.out, at, "SERVER"), strings.ReplaceAll(r.errs, at, "SERVER"), r.code}
	}
	compare(t, run(ours), run(theirs))
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
			compare(t, ours(t, "", args...), theirs(t, "", args...))
		})
	}
}
