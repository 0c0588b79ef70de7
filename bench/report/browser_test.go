package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/bench/result"
)

// looked is where pages and pictures of them go to be looked at by a person: REPORT_DIR, or
// nowhere that lasts. kept says whether they stay.
func looked(t *testing.T) (dir string, kept bool) {
	if dir := os.Getenv("REPORT_DIR"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir, true
	}
	return t.TempDir(), false
}

// writeFixture writes the page of f and returns its path.
func writeFixture(t *testing.T, dir, name string, f *result.File) string {
	t.Helper()
	var page bytes.Buffer
	if err := HTML(&page, f); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".html")
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// seen is what a person would see of a page.
type seen struct {
	Canvases, Drawn    int
	Inner, Page        int
	Outside, Cut, Tiny []string
	Background         string
}

// look returns it. A canvas counts as drawn when it has several colours. Outside are
// elements that stick out of the window (where nothing scrolls sideways), Cut are texts
// wider than their box, Tiny is what is too small to read.
const look = `(() => {
  const name = (e) => e.tagName + "." + e.className + " " + (e.textContent || "").trim().slice(0, 30);
  const canvases = [...document.querySelectorAll("canvas")];
  const drawn = canvases.filter((c) => {
    const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    const colours = new Set();
    for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) colours.add(d[i] + "," + d[i + 1] + "," + d[i + 2]);
    return c.width > 100 && colours.size > 3;
  });
  const all = [...document.querySelectorAll("body *")].filter((e) => {
    const r = e.getBoundingClientRect();
    return r.width > 0 && r.height > 0 && !e.closest("nav, .tip, .u-wrap, svg");
  });
  const unique = (list) => [...new Set(list.map(name))].slice(0, 5);
  return {
    Canvases: canvases.length, Drawn: drawn.length, Inner: innerWidth, Page: document.documentElement.scrollWidth,
    Outside: unique(all.filter((e) => !e.closest(".scroll") && (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1))),
    Cut: unique(all.filter((e) => !e.closest(".scroll") && e.children.length === 0 && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline" && e.tagName !== "INPUT")),
    Tiny: unique(all.filter((e) => e.children.length === 0 && e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 10)),
    Background: getComputedStyle(document.body).backgroundColor,
  };
})()`

func TestBrowserDrawsThePage(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	c := openChromium(t)
	dir, kept := looked(t)
	for name, f := range map[string]*result.File{"suite": suiteFixture(), "compare": compareFixture(), "producer": producerFixture(), "nothing": fixtureHead("millrace bench suite")} {
		path := writeFixture(t, dir, name, f)
		plots := plotsOf(f)
		backgrounds := map[string]bool{}
		for _, width := range []int{1400, 400} {
			for _, dark := range []bool{false, true} {
				at := fmt.Sprintf("%s at %d dark=%v", name, width, dark)
				c.open(path, width, dark)
				var s seen
				c.eval(&s, look)
				backgrounds[s.Background] = true
				if want := 2*len(plots.Groups) + len(plots.Curves); s.Canvases != want || s.Drawn != want {
					t.Errorf("%s: %d plots, %d of them drawn, want %d", at, s.Canvases, s.Drawn, want)
				}
				if s.Inner != width || s.Page > width || len(s.Outside) > 0 || len(s.Cut) > 0 || len(s.Tiny) > 0 {
					t.Errorf("%s: window %d, page %d, outside %q, cut %q, tiny %q", at, s.Inner, s.Page, s.Outside, s.Cut, s.Tiny)
				}
				if len(c.Errors) > 0 || len(c.foreign()) > 0 {
					t.Errorf("%s: errors %q, requests %q", at, c.Errors, c.foreign())
				}
				if kept {
					c.pictures(filepath.Join(dir, fmt.Sprintf("%s-%d-%s", name, width, map[bool]string{false: "light", true: "dark"}[dark])), width)
				}
			}
		}
		if len(backgrounds) != 2 {
			t.Errorf("%s: light and dark have the backgrounds %v", name, backgrounds)
		}
	}
}

