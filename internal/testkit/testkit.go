// Package testkit is what the tests of all packages share: leak checks for goroutines
// and file descriptors, seeds that are printed and can be given again, a clock that only
// moves when told, and waiting for a condition with a deadline. Only tests import it.
package testkit

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience is how long a test waits for what must come, on any machine: it ends only a wait
// that would never end.
const Patience = 2 * time.Minute

// Main runs a package's tests and fails them when a goroutine or a file descriptor is
// left over. What is about to end is waited for. Call it as the whole of TestMain.
func Main(m *testing.M, options ...goleak.Option) {
	before := descriptors()
	code := m.Run()
	if code == 0 {
		var err error
		if !eventually(func() bool { err = goleak.Find(options...); return err == nil }) {
			fmt.Fprintln(os.Stderr, "testkit:", err)
			code = 1
		}
		var left []string
		if !eventually(func() bool { left = opened(before, descriptors()); return len(left) == 0 }) {
			fmt.Fprintf(os.Stderr, "testkit: left open:\n  %s\n", strings.Join(left, "\n  "))
			code = 1
		}
	}
	os.Exit(code)
}

// Descriptors fails the test if a file descriptor that was opened after this call is
// still open when the test ends, and stays so. Cleanups registered before it run after the check.
func Descriptors(t testing.TB) {
	t.Helper()
	before := descriptors()
	t.Cleanup(func() {
		var left []string
		if !eventually(func() bool { left = opened(before, descriptors()); return len(left) == 0 }) {
			t.Errorf("left open:\n  %s", strings.Join(left, "\n  "))
		}
	})
}

// descriptors maps each open descriptor to what it is. Where there is no /proc it finds
// none, and the check is empty.
func descriptors() map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return out
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		// The run time keeps its poller, and the folder was open for this very listing.
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") {
			continue
		}
		out[e.Name()] = target
	}
	return out
}

func opened(before, after map[string]string) []string {
	var left []string
	for fd, target := range after {
		if before[fd] != target {
			left = append(left, fd+" -> "+target)
		}
	}
	return left
}

// Seed draws a seed, or takes it from SEED in the environment, and prints it with the
// command that runs the test again.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		given, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED=%s: %v", s, err)
		}
		seed = given
	}
	t.Logf("again with: SEED=%d go test -run '^%s$'", seed, t.Name())
	return seed
}

// Rand is a generator with a seed from Seed.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	return NewRand(Seed(t))
}

// NewRand is a generator for a known seed, for instance Seed plus the number of a round.
func NewRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6d696c6c72616365)) }

// Rounds is how often a random test repeats: def, or the number in the environment
// variable name, by which longer runs ask for more.
func Rounds(t testing.TB, name string, def int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a positive number", name, s)
	}
	return n
}

// WaitFor returns once cond is true and fails the test after Patience.
func WaitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !eventually(cond) {
		t.Fatalf("waited %v in vain: %s", Patience, what)
	}
}

// eventually reports whether cond comes true. It yields first and sleeps only when that did not
// help: prefer a channel where there is one.
func eventually(cond func() bool) bool {
	deadline := time.Now().Add(Patience)
	for pause := time.Duration(0); !cond(); {
		if time.Now().After(deadline) {
			return false
		}
		if pause == 0 {
			runtime.Gosched()
			pause = 20 * time.Microsecond
			continue
		}
		time.Sleep(pause)
		pause = min(2*pause, 5*time.Millisecond)
	}
	return true
}

// CPUTime is what this process has used of processors: where a test bounds what something
// costs, it does not grow with what else the machine does.
func CPUTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Logger writes to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
