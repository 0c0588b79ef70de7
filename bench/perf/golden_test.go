package perf

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// golden returns the sections of testdata/kafka.golden: what stands under each "# title".
func golden(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/kafka.golden")
	if err != nil {
		t.Fatal(err)
	}
	sections, title := map[string]string{}, ""
	for _, line := range strings.SplitAfter(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			title = strings.TrimSpace(rest)
			continue
		}
		sections[title] += line
	}
	return sections
}

// lcg is the generator behind the goldens.
type lcg int64

func (g *lcg) next(n int64) int64 {
	*g = *g*6364136223846793005 + 1442695040888963407
	return int64(uint64(*g)>>33) % n
}

// The golden program's now is read at a call, never between two.
type toldTime struct{ ms int64 }

func (c *toldTime) now() int64 { return c.ms }

const goldenStart = 1790000000000

func TestSendLinesAreKafkas(t *testing.T) {
	n := 0
	for title, want := range golden(t) {
		var records, every, seed, gap, maxLatency int64
		if _, err := fmt.Sscanf(title, "send %d %d %d %d %d", &records, &every, &seed, &gap, &maxLatency); err != nil {
			continue
		}
		n++
		t.Run(title, func(t *testing.T) {
			var out bytes.Buffer
			c, g := &toldTime{goldenStart}, lcg(seed)
			s := newSendStats(&out, c.now, records, every)
			for range records {
				if g.next(4) == 0 {
					c.ms += g.next(gap + 1)
				}
				latency := g.next(maxLatency + 1)
				s.record(latency, 1, 1+g.next(2000), c.ms)
			}
			c.ms += 7
			s.printTotal()
			same(t, out.String(), want)
		})
	}
	if n != 6 {
		t.Fatalf("%d loads in the golden file, want 6", n)
	}
}

func TestReadLinesAreKafkas(t *testing.T) {
	n := 0
	for title, want := range golden(t) {
		var detailed bool
		var polls, every, seed, join int64
		if _, err := fmt.Sscanf(title, "read %t %d %d %d %d", &detailed, &polls, &every, &seed, &join); err != nil {
			continue
		}
		n++
		t.Run(title, func(t *testing.T) {
			utc(t)
			var out bytes.Buffer
			g, now := lcg(seed), int64(goldenStart)
			s := &readStats{out: &out, format: "yyyy-MM-dd HH:mm:ss:SSS", detailed: detailed, every: every}
			s.header()
			s.start(now)
			s.joined(join)
			now += join
			for range polls {
				now += g.next(40)
				records, total := g.next(501), int64(0)
				for q := range records {
					total += 90 + q%21
				}
				s.polled(now, records, total, min(records, 1)*90)
			}
			s.printTotal(now + 3)
			same(t, out.String(), want)
		})
	}
	if n != 5 {
		t.Fatalf("%d loads in the golden file, want 5", n)
	}
}

// utc makes local time UTC for one test, as it was for the golden file.
func utc(t *testing.T) {
	t.Helper()
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
}

func same(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("line %d\n got %q\nwant %q", i, g[min(i, len(g)-1)], w[min(i, len(w)-1)])
		}
	}
}

func TestFixedIsJavas(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(golden(t)["fixed"]), "\n")
	if len(lines) < 800 {
		t.Fatalf("%d numbers in the golden file", len(lines))
	}
	for _, line := range lines {
		bits, want, _ := strings.Cut(line, " ")
		u, err := strconv.ParseUint(bits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		v := math.Float64frombits(u)
		if got := fixed(v, 1) + " " + fixed(v, 2) + " " + fixed(v, 4); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestDatesAreJavas(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(golden(t)["date"]), "\n")
	if len(lines) < 60 {
		t.Fatalf("%d dates in the golden file", len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, "|")
		ms, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := formatDate(f[0], time.UnixMilli(ms).UTC()); !ok || got != f[2] {
			t.Errorf("%s of %d: %q %t, want %q", f[0], ms, got, ok, f[2])
		}
	}
	for _, bad := range []string{"yyyy b", "'open", "QQ"} {
		if got, ok := formatDate(bad, time.Now()); ok {
			t.Errorf("%s was taken: %q", bad, got)
		}
	}
}

// A load whose length nobody knows keeps a sample of bounded size that still spans all of it.
func TestSampleOfUnknownLength(t *testing.T) {
	s := newSampler(0)
	const n = 3_000_000
	for i := range n {
		s.add(int32(i))
	}
	if len(s.kept) > sampleLimit || len(s.kept) < sampleLimit/2 {
		t.Fatalf("%d kept", len(s.kept))
	}
	for i, p := range s.percentiles(0.5, 0.95, 0.99, 0.999) {
		want := []float64{0.5, 0.95, 0.99, 0.999}[i] * n
		if math.Abs(float64(p)-want) > n/1000 {
			t.Errorf("percentile %d: %d, want about %.0f", i, p, want)
		}
	}
	if got := newSampler(0); got.percentiles(0.5)[0] != 0 {
		t.Error("an empty sample has percentiles")
	}
}

// A run of a billion records that ends after a thousand still has percentiles of them all.
func TestPercentilesOfAnEarlyEnd(t *testing.T) {
	var out bytes.Buffer
	c := &toldTime{goldenStart}
	s := newSendStats(&out, c.now, 1_000_000_000, 1<<40)
	for i := range int64(1000) {
		s.record(i, 1, 1, c.ms)
	}
	c.ms += 1000
	s.printTotal()
	if want := "499.50 ms avg latency, 999.00 ms max latency, 500 ms 50th, 950 ms 95th, 990 ms 99th, 999 ms 99.9th.\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want %q at its end", out.String(), want)
	}
}
