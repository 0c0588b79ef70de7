package progress

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// script is a Progress on a clock that the test moves, on a screen or not.
func script(terminal bool) (p *Progress, out *bytes.Buffer, pass func(time.Duration)) {
	out = &bytes.Buffer{}
	p = New(out, false)
	now := time.UnixMilli(0)
	p.now = func() time.Time { return now }
	p.terminal = terminal
	return p, out, func(d time.Duration) { now = now.Add(d) }
}

func point(rate float64) result.Point {
	return result.Point{RecordsPerS: rate, MBPerS: rate / 1000, P99Ms: 0.8123, BrokerCores: 0.84}
}

func TestLinesElsewhereThanOnATerminal(t *testing.T) {
	p, out, pass := script(false)
	p.Plan([]Step{{"first", 20 * time.Second}, {"second", 20 * time.Second}})
	p.Phase("first", "topic")
	p.Phase("first", "steady")
	for range 12 {
		pass(time.Second)
		p.Point("first", point(197412))
	}
	p.Done(result.Run{Name: "first", RecordsPerS: 197412, MBPerS: 202.1, Latency: &result.Latency{P50Ms: 0.2, P99Ms: 0.81}, Broker: &result.Cost{CPUPerGB: 0.294}, FloorRatio: 1.12, Errors: 1200})
	p.Phase("second", "topic")
	p.Done(result.Run{Name: "second", Error: "broker is gone"})
	p.Printf("wrote %s", "suite.json")
	p.Close()
	want := `[1/2] first: topic
[1/2] first: steady
[1/2] first: steady, 197,412 records/s, 197.4 MB/s, p99 0.812 ms, broker 0.84 cores
[1/2] first: steady, 197,412 records/s, 197.4 MB/s, p99 0.812 ms, broker 0.84 cores
[1/2] first: 197,412 records/s, 202.1 MB/s, p50 0.200 ms, p99 0.810 ms, broker 0.294 CPU s/GB, 1.12x the floor, 1,200 errors
[2/2] second: topic
[2/2] second: failed: broker is gone
wrote suite.json
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestQuietIsQuiet(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, true)
	p.Phase("a", "steady")
	p.Point("a", point(1))
	p.Done(result.Run{Name: "a"})
	p.Printf("note")
	p.Close()
	if out.Len() > 0 {
		t.Errorf("said %q", out.String())
	}
}

// The line never wraps, whatever the screen, and has what matters most for as long as it fits.
func TestStatusFitsTheScreen(t *testing.T) {
	p, _, pass := script(true)
	p.ascii = true
	p.Plan([]Step{{"produce 1KiB p6 acks=1 batch=64KiB", 20 * time.Second}, {"other", 80 * time.Second}})
	p.Phase("produce 1KiB p6 acks=1 batch=64KiB", "steady")
	p.Point("produce 1KiB p6 acks=1 batch=64KiB", point(197412))
	pass(5 * time.Second)
	for width := 1; width < 200; width++ {
		if line := p.status(p.now(), width); utf8.RuneCountInString(line) > width || strings.Contains(line, "\n") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
	for width, want := range map[int]string{
		200: "[1/2] produce 1KiB p6 acks=1 batch=64KiB  steady  ####------------  197,412 records/s  197.4 MB/s  p99 0.812 ms  broker 0.84 cores  1m35s left",
		120: "[1/2] produce 1KiB p6 acks=1 batch=64KiB  steady  197,412 records/s  197.4 MB/s  p99 0.812 ms  1m35s left",
		80:  "[1/2] produce 1KiB p6 acks=1 batch=64KiB  steady  197,412 records/s  1m35s left",
		60:  "[1/2] produce 1KiB p6 acks=1 batch=64KiB  steady  1m35s left",
		30:  "[1/2] produce 1KiB p6 acks=1 ~",
	} {
		if got := p.status(p.now(), width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

func TestTimeLeftLearnsFromWhatIsOver(t *testing.T) {
	p, _, pass := script(true)
	p.ascii = false
	p.Plan([]Step{{"a", 10 * time.Second}, {"b", 10 * time.Second}, {"c", 10 * time.Second}})
	p.Phase("a", "steady")
	if got := p.remaining(p.now()); got != 30*time.Second {
		t.Errorf("at first %v", got)
	}
	pass(20 * time.Second) // twice what was expected
	if got := p.remaining(p.now()); got != 40*time.Second {
		t.Errorf("the first is late: %v", got)
	}
	if line := p.status(p.now(), 100); !strings.Contains(line, strings.Repeat("█", barCells-1)+"░") {
		t.Errorf("a run that is late and goes on: %q", line)
	}
	p.Done(result.Run{Name: "a"})
	p.Phase("b", "steady")
	if got := p.remaining(p.now()); got != 40*time.Second {
		t.Errorf("two left: %v", got)
	}
	p.Phase("not planned", "steady")
	if got := p.remaining(p.now()); got != 0 {
		t.Errorf("a run that was not planned: %v", got)
	}
}

// A run that comes again, as A and B of a comparison do, takes the next place of its name.
func TestPlaceOfARunThatComesAgain(t *testing.T) {
	p, _, _ := script(true)
	p.Plan([]Step{{"A", 1}, {"B", 1}, {"A", 1}})
	for i, run := range []string{"A", "B", "A"} {
		p.Phase(run, "steady")
		if got, want := p.place(), fmt.Sprintf("[%d/3] ", i+1); got != want {
			t.Errorf("%s has the place %q, want %q", run, got, want)
		}
		p.Done(result.Run{Name: run})
	}
}

// Lines that stay stand above the one that is drawn anew; at the end the screen is clean.
func TestTerminalIsLeftClean(t *testing.T) {
	p, out, pass := script(true)
	p.Phase("a", "steady")
	p.draw()
	pass(time.Second)
	p.Printf("a note")
	p.Done(result.Run{Name: "a", RecordsPerS: 5, MBPerS: 1})
	p.Phase("b", "steady")
	p.draw()
	p.Close()
	p.Close()
	if got, want := screen(out.String()), "a note\na: 5 records/s, 1.0 MB/s\n"; got != want {
		t.Errorf("the screen shows %q, want %q (written: %q)", got, want, out.String())
	}
}

// screen is what a terminal shows of text: CR goes to the start of the line, ESC [ K clears it.
func screen(text string) string {
	var lines []string
	line := ""
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "\r\x1b[K"):
			line, text = "", text[4:]
		case text[0] == '\n':
			lines, line, text = append(lines, line+"\n"), "", text[1:]
		default:
			line, text = line+text[:1], text[1:]
		}
	}
	return strings.Join(lines, "") + line
}

// Several goroutines tell while a ticker draws; the race detector looks on.
func TestConcurrentUse(t *testing.T) {
	p, _, _ := script(true)
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	go p.redraw(time.Microsecond)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			name := fmt.Sprint(i)
			for range 200 {
				p.Phase(name, "steady")
				p.Point(name, point(1))
				p.Printf("x")
				p.Done(result.Run{Name: name})
			}
		})
	}
	all.Wait()
	p.Close()
}
