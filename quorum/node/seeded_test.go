package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// TestSeededBugsAreCaught builds the tests with the build tag seededbugs and runs those that
// hold each bug's promise: without the bug, where they pass, and with it, where they must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	binary := filepath.Join(t.TempDir(), "node.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for bug, test := range map[seededbug.Bug]string{
		seededbug.ServesWithoutQuorum: "TestGate",
		seededbug.RaftLeaderInDoubt:   "TestALeaderInDoubtTellsNobody",
		seededbug.PingsForgotten:      "TestSessionsEndWithTheirEphemerals",
		seededbug.WipedServerIsItself: "TestAWipedServerIsNotItself",
		seededbug.OldConnectionWrites: "TestASessionMovesAndItsOldConnectionIsPowerless",
	} {
		run := func(bug seededbug.Bug) (string, error) {
			cmd := exec.Command(binary, "-test.run", "^"+test+"$", "-test.timeout", "300s")
			cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := run(""); err != nil {
			t.Errorf("%s fails without a bug (%v):\n%s", test, err, out)
		}
		if out, err := run(bug); err == nil || !strings.Contains(out, "--- FAIL: "+test) {
			t.Errorf("%s passes with %s (%v):\n%s", test, bug, err, out)
		}
	}
}
