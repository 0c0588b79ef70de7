package prometheus

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// promtool is Prometheus' own checker, on the path or in bin/, where make setup puts it.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "promtool"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(path); err != nil {
		t.Skip("no promtool: make setup gets one")
	}
	return path
}

func TestRulesHoldBeforePromtool(t *testing.T) {
	tool := promtool(t)
	for _, words := range [][]string{
		{"check", "rules", "millrace.rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "millrace.rules.test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), tool, words...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", words, err, out)
		}
	}
}
