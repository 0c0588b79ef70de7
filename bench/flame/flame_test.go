package flame

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// stacks makes a profile of call paths, outermost first; a path's last part may have several
// functions joined by "+", the innermost last, which are inlined into one location.
func stacks(kind, unit string, paths map[string]int64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: kind, Unit: unit}}, DurationNanos: 2e9}
	functions := map[string]*profile.Function{}
	locations := map[string]*profile.Location{}
	for path, v := range paths {
		s := &profile.Sample{Value: []int64{1, v}}
		for _, place := range strings.Split(path, ";") {
			l := locations[place]
			if l == nil {
				l = &profile.Location{ID: uint64(len(locations) + 1)}
				for _, name := range strings.Split(place, "+") {
					f := functions[name]
					if f == nil {
						f = &profile.Function{ID: uint64(len(functions) + 1), Name: name, Filename: "/home/somebody/src/m/pkg/file.go"}
						functions[name] = f
						p.Function = append(p.Function, f)
					}
					l.Line = slices.Insert(l.Line, 0, profile.Line{Function: f})
				}
				locations[place] = l
				p.Location = append(p.Location, l)
			}
			s.Location = slices.Insert(s.Location, 0, l)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// drawn is a frame as it stands in the file.
type drawn struct {
	name, title string
	x, w        float64
	depth       int
}

// read parses a drawing with a reader of XML that is not ours.
func read(t *testing.T, svg SVG) (frames []drawn, texts string) {
	t.Helper()
	var title bool
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return frames, texts
		}
		if err != nil {
			t.Fatalf("the drawing is no XML: %v\n%s", err, svg)
		}
		switch e := token.(type) {
		case xml.StartElement:
			a := map[string]string{}
			for _, attr := range e.Attr {
				a[attr.Name.Local] = attr.Value
			}
			title = e.Name.Local == "title"
			if a["class"] != "fl-f" {
				continue
			}
			f := drawn{name: a["data-n"]}
			for _, n := range []struct {
				text string
				to   *float64
			}{{a["x"], &f.x}, {a["width"], &f.w}} {
				if *n.to, err = strconv.ParseFloat(strings.TrimSuffix(n.text, "%"), 64); err != nil {
					t.Fatal(err)
				}
			}
			if f.depth, err = strconv.Atoi(a["data-d"]); err != nil {
				t.Fatal(err)
			}
			frames = append(frames, f)
		case xml.CharData:
			if title {
				frames[len(frames)-1].title = string(e)
				title = false
			}
			texts += string(e)
		}
	}
}

// Every frame stands below its caller with the share that a count of path prefixes gives.
func TestFramesAgainstCountedPrefixes(t *testing.T) {
	r := testkit.Rand(t)
	for range 50 {
		paths, total := map[string]int64{}, int64(0)
		for range 1 + r.IntN(60) {
			var path []string
			for range 1 + r.IntN(6) {
				path = append(path, fmt.Sprintf("pkg.f%d", r.IntN(4)))
			}
			v := 10 + r.Int64N(1000) // never so little that it is left out (minShare)
			paths[strings.Join(path, ";")] += v
			total += v
		}
		want := map[string]int64{}
		for path, v := range paths {
			parts := strings.Split(path, ";")
			for i := range parts {
				want[strings.Join(parts[:i+1], ";")] += v
			}
		}
		frames, _ := read(t, Draw(stacks("cpu", "nanoseconds", paths), Options{Kind: CPU}))
		if len(frames) != len(want)+1 {
			t.Fatalf("%d frames, want %d and the root", len(frames), len(want))
		}
		var above []drawn // the walk's frames from the root to the current one
		left := map[int]float64{}
		for _, f := range frames {
			above = append(above[:f.depth], f)
			if f.depth == 0 {
				continue
			}
			var names []string
			for _, a := range above[1:] {
				names = append(names, a.name)
			}
			path := strings.Join(names, ";")
			if share := float64(want[path]) / float64(total) * 100; math.Abs(f.w-share) > 1e-3 {
				t.Fatalf("%s has %g %%, want %g", path, f.w, share)
			}
			parent := above[f.depth-1]
			if f.x < parent.x-1e-3 || f.x+f.w > parent.x+parent.w+1e-3 || f.x < left[f.depth]-1e-3 {
				t.Fatalf("%s at %g+%g: beyond its caller at %g+%g, or over the one before, which ends at %g", path, f.x, f.w, parent.x, parent.w, left[f.depth])
			}
			left[f.depth] = f.x + f.w
		}
	}
}

