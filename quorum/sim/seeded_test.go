package sim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// TestSeededBugsAreCaught builds the tests with the build tag seededbugs and runs them once
// without a bug, where they pass, and with each bug of the quorum, where they must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	binary := filepath.Join(t.TempDir(), "sim.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const test = "TestFaults"
	run := func(bug seededbug.Bug, rounds string) (string, error) {
		cmd := exec.Command(binary, "-test.run", "^"+test+"$", "-test.timeout", "600s")
		cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug), "SIM_ROUNDS="+rounds)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "2"); err != nil {
		t.Errorf("%s fails without a bug (%v):\n%s", test, err, out)
	}
	for _, bug := range seededbug.Quorum() {
		// A server that lost what it acknowledged may make Raft panic, in a goroutine of its own.
		// A run ends with the first world that shows the bug: most take a few, some need forty.
		if out, err := run(bug, "4000"); err == nil || strings.Contains(out, "test timed out") || !strings.Contains(out, "--- FAIL: "+test) && !strings.Contains(out, "panic: ") {
			t.Errorf("%s passes with %s (%v):\n%s", test, bug, err, out)
		} else {
			t.Logf("%s:\n%s", bug, firstFailure(out))
		}
	}
}

func firstFailure(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, ".go:") && !strings.Contains(line, "again with") {
			return line
		}
	}
	return out
}
