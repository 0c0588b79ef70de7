package launch

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestEnsembleThatDoesNotStart: an error, and nothing is left behind.
func TestEnsembleThatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	_, err := StartEnsemble(context.Background(), EnsembleOptions{
		Command: []string{dir + "/no-such-program", ConfigWord}, Servers: 2, TickMs: 2000, TempDir: dir, Timeout: 10 * time.Second,
	})
	if err == nil {
		t.Error("a program that is not there starts")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
