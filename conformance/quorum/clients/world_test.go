package clients

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// launch starts servers: the project's, or the oracle's if ORACLE asks for it.
func launch(t *testing.T, o zkserver.Options) *zkserver.Ensemble {
	t.Helper()
	if os.Getenv("ORACLE") == "" {
		binary, err := harness.Binary()
		if err != nil {
			t.Fatal(err)
		}
		o.Argv = []string{binary, "quorum"}
	}
	return zkserver.Launch(t, o)
}

// python is Debian's, which has kazoo.
const python = "/usr/bin/python3"

func needKazoo(t *testing.T) {
	t.Helper()
	missing := ""
	if err := exec.Command(python, "-c", "import kazoo").Run(); err != nil {
		missing = "kazoo"
	}
	zkserver.NeedAll(t, missing, "python3-kazoo")
}

func needFile(t *testing.T, path, packages string) {
	t.Helper()
	missing := ""
	if _, err := os.Stat(path); err != nil {
		missing = path
	}
	zkserver.NeedAll(t, missing, packages)
}

// results hands each "ok NAME" and "FAIL NAME REASON" of a program's output to a subtest, and tells whether all were
// good.
func results(t *testing.T, out string, want int) bool {
	t.Helper()
	seen := 0
	for line := range strings.Lines(out) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, reason, _ := strings.Cut(rest, " ")
		switch word {
		case "ok", "FAIL":
			seen++
			t.Run(name, func(t *testing.T) {
				if word == "FAIL" {
					t.Error(strings.ReplaceAll(reason, "|", "\n"))
				}
			})
		}
	}
	if seen < want {
		t.Errorf("%d results, want at least %d; the output:\n%s", seen, want, out)
	}
	return !t.Failed()
}
