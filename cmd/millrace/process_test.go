package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/netx/ports"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/process"
)

// TestMain makes the test binary a millrace when it is called by that name: the tests
// below run it as a user would, from a bin/ of their own.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "millrace" {
		main()
	}
	os.Exit(m.Run())
}

// install lays out home/bin with the binary and the scripts, as make install does.
func install(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	bin := filepath.Join(home, "bin")
	must(t, os.Mkdir(bin, 0o755))
	self, err := os.Executable()
	must(t, err)
	if os.Link(self, filepath.Join(bin, "millrace")) != nil {
		data, err := os.ReadFile(self)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(bin, "millrace"), data, 0o755))
	}
	for _, tool := range toolbox() {
		shim := "shim.sh"
		if tool.script == "" {
			continue
		} else if strings.HasPrefix(tool.script, "zk") {
			shim = "zkshim.sh"
		}
		script, err := os.ReadFile(filepath.Join("..", "..", "tools", "shim", shim))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(bin, tool.script+".sh"), script, 0o755))
	}
	return home
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quickExit is the environment in which the race detector does not wait a second at exit.
func quickExit() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

func freePort(t *testing.T) string {
	t.Helper()
	r, err := ports.Reserve(1)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return fmt.Sprintf("127.0.0.1:%d", r.Numbers[0])
}

// runTool runs a script of home and returns its output; a failure is told by code.
func runTool(t *testing.T, home, input, script string, words ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience) // cleanups run tools too
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(home, "bin", script), words...)
	cmd.Dir, cmd.Stdin, cmd.Env = home, strings.NewReader(input), quickExit()
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

// testBroker is a running "millrace server".
type testBroker struct {
	cmd    *exec.Cmd
	output *bytes.Buffer
	took   time.Duration // from the start of the process until it serves, without waits for a processor
	rest   chan error
}

// startBroker runs a server without a configuration file, as make run does.
func startBroker(t *testing.T, home, at string) *testBroker {
	t.Helper()
	b := &testBroker{output: new(bytes.Buffer), rest: make(chan error, 1)}
	b.cmd = exec.Command(filepath.Join(home, "bin", "millrace"), "server", "--override", "listeners=PLAINTEXT://"+at, "--override", "admin.listener="+freePort(t), "--override", "quorum.client.listener=")
	b.cmd.Dir = home
	b.cmd.Env = append(quickExit(), "MILLRACE_DATA=")
	pipe, err := b.cmd.StdoutPipe()
	must(t, err)
	b.cmd.Stderr = b.cmd.Stdout
	must(t, b.cmd.Start())
	t.Cleanup(func() { _ = b.cmd.Process.Kill() })
	began, before, ready := time.Now(), process.Waits("self"), make(chan bool, 1)
	go func() {
		defer close(ready)
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			fmt.Fprintln(b.output, lines.Text())
			if strings.Contains(lines.Text(), " is ready on ") {
				ready <- true
				break
			}
		}
		go func() { _, err := io.Copy(b.output, pipe); b.rest <- err }()
	}()
	if !<-ready {
		<-b.rest
		t.Fatalf("the broker did not start: %v\n%s", b.cmd.Wait(), b.output)
	}
	b.took = time.Since(began) - process.Waits(fmt.Sprint(b.cmd.Process.Pid)) - (process.Waits("self") - before)
	return b
}

// stop sends a signal and returns the exit code.
func (b *testBroker) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	must(t, b.cmd.Process.Signal(sig))
	<-b.rest
	_ = b.cmd.Wait()
	return b.cmd.ProcessState.ExitCode()
}

