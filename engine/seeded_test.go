package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// caughtBy names, for each seeded bug, a test that must fail with it.
var caughtBy = map[seededbug.Bug]struct{ folder, test string }{
	seededbug.AckBeforeSync:           {"flush", "TestAWaiterIsNotToldBeforeTheSync"},
	seededbug.NoDirSync:               {".", "TestRandomOperationsMatchAModel"},
	seededbug.RecoverWithoutCRC:       {".", "TestDamagedLogs"},
	seededbug.IndexPastPublished:      {"../index", "TestOffsetLookupsAgainstAWalk"},
	seededbug.ProducerStateNotRebuilt: {".", "TestProducersSurviveStopAndKill"},
	seededbug.TornBatchServed:         {".", "TestDamagedLogs"},
	seededbug.SwapNotDurable:          {"../segment", "TestReplaceSurvivesACrashAtAnyCall"},
}

// TestSeededBugsAreCaught builds the tests with the build tag seededbugs and runs each once
// without a bug, where it passes, and with its bug, where it must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	dir := t.TempDir()
	built := make(map[string]string)
	for _, c := range caughtBy {
		if built[c.folder] != "" {
			continue
		}
		binary := filepath.Join(dir, fmt.Sprint(len(built), ".test"))
		out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binary, "./"+c.folder).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		built[c.folder] = binary
	}
	for _, bug := range seededbug.Storage() {
		t.Run(string(bug), func(t *testing.T) {
			c := caughtBy[bug]
			run := func(seeded seededbug.Bug) (string, error) {
				cmd := exec.Command(built[c.folder], "-test.run", "^"+c.test+"$", "-test.timeout", "300s")
				cmd.Dir = c.folder
				cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(seeded))
				if seeded != "" { // a random search ends with the first round that shows the bug
					cmd.Env = append(cmd.Env, "MODEL_ROUNDS=3000", "REPLACE_ROUNDS=3000")
				}
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			if out, err := run(""); err != nil {
				t.Errorf("%s fails without the bug (%v):\n%s", c.test, err, out)
			}
			// Some tests draw what they do: each run draws anew.
			out, err := run(bug)
			for tries := 1; err == nil && tries < 30; tries++ {
				out, err = run(bug)
			}
			if err == nil || !strings.Contains(out, "--- FAIL: "+c.test) {
				t.Errorf("%s passes with the bug (%v):\n%s", c.test, err, out)
			}
		})
	}
}
