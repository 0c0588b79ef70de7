package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEventsAreCountedAndFailuresShown(t *testing.T) {
	var out strings.Builder
	p := newPrinter(&out)
	err := p.read(strings.NewReader(`{"Action":"output","Package":"a","Test":"TestGood","Output":"quiet\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"why it failed\n"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"skip","Package":"a","Test":"TestSkip"}
{"Action":"fail","Package":"a","Elapsed":1.5}
{"ImportPath":"b","Action":"build-output","Output":"b.go:1: broken\n"}
{"ImportPath":"b","Action":"build-fail"}
{"Action":"fail","Package":"b","FailedBuild":"b"}
{"Action":"skip","Package":"c"}
not json
`))
	if err != nil || p.all != (counts{1, 2, 1}) {
		t.Fatalf("%+v %v", p.all, err)
	}
	for _, want := range []string{"why it failed\n", "b.go:1: broken\n", "FAIL a ", "1 passed, 1 failed, 1 skipped\n", "not json\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "quiet") {
		t.Errorf("the output of a good test was shown: %s", out.String())
	}
}

func TestWhatRunsIsNamed(t *testing.T) {
	var out strings.Builder
	p := newPrinter(&out)
	if err := p.read(strings.NewReader(`{"Action":"run","Package":"m/a","Test":"TestDone"}
{"Action":"pass","Package":"m/a","Test":"TestDone"}
{"Action":"run","Package":"m/a","Test":"TestLong"}
{"Action":"run","Package":"m/a","Test":"TestLong/part"}
`)); err != nil {
		t.Fatal(err)
	}
	p.name(p.runs["m/a\x00TestLong"].Add(42 * time.Second))
	if want := "...  a TestLong runs for 42 s\n"; out.String() != want {
		t.Fatalf("%q, want %q", out.String(), want)
	}
}

func TestReportSums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "totals")
	for _, line := range []string{"3 0 0 unit\n", "4 1 2 clients\n"} {
		if err := appendLine(path, line); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	failed, err := sum(&out, path)
	if err != nil || !failed || !strings.HasSuffix(out.String(), "\n7 passed, 1 failed, 2 skipped\n") {
		t.Fatalf("%t %v %q", failed, err, out.String())
	}
}
