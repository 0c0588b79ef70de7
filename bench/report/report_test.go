package report

import (
	"bytes"
	"encoding/json"
	"html"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/bench/result"
)

func render(t *testing.T, f *result.File) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func fixtures() map[string]*result.File {
	return map[string]*result.File{"suite": suiteFixture(), "compare": compareFixture(), "producer": producerFixture(), "nothing": fixtureHead("millrace bench suite")}
}

// A page that loads nothing needs no network: no address but those in licences, no element
// that fetches, and a policy that would stop it.
func TestPageLoadsNothing(t *testing.T) {
	licence := regexp.MustCompile(`(?s)<!--.*?-->|/\*!.*?\*/`)
	for name, f := range fixtures() {
		page := render(t, f)
		if !strings.Contains(page, "Permission is hereby granted, free of charge") || !strings.Contains(page, "Copyright (c) 2022 Leon Sorokin") {
			t.Errorf("%s: uPlot's licence is missing", name)
		}
		bare := licence.ReplaceAllString(page, "")
		for _, pattern := range []string{`(?i)https?:`, `(?i)\bsrc\s*=`, `(?i)<link`, `(?i)@import`, `(?i)url\(`, `(?i)<iframe`, `(?i)\bfetch\(`, `XMLHttpRequest`, `WebSocket`} {
			if found := regexp.MustCompile(pattern).FindString(bare); found != "" {
				t.Errorf("%s: the page holds %q", name, found)
			}
		}
		if !strings.Contains(page, `content="default-src 'none';`) {
			t.Errorf("%s: no content security policy", name)
		}
	}
}

