package raftlog

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// TestSeededBugsAreCaught builds the tests with the build tag seededbugs and runs them once
// without a bug, where they pass, and with each bug, where they must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	binary := filepath.Join(t.TempDir(), "raftlog.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const test = "TestRandomOperationsMatchInmemStore"
	run := func(bug seededbug.Bug, rounds string) (string, error) {
		cmd := exec.Command(binary, "-test.run", "^"+test+"$", "-test.timeout", "300s")
		cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug), "RAFTLOG_ROUNDS="+rounds)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "60"); err != nil {
		t.Errorf("%s fails without a bug (%v):\n%s", test, err, out)
	}
	// A run ends with the first round that shows the bug; one without CRC takes about fifty.
	for _, bug := range []seededbug.Bug{seededbug.RaftAckBeforeSync, seededbug.NoDirSync, seededbug.RecoverWithoutCRC} {
		if out, err := run(bug, "2000"); err == nil || !strings.Contains(out, "--- FAIL: "+test) {
			t.Errorf("%s passes with %s (%v):\n%s", test, bug, err, out)
		}
	}
}
