package clients

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// TestKazooRecipes runs kazoo's recipes on one server and on an ensemble of three.
func TestKazooRecipes(t *testing.T) {
	t.Parallel()
	needKazoo(t)
	for name, servers := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := launch(t, zkserver.Options{Servers: servers})
			cmd := exec.Command(python, "testdata/recipes.py", e.ConnectString())
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("recipes.py: %v", err)
			}
			if !results(t, string(out), 23) {
				t.Logf("recipes.py also said:\n%s", &stderr)
			}
		})
	}
}
