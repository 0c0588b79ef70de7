package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/tools/cli"
)

// fakeServer stands for a broker that is up until it is closed.
type fakeServer struct {
	closed chan struct{}
	fails  error
}

func (f *fakeServer) Addr() string      { return "127.0.0.1:9092" }
func (f *fakeServer) AdminAddr() string { return "127.0.0.1:9644" }
func (f *fakeServer) Wait() error {
	if f.fails != nil {
		return f.fails
	}
	<-f.closed
	return nil
}
func (f *fakeServer) Close(context.Context) error { close(f.closed); return nil }

// serveWith runs the server command with a broker that start makes.
func serveWith(t *testing.T, name string, start startFunc, words ...string) (out, errs string, code int) {
	t.Helper()
	cmd := serverCommand(name, start)
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(cli.Normalize(cmd.Flags(), words))
	err := cmd.ExecuteContext(t.Context())
	code = cli.Report(cmd, err)
	return stdout.String(), stderr.String(), code
}

func TestServerTellsHowToUseItAndStopsOnSignal(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("MILLRACE_DATA", "here")
	started := make(chan *config.Config, 1)
	srv := &fakeServer{closed: make(chan struct{})}
	go func() {
		<-started
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	out, errs, code := serveWith(t, "server", func(_ context.Context, cfg *config.Config, _ *slog.Logger) (running, error) {
		if len(cfg.Broker.LogDirs) != 1 || filepath.Base(cfg.Broker.LogDirs[0]) != "here" || cfg.Broker.Listeners[0].Address() != "127.0.0.1:9092" {
			t.Errorf("log.dirs %v, listeners %v", cfg.Broker.LogDirs, cfg.Broker.Listeners)
		}
		started <- cfg
		return srv, nil
	})
	if code != 0 || errs != "" {
		t.Fatalf("code %d, stderr %q", code, errs)
	}
	for _, part := range []string{"is ready on 127.0.0.1:9092", "console-producer --bootstrap-server 127.0.0.1:9092 --topic test",
		"console-consumer", "http://127.0.0.1:9644/metrics", "/here\n", "] started", "msg=stopping", "msg=stopped"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is missing in %s", part, out)
		}
	}
	select {
	case <-srv.closed:
	default:
		t.Error("the broker was not closed")
	}
	if _, err := os.Stat("logs"); err == nil {
		t.Error("millrace server wrote a log file")
	}
}

func TestServerScriptWritesServerLog(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte("broker.id=7\nlog.dirs="+dir+"/d\nno.such.key=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LOG_DIR", filepath.Join(dir, "logs"))
	out, _, code := serveWith(t, "kafka-server-start.sh", func(_ context.Context, cfg *config.Config, _ *slog.Logger) (running, error) {
		if cfg.Broker.ID != 7 || cfg.Broker.NumPartitions != 3 {
			t.Errorf("id %d, partitions %d", cfg.Broker.ID, cfg.Broker.NumPartitions)
		}
		return &fakeServer{closed: make(chan struct{}), fails: errors.New("all log directories failed")}, nil
	}, file, "--override", "num.partitions=3", "--log-format", "json")
	if code != 1 || strings.Contains(out, "is ready") {
		t.Fatalf("code %d: %s", code, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "logs", "server.log"))
	if err != nil || !strings.Contains(string(text), "no.such.key") || !strings.Contains(string(text), `"msg":"[KafkaServer id=7] started"`) || string(text) != out {
		t.Fatalf("server.log %q (%v), stdout %q", text, err, out)
	}
}

func TestServerErrorsSayWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	never := func(context.Context, *config.Config, *slog.Logger) (running, error) {
		t.Error("started")
		return nil, errors.New("started")
	}
	_, errs, code := serveWith(t, "server", func(context.Context, *config.Config, *slog.Logger) (running, error) {
		_, err := net.Listen("tcp", taken.Addr().String())
		return nil, err
	})
	if code != 1 || !strings.Contains(errs, "address already in use") || !strings.Contains(errs, "--override listeners=") {
		t.Errorf("taken port: code %d, %q", code, errs)
	}
	if err := os.WriteFile("bad.properties", []byte("\nnum.partitions=many\nbroker.id=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for words, parts := range map[string][]string{
		"bad.properties":                   {"bad.properties:2", "num.partitions", "many", "bad.properties:3", "broker.id"},
		"none.properties":                  {"none.properties"},
		"--override num.partitions=-5":     {"num.partitions", "-5"},
		"a b":                              {"unexpected argument"},
		"--log-format xml":                 {"text or json"},
		"--log-level loud":                 {"debug, info, warn or error"},
		"--override log.retention.ms=soon": {"log.retention.ms", "soon"},
	} {
		_, errs, code := serveWith(t, "server", never, strings.Fields(words)...)
		if code != 1 {
			t.Errorf("%s: code %d", words, code)
		}
		for _, p := range parts {
			if !strings.Contains(errs, p) {
				t.Errorf("%s: %q is missing in %q", words, p, errs)
			}
		}
	}
}

func TestLogFileStartsAnewEachHour(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "server.log")
	f, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("old\n")); err != nil {
		t.Fatal(err)
	}
	f.hour = "2026-01-02-03"
	if _, err := f.Write([]byte("new\n")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	yesterday := time.Now().Add(-25 * time.Hour)
	for name, want := range map[string]string{path: "new\n", path + ".2026-01-02-03": "old\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v)", name, got, err)
		}
	}
	if err := os.Chtimes(path, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	again, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if got, err := os.ReadFile(path + "." + hourOf(yesterday)); err != nil || string(got) != "new\n" {
		t.Errorf("the log of an earlier run: %q (%v)", got, err)
	}
}

func TestStopFindsBrokersOnly(t *testing.T) {
	for line, want := range map[string]bool{
		"millrace server": true,
		"/opt/kafka/bin/millrace server x.properties":           true,
		"bin/kafka-server-start.sh x.properties":                true,
		"/opt/kafka/bin/millrace --as /x/kafka-server-start.sh": true,
		"millrace --as kafka-topics.sh --list":                  false,
		"millrace topics --list server":                         false,
		"millrace":                                              false,
		"kafka-server-stop.sh":                                  false,
	} {
		if got := isServer(strings.Fields(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
	proc := t.TempDir()
	for pid, p := range map[string]struct{ exe, line string }{
		"11": {"/opt/kafka/bin/millrace", "millrace\x00server\x00"},
		"12": {"/opt/kafka/bin/millrace (deleted)", "x\x00--as\x00kafka-server-start.sh\x00"},
		"13": {"/usr/bin/vi", "vi\x00server\x00"},
		"14": {"/opt/kafka/bin/millrace", "millrace\x00topics\x00"},
		"15": {"/elsewhere/bin/millrace", "millrace\x00server\x00"},
	} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(p.exe, filepath.Join(proc, pid, "exe")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "cmdline"), []byte(p.line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pids, err := brokers(proc, "/opt/kafka/bin/millrace")
	if err != nil || len(pids) != 2 {
		t.Fatalf("%v %v", pids, err)
	}
}

func TestNameDecides(t *testing.T) {
	for called, want := range map[string]string{
		"/opt/kafka/bin/kafka-topics.sh": "kafka-topics.sh", "kafka-topics": "kafka-topics", "kafka-dump-log.sh": "kafka-dump-log.sh",
		"kafka-server-stop.sh": "kafka-server-stop.sh", "/opt/zookeeper/bin/zkCli.sh": "zkCli.sh", "./millrace": "millrace", "anything": "millrace",
	} {
		if got := command(called).Name(); got != want {
			t.Errorf("%s: %s, want %s", called, got, want)
		}
	}
}

// Every tool explains itself with examples, and the words of its help are its options.
func TestHelpHasExamples(t *testing.T) {
	root := command("millrace")
	tools := 0
	for _, c := range root.Commands() {
		if c.Name() == "completion" || c.Name() == "version" || c.Name() == "help" {
			continue
		}
		tools++
		if c.Example == "" || strings.Contains(c.Example, "{{") || c.Short == "" || c.Long == "" {
			t.Errorf("%s has no examples or text", c.Name())
		}
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil || !strings.Contains(out.String(), "Examples:\n  # ") || !strings.Contains(out.String(), "--help") {
			t.Errorf("%s: help %q (%v)", c.Name(), out.String(), err)
		}
	}
	if tools < 6 {
		t.Errorf("only %d tools", tools)
	}
}
