package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/bench/result"
)

// summary is what somebody reads who reads nothing else.
type summary struct {
	Headline string
	Class    string // colour of the headline: "met", "missed", "unknown"
	Tiles    []tile
	Findings []finding // what needs a reader's eye, worst first
}

// tile is one figure in large type.
type tile struct {
	Label, Value, Unit string
	Detail             string // a line below it
	Class              string
}

// finding is one sentence.
type finding struct {
	Class string // "missed" for what is wrong, "met" for what is good, "unknown" for what makes figures doubtful
	Text  string
}

func summarise(f *result.File) summary {
	s := summary{Class: "unknown"}
	s.Headline, s.Class = headline(f)
	for _, t := range []func(*result.File) (tile, bool){goalsTile, comparisonTile, floorTile, throughputTile, latencyTile, memoryTile, runsTile} {
		if t, ok := t(f); ok {
			s.Tiles = append(s.Tiles, t)
		}
	}
	s.Findings = slices.Concat(failures(f), differences(f), doubts(f))
	return s
}

// goalCount counts the goals by what came of them.
func goalCount(goals []result.Goal) (met, missed, unknown int) {
	for _, g := range goals {
		switch {
		case g.Unknown != "":
			unknown++
		case g.Met:
			met++
		default:
			missed++
		}
	}
	return met, missed, unknown
}

func headline(f *result.File) (words, class string) {
	met, missed, unknown := goalCount(f.Goals)
	switch {
	case met+missed > 0:
		class = "met"
		words = fmt.Sprintf("%d of %s met", met, count(met+missed, "goal"))
		if missed > 0 {
			class = "missed"
		}
		if unknown > 0 {
			words += fmt.Sprintf("; %d not measured", unknown)
		}
		return words + ".", class
	case len(f.Pairs) > 0:
		b, w, u := outcomes(f.Pairs)
		class = "unknown"
		switch {
		case b > 0 && w == 0:
			class = "met"
		case w > 0 && b == 0:
			class = "missed"
		}
		p := f.Pairs[0]
		return fmt.Sprintf("%s (B) against %s (A): better in %d of %s, worse in %d, no clear difference in %d.", sideName(p.BName, "B"), sideName(p.AName, "A"), b, count(len(f.Pairs), "figure"), w, u), class
	case len(f.Runs) == 1:
		return oneRun(f.Runs[0])
	case len(f.Runs) > 0:
		return fmt.Sprintf("%s measured.", count(len(f.Runs), "run")), "unknown"
	case len(f.Floors) > 0:
		return fmt.Sprintf("%s of this machine measured.", count(len(f.Floors), "floor")), "unknown"
	default:
		return "Nothing was measured.", "missed"
	}
}

// oneRun is the headline of a report about nothing else.
func oneRun(r result.Run) (words, class string) {
	if r.Error != "" {
		return r.Name + " failed.", "missed"
	}
	words = fmt.Sprintf("%s: %s records/s, %s MB/s", r.Name, result.Rate(r.RecordsPerS), result.Rate(r.MBPerS))
	if r.Latency != nil {
		words += ", p99 " + result.Milliseconds(r.Latency.P99Ms)
	}
	return words, "unknown"
}

func outcomes(pairs []result.Pairing) (b, w, u int) {
	for _, p := range pairs {
		switch outcomeOf(p) {
		case better:
			b++
		case worse:
			w++
		default:
			u++
		}
	}
	return b, w, u
}

// count is "1 run", "3 runs".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return result.Rate(float64(n)) + " " + what + "s"
}

func goalsTile(f *result.File) (tile, bool) {
	met, missed, unknown := goalCount(f.Goals)
	if met+missed == 0 {
		return tile{}, false
	}
	t := tile{Label: "Goals met", Value: fmt.Sprint(met), Unit: fmt.Sprintf("of %d", met+missed), Class: "met", Detail: "all that were measured"}
	if missed > 0 {
		t.Class, t.Detail = "missed", fmt.Sprintf("%d missed", missed)
	}
	if unknown > 0 {
		t.Detail += fmt.Sprintf(", %d not measured", unknown)
	}
	return t, true
}

