package report

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

func TestHeadlineAndFindings(t *testing.T) {
	met := result.Goal{Title: "a", Metric: "p99 ms", Measured: 0.5, Limit: 1, Met: true}
	missed := result.Goal{Title: "b", Run: "r", Metric: "broker CPU s/GB", Measured: 3, Floor: "f", FloorValue: 2, Ratio: 1.5, Limit: 1.3}
	unknown := result.Goal{Title: "c", Unknown: "not run"}
	for _, c := range []struct {
		name            string
		f               result.File
		headline, class string
		findings        []string
	}{
		{"nothing", result.File{}, "Nothing was measured.", "missed", nil},
		{"all met", result.File{Goals: []result.Goal{met, met}}, "2 of 2 goals met.", "met", nil},
		{"one missed", result.File{Goals: []result.Goal{met, missed, unknown}}, "1 of 2 goals met; 1 not measured.", "missed", []string{"b [r]: 1.50x the floor, wanted ≤ 1.30x."}},
		{"only unknown", result.File{Goals: []result.Goal{unknown}, Runs: make([]result.Run, 2)}, "2 runs measured.", "unknown", nil},
		{"one run", result.File{Runs: []result.Run{{Name: "n", RecordsPerS: 1234, MBPerS: 5, Latency: &result.Latency{P99Ms: 0.0482}}}}, "n: 1,234 records/s, 5 MB/s, p99 48.2 us", "unknown", nil},
		{"failed", result.File{Runs: []result.Run{{Name: "n", Error: "refused"}}}, "n failed.", "missed", []string{"n failed: refused"}},
		{"interrupted", result.File{Interrupted: true, Floors: make([]result.Floor, 3)}, "3 floors of this machine measured.", "unknown", []string{"The measurement was interrupted: what follows is what was done until then."}},
		{"worse", result.File{Pairs: []result.Pairing{{Scenario: "s", Metric: "p50 ms", AName: "x", BName: "B (y)", Ratios: []float64{1.1, 1.2, 1.3}, Ratio: 1.2, Low: 1.1, High: 1.3}}}, "y (B) against x (A): better in 0 of 1 figure, worse in 1, no clear difference in 0.", "missed", []string{"s: B is worse in p50 ms 1.20x."}},
		{"late", result.File{Runs: []result.Run{{Name: "n", Latency: &result.Latency{P99Ms: 1}, Lateness: &result.Latency{P99Ms: 0.3}}}}, "n: 0 records/s, 0 MB/s, p99 1.00 ms", "unknown", []string{"The generator itself was late, which is in the p99 of n (0.300 ms of 1.00 ms)."}},
		{"busy", result.File{Machine: result.Machine{CPUs: 2, LoadAverage: 1.5}, Floors: make([]result.Floor, 1)}, "1 floor of this machine measured.", "unknown", []string{"The machine was busy when it began (load average 1.50 on 2 CPUs): ratios within this report hold better than its rates and latencies."}},
	} {
		s := summarise(&c.f)
		var findings []string
		for _, x := range s.Findings {
			findings = append(findings, x.Text)
		}
		if s.Headline != c.headline || s.Class != c.class || !slices.Equal(findings, c.findings) {
			t.Errorf("%s: %q %q %q", c.name, s.Headline, s.Class, findings)
		}
	}
}

