package sim

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// run is one world.
func run(t *testing.T, seed uint64, o Options, faults ...Fault) *World {
	t.Helper()
	var w *World
	synctest.Test(t, func(t *testing.T) {
		w = New(t, seed, o)
		defer w.Close()
		w.Run(faults...)
	})
	w.Judge(t)
	t.Log(w.Summary())
	return w
}

// TestQuietEnsemble: without faults.
func TestQuietEnsemble(t *testing.T) {
	run(t, testkit.Seed(t), DefaultOptions())
}

// TestFaults: some faults by a seed.
func TestFaults(t *testing.T) {
	seed := testkit.Seed(t)
	for round := range uint64(testkit.Rounds(t, "SIM_ROUNDS", 2)) {
		t.Run(fmt.Sprint(seed+round), func(t *testing.T) {
			rng := testkit.NewRand(seed + round + 1)
			run(t, seed+round, SomeOptions(rng), Some(rng, 6)...)
		})
		if t.Failed() {
			t.Fatalf("it was SEED=%d", seed+round)
		}
	}
}
