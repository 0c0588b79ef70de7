package flame

import (
	"bytes"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

//go:embed flame.css
var style string

//go:embed flame.js
var script string

// SVG is a drawing, the content of a file.
type SVG []byte

// Options say how to draw.
type Options struct {
	Kind  Kind   // "": the profile's default values
	Title string // "": the kind's
	Note  string // a line under the title: what was profiled
}

// Measures, in pixels. Frames thinner than minShare of all are left out: a browser shows none
// of them before 100x zoom, and thousands of them are slow.
const (
	rowHeight = 18
	header    = 100
	footer    = 26
	minShare  = 1.0 / 20000
)

// Draw draws a profile; one without samples gives a drawing that says so. OffCPU keeps of a
// wall-clock profile what waited.
func Draw(p *profile.Profile, o Options) SVG {
	if o.Kind == OffCPU {
		p = waiting(p)
	}
	value := valueIndex(p, o.Kind.value())
	unit := ""
	if value >= 0 {
		unit = p.SampleType[value].Unit
	}
	d := &drawing{unit: unit, root: &frame{name: "all"}}
	if value >= 0 {
		d.root = grow(p, value)
	}
	title := o.Title
	if title == "" {
		title = o.Kind.title()
	}
	d.frame(d.root, 0, 0)
	return d.page(title, o.Note, summary(p, o, d.root.total, unit))
}

// summary is the sum of all samples and the time in which they were taken.
func summary(p *profile.Profile, o Options, total int64, unit string) string {
	sum := amount(total, unit)
	seconds := float64(p.DurationNanos) / 1e9
	if seconds > 0 && o.Kind != Heap {
		sum += fmt.Sprintf(" in %.1f s", seconds)
		per := float64(total) / 1e9 / seconds
		switch o.Kind {
		case CPU:
			sum += fmt.Sprintf(" (%.2f cores)", per)
		case Wall, OffCPU:
			sum += fmt.Sprintf(" (%.1f goroutines)", per)
		}
	}
	return sum
}

type drawing struct {
	buf   bytes.Buffer
	root  *frame
	unit  string
	depth int
	seen  [groups]bool
}

// frame draws f at left, a share of the width, and its children below it.
func (d *drawing) frame(f *frame, left float64, depth int) {
	share := 1.0
	if d.root.total > 0 {
		share = float64(f.total) / float64(d.root.total)
	}
	if share < minShare {
		return
	}
	d.depth = max(d.depth, depth+1)
	fill := "class=\"fl-all\""
	if f != d.root {
		d.seen[groupOf(f.name)] = true
		fill = "fill=\"" + colour(f.name) + "\""
	}
	fmt.Fprintf(&d.buf, `<svg class="fl-f" x="%s" y="%d" width="%s" height="%d" data-d="%d" data-n="`,
		percent(left), header+depth*rowHeight, percent(share), rowHeight-1, depth)
	d.text(f.name)
	d.buf.WriteString(`"><title>`)
	d.text(d.tooltip(f, share))
	fmt.Fprintf(&d.buf, `</title><rect width="100%%" height="100%%" %s/>`, fill)
	if share > 0.002 { // the script writes the names of thinner ones, when they are zoomed
		d.buf.WriteString(`<text x="4" y="13">`)
		d.text(short(f.name))
		d.buf.WriteString(`</text>`)
	}
	d.buf.WriteString("</svg>\n")
	for _, c := range f.sorted() {
		d.frame(c, left, depth+1)
		left += float64(c.total) / float64(d.root.total)
	}
}

func percent(share float64) string {
	s := fmt.Sprintf("%.4f", share*100)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

func (d *drawing) tooltip(f *frame, share float64) string {
	s := fmt.Sprintf("%s\n%s, %.2f %% of all", f.name, amount(f.total, d.unit), share*100)
	if f.self > 0 && f != d.root {
		s += fmt.Sprintf("; in itself %s, %.2f %%", amount(f.self, d.unit), float64(f.self)/float64(d.root.total)*100)
	}
	if f.file != "" {
		s += "\n" + tail(f.file, 3)
	}
	return s
}

// tail is the end of a path: the folder that a build was made in is nobody's business.
func tail(file string, parts int) string {
	all := strings.Split(file, "/")
	return strings.Join(all[max(0, len(all)-parts):], "/")
}

func (d *drawing) text(s string) { escape(&d.buf, s) }

func escape(w io.Writer, s string) {
	_ = xml.EscapeText(w, []byte(s)) // only a failing writer fails, and a buffer does not
}

// page puts the frames into their document.
func (d *drawing) page(title, note, summary string) SVG {
	var out bytes.Buffer
	height := header + d.depth*rowHeight + footer
	fmt.Fprintf(&out, `<?xml version="1.0" encoding="UTF-8"?>
<svg class="fl-flame" xmlns="http://www.w3.org/2000/svg" width="100%%" height="%d" font-family="ui-sans-serif,system-ui,sans-serif" font-size="12">
<style>%s</style>
<rect class="fl-back" width="100%%" height="100%%"/>
<text class="fl-title" x="10" y="24">`, height, style)
	escape(&out, title)
	out.WriteString("</text>\n<text class=\"fl-note\" x=\"10\" y=\"43\">")
	escape(&out, note)
	out.WriteString("</text>\n<text class=\"fl-note\" x=\"10\" y=\"62\">")
	escape(&out, summary)
	out.WriteString("</text>\n")
	d.legend(&out)
	out.WriteString(`<foreignObject class="fl-bar" x="0" y="66" width="100%" height="32"><div xmlns="http://www.w3.org/1999/xhtml" class="fl-tools"></div></foreignObject>` + "\n")
	out.WriteString("<svg class=\"fl-frames\" x=\"0.6%\" width=\"98.8%\" height=\"100%\">\n")
	if d.root.total == 0 {
		fmt.Fprintf(&out, "<text class=\"fl-note\" x=\"4\" y=\"%d\">No samples: nothing of this kind happened while the profile was taken.</text>\n", header+13)
	} else {
		out.Write(d.buf.Bytes())
	}
	fmt.Fprintf(&out, "</svg>\n<text class=\"fl-note fl-status\" x=\"10\" y=\"%d\"></text>\n<script><![CDATA[\n%s]]></script>\n</svg>\n", height-9, script)
	return out.Bytes()
}

// legend names the colours that occur.
func (d *drawing) legend(w io.Writer) {
	examples := [groups]string{
		"github.com/millrace/millrace/broker.x", "example.com/x.x", "net.x", "runtime.x", "syscall.x",
	}
	fmt.Fprint(w, `<g class="fl-legend">`)
	x := 10
	for g := range groups {
		if !d.seen[g] {
			continue
		}
		fmt.Fprintf(w, `<rect x="%d" y="78" width="11" height="11" rx="2" fill="%s"/><text class="fl-note" x="%d" y="88">%s</text>`,
			x, colour(examples[g]), x+16, g)
		x += 34 + 13*len(g.String())/2
	}
	fmt.Fprint(w, "</g>\n")
}
