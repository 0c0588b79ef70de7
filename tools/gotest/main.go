// Command gotest runs "go test" with a line for each package while it works, the output of
// what fails, and counts; `make test` is made of its runs. It exists because a plain
// go test says nothing for minutes, and everything twice with -v.
//
//	gotest -name NAME -totals FILE [-dir DIR] -- ARGS...   runs go test -json ARGS, adds to FILE
//	gotest -report FILE                                    prints FILE and its sum "N passed, N failed"
//
// The exit code is 1 when something failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	name := flag.String("name", "tests", "what is run, for the report")
	totals := flag.String("totals", "", "file that the counts are added to")
	report := flag.String("report", "", "print this file and its sum")
	dir := flag.String("dir", "", "folder to run in: that of another module")
	flag.Parse()
	failed, err := run(*name, *totals, *report, *dir, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	if err != nil || failed {
		os.Exit(1)
	}
}

func run(name, totals, report, dir string, args []string) (failed bool, err error) {
	if report != "" {
		return sum(os.Stdout, report)
	}
	c, err := goTest(os.Stdout, dir, args)
	if err == nil && totals != "" {
		err = appendLine(totals, fmt.Sprintf("%d %d %d %s\n", c.passed, c.failed, c.skipped, name))
	}
	return c.failed > 0, err
}

// counts are of tests with their subtests.
type counts struct{ passed, failed, skipped int }

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// goTest runs go test and reads its events.
func goTest(out io.Writer, dir string, args []string) (counts, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr, cmd.Dir = os.Stderr, dir
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, err
	}
	if err := cmd.Start(); err != nil {
		return counts{}, err
	}
	p := newPrinter(out)
	stop := p.tellWhatRuns()
	readErr := p.read(pipe)
	stop()
	waitErr := cmd.Wait()
	var exit *exec.ExitError
	if waitErr != nil && (!errors.As(waitErr, &exit) || p.all.failed == 0) {
		p.all.failed++ // nothing ran: a wrong flag, a build that go could not even list
		fmt.Fprintln(out, "FAIL go test:", waitErr)
	}
	return p.all, readErr
}

// quiet is how long nothing may be printed before the tests that run are named.
const quiet = 30 * time.Second

// printer keeps the output of each test until it is known whether anyone needs it.
type printer struct {
	mu     sync.Mutex
	out    io.Writer
	spoke  time.Time            // when something was last printed
	runs   map[string]time.Time // tests that run, by package and name, with their start
	output map[string][]string  // by package and test
	tests  map[string]counts    // by package
	all    counts
}

func newPrinter(out io.Writer) *printer {
	p := &printer{output: map[string][]string{}, tests: map[string]counts{}, runs: map[string]time.Time{}, spoke: time.Now()}
	p.out = writerFunc(func(b []byte) (int, error) {
		p.spoke = time.Now()
		return out.Write(b)
	})
	return p
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// tellWhatRuns names the tests that run whenever it was quiet for long, until stop.
func (p *printer) tellWhatRuns() (stop func()) {
	ticker, done := time.NewTicker(quiet/6), make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				p.mu.Lock()
				if now.Sub(p.spoke) >= quiet {
					p.name(now)
				}
				p.mu.Unlock()
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
	}
}

func (p *printer) name(now time.Time) {
	for _, key := range slices.Sorted(maps.Keys(p.runs)) {
		pkg, test, _ := strings.Cut(key, "\x00")
		fmt.Fprintf(p.out, "...  %s %s runs for %.0f s\n", path.Base(pkg), test, now.Sub(p.runs[key]).Seconds())
	}
	p.spoke = now
}

func (p *printer) read(in io.Reader) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			p.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *printer) line(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprint(p.out, string(line))
		return
	}
	p.event(e)
}

func (p *printer) event(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "run":
		if !strings.Contains(e.Test, "/") {
			p.runs[key] = time.Now()
		}
	case "output", "build-output":
		p.output[key] = append(p.output[key], e.Output)
	case "pass", "fail", "skip":
		delete(p.runs, key)
		if e.Test != "" {
			p.test(e, key)
		} else {
			p.pkg(e, key)
		}
	}
}

// test counts one test; a failed one shows its output at once.
func (p *printer) test(e event, key string) {
	c := p.tests[e.Package]
	switch e.Action {
	case "pass":
		c.passed++
	case "skip":
		c.skipped++
	default:
		c.failed++
		fmt.Fprint(p.out, strings.Join(p.output[key], ""))
	}
	p.tests[e.Package] = c
	delete(p.output, key)
}

// pkg prints the line of a package. One that fails without a failed test (it did not
// build, panicked or ran out of time) counts as one failure and shows all that is left.
func (p *printer) pkg(e event, key string) {
	c := p.tests[e.Package]
	word := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "-   "}[e.Action]
	if e.Action == "fail" {
		if c.failed == 0 {
			c.failed++
		}
		for k, lines := range p.output {
			if k == key || strings.HasPrefix(k, e.Package+"\x00") || strings.HasPrefix(k, e.Package+" ") {
				fmt.Fprint(p.out, strings.Join(lines, ""))
				delete(p.output, k)
			}
		}
	}
	p.all.passed += c.passed
	p.all.failed += c.failed
	p.all.skipped += c.skipped
	if c != (counts{}) || e.Action == "fail" {
		fmt.Fprintf(p.out, "%s %-62s %7.1fs  %s\n", word, e.Package, e.Elapsed, c)
	}
	delete(p.output, key)
}

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.passed, c.failed)
	if c.skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.skipped)
	}
	return s
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// sum prints a line for each run and the sum of all.
func sum(out io.Writer, path string) (failed bool, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return true, err
	}
	var all counts
	fmt.Fprintln(out)
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var c counts
		var name string
		if _, err := fmt.Sscanf(line, "%d %d %d %s", &c.passed, &c.failed, &c.skipped, &name); err != nil {
			return true, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		fmt.Fprintf(out, "%-14s %s\n", name, c)
		all.passed += c.passed
		all.failed += c.failed
		all.skipped += c.skipped
	}
	fmt.Fprintf(out, "\n%s\n", all)
	return all.failed > 0, nil
}