func TestTwoMinutesOfTheReadme(t *testing.T) {
	home, at := install(t), freePort(t)
	b := startBroker(t, home, at)
	for _, step := range []struct {
		input, words, want string
		code               int
	}{
		{"hello\n", "kafka-console-producer.sh --bootstrap-server AT --topic test", "", 0},
		{"", "kafka-console-consumer.sh --bootstrap-server AT --topic test --from-beginning --max-messages 1", "hello\nProcessed a total of 1 messages\n", 0},
		{"", "kafka-topics.sh --bootstrap-server AT --create --topic clicks --partitions 3 --config retention.ms=86400000", "Created topic clicks.\n", 0},
		{"", "kafka-topics.sh --bootstrap-server AT --create --topic clicks", "Topic 'clicks' already exists.", 1},
		{"", "kafka-topics.sh --bootstrap-server AT --create --topic a/b", "InvalidTopicException", 1},
		{"", "kafka-topics.sh --bootstrap-server AT --alter --topic clicks --partitions 1", "InvalidPartitionsException", 1},
		{"", "kafka-topics.sh --bootstrap-server AT --list", "clicks\ntest\n", 0},
		{"", "kafka-topics.sh --bootstrap-server AT --describe --topic clicks", "\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=86400000\n", 0},
		{"", "kafka-get-offsets.sh --bootstrap-server AT --topic test", "test:0:1\n", 0},
		{"", "kafka-console-consumer.sh --bootstrap-server AT --topic test --group g --from-beginning --max-messages 1", "hello\n", 0},
		{"", "kafka-topics.sh --bootstrap-server AT --delete --topic clicks", "", 0},
	} {
		words := strings.Fields(strings.ReplaceAll(step.words, "AT", at))
		out, code := runTool(t, home, step.input, words[0], words[1:]...)
		if code != step.code || !strings.Contains(out, step.want) || (step.want == "" && out != "") {
			t.Errorf("%s: code %d, printed %q, want %q", step.words, code, out, step.want)
		}
	}
	if code := b.stop(t, syscall.SIGINT); code != 0 {
		t.Errorf("Ctrl-C: exit code %d\n%s", code, b.output)
	}
	if out, code := runTool(t, home, "", "kafka-dump-log.sh", "--print-data-log", "--files", "data/test-0/00000000000000000000.log"); code != 0 || !strings.Contains(out, " payload: hello\n") {
		t.Errorf("dump: %d %q", code, out)
	}
	b = startBroker(t, home, at) // everything is found again
	if out, _ := runTool(t, home, "", "kafka-console-consumer.sh", "--bootstrap-server", at, "--topic", "test", "--from-beginning", "--max-messages", "1"); !strings.HasPrefix(out, "hello\n") {
		t.Errorf("after a restart: %q", out)
	}
	if code := b.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("SIGTERM: exit code %d\n%s", code, b.output)
	}
}

// A start on an empty directory is no more than a blink. What others do on the machine is
// not counted, and what they do to its caches and disks passes: one start has to be quick.
func TestReadyWithin100ms(t *testing.T) {
	const blink, bound = 100 * time.Millisecond, 100
	best := time.Hour
	for range bound {
		b := startBroker(t, install(t), freePort(t))
		best = min(best, b.took)
		b.stop(t, syscall.SIGTERM)
		if best < blink {
			break
		}
	}
	t.Logf("process start to serving: %v", best)
	if best >= blink {
		t.Errorf("the best of %d starts took %v", bound, best)
	}
}

func TestInTheBackground(t *testing.T) {
	home, at := install(t), freePort(t)
	file := filepath.Join(home, "server.properties")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "broker.id=3\nlisteners=PLAINTEXT://%s\nadmin.listener=%s\nquorum.client.listener=\nlog.dirs=%s\n", at, freePort(t), filepath.Join(home, "d")), 0o600))
	if out, code := runTool(t, home, "", "kafka-server-stop.sh"); code != 1 || out != "No kafka server to stop\n" {
		t.Fatalf("stop without a broker: %d %q", code, out)
	}
	if out, code := runTool(t, home, "", "kafka-server-start.sh", "-daemon", file); code != 0 {
		t.Fatalf("-daemon: %d %q", code, out)
	}
	t.Cleanup(func() { runTool(t, home, "", "kafka-server-stop.sh") })
	if out, code := runTool(t, home, "", "kafka-topics.sh", "--bootstrap-server", at, "--create", "--topic", "x"); code != 0 {
		t.Fatalf("create: %d %q", code, out)
	}
	out, code := runTool(t, home, "", "kafka-server-start.sh", "-daemon", file)
	if code != 1 || !strings.Contains(out, "address already in use") {
		t.Errorf("a second broker on the port: %d %q", code, out)
	}
	if out, code := runTool(t, home, "", "kafka-server-stop.sh"); code != 0 || out != "" {
		t.Errorf("stop: %d %q", code, out)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		pids, err := brokers("/proc", filepath.Join(home, "bin", "millrace"))
		must(t, err)
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the broker goes on after kafka-server-stop.sh")
		}
		_, _ = runTool(t, home, "", "kafka-dump-log.sh", "--version") // as good as a wait
	}
	log, err := os.ReadFile(filepath.Join(home, "logs", "server.log"))
	if err != nil || !strings.Contains(string(log), "[KafkaServer id=3] started") || !strings.Contains(string(log), "msg=stopped") {
		t.Errorf("server.log (%v): %s", err, log)
	}
}