func comparisonTile(f *result.File) (tile, bool) {
	if len(f.Pairs) == 0 {
		return tile{}, false
	}
	b, w, u := outcomes(f.Pairs)
	t := tile{Label: "B better than A", Value: fmt.Sprint(b), Unit: fmt.Sprintf("of %d", len(f.Pairs)), Detail: fmt.Sprintf("worse in %d, no clear difference in %d", w, u)}
	if w > 0 {
		t.Class = "missed"
	} else if b > 0 {
		t.Class = "met"
	}
	return t, true
}

// floorTile is the median ratio to the floor over the runs that have one.
func floorTile(f *result.File) (tile, bool) {
	var ratios []float64
	for _, r := range f.Runs {
		if r.FloorRatio > 0 && r.Error == "" {
			ratios = append(ratios, r.FloorRatio)
		}
	}
	if len(ratios) == 0 {
		return tile{}, false
	}
	slices.Sort(ratios)
	middle := ratios[len(ratios)/2]
	if len(ratios)%2 == 0 {
		middle = (middle + ratios[len(ratios)/2-1]) / 2
	}
	t := tile{Label: "CPU against the floor", Value: fixed(middle, 2), Unit: "x", Detail: "1.00x is bare system calls"}
	if len(ratios) > 1 {
		t.Detail = fmt.Sprintf("median of %s, %s to %s", count(len(ratios), "run"), ratioText(ratios[0]), ratioText(ratios[len(ratios)-1]))
	}
	return t, true
}

func throughputTile(f *result.File) (tile, bool) {
	var best *result.Run
	for i := range f.Runs {
		if r := &f.Runs[i]; r.Error == "" && r.MBPerS > 0 && (best == nil || r.MBPerS > best.MBPerS) {
			best = r
		}
	}
	if best == nil {
		return tile{}, false
	}
	return tile{Label: "Highest throughput", Value: result.Rate(best.MBPerS), Unit: "MB/s", Detail: result.Rate(best.RecordsPerS) + " records/s: " + best.Name}, true
}

// latencyTile is the paced run with the lowest rate: the latency of the broker rather than
// of a queue before it.
func latencyTile(f *result.File) (tile, bool) {
	var calm *result.Run
	for i := range f.Runs {
		if r := &f.Runs[i]; r.Error == "" && r.Latency != nil && r.TargetRate > 0 && (calm == nil || r.TargetRate < calm.TargetRate) {
			calm = r
		}
	}
	if calm == nil {
		return tile{}, false
	}
	value, unit, _ := strings.Cut(result.Milliseconds(calm.Latency.P99Ms), " ")
	return tile{
		Label: fmt.Sprintf("p99 at %s records/s", result.Rate(calm.TargetRate)), Value: value, Unit: unit,
		Detail: fmt.Sprintf("p50 %s, p99.9 %s", result.Milliseconds(calm.Latency.P50Ms), result.Milliseconds(calm.Latency.P999Ms)),
	}, true
}

func memoryTile(f *result.File) (tile, bool) {
	highest, file := int64(0), int64(0)
	for _, r := range f.Runs {
		if r.Broker != nil {
			highest, file = max(highest, r.Broker.RSSAnonBytes), max(file, r.Broker.RSSFileBytes)
		}
	}
	if highest == 0 {
		return tile{}, false
	}
	return tile{Label: "Broker memory", Value: mebibytes(float64(highest)), Unit: "MiB", Detail: "at most, of its own; page cache mapped up to " + bytesText(file)}, true
}

func runsTile(f *result.File) (tile, bool) {
	if len(f.Runs) == 0 {
		return tile{}, false
	}
	failed := 0
	for _, r := range f.Runs {
		if r.Error != "" {
			failed++
		}
	}
	t := tile{Label: "Runs", Value: fmt.Sprint(len(f.Runs)), Detail: took(f)}
	if failed > 0 {
		t.Class, t.Detail = "missed", fmt.Sprintf("%d failed; %s", failed, t.Detail)
	}
	return t, true
}

// took is how long everything took, in words.
func took(f *result.File) string {
	d := f.Ended.Sub(f.Started)
	switch {
	case f.Ended.IsZero() || d <= 0:
		return "time unknown"
	case d.Minutes() < 2:
		return fmt.Sprintf("in %.0f s", d.Seconds())
	case d.Hours() < 2:
		return fmt.Sprintf("in %.0f min", d.Minutes())
	default:
		return fmt.Sprintf("in %.1f h", d.Hours())
	}
}