// The texts of a file come from brokers and command lines: none may become markup or script.
func TestPageEscapesWhatItIsGiven(t *testing.T) {
	const evil = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&`
	f := suiteFixture()
	f.Command, f.Version, f.Notes, f.Machine.CPU = evil, evil, []string{evil}, evil
	for i := range f.Runs {
		f.Runs[i].Name, f.Runs[i].Group, f.Runs[i].Server, f.Runs[i].Note, f.Runs[i].Error = evil, evil, evil, evil, evil
		f.Runs[i].Scenario = map[string]string{evil: evil}
	}
	for i := range f.Goals {
		f.Goals[i].Title, f.Goals[i].Run, f.Goals[i].Metric = evil, evil, evil
	}
	for i := range f.Curves {
		f.Curves[i].Name, f.Curves[i].XLabel, f.Curves[i].Note = evil, evil, evil
	}
	f.Pairs = compareFixture().Pairs
	for i := range f.Pairs {
		f.Pairs[i].Scenario, f.Pairs[i].AName = evil, evil
	}
	page := render(t, f)
	if i := strings.Index(page, "alert(1)</script>"); i >= 0 {
		t.Errorf("script got through: %q", page[max(0, i-100):i+50])
	}
	if i := strings.Index(page, "<img"); i >= 0 {
		t.Errorf("markup got through: %q", page[max(0, i-100):i+50])
	}
	if got, want := strings.Count(page, "<script"), 3; got != want {
		t.Errorf("%d script elements, want %d", got, want)
	}
}

// What the script draws is the JSON that the page holds: a browser's parser must read it.
func TestPageHoldsThePlotsAsJSON(t *testing.T) {
	f := suiteFixture()
	f.Runs[0].Series[3].MBPerS = math.NaN()
	f.Runs[0].Series[4].MBPerS = math.Inf(1)
	f.Curves = append(f.Curves, result.Curve{Name: "broken", X: []float64{1, 2, 3}, Y: []float64{math.NaN(), 2, math.Inf(1)}})
	page := render(t, f)
	_, data, _ := strings.Cut(page, `<script type="application/json" id="data">`)
	data, _, _ = strings.Cut(data, "</script>")
	var p struct {
		Groups []struct {
			Runs []struct {
				Name    string
				Time    []float64
				Over    map[string][]*float64
				Latency []struct{ X, Y []float64 }
			}
		}
		Curves []struct{ X, Y []float64 }
	}
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		t.Fatalf("%v in %.300s", err, data)
	}
	first := p.Groups[0].Runs[0]
	if first.Name != "100B p1" || len(first.Time) != 23 || len(first.Over["mb"]) != 23 || first.Over["mb"][3] != nil || first.Over["mb"][4] != nil || first.Over["mb"][5] == nil {
		t.Errorf("first run is %+v", first)
	}
	if last := p.Curves[len(p.Curves)-1]; !slices.Equal(last.X, []float64{2}) || !slices.Equal(last.Y, []float64{2}) {
		t.Errorf("a curve with places that are not known is drawn as %+v", last)
	}
}

// Each figure of a result is in the tables: one that is changed changes the report.
func TestTextHasEveryFigure(t *testing.T) {
	// What is in the plots, in the page's head, or not for people.
	drawn := []string{"Schema", "Series", "HDR", "Ratios", "A", "B", "HigherIsBetter", "AllocsKnown", "Started", "Ended", "Interrupted", "Kind", "Scenario", "Bytes", "PayloadBytes", "Requests", "Met", "AtLeast", "Unknown", "X", "Y", "Floor", "Error", "CPUPerUnitUs"}
	r := rand.New(rand.NewPCG(7, 8))
	whole := compareFixture()
	run := fixtureRun(r, "a run", "a group", 100, 50, 2)
	paced(r, &run)
	run.FloorRatio, run.Floor = 1.5, "a floor"
	run.Other = &result.Flow{Direction: "consumed", RecordsPerS: 17, MBPerS: 18, Latency: distribution(r, 1, 0.2, 100)}
	suite := suiteFixture()
	whole.Runs, whole.Pairs, whole.Goals, whole.Curves = []result.Run{run}, whole.Pairs[:1], suite.Goals[:1], suite.Curves[:1]
	whole.Floors = suite.Floors[:1]
	whole.Floors[0].Latency, whole.Floors[0].Note = distribution(r, 1, 0.2, 100), "a note"
	var asJSON bytes.Buffer
	if err := whole.Write(&asJSON); err != nil {
		t.Fatal(err)
	}
	again := func() *result.File {
		f, err := result.Read(bytes.NewReader(asJSON.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	text := func(f *result.File) string {
		var b bytes.Buffer
		if err := Text(&b, f); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	before := text(again())
	checked := 0
	for _, in := range []struct {
		name string
		of   func(*result.File) any
	}{
		{"Run", func(f *result.File) any { return &f.Runs[0] }}, {"Broker", func(f *result.File) any { return f.Runs[0].Broker }},
		{"Latency", func(f *result.File) any { return f.Runs[0].Latency }}, {"Lateness", func(f *result.File) any { return f.Runs[0].Lateness }},
		{"Floor", func(f *result.File) any { return &f.Floors[0] }}, {"Pairing", func(f *result.File) any { return &f.Pairs[0] }},
		{"Goal", func(f *result.File) any { return &f.Goals[0] }}, {"Machine", func(f *result.File) any { return &f.Machine }},
		{"File", func(f *result.File) any { return f }},
	} {
		kind := reflect.TypeOf(in.of(again())).Elem()
		for i := range kind.NumField() {
			name := kind.Field(i).Name
			if slices.Contains(drawn, name) && !(in.name == "Run" && name == "Floor") && !(in.name == "Floor" && name == "CPUPerUnitUs") {
				continue
			}
			f := again()
			v := reflect.ValueOf(in.of(f)).Elem().Field(i)
			switch v.Kind() {
			case reflect.Float64:
				v.SetFloat(v.Float()*1.7 + 3)
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int()*2 + 7<<20)
			case reflect.String:
				v.SetString("something else")
			default:
				continue
			}
			checked++
			if text(f) == before {
				t.Errorf("%s.%s is not in the report", in.name, name)
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d figures were looked at", checked)
	}
}

// Both forms have the same tables.
func TestPageHasTheTextsFigures(t *testing.T) {
	f := suiteFixture()
	page := html.UnescapeString(render(t, f))
	for _, table := range tables(f) {
		for _, r := range table.Rows {
			for i, c := range r.Cells {
				if c.Text != "" && !strings.Contains(page, ">"+c.Text+"<") {
					t.Fatalf("%s, %s: %q is not on the page", table.Title, table.Columns[i].Name, c.Text)
				}
			}
		}
	}
}

func TestPercentileCurveIsTheHistograms(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	l := distribution(r, 0.3, 0.7, 20000)
	h, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		t.Fatal(err)
	}
	x, y := percentiles(l)
	if len(x) < 60 || !slices.IsSorted(x) || !slices.IsSorted(y) {
		t.Fatalf("%d places: %v %v", len(x), x, y)
	}
	for i, nines := range x[:len(x)-1] {
		want := float64(h.ValueAtQuantile(100*(1-math.Pow(10, -nines)))) / 1e6
		if math.Abs(y[i]-want) > want*0.002+1e-5 {
			t.Errorf("at %.3f nines %.5f ms, HdrHistogram says %.5f", nines, y[i], want)
		}
	}
	if last := y[len(y)-1]; math.Abs(last-l.MaxMs) > 1e-4 {
		t.Errorf("ends at %.5f ms, highest is %.5f", last, l.MaxMs)
	}
	l.HDR = ""
	x, y = percentiles(l)
	if len(x) != 7 || y[3] != math.Round(l.P99Ms*1e5)/1e5 {
		t.Errorf("without a histogram: %v %v", x, y)
	}
}
