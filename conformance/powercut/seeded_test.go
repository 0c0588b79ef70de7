package powercut

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// TestSeededBugsAreCaught builds the tests with the build tag seededbugs and runs them with
// each bug that a power cut can show: they must fail. A harness that has never failed
// proves nothing. (IndexPastPublished needs no power cut; index and segment catch it.)
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	binary := filepath.Join(t.TempDir(), "powercut.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(bug seededbug.Bug, seeds string) (string, error) {
		cmd := exec.Command(binary, "-test.run", "^TestPowerCuts$", "-test.timeout", "600s")
		cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug), "POWERCUT_SEEDS="+seeds)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "5"); err != nil {
		t.Fatalf("fails without a bug (%v):\n%s", err, out)
	}
	for _, bug := range []seededbug.Bug{
		seededbug.AckBeforeSync, seededbug.NoDirSync, seededbug.RecoverWithoutCRC, seededbug.ProducerStateNotRebuilt, seededbug.TornBatchServed,
	} {
		t.Run(string(bug), func(t *testing.T) {
			if out, err := run(bug, "3000"); err == nil || !strings.Contains(out, "--- FAIL: TestPowerCuts") {
				t.Errorf("passes with the bug (%v):\n%s", err, out)
			}
		})
	}
}
