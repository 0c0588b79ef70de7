// Package progress shows a person how a measurement goes on: what runs, how far it is, what
// it reaches, when it will be over.
//
// On a terminal that is one line, drawn anew, and a line that stays for each finished run;
// elsewhere (a log, a pipe) it is plain lines, one for each phase and one every few seconds.
// With quiet there is nothing. Results go to stdout by other ways: this writes where it is
// told, which is stderr.
//
// A Progress is safe for concurrent use: the drivers of bench call Phase and Point from the
// goroutine that measures, a ticker of its own draws. Nothing is drawn by the goroutine that
// calls, but for the lines that stay, so that a slow terminal does not slow the generator.
// Called by bench/suite, bench/compare, bench/perf and bench/e2e; it implements
// drive.Progress.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/millrace/millrace/bench/result"
)

// How often the line of a terminal is drawn, and how often a plain line tells of a run
// that goes on.
const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 5 * time.Second
)

// Step is one run that will come, and how long it should take, set-up included.
type Step struct {
	Run    string
	Expect time.Duration
}

// Progress tells how a measurement goes on. Close it.
type Progress struct {
	out      io.Writer
	quiet    bool
	terminal bool
	ascii    bool
	width    func() int
	now      func() time.Time
	stop     chan struct{}
	stopped  chan struct{}

	mu      sync.Mutex
	steps   []Step
	next    int // of steps: the first that has not begun
	current state
	pace    pace // of the steps that are over
	drawn   bool // a line is on the screen that does not stay
	closed  bool
}

// state is the run that goes on.
type state struct {
	run, phase string
	step       int // its place in the plan, from 1; 0: not planned
	expect     time.Duration
	began      time.Time // of the run
	phaseBegan time.Time
	point      result.Point
	hasPoint   bool
	told       time.Time // when a plain line was last written
}

// pace is how long finished steps took against what was expected.
type pace struct{ took, expected time.Duration }

// New returns a Progress that writes to w; when w is a terminal it draws there.
func New(w io.Writer, quiet bool) *Progress {
	p := &Progress{out: w, quiet: quiet, now: time.Now, width: func() int { return 80 }, ascii: !utf8Terminal()}
	if f, ok := w.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.terminal = true
		p.width = func() int {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
				return width
			}
			return 80
		}
		p.stop, p.stopped = make(chan struct{}), make(chan struct{})
		go p.redraw(redrawEvery)
	}
	return p
}

// utf8Terminal says whether the locale can show more than ASCII.
func utf8Terminal() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// redraw draws the line until Close.
func (p *Progress) redraw(every time.Duration) {
	defer close(p.stopped)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// Plan says which runs will come, in order; it may be called again with more. Without it
// there is no count and no time left.
func (p *Progress) Plan(steps []Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, steps...)
}

// Phase says that run is now in phase: "topic", "preload", "warm-up", "steady", ...
func (p *Progress) Phase(run, phase string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if run != p.current.run {
		p.begin(run, now)
	}
	p.current.phase, p.current.phaseBegan, p.current.hasPoint = phase, now, false
	if p.terminal || p.quiet {
		return
	}
	p.current.told = now
	fmt.Fprintf(p.out, "%s%s: %s\n", p.place(), run, phase)
}

// begin makes run the current one and finds it in the plan.
func (p *Progress) begin(run string, now time.Time) {
	p.current = state{run: run, began: now, phaseBegan: now, told: now}
	for i := p.next; i < len(p.steps); i++ {
		if p.steps[i].Run == run {
			p.next = i + 1
			p.current.step, p.current.expect = i+1, p.steps[i].Expect
			return
		}
	}
}

// Point is what the last interval of run reached.
func (p *Progress) Point(run string, pt result.Point) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if run != p.current.run {
		p.begin(run, now)
	}
	p.current.point, p.current.hasPoint = pt, true
	if p.terminal || p.quiet || now.Sub(p.current.told) < lineEvery {
		return
	}
	p.current.told = now
	fmt.Fprintf(p.out, "%s%s: %s\n", p.place(), run, strings.Join(append([]string{p.current.phase}, figures(pt)...), ", "))
}

// Done says that a run is over; one line of what came of it stays.
func (p *Progress) Done(run result.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if run.Name == p.current.run && p.current.expect > 0 {
		p.pace.took += p.now().Sub(p.current.began)
		p.pace.expected += p.current.expect
	}
	place := ""
	if run.Name == p.current.run {
		place = p.place()
		p.current = state{}
	}
	p.line(place + run.Name + ": " + strings.Join(outcome(run), ", "))
}

// Printf writes a line that stays: a note, a warning.
func (p *Progress) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
}

// line writes a line that stays and draws what was below it again.
func (p *Progress) line(text string) {
	if p.quiet {
		return
	}
	p.clear()
	fmt.Fprintln(p.out, text)
	p.draw()
}

// Close takes the line off the screen. What is told after it is still written, as lines.
func (p *Progress) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first && p.stop != nil {
		close(p.stop)
		<-p.stopped
	}
	p.mu.Lock()
	p.clear()
	p.mu.Unlock()
}

// clear takes the line that does not stay off the screen.
func (p *Progress) clear() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