func TestDrawing(t *testing.T) {
	p := stacks("cpu", "nanoseconds", map[string]int64{
		"runtime.goexit;a/b.(*T).Run;c.list[go.shape.<int>]+c.inlined": 1_500_000_000,
		"runtime.goexit;a/b.(*T).Run":                                  500_000_000,
	})
	svg := Draw(p, Options{Kind: CPU, Note: "load & <more>"})
	frames, texts := read(t, svg)
	var names []string
	for _, f := range frames {
		names = append(names, f.name)
	}
	if want := []string{"all", "a/b.(*T).Run", "c.list[go.shape.<int>]", "c.inlined"}; !slices.Equal(names, want) {
		t.Errorf("frames %q, want %q", names, want)
	}
	if want := "a/b.(*T).Run\n2.00 s, 100.00 % of all; in itself 500.0 ms, 25.00 %\nm/pkg/file.go"; frames[1].title != want {
		t.Errorf("tooltip %q, want %q", frames[1].title, want)
	}
	for _, want := range []string{"CPU time", "load & <more>", "2.00 s in 2.0 s (1.00 cores)", "b.(*T).Run", "c.list[…]", "libraries"} {
		if want == "libraries" {
			if strings.Contains(texts, want) {
				t.Error("the legend has a colour that does not occur")
			}
			continue
		}
		if !strings.Contains(texts, want) {
			t.Errorf("the drawing does not say %q", want)
		}
	}
	if again := Draw(p, Options{Kind: CPU, Note: "load & <more>"}); !bytes.Equal(svg, again) {
		t.Error("the same profile is drawn in two ways")
	}
	for _, outside := range []string{"http-equiv", "src=", "href=", "@import", "url("} {
		if bytes.Contains(svg, []byte(outside)) {
			t.Errorf("the drawing has %s: it must open alone", outside)
		}
	}
	if strings.Contains(string(svg), "somebody") {
		t.Error("the drawing tells where the program was built")
	}
}

func TestDrawingWithoutSamples(t *testing.T) {
	for what, p := range map[string]*profile.Profile{
		"no types":   {},
		"no samples": stacks("delay", "nanoseconds", nil),
		"negative":   stacks("delay", "nanoseconds", map[string]int64{"a.b": -5}),
	} {
		if _, texts := read(t, Draw(p, Options{Kind: Mutex})); !strings.Contains(texts, "No samples") || !strings.Contains(texts, "Lock contention") {
			t.Errorf("%s: the drawing says %q", what, texts)
		}
	}
}

func TestOffCPUKeepsWhatWaits(t *testing.T) {
	p := stacks("time", "nanoseconds", map[string]int64{
		"main.read;internal/poll.(*FD).Read;runtime.gopark":                        700,
		"main.sync;golang.org/x/sys/unix.Fdatasync;syscall.Syscall;linux.Syscall6": 200,
		"main.write;syscall.Write;internal/runtime/syscall/linux.Syscall6":         50,
		"main.compute": 50,
	})
	for kind, want := range map[Kind]string{Wall: "all main.read main.sync main.write main.compute", OffCPU: "all main.read main.sync"} {
		var names []string
		frames, _ := read(t, Draw(p, Options{Kind: kind}))
		for _, f := range frames {
			if f.depth < 2 {
				names = append(names, f.name)
			}
		}
		slices.Sort(names)
		parts := strings.Fields(want)
		slices.Sort(parts)
		if !slices.Equal(names, parts) {
			t.Errorf("%s shows %q, want %q", kind, names, parts)
		}
	}
	if len(p.Sample) != 4 {
		t.Error("drawing changed the profile")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, short, path string
		group             group
	}{
		{"github.com/millrace/millrace/broker.(*Broker).serve", "broker.(*Broker).serve", "github.com/millrace/millrace/broker", own},
		{"main.main", "main.main", "main", own},
		{"slices.SortFunc[go.shape.[]github.com/x/y.T,go.shape.int]", "slices.SortFunc[…]", "slices", standard},
		{"sync/atomic.(*Pointer[go.shape.struct { a/b.c int }]).Load", "atomic.(*Pointer[…]).Load", "sync/atomic", standard},
		{"github.com/klauspost/compress/zstd.(*Decoder).Read", "zstd.(*Decoder).Read", "github.com/klauspost/compress/zstd", library},
		{"gopkg.in/yaml%2ev3.parse", "yaml.v3.parse", "gopkg.in/yaml%2ev3", library},
		{"net/http.(*conn).serve", "http.(*conn).serve", "net/http", standard},
		{"runtime.mallocgc", "runtime.mallocgc", "runtime", goRuntime},
		{"internal/runtime/maps.(*Map).Get", "maps.(*Map).Get", "internal/runtime/maps", goRuntime},
		{"memeqbody", "memeqbody", "memeqbody", goRuntime},
		{"internal/runtime/syscall/linux.Syscall6", "linux.Syscall6", "internal/runtime/syscall/linux", kernel},
		{"golang.org/x/sys/unix.Sendfile", "unix.Sendfile", "golang.org/x/sys/unix", kernel},
	} {
		if s, p, g := short(c.name), path(c.name), groupOf(c.name); s != c.short || p != c.path || g != c.group {
			t.Errorf("%s: %q of %q, %v; want %q of %q, %v", c.name, s, p, g, c.short, c.path, c.group)
		}
	}
	if a, b := colour("net.a"), colour("net.b"); a != b || a == colour("runtime.a") {
		t.Errorf("colours %s and %s of one package", a, b)
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct {
		v    int64
		unit string
		want string
	}{
		{123_456_789_012, "nanoseconds", "123 s"}, {1_234_000_000, "nanoseconds", "1.23 s"}, {1_234_000, "nanoseconds", "1.2 ms"}, {900, "nanoseconds", "0.9 µs"},
		{5 << 30, "bytes", "5.00 GiB"}, {1536, "bytes", "1.50 KiB"}, {12, "bytes", "12 B"},
		{1234567, "count", "1 234 567"}, {123, "count", "123"}, {0, "", "0"}, {12, "objects", "12 objects"},
	} {
		if got := amount(c.v, c.unit); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
