package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/millrace/millrace/bench/result"
)

//go:embed assets/page.gohtml
var pageTemplate string

// page is what the template sees.
type page struct {
	File    *result.File
	Summary summary
	Tables  []table
	Facts   []fact
}

// writePage renders the page.
func writePage(w io.Writer, f *result.File) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	p := page{File: f, Summary: summarise(f), Tables: tables(f), Facts: append(machineFacts(f.Machine), fileFacts(f)...)}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	return nil
}