// failures are the goals that were missed, the runs that failed and the figures in which B
// is worse.
func failures(f *result.File) []finding {
	var out []finding
	if f.Interrupted {
		out = append(out, finding{"missed", "The measurement was interrupted: what follows is what was done until then."})
	}
	for _, g := range f.Goals {
		if g.Unknown == "" && !g.Met {
			out = append(out, finding{"missed", missedText(g)})
		}
	}
	for _, r := range f.Runs {
		if r.Error != "" {
			out = append(out, finding{"missed", r.Name + " failed: " + r.Error})
		}
	}
	return out
}

// differences are the figures in which B is worse or better, a line for each scenario.
func differences(f *result.File) []finding {
	var scenarios []string
	found := map[string]map[outcome][]string{}
	for _, p := range f.Pairs {
		if found[p.Scenario] == nil {
			scenarios, found[p.Scenario] = append(scenarios, p.Scenario), map[outcome][]string{}
		}
		o := outcomeOf(p)
		found[p.Scenario][o] = append(found[p.Scenario][o], p.Metric+" "+ratioText(p.Ratio))
	}
	var out []finding
	for _, o := range []outcome{worse, better} {
		for _, s := range scenarios {
			if names := found[s][o]; len(names) > 0 {
				out = append(out, finding{o.class(), fmt.Sprintf("%s: B is %s in %s.", s, o, strings.Join(names, ", "))})
			}
		}
	}
	return out
}

// sideName is the name of a side without its letter, which stands beside it.
func sideName(name, letter string) string {
	if inner, ok := strings.CutPrefix(name, letter+" ("); ok && strings.HasSuffix(inner, ")") {
		return strings.TrimSuffix(inner, ")")
	}
	return name
}

// missedText says what a goal wanted and got; a title may lean on the one before it ("the
// same"), so that the run is named where the title does not.
func missedText(g result.Goal) string {
	title := g.Title
	if g.Run != "" {
		title += " [" + g.Run + "]"
	}
	return title + ": " + measuredText(g) + ", wanted " + limitText(g) + "."
}

// measuredText is what came of a goal: "1.42x the floor", "0.31 p50 ms".
func measuredText(g result.Goal) string {
	if judgedByRatio(g) {
		return ratioText(g.Ratio) + " the floor"
	}
	return result.Significant(g.Measured) + " (" + g.Metric + ")"
}

// busyShare is the load per processor at which a machine is not quiet any more; lateShare
// how much of the p99 the generator's own lateness may be; wideSpread how far the samples
// of a floor may lie apart.
const (
	busyShare  = 0.5
	lateShare  = 0.25
	wideSpread = 0.5
)

// doubts are what makes figures less certain.
func doubts(f *result.File) []finding {
	var out []finding
	if m := f.Machine; m.CPUs > 0 && m.LoadAverage > busyShare*float64(m.CPUs) {
		out = append(out, finding{"unknown", fmt.Sprintf("The machine was busy when it began (load average %s on %s): ratios within this report hold better than its rates and latencies.", fixed(m.LoadAverage, 2), count(m.CPUs, "CPU"))})
	}
	var late, wide []string
	for _, r := range f.Runs {
		if r.Latency != nil && r.Lateness != nil && r.Lateness.P99Ms > lateShare*r.Latency.P99Ms {
			late = append(late, fmt.Sprintf("%s (%s of %s)", r.Name, result.Milliseconds(r.Lateness.P99Ms), result.Milliseconds(r.Latency.P99Ms)))
		}
	}
	for _, fl := range f.Floors {
		if fl.Spread > wideSpread {
			wide = append(wide, fmt.Sprintf("%s (%s)", fl.Name, percent(fl.Spread)))
		}
	}
	if len(late) > 0 {
		out = append(out, finding{"unknown", "The generator itself was late, which is in the p99 of " + list(late) + "."})
	}
	if len(wide) > 0 {
		out = append(out, finding{"unknown", "Samples of these floors lie far apart: " + list(wide) + "."})
	}
	return out
}

// list joins names and stops after a few.
func list(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
