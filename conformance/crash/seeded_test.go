package crash

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/seededbug"
)

// TestSeededBugsAreCaught runs the rounds against a broker that forgets what its
// producers wrote when it is killed: they must fail. Bugs that only a power cut shows are
// in package powercut.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a broker")
	}
	broker, err := harness.Build("millrace-seeded", "-tags", "seededbugs")
	must(t, err)
	for _, bug := range []seededbug.Bug{seededbug.ProducerStateNotRebuilt} {
		t.Run(string(bug), func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestKill9UnderLoad$", "-test.timeout", "600s")
			cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug), "MILLRACE_BIN="+broker, "CRASH_ROUNDS=400")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestKill9UnderLoad") {
				t.Errorf("passes with the bug (%v):\n%s", err, out)
			}
		})
	}
}
