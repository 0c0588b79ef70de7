package testkit

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestDescriptorsAreSeen(t *testing.T) {
	before := descriptors()
	f, err := os.CreateTemp(t.TempDir(), "leak")
	if err != nil {
		t.Fatal(err)
	}
	left := opened(before, descriptors())
	if len(left) != 1 || !strings.HasSuffix(left[0], f.Name()) {
		t.Errorf("left %q, want %s", left, f.Name())
	}
	f.Close()
	if left := opened(before, descriptors()); len(left) != 0 {
		t.Errorf("after Close left %q", left)
	}
}

func TestSeedFromEnvironment(t *testing.T) {
	t.Setenv("SEED", "42")
	if got := Seed(t); got != 42 {
		t.Errorf("got %d", got)
	}
	if a, b := Rand(t).Uint64(), Rand(t).Uint64(); a != b {
		t.Error("one seed gave two sequences")
	}
}

func TestRoundsFromEnvironment(t *testing.T) {
	if got := Rounds(t, "TESTKIT_ROUNDS", 3); got != 3 {
		t.Errorf("default: got %d", got)
	}
	t.Setenv("TESTKIT_ROUNDS", "17")
	if got := Rounds(t, "TESTKIT_ROUNDS", 3); got != 17 {
		t.Errorf("got %d", got)
	}
}

func TestClockRunsWhatIsDueInOrder(t *testing.T) {
	start := time.Unix(1000, 0)
	c := NewClock(start)
	var got []string
	at := func(name string) func() {
		return func() { got = append(got, name+" "+c.Now().Sub(start).String()) }
	}
	c.AfterFunc(2*time.Second, at("b"))
	c.AfterFunc(time.Second, at("a"))
	stopped := c.AfterFunc(time.Second, at("never"))
	moved := c.AfterFunc(time.Second, at("c"))
	c.AfterFunc(3*time.Second, func() { c.AfterFunc(time.Second, at("chained")) })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop: want true, then false")
	}
	if !moved.Reset(2 * time.Second) {
		t.Error("Reset of an armed timer: want true")
	}
	c.Advance(999 * time.Millisecond)
	if len(got) != 0 {
		t.Errorf("early: %q", got)
	}
	c.Advance(10 * time.Second)
	want := []string{"a 1s", "b 2s", "c 2s", "chained 4s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if now := c.Now().Sub(start); now != 10999*time.Millisecond || c.Pending() != 0 {
		t.Errorf("now %v, %d pending", now, c.Pending())
	}
}

func TestWaitFor(t *testing.T) {
	n := 0
	WaitFor(t, "counting", func() bool { n++; return n > 4 })
}
