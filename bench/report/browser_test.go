package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