// What a person can do with the page, done with a mouse.
func TestBrowserAnswersToThePerson(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	c := openChromium(t)
	c.open(writeFixture(t, t.TempDir(), "suite", suiteFixture()), 1400, false)
	const group = `document.querySelector('[data-group="0"]')`
	// ink is the number of pixels of the first run's colour in the first plot.
	ink := func() (n int) {
		c.eval(&n, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
			const canvas = `+group+`.querySelector("canvas"), d = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
			let n = 0;
			for (let i = 0; i < d.length; i += 4) if (d[i] === 15 && d[i + 1] === 111 && d[i + 2] === 156) n++;
			done(n);
		})))`)
		return n
	}
	text := func(expression string) (s string) { c.eval(&s, expression); return s }

	before := ink()
	c.eval(nil, group+`.querySelector(".legend button").click()`)
	hidden := ink()
	c.eval(nil, group+`.querySelector(".legend button").click()`)
	if again := ink(); before < 50 || hidden > before/5 || again < before*9/10 {
		t.Errorf("pixels of the first run: %d, hidden %d, shown again %d", before, hidden, again)
	}

	c.move(`[data-group="0"] [data-plot="time"] .u-over`)
	tip := text(`new Promise((done) => requestAnimationFrame(() => { const tip = ` + group + `.querySelector(".tip"); done(tip.hidden ? "hidden" : tip.textContent); }))`)
	if !regexp.MustCompile(`^1[0-9] s16KiB p11,[0-9]{3}`).MatchString(tip) {
		t.Errorf("beside the cursor stands %q", tip)
	}

	c.eval(nil, group+`.querySelectorAll(".segments button")[1].click()`)
	if pressed := text(group + `.querySelector('.segments [aria-pressed="true"]').textContent`); pressed != "records/s" {
		t.Errorf("shown over time: %q", pressed)
	}
	if few := ink(); few < 20 {
		t.Errorf("records/s of the first run: %d pixels", few)
	}

	const head = `document.querySelector("#table-cost thead th:nth-child(5)")`
	order := `[...document.querySelectorAll("#table-cost tbody tr")].map((r) => r.cells[4].textContent)`
	for _, want := range []string{"descending", "ascending"} {
		c.eval(nil, head+`.querySelector("button").click()`)
		var values []string
		c.eval(&values, order)
		sorted := slices.Clone(values[:len(values)-1])
		slices.SortFunc(sorted, func(a, b string) int {
			d := parse(t, a) - parse(t, b)
			if want == "descending" {
				d = -d
			}
			return int(math.Copysign(1, d))
		})
		if got := text(head + `.getAttribute("aria-sort")`); got != want || values[len(values)-1] != "" || slices.Compare(sorted, values[:len(values)-1]) != 0 {
			t.Errorf("sorted %s: %q", got, values)
		}
	}

	var shown int
	c.eval(&shown, `(() => { const f = document.getElementById("filter"); f.value = "zstd"; f.dispatchEvent(new Event("input")); return [...document.querySelectorAll("#table-cost tbody tr")].filter((r) => !r.hidden).length; })()`)
	if shown != 1 {
		t.Errorf("%d rows are shown for zstd", shown)
	}

	c.eval(nil, `document.getElementById("theme").click()`)
	if got := text(`getComputedStyle(document.body).backgroundColor`); got != "rgb(14, 19, 24)" {
		t.Errorf("dark is %s", got)
	}
	if left := ink(); left > 5 {
		t.Errorf("%d pixels of the light theme are left in the plot", left)
	}
	c.eval(nil, `document.getElementById("theme").click()`)
	if got := ink(); got < 20 {
		t.Errorf("light again: %d pixels", got)
	}
	if len(c.Errors) > 0 {
		t.Errorf("errors: %q", c.Errors)
	}
}

func parse(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A window that is made narrower after the page was opened takes its plots along.
func TestBrowserResizes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	c := openChromium(t)
	c.open(writeFixture(t, t.TempDir(), "suite", suiteFixture()), 1400, false)
	c.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 400, "height": 900, "deviceScaleFactor": 2, "mobile": true})
	var wide int
	c.eval(&wide, `new Promise((done) => { let n = 0; const look = () => { const page = document.documentElement.scrollWidth; if (page <= 400 || ++n > 100) done(page); else requestAnimationFrame(look); }; look(); })`)
	if wide > 400 {
		t.Errorf("the page is %d wide in a window of 400", wide)
	}
	var s seen
	c.eval(&s, look)
	if s.Drawn != s.Canvases || len(s.Outside) > 0 {
		t.Errorf("%+v", s)
	}
}
