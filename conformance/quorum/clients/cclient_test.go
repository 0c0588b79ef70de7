package clients

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// TestCClient runs a program on ZooKeeper's C client against an ensemble. The leader is killed
// under it, and after it the program's session must be the same.
func TestCClient(t *testing.T) {
	t.Parallel()
	needFile(t, "/usr/include/zookeeper/zookeeper.h", "libzookeeper-mt-dev gcc")
	binary := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("gcc", "-DTHREADED", "-O1", "-Wall", "-o", binary, "testdata/client.c", "-lzookeeper_mt", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	e := launch(t, zkserver.Options{Servers: 3})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, e.ConnectString())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		out.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "ready") {
			if err := killLeader(e); err != nil {
				t.Error(err)
			}
			io.WriteString(stdin, "killed\n")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program: %v", err)
	}
	results(t, out.String(), 22)
}

// killLeader kills the leader, waits until another one leads, and starts it again.
func killLeader(e *zkserver.Ensemble) error {
	old, err := e.Leader()
	if err != nil {
		return err
	}
	if err := old.Kill(); err != nil {
		return err
	}
	if _, err := e.Leader(); err != nil {
		return err
	}
	return old.Start()
}

// TestDebiansCommandLineClient gives commands to cli_mt, one connection each.
func TestDebiansCommandLineClient(t *testing.T) {
	t.Parallel()
	const cli = "/usr/lib/zookeeper/bin/cli_mt"
	needFile(t, cli, "zookeeper-bin")
	e := launch(t, zkserver.Options{})
	for _, c := range []struct{ command, want string }{
		{"create /x", "Creating [/x] node"},
		{"set /x hello", "rc = 0"},
		{"get /x", "hello"},
		{"ls /", "x"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, cli, e.Servers[0].Addr(), "cmd:"+c.command)
		cmd.Env = os.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
		if !strings.Contains(string(out), c.want) {
			t.Errorf("%s: no %q in\n%s", c.command, c.want, out)
		}
	}
}
