package report

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/millrace/millrace/bench/result"
)

// writeText writes the summary, the tables, the notes and the machine.
func writeText(w io.Writer, f *result.File) error {
	out, screen := bufio.NewWriter(w), terminalWidth(w)
	s := summarise(f)
	fmt.Fprintln(out, s.Headline)
	for _, t := range s.Tiles {
		value := strings.Replace(strings.TrimSpace(t.Value+" "+t.Unit), " x", "x", 1)
		fmt.Fprintf(out, "  %-32s %s (%s)\n", t.Label, value, t.Detail)
	}
	for _, x := range s.Findings {
		mark := "note: "
		switch x.Class {
		case "missed":
			mark = "ATTENTION: "
		case "met":
			mark = "good: "
		}
		fmt.Fprintf(out, "  %s%s\n", mark, x.Text)
	}
	for _, t := range tables(f) {
		writeTable(out, t, screen)
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

// terminalWidth is how many columns w shows; 0 when it is no terminal.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// writeTable sets a table in columns: numbers flush right, units below the heads, sentences
// last. On a terminal (screen columns; 0: none) what is too wide goes on below, its first
// column again.
func writeTable(w io.Writer, t table, screen int) {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	order, width := layout(t)
	for len(order) > 0 {
		used, n := width[order[0]], 1
		for n < len(order) && (screen == 0 || n == 1 || used+2+width[order[n]] <= screen) {
			used += 2 + width[order[n]]
			n++
		}
		writeColumns(w, t, order[:n], width)
		if n == len(order) {
			return
		}
		fmt.Fprintln(w)
		order = append([]int{order[0]}, order[n:]...)
	}
}

// layout is the order of a table's columns and their widths.
func layout(t table) (order, width []int) {
	width = make([]int, len(t.Columns))
	var sentences []int
	for i, c := range t.Columns {
		width[i] = max(utf8.RuneCountInString(c.Name), utf8.RuneCountInString(c.Unit))
		for _, r := range t.Rows {
			width[i] = max(width[i], utf8.RuneCountInString(r.Cells[i].Text))
		}
		if c.Wide {
			sentences = append(sentences, i)
		} else {
			order = append(order, i)
		}
	}
	return append(order, sentences...), width
}

// writeColumns writes the columns of t that are named.
func writeColumns(w io.Writer, t table, columns, width []int) {
	line := func(of func(i int) string) {
		var b strings.Builder
		for n, i := range columns {
			s := of(i)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if t.Columns[i].Numeric {
				s = pad + s
			} else {
				s += pad
			}
			if n > 0 {
				b.WriteString("  ")
			}
			b.WriteString(s)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(func(i int) string { return t.Columns[i].Name })
	if slices.ContainsFunc(columns, func(i int) bool { return t.Columns[i].Unit != "" }) {
		line(func(i int) string { return t.Columns[i].Unit })
	}
	line(func(i int) string { return strings.Repeat("-", width[i]) })
	for _, r := range t.Rows {
		line(func(i int) string { return oneLine(r.Cells[i].Text) })
	}
}

// oneLine keeps a text that has several lines from breaking a table.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
