package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// The scripts of Kafka's load tools against our own broker, as somebody would type them.
func TestPerfScripts(t *testing.T) {
	home, at := install(t), freePort(t)
	b := startBroker(t, home, at)
	for _, step := range []struct {
		words, want string
		code        int
	}{
		{"kafka-topics.sh --bootstrap-server AT --create --topic load --partitions 3", "Created topic load.\n", 0},
		{"kafka-producer-perf-test.sh --topic load --num-records 2000 --record-size 100 --throughput -1 --producer-props bootstrap.servers=AT acks=all compression.type=lz4 linger.ms=0",
			`^2000 records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), .* ms 99\.9th\.\n$`, 0},
		{"kafka-producer-perf-test.sh --topic load --num-records 1000 --record-size 100 --throughput -1 --producer-props bootstrap.servers=AT acks=0", `^1000 records sent, .* ms 99\.9th\.\n$`, 0},
		{"kafka-get-offsets.sh --bootstrap-server AT --topic load", `load:0:\d+\nload:1:\d+\nload:2:\d+\n`, 0},
		{"kafka-consumer-perf-test.sh --bootstrap-server AT --topic load --messages 2500", `^start\.time, end\.time, .*\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3}, .*, 0\.2\d{3}, [\d.]+, (2[5-9]\d\d|3000), [\d.]+, 0, \d+, [\d.]+, [\d.]+\n$`, 0},
		{"kafka-consumer-perf-test.sh --bootstrap-server AT --topic load --messages 1 --group g", `(?s:start\.time.*), 500, `, 0},
		{"kafka-e2e-latency.sh AT load 20 1 100", `Avg latency: [\d.]+ ms`, 0},
		{"millrace bench producer --bootstrap-server AT --topic load --duration 200ms --record-size 10 --throughput 2000 --json out.json", `^\d+ records sent(?s:.*)from the intended send time`, 0},
		{"millrace bench producer --client raw --bootstrap-server AT --topic load --num-records 5000 --record-size 100 --producer-props acks=1 batch.size=4096", `^\d+ records sent(?s:.*)of a produce request`, 0},
		{"millrace bench consumer --client raw --bootstrap-server AT --topic load --messages 20000", `(?s:.*)of a fetch request`, 0},
		{"millrace bench report out.json", `produce 10 B to load`, 0},
		{"millrace bench nothing", `unknown command "nothing"`, 1},
	} {
		f := strings.Fields(strings.ReplaceAll(step.words, "AT", at))
		out, code := runTool(t, home, "", f[0], f[1:]...)
		if code != step.code || !regexp.MustCompile(step.want).MatchString(out) {
			t.Errorf("%s: code %d, want %d; it printed\n%s\nwant %s", step.words, code, step.code, out, step.want)
		}
	}
	if code := b.stop(t, syscall.SIGTERM); code != 0 && code != 143 {
		t.Errorf("the broker ended with %d", code)
	}
}

// Every command of bench can be asked for help, has examples that can be typed, and
// completes its words.
func TestBenchCommands(t *testing.T) {
	root := command("millrace")
	bench, _, err := root.Find([]string{"bench"})
	must(t, err)
	names := ""
	for _, c := range bench.Commands() {
		if c.Hidden {
			continue
		}
		names += c.Name() + " "
		if c.Short == "" || !strings.Contains(c.Example, "millrace bench "+c.Name()) {
			t.Errorf("%s: no line of help, or no example that names it", c.Name())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if strings.Contains(line, "millrace "+c.Name()) {
				t.Errorf("%s: the example %q is not how it is called", c.Name(), line)
			}
		}
	}
	if want := "compare consumer e2e limits producer quorum report suite "; names != want {
		t.Errorf("bench has %q, want %q", names, want)
	}
	for words, want := range map[string]string{
		"bench ":                                      "producer",
		"bench producer --cli":                        "--client",
		"bench producer --client ":                    "raw",
		"bench producer --producer-props ac":          "acks=all",
		"bench producer --producer-props acks=1 comp": "compression.type=zstd",
		"bench consumer --client ":                    "franz-go",
		"bench limits --kind ":                        "append",
	} {
		if out := complete(t, words); !strings.Contains(out, want) {
			t.Errorf("completion of %q: %q, want %s", words, out, want)
		}
	}
}

// complete asks for the completion of the last word.
func complete(t *testing.T, words string) string {
	t.Helper()
	fields := strings.Split(words, " ")
	root := command("millrace")
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, fields...))
	if err := root.ExecuteContext(context.Background()); err != nil {
		t.Errorf("completion of %q: %v", words, err)
	}
	return out.String()
}

// Each script of the Makefile is one that the binary knows, and the other way round.
func TestScriptsOfTheMakefile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	must(t, err)
	_, rest, _ := strings.Cut(string(data), "SHIMS   :=")
	shims := map[string]bool{}
	for _, word := range strings.Fields(rest) {
		if word == "\\" || word == "ZK_SHIMS" || word == ":=" {
			continue
		}
		if !strings.HasPrefix(word, "kafka-") && !strings.HasPrefix(word, "zk") {
			break
		}
		shims[word] = true
	}
	for _, tool := range toolbox() {
		if tool.script != "" && !shims[tool.script] {
			t.Errorf("the Makefile does not install %s.sh", tool.script)
		}
		delete(shims, tool.script)
	}
	for name := range shims {
		t.Errorf("the Makefile installs %s.sh, which is no tool", name)
	}
}
