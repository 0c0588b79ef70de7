// Package report makes what bench measured readable: one HTML page that opens offline, and
// tables for a terminal.
//
// Both are made from the same tables (tables.go), so that no figure is in one and not in the
// other. The page holds everything it needs: its style, its script and the plotting library
// uPlot with its licence (assets/), and a content security policy that lets it load nothing.
// Every text of a result.File is a stranger's here: it reaches the page through
// html/template's escaping only.
//
// Called by bench/suite, bench/compare, bench/perf and bench/e2e for --html, and by
// `millrace bench report`, which makes a report of files that are there already.
package report

import (
	"io"

	"github.com/millrace/millrace/bench/result"
)

// HTML writes the report of f as one self-contained page.
func HTML(w io.Writer, f *result.File) error {
	return writePage(w, f)
}

// Text writes the report of f as tables for a terminal.
func Text(w io.Writer, f *result.File) error {
	return writeText(w, f)
}
