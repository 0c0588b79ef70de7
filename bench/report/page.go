package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"

	"github.com/millrace/millrace/bench/result"
)

//go:embed assets
var assets embed.FS

// page is what assets/page.gohtml sees.
type page struct {
	File     *result.File
	Title    string
	When     string
	Sections []section
	Summary  summary
	Gauges   []gauge
	Bars     []barGroup
	Floors   bool // some of the bars have a floor
	Duels    []duel
	Plots    plots
	Curves   []curveCard
	Tables   []table
	Facts    []fact

	// What is inlined. The types say that they are ours and not to be escaped.
	Licence       template.HTML
	UPlotCSS, CSS template.CSS
	UPlotJS, JS   template.JS
}

// section is one entry of the navigation.
type section struct{ ID, Title string }

// curveCard is a curve as the page shows it beside its plot.
type curveCard struct {
	Name, YLabel, Note string
	Verdict, Class     string // "met" or "missed"; empty: no goal is about it
}

// writePage renders the page.
func writePage(w io.Writer, f *result.File) error {
	t, err := template.ParseFS(assets, "assets/page.gohtml")
	if err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	p := page{
		File: f, Title: "Millrace bench: " + headTitle(f), When: when(f), Summary: summarise(f),
		Gauges: gauges(f), Bars: barGroups(f), Duels: duels(f), Plots: plotsOf(f), Curves: curveCards(f),
		Tables: tables(f), Facts: append(fileFacts(f), machineFacts(f.Machine)...),
	}
	for _, g := range p.Bars {
		p.Floors = p.Floors || g.hasFloor()
	}
	p.Sections = p.sections()
	if err := p.inline(); err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	return nil
}

// inline reads what the page carries with it.
func (p *page) inline() error {
	var texts [5]string
	for i, name := range []string{"uplot/LICENSE", "uplot/uPlot.min.css", "report.css", "uplot/uPlot.iife.min.js", "report.js"} {
		b, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return err
		}
		texts[i] = string(b)
	}
	p.Licence = template.HTML("<!-- uPlot, whose script and style are inlined below, is under this licence:\n\n" + texts[0] + "-->")
	p.UPlotCSS, p.CSS = template.CSS(texts[1]), template.CSS(texts[2])
	p.UPlotJS, p.JS = template.JS(texts[3]), template.JS(texts[4])
	return nil
}

func (p *page) sections() []section {
	all := []struct {
		section
		there bool
	}{
		{section{"summary", "Summary"}, true},
		{section{"verdicts", "Goals"}, len(p.Gauges) > 0},
		{section{"compare", "A against B"}, len(p.Duels) > 0},
		{section{"cpu", "CPU"}, len(p.Bars) > 0},
		{section{"plots", "Plots"}, len(p.Plots.Groups) > 0},
		{section{"growth", "Growth"}, len(p.Curves) > 0},
		{section{"tables", "Figures"}, len(p.Tables) > 0},
		{section{"machine", "Machine"}, true},
	}
	var out []section
	for _, s := range all {
		if s.there {
			out = append(out, s.section)
		}
	}
	return out
}

// headTitle tells one report's tab from another's.
func headTitle(f *result.File) string {
	what := "nothing measured"
	switch {
	case len(f.Pairs) > 0:
		what = sideName(f.Pairs[0].AName, "A") + " against " + sideName(f.Pairs[0].BName, "B")
	case len(f.Runs) == 1:
		what = f.Runs[0].Name
	case len(f.Runs) > 1:
		what = count(len(f.Runs), "run")
	case len(f.Floors) > 0:
		what = "floors"
	}
	if f.Started.IsZero() {
		return what
	}
	return what + ", " + f.Started.UTC().Format("2006-01-02")
}

// when is the line below the headline: when, how long, on what.
func when(f *result.File) string {
	line := took(f)
	if !f.Started.IsZero() {
		line = f.Started.UTC().Format("2 January 2006, 15:04 UTC") + ", " + line
	}
	if f.Machine.CPU != "" {
		line += ", on " + count(f.Machine.CPUs, "CPU") + " of " + f.Machine.CPU
	}
	return line
}

// curveCards sets beside each curve the verdict of the goal that judges it.
func curveCards(f *result.File) []curveCard {
	var out []curveCard
	for _, c := range f.Curves {
		card := curveCard{Name: c.Name, YLabel: c.YLabel, Note: c.Note}
		for _, g := range f.Goals {
			if g.Run == c.Name && g.Unknown == "" {
				card.Verdict, card.Class = verdictCell(g).Text, verdictCell(g).Class
			}
		}
		out = append(out, card)
	}
	return out
}
