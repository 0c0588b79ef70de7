package perf

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/millrace/millrace/bench/result"
)

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// writeDetails tells what Kafka's lines leave out.
//
// closedLoop names the latency of a load without intended send times.
func writeDetails(w io.Writer, run *result.Run, seen *watch, closedLoop string) {
	fmt.Fprintf(w, "\nsteady phase: %.2f s, %d records, %.0f records/s, %.2f MB/s (10^6)", run.SteadyS, run.Records, run.RecordsPerS, run.MBPerS)
	if run.Requests > 0 {
		fmt.Fprintf(w, ", %.0f requests/s", run.RequestsPerS)
	}
	fmt.Fprintln(w)
	if run.Latency != nil || run.Uncorrected != nil {
		writeLatencies(w, run, closedLoop)
	}
	switch {
	case run.Broker != nil:
		fmt.Fprintf(w, "broker:    %s\n", costText(run.Broker))
	case seen.broker == nil:
		fmt.Fprintf(w, "broker:    its cost is not known: %s\n", seen.why)
	}
	if run.Generator != nil {
		fmt.Fprintf(w, "generator: %s, %.2f cores\n", run.Client, run.Generator.Cores)
	} else {
		fmt.Fprintf(w, "generator: %s\n", run.Client)
	}
}

func writeLatencies(w io.Writer, run *result.Run, closedLoop string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "latency, ms\tmean\tp50\tp90\tp95\tp99\tp99.9\tp99.99\tmax\tcount\t")
	row := func(name string, l *result.Latency) {
		if l == nil {
			return
		}
		fmt.Fprintf(t, "%s", name)
		for _, v := range []float64{l.MeanMs, l.P50Ms, l.P90Ms, l.P95Ms, l.P99Ms, l.P999Ms, l.P9999Ms, l.MaxMs} {
			fmt.Fprintf(t, "\t%s", fixed(v, 3))
		}
		fmt.Fprintf(t, "\t%d\t\n", l.Count)
	}
	if run.Latency != nil {
		row("from the intended send time", run.Latency)
		row("from the send (uncorrected)", run.Uncorrected)
		row("the generator's own lateness", run.Lateness)
	} else {
		row(closedLoop, run.Uncorrected)
	}
	t.Flush()
}

// costText is what a process spent, in the units of docs/perf.md.
func costText(c *result.Cost) string {
	words := []string{fmt.Sprintf("%.2f cores", c.Cores)}
	add := func(format string, v float64) {
		if v > 0 {
			words = append(words, fmt.Sprintf(format, v))
		}
	}
	add("%.3f CPU s/GB", c.CPUPerGB)
	add("%.3f CPU s per million records", c.CPUPerMRecords)
	add("%.1f us CPU per request", c.CPUPerRequestUs)
	add("RSS %.0f MiB anonymous", float64(c.RSSAnonBytes)/mib)
	add("%.0f MiB of files", float64(c.RSSFileBytes)/mib)
	if c.AllocsKnown {
		words = append(words, fmt.Sprintf("%.1f allocations per request", c.AllocsPerRequest))
	}
	add("%.1f %% GC", 100*c.GCShare)
	return strings.Join(words, ", ")
}