func TestOutcomeNeedsAllPairs(t *testing.T) {
	for _, c := range []struct {
		low, ratio, high float64
		higher           bool
		want             outcome
	}{
		{1.1, 1.2, 1.3, true, better}, {1.1, 1.2, 1.3, false, worse}, {0.7, 0.8, 0.9, true, worse}, {0.7, 0.8, 0.9, false, better},
		{0.9, 1.05, 1.1, true, unclear}, {1, 1.05, 1.1, true, unclear}, {0.5, 0.7, 1, false, unclear}, {0, 0, 0, true, unclear},
		{1.01, 1.02, 1.09, true, unclear}, {0.9, 0.98, 0.99, true, unclear},
	} {
		if got := outcomeOf(result.Pairing{Ratios: make([]float64, 3), Low: c.low, Ratio: c.ratio, High: c.high, HigherIsBetter: c.higher}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if got := outcomeOf(result.Pairing{Ratios: make([]float64, 2), Low: 2, Ratio: 2, High: 2}); got != few {
		t.Errorf("two pairs: %s", got)
	}
}

func TestBarsShareAScale(t *testing.T) {
	f := suiteFixture()
	for _, g := range barGroups(f) {
		for _, b := range g.Bars {
			if b.Length < 0 || b.Length > 100 || b.Floor > b.Length+0.01 && b.Ratio > "1.00x" || b.Goal > 100 {
				t.Errorf("%s: %+v", g.Title, b)
			}
		}
	}
	g := barGroups(f)[0]
	// CPU 0.36 s/GB at 1.19x, goal 1.3x, on a scale to 0.5.
	if b := g.Bars[4]; b.Name != "1KiB p1" || b.Length != 72 || math.Abs(b.Floor-72/1.19) > 0.01 || math.Abs(b.Goal-72/1.19*1.3) > 0.01 || b.Class != "met" || b.Limit != "≤ 1.30x" {
		t.Errorf("%+v", b)
	}
	if b := g.Bars[5]; b.Class != "missed" {
		t.Errorf("%+v", b)
	}
	if got := g.Ticks[4]; got.At != 100 || got.Text != "0.5" {
		t.Errorf("%+v", g.Ticks)
	}
	for _, c := range []struct{ v, end float64 }{{0.5, 0.5}, {0.51, 0.6}, {1.01, 1.2}, {8.1, 10}, {99, 100}, {0, 1}, {math.NaN(), 1}, {3.2, 3.2}} {
		if got := niceEnd(c.v); math.Abs(got-c.end) > 1e-9 {
			t.Errorf("a scale for %v ends at %v, want %v", c.v, got, c.end)
		}
	}
}

func TestDuelsArePlacedByRatio(t *testing.T) {
	for _, d := range duels(compareFixture()) {
		for _, r := range d.Rows {
			if len(r.Dots) != 5 || r.Low != slices.Min(r.Dots) || r.High != slices.Max(r.Dots) || r.Median < r.Low || r.Median > r.High {
				t.Errorf("%s: %+v", d.Scenario, r)
			}
			if (r.Ratio > "1.00x") != (r.Median > d.One) {
				t.Errorf("%s, %s: %s stands at %v, 1x at %v", d.Scenario, r.Metric, r.Ratio, r.Median, d.One)
			}
		}
	}
	for _, reach := range []float64{1.3, 2, 4, 9, 40, 150} {
		place := func(r float64) float64 { return (math.Log(r)/math.Log(reach) + 1) * 50 }
		ticks := duelTicks(reach, place)
		slices.SortFunc(ticks, func(a, b tick) int { return int(a.At*100 - b.At*100) })
		for i, x := range ticks {
			if i > 0 && x.At-ticks[i-1].At < 12 || x.At < 2 || x.At > 98 {
				t.Errorf("reach %v: %+v", reach, ticks)
			}
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		names  []string
		title  string
		want   []string
		common string
	}{
		{[]string{"produce 1KiB p1 acks=1", "produce 1KiB p6 acks=1"}, "produce", []string{"p1", "p6"}, "produce 1KiB … acks=1"},
		{[]string{"a b", "a b c"}, "", []string{"b", "b c"}, "a …"},
		{[]string{"same", "same"}, "", []string{"same", "same"}, ""},
		{[]string{"x 1", "y 2"}, "", []string{"x 1", "y 2"}, ""},
		{[]string{"alone in the list"}, "", []string{"alone in the list"}, ""},
		{nil, "", nil, ""},
		{[]string{"p 1: A", "p 1: B"}, "p 1", []string{"A", "B"}, ""},
		{[]string{"", "a"}, "", []string{"", "a"}, ""},
	} {
		if got, common := shorten(c.names, c.title); !slices.Equal(got, c.want) || common != c.common {
			t.Errorf("%q: %q %q", c.names, got, common)
		}
	}
}

func TestMergeKeepsNamesApart(t *testing.T) {
	a, b := suiteFixture(), suiteFixture()
	b.Machine.Kernel, b.Version, b.Interrupted = "Linux 7.0", "v0.4.0", true
	b.Started = a.Started.AddDate(0, 0, -1)
	m := Merge(a, b)
	if len(m.Runs) != 2*len(a.Runs) || len(m.Floors) != 2*len(a.Floors) || len(m.Goals) != 2*len(a.Goals) || len(m.Curves) != 2*len(a.Curves) {
		t.Fatalf("%d runs, %d floors, %d goals, %d curves", len(m.Runs), len(m.Floors), len(m.Goals), len(m.Curves))
	}
	names := map[string]bool{}
	for _, r := range m.Runs {
		if _, ok := m.FloorNamed(r.Floor); names[r.Name] || r.Floor != "" && !ok {
			t.Errorf("run %q stands twice or has lost its floor %q", r.Name, r.Floor)
		}
		names[r.Name] = true
	}
	if g := m.Goals[len(a.Goals)]; !names[g.Run] || !strings.HasSuffix(g.Run, " (2)") || !strings.HasSuffix(g.Floor, " (2)") {
		t.Errorf("goal of the second file: %+v", g)
	}
	if notes := strings.Join(m.Notes, "\n"); !strings.Contains(notes, "version v0.4.0") || !strings.Contains(notes, "Linux 7.0") || len(m.Notes) != len(a.Notes)+2 {
		t.Errorf("notes: %q", m.Notes)
	}
	if !m.Interrupted || !m.Started.Equal(b.Started) || !m.Ended.Equal(a.Ended) {
		t.Errorf("%v %v %v", m.Interrupted, m.Started, m.Ended)
	}
	if Merge(a) != a {
		t.Error("one file is not itself")
	}
}

func TestFilesAreReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk full")
	if err := WriteFile(path, func(w io.Writer) error { _, _ = w.Write([]byte("ne")); return broken }); !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("the file holds %q", b)
	}
	o := Outputs{JSON: path, HTML: filepath.Join(dir, "out.html")}
	f := producerFixture()
	if err := o.Save(f); err != nil {
		t.Fatal(err)
	}
	back, err := Load(nil, path)
	if err != nil || back.Command != f.Command || *back.Runs[0].Latency != *f.Runs[0].Latency {
		t.Errorf("read back %+v, %v", back, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	o.JSON = filepath.Join(dir, "no such", "out.json")
	if err := o.Save(f); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), o.JSON) {
		t.Errorf("got %v", err)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	one, two, newer := filepath.Join(dir, "one.json"), filepath.Join(dir, "two.json"), filepath.Join(dir, "newer.json")
	for path, f := range map[string]*result.File{one: suiteFixture(), two: producerFixture()} {
		if err := WriteFile(path, f.Write); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(newer, []byte(`{"schema": 99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		cmd := Command("report")
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		in, err := os.Open(two)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd.SetIn(in)
		cmd.SetArgs(append([]string{}, args...)) // nil would mean the words of this process
		err = cmd.Execute()
		return out.String(), err
	}
	if out, err := run(one, "-"); err != nil || !strings.Contains(out, "producer t") || !strings.Contains(out, "fetch 16KiB tail") {
		t.Errorf("%v: %.200s", err, out)
	}
	page, merged := filepath.Join(dir, "r.html"), filepath.Join(dir, "r.json")
	if out, err := run(one, two, "--html", page, "--json", merged); err != nil || out != "" {
		t.Errorf("%v: %.200s", err, out)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(b, []byte("<!doctype html>")) || !bytes.HasSuffix(bytes.TrimSpace(b), []byte("</html>")) {
		t.Errorf("%v: %.100s", err, b)
	}
	var usage *cli.UsageError
	if _, err := run(); !errors.As(err, &usage) {
		t.Errorf("no file: %v", err)
	}
	var schema *result.SchemaError
	if _, err := run(newer); !errors.As(err, &schema) || !strings.Contains(err.Error(), newer) {
		t.Errorf("newer schema: %v", err)
	}
	if _, err := run(filepath.Join(dir, "absent.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// A terminal of 80 columns gets no line that it would have to wrap, save where one column
// alone is too wide.
func TestTablesGoOnBelow(t *testing.T) {
	for _, table := range tables(suiteFixture()) {
		if table.ID == "goals" {
			continue // its titles are sentences
		}
		var narrow, wide bytes.Buffer
		writeTable(&narrow, table, 120)
		writeTable(&wide, table, 0)
		for _, line := range strings.Split(narrow.String(), "\n") {
			if len([]rune(line)) > 120 && !strings.Contains(line, "preload:") && !strings.Contains(line, "-----") && !strings.Contains(line, "floor's server") {
				t.Errorf("%s: %q", table.Title, line)
			}
		}
		for _, word := range strings.Fields(wide.String()) {
			if !strings.Contains(narrow.String(), strings.Trim(word, "-")) {
				t.Errorf("%s: %q is only in the wide form", table.Title, word)
			}
		}
	}
}
