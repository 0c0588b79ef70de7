package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/bench/result"
)

// writeText writes the summary, the tables, the notes and the machine.
func writeText(w io.Writer, f *result.File) error {
	out := bufio.NewWriter(w)
	s := summarise(f)
	fmt.Fprintln(out, s.Headline)
	for _, t := range s.Tiles {
		value := t.Value
		if t.Unit != "" {
			value += " " + t.Unit
		}
		fmt.Fprintf(out, "  %-32s %s (%s)\n", t.Label, value, t.Detail)
	}
	for _, x := range s.Findings {
		mark := "note: "
		if x.Class == "missed" {
			mark = "ATTENTION: "
		}
		fmt.Fprintf(out, "  %s%s\n", mark, x.Text)
	}
	for _, t := range tables(f) {
		writeTable(out, t)
	}
	for _, c := range f.Curves {
		if c.Note != "" {
			fmt.Fprintf(out, "\n%s: %s\n", c.Name, c.Note)
		}
	}
	if len(f.Notes) > 0 {
		fmt.Fprintln(out, "\nNotes")
		for _, n := range f.Notes {
			fmt.Fprintln(out, "  "+n)
		}
	}
	fmt.Fprintln(out, "\nMachine")
	for _, x := range append(machineFacts(f.Machine), fileFacts(f)...) {
		fmt.Fprintf(out, "  %-20s %s\n", x.Name, strings.ReplaceAll(x.Value, "\n", "\n"+strings.Repeat(" ", 23)))
	}
	return out.Flush()
}

// fileFacts are what is known of the measurement as a whole.
func fileFacts(f *result.File) []fact {
	var out []fact
	if !f.Started.IsZero() {
		out = append(out, fact{"measured", f.Started.UTC().Format("2006-01-02 15:04 UTC") + ", " + took(f)})
	}
	if f.Version != "" {
		out = append(out, fact{"version", f.Version})
	}
	if f.Command != "" {
		out = append(out, fact{"command", f.Command})
	}
	return out
}

// writeTable sets a table in columns: numbers flush right, units below the heads.
func writeTable(w io.Writer, t table) {
	width := make([]int, len(t.Columns))
	units := false
	for i, c := range t.Columns {
		width[i] = max(utf8.RuneCountInString(c.Name), utf8.RuneCountInString(c.Unit))
		units = units || c.Unit != ""
		for _, r := range t.Rows {
			width[i] = max(width[i], utf8.RuneCountInString(r.Cells[i].Text))
		}
	}
	line := func(of func(i int) string) {
		var b strings.Builder
		for i, c := range t.Columns {
			s := of(i)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if c.Numeric {
				s = pad + s
			} else {
				s += pad
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(s)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	fmt.Fprintf(w, "\n%s\n", t.Title)
	line(func(i int) string { return t.Columns[i].Name })
	if units {
		line(func(i int) string { return t.Columns[i].Unit })
	}
	line(func(i int) string { return strings.Repeat("-", width[i]) })
	for _, r := range t.Rows {
		line(func(i int) string { return oneLine(r.Cells[i].Text) })
	}
}

// oneLine keeps a text that has several lines from breaking a table.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
