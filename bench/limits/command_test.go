//go:build linux

package limits

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli/clitest"
)

func TestCommandLinesThatMakeNoSense(t *testing.T) {
	for line, want := range map[string]string{
		"--quiet":                         "nothing to measure",
		"--all --kind echo":               "exclude each other",
		"--kind ecko":                     `"ecko" is unknown`,
		"--kind append --size 1GiB":       `"1GiB"`,
		"--kind append --size 10":         "10 bytes",
		"--kind fdatasync --size 1000":    "multiple of 512",
		"--kind echo --samples 0":         "--samples 0",
		"--kind echo --seconds 0":         "--seconds 0",
		"--kind echo --connections 99999": "--connections 99999",
		"--kind echo surplus":             "surplus",
	} {
		r := clitest.Run(t.Context(), Command("limits"), "", strings.Fields(line)...)
		if r.Code != 1 || !strings.Contains(r.Err, want) || !strings.Contains(r.Err, "--help") || r.Out != "" {
			t.Errorf("%q ends with %d, %q, want 1 and %q", line, r.Code, r.Err, want)
		}
	}
}

func TestHelpNamesEveryKind(t *testing.T) {
	r := clitest.Run(t.Context(), Command("limits"), "", "--help")
	for _, word := range append(Kinds(), "millrace bench limits --kind append", "--congestion") {
		if r.Code != 0 || !strings.Contains(r.Out+r.Err, word) {
			t.Errorf("help does not tell of %q", word)
		}
	}
}

func TestCommandMeasuresAndWritesJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	r := clitest.Run(t.Context(), Command("limits"), "", "--kind", "echo,append,fdatasync", "--size", "4KiB", "--connections", "2", "--depth", "2",
		"--congestion", "reno", "--samples", "1", "--seconds", "0.05", "--hold-mib", "1", "--dir", t.TempDir(), "--json", path)
	if r.Code != 0 || !strings.Contains(r.Out, "append 4KiB 2x2 reno") {
		t.Fatalf("exit code %d, output\n%s%s", r.Code, r.Out, r.Err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := result.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Name(Echo, 100, 2, 2, "reno"), Name(Append, 4096, 2, 2, "reno"), Name(Fdatasync, 4096, 0, 0, "")} {
		floor, ok := file.FloorNamed(name)
		if !ok || floor.UnitsPerS <= 0 || floor.CPUPerUnitUs <= 0 || floor.Latency == nil || !strings.HasPrefix(floor.Note, "by ") {
			t.Errorf("%s: floor is %+v", name, floor)
		}
	}
}

func TestMeasureOneTakesOneSample(t *testing.T) {
	f, err := MeasureOne(t.Context(), Options{Dir: t.TempDir(), SampleTime: 50 * time.Millisecond}, Spec{Kind: Sendfile, SizeBytes: 1 << 20, Connections: 2, Depth: 2})
	if err != nil || f.Name != "sendfile 1MiB 2x2" || f.UnitsPerS <= 0 || f.Latency == nil {
		t.Errorf("floor is %+v, %v", f, err)
	}
	f, err = MeasureOne(t.Context(), Options{Dir: t.TempDir(), SampleTime: 50 * time.Millisecond}, Spec{Kind: AppendOneWay, SizeBytes: 70000, Connections: 1, Depth: 1, Congestion: "reno"})
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "append-oneway 68KiB 1x1 reno" && f.Name != "append-oneway 70000B 1x1 reno" || f.Samples != 1 || f.CPUPerGB <= 0 {
		t.Errorf("floor is %+v", f)
	}
}

func TestInterruptedMeasureKeepsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{
		Dir: t.TempDir(), Kinds: []string{Fdatasync}, Sizes: []int{4096}, Samples: 9, SampleTime: 10 * time.Millisecond, HoldBytes: -1,
		Progress: func(p Progress) {
			if p.Done == 2 {
				cancel()
			}
		},
	}
	floors, err := Measure(ctx, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the interrupt", err)
	}
	if len(floors) != 3 || floors[0].Name != "fdatasync 4KiB" || floors[0].Samples != 1 {
		t.Errorf("floors are %+v, want one and the two ways that were measured", floors)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("%d entries are left in the folder", len(left))
	}
}
