package engine

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seededbug"
)

// caughtBy names, for each seeded bug, the tests of this package that must fail with it.
// Package segment has its own for the bug that lies in index lookups.
var caughtBy = map[seededbug.Bug]string{
	seededbug.AckBeforeSync:           "TestAWaiterIsNotToldBeforeTheSync",
	seededbug.NoDirSync:               "TestRandomOperationsMatchAModel",
	seededbug.RecoverWithoutCRC:       "TestDamagedLogs",
	seededbug.ProducerStateNotRebuilt: "TestProducersSurviveStopAndKill",
	seededbug.TornBatchServed:         "TestDamagedLogs",
}

// TestSeededBugsAreCaught builds this package's tests with the build tag seededbugs and runs
// them once without a bug, where they pass, and with each, where they must fail.
func TestSeededBugsAreCaught(t *testing.T) {
	if testing.Short() || seededbug.Enabled {
		t.Skip("builds and runs the tests again")
	}
	binaries := map[string]string{"engine": t.TempDir() + "/engine.test", "flush": t.TempDir() + "/flush.test"}
	for name, path := range map[string]string{"engine": ".", "flush": "./flush"} {
		out, err := exec.Command("go", "test", "-c", "-tags", "seededbugs", "-o", binaries[name], path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run := func(bug seededbug.Bug, test string) (string, error) {
		binary := binaries["engine"]
		if bug == seededbug.AckBeforeSync {
			binary = binaries["flush"]
		}
		cmd := exec.Command(binary, "-test.run", "^"+test+"$", "-test.timeout", "60s")
		cmd.Env = append(os.Environ(), "SEEDED_BUG="+string(bug), "MODEL_ROUNDS=30")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for bug, test := range caughtBy {
		t.Run(string(bug), func(t *testing.T) {
			out, err := run(bug, test)
			if err == nil || !strings.Contains(out, "--- FAIL: "+test) {
				t.Errorf("%s passes with the bug (%v):\n%s", test, err, out)
			}
		})
	}
	if out, err := exec.Command(binaries["engine"], "-test.run", "^TestDamagedLogs$|^TestProducersSurviveStopAndKill$").CombinedOutput(); err != nil {
		t.Errorf("without a bug: %v\n%s", err, out)
	}
}
