package limits

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/millrace/millrace/bench/result"
)

// Print writes floors as a table: each floor, and indented below it the ways that were tried.
func Print(w io.Writer, floors []result.Floor) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "floor\tCPU us\tCPU s/GB\tper second\tMB/s\tp50 us\tp99 us\tspread\tnote")
	for _, f := range floors {
		name := f.Name
		if floor, way, ok := strings.Cut(f.Name, " by "); ok && floor != "" {
			name = "  " + way
		}
		p50, p99 := "", ""
		if f.Latency != nil {
			p50, p99 = figureText(1e3*f.Latency.P50Ms), figureText(1e3*f.Latency.P99Ms)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f %%\t%s\n", name, figureText(f.CPUPerUnitUs), figureText(f.CPUPerGB),
			count(f.UnitsPerS), figureText(f.MBPerS), p50, p99, 100*f.Spread, f.Note)
	}
	return t.Flush()
}

// figure writes v with three digits.
func figureText(v float64) string {
	switch {
	case v == 0:
		return ""
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func count(v float64) string {
	if v >= 10e3 {
		return fmt.Sprintf("%.0f k", v/1e3)
	}
	return figureText(v)
}

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
