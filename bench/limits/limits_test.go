package limits

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
)

// TestMain makes this test binary a server too, as millrace is.
func TestMain(m *testing.M) {
	if os.Args[len(os.Args)-1] == serverCommand {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv("GORACE") == "" { // a server with the race detector waits for a second at its end otherwise
		os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	testkit.Main(m)
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Name(Append, 64<<10, 1, 5, "reno"), "append 64KiB 1x5 reno"},
		{Name(Append, 200, 100, 5, "bbr"), "append 200B 100x5 bbr"},
		{Name(Fdatasync, 4096, 0, 0, ""), "fdatasync 4KiB"},
		{Name(Sendfile, 1<<20, 1, 1, ""), "sendfile 1MiB 1x1"},
		{Name(Echo, 1500, 10, 1, ""), "echo 1500B 10x1"},
	} {
		if c.got != c.want {
			t.Errorf("name is %q, want %q", c.got, c.want)
		}
	}
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []int{1, 200, 1024, 1536, 16 << 10, 64 << 10, 1 << 20, 16 << 20} {
		if got, err := ParseSize(SizeName(n)); err != nil || got != n {
			t.Errorf("%d is written %q and read as %d (%v)", n, SizeName(n), got, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "0", "17MiB", "1GiB", "1.5KiB", "KiB", "9999999999999999999"} {
		if n, err := ParseSize(bad); err == nil {
			t.Errorf("%q is read as %d, want an error", bad, n)
		}
	}
}

func TestMatrixHasEachKindOnceAndValid(t *testing.T) {
	specs, err := Matrix(Options{Congestion: []string{"bbr", "reno"}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	kinds := map[string]bool{}
	for _, s := range specs {
		if err := s.validate(); err != nil {
			t.Errorf("%s: %v", s.Name(), err)
		}
		if seen[s.Name()] {
			t.Errorf("%s stands there twice", s.Name())
		}
		seen[s.Name()], kinds[s.Kind] = true, true
		if len(Ways(s)) == 0 {
			t.Errorf("%s can be done in no way", s.Name())
		}
	}
	for _, k := range Kinds() {
		if !kinds[k] {
			t.Errorf("%s is not measured", k)
		}
	}
	for _, name := range []string{"append 64KiB 1x5 bbr", "append 64KiB 1x5 reno", "echo 100B 100x1 reno", "group-commit 1KiB 100x1 bbr"} {
		if !seen[name] {
			t.Errorf("%s is not measured", name)
		}
	}
}

func TestMatrixTakesWhatIsAsked(t *testing.T) {
	specs, err := Matrix(Options{Kinds: []string{Append}, Sizes: []int{2048}, Connections: 7, Depth: 3, Congestion: []string{"cubic"}})
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{Kind: Append, SizeBytes: 2048, Connections: 7, Depth: 3, Congestion: "cubic"}
	if !slices.Equal(specs, []Spec{want}) {
		t.Fatalf("specs are %+v, want one %+v", specs, want)
	}
	var unknown *UnknownError
	if _, err := Matrix(Options{Kinds: []string{"apend"}}); !errors.As(err, &unknown) {
		t.Fatalf("an unknown kind gives %v", err)
	}
}

func TestSpecsThatCannotBeMeasured(t *testing.T) {
	for _, s := range []Spec{
		{Kind: "x", SizeBytes: 1024, Connections: 1, Depth: 1},
		{Kind: Append, SizeBytes: 10, Connections: 1, Depth: 1},
		{Kind: Append, SizeBytes: 1024, Depth: 1},
		{Kind: Append, SizeBytes: 1024, Connections: 1},
		{Kind: Append, SizeBytes: 1024, Connections: 1, Depth: 1, Way: "magic"},
		{Kind: Sendfile, SizeBytes: 17 << 20, Connections: 1, Depth: 1},
		{Kind: DiskWrite, SizeBytes: 5000},
	} {
		if s.validate() == nil {
			t.Errorf("%+v is taken as valid", s)
		}
	}
}

func TestSummaryIsTheMedianOfUndisturbedSamples(t *testing.T) {
	s := Spec{Kind: Append, SizeBytes: 1000, Connections: 1, Depth: 5, Congestion: "reno", Way: "mmap epoll"}
	samples := []Sample{
		{Spec: s, CPUUs: 4, UnitsPerS: 100}, {Spec: s, CPUUs: 2, UnitsPerS: 300}, {Spec: s, CPUUs: 3, UnitsPerS: 200},
		{Spec: s, CPUUs: 90, UnitsPerS: 1, SlowShare: 0.8},
	}
	f := Summarize(samples)
	if f.CPUPerUnitUs != 3 || f.UnitsPerS != 200 || f.Samples != 3 || f.MBPerS != 0.2 || f.CPUPerGB != 3 {
		t.Fatalf("summary is %+v", f)
	}
	if want := 2.0 / 3; f.Spread != want {
		t.Errorf("spread is %v, want %v", f.Spread, want)
	}
	if !strings.Contains(f.Note, "1 samples left out") {
		t.Errorf("note %q does not tell of the sample that was left out", f.Note)
	}
	if f.Name != "append 1000B 1x5 reno by mmap epoll" {
		t.Errorf("name is %q", f.Name)
	}
	f = Summarize(samples[3:])
	if f.Samples != 1 || f.CPUPerUnitUs != 90 || !strings.Contains(f.Note, "all samples") {
		t.Errorf("summary of a disturbed sample is %+v", f)
	}
}

func TestCheapestWayIsTheFloor(t *testing.T) {
	s := Spec{Kind: Echo, SizeBytes: 100, Connections: 100, Depth: 5}
	samples := map[Spec][]Sample{}
	for way, cpu := range map[string]float64{onEpoll: 3, onGoroutine: 2} {
		w := s
		w.Way = way
		samples[w] = []Sample{{Spec: w, CPUUs: cpu, UnitsPerS: 1}}
	}
	floors := pick(s, samples)
	if len(floors) != 3 || floors[0].Name != s.Name() || floors[0].CPUPerUnitUs != 2 || !strings.Contains(floors[0].Note, onGoroutine) {
		t.Fatalf("floors are %+v", floors)
	}
	// Of a group commit the throughput is the floor.
	s.Kind = GroupCommit
	samples = map[Spec][]Sample{}
	for way, perS := range map[string]float64{waySyncer: 100, wayRelay: 300, wayInline: 200} {
		w := s
		w.Way = way
		samples[w] = []Sample{{Spec: w, CPUUs: perS, UnitsPerS: perS}}
	}
	if got := cheapest(s, samples); got != wayRelay {
		t.Errorf("the fastest group commit is %q, want %q", got, wayRelay)
	}
	if got := pick(s, nil); got != nil {
		t.Errorf("floors without samples: %+v", got)
	}
}

func TestSlowShare(t *testing.T) {
	var ring timings
	add := func(ns, n int64) {
		i := 0
		for v := ns; v > 1; v >>= 1 {
			i++
		}
		ring.Count[i] += n
		ring.SumNs[i] += n * ns
	}
	add(1000, 1000)
	add(4000, 50)
	if got := ring.slowShare(); got != 0 {
		t.Errorf("share of ordinary calls is %v", got)
	}
	add(1e6, 1) // as much time as a thousand ordinary ones
	if got := ring.slowShare(); got < 0.4 || got > 0.5 {
		t.Errorf("share of one slow call is %v, want 1.0/2.2", got)
	}
	if got := ring.since(ring).slowShare(); got != 0 {
		t.Errorf("share of nothing is %v", got)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := Print(&out, []result.Floor{
		{Name: "append 1KiB 1x5 reno", CPUPerUnitUs: 1.234, CPUPerGB: 1.2, UnitsPerS: 250e3, MBPerS: 256, Spread: 0.1, Note: "by mmap epoll"},
		{Name: "append 1KiB 1x5 reno by mmap epoll", CPUPerUnitUs: 1.234},
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[1], "append 1KiB 1x5 reno  1.23") || !strings.Contains(lines[1], "250 k") || !strings.HasPrefix(lines[2], "  mmap epoll") {
		t.Errorf("table is\n%s", out.String())
	}
}
