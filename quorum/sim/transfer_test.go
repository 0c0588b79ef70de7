package sim

import (
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// TestTransfers: while the leader hands over its office it refuses writes at once; who sends
// them again must not do so without end in the same moment.
func TestTransfers(t *testing.T) {
	run(t, testkit.Seed(t), DefaultOptions(), func(w *World) func() {
		for range 40 {
			Transfer(w)
			w.pause(1, 3)
		}
		return func() {}
	})
}
