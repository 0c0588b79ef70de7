package progress

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/bench/result"
)

// barCells is the width of the bar; it gives way when the terminal is narrow.
const barCells = 16

// draw writes the line that does not stay, on a terminal only.
func (p *Progress) draw() {
	if !p.terminal || p.closed || p.current.run == "" {
		return
	}
	fmt.Fprint(p.out, "\r\x1b[K", p.status(p.now(), p.width()-1))
	p.drawn = true
}

// status is the line for a screen of so many columns: what matters least is left out first.
func (p *Progress) status(now time.Time, columns int) string {
	c := p.current
	name, phase := p.place()+c.run, c.phase
	elapsed := now.Sub(c.began)
	bar, left := "", ""
	if c.expect > 0 {
		// A run that takes longer than it should stops short of the end.
		bar = p.bar(min(float64(elapsed)/(float64(c.expect)*p.pace.factor()), 1-1.0/barCells))
	}
	if remaining := p.remaining(now); remaining > 0 {
		left = duration(remaining) + " left"
	} else if c.expect == 0 {
		left = duration(elapsed)
	}
	var reached []string
	if c.hasPoint {
		reached = figures(c.point)
	}
	// From the fullest form to the barest; the first that fits is taken.
	for n := len(reached); n >= 0; n-- {
		for _, withBar := range []string{bar, ""} {
			parts := join(name, phase, withBar, strings.Join(reached[:n], "  "), left)
			if utf8.RuneCountInString(parts) <= columns && (n > 0 || len(reached) == 0 || withBar == "") {
				return parts
			}
		}
	}
	return cut(join(name, left), columns)
}

// join joins what is not empty.
func join(parts ...string) string {
	out := parts[:0:0]
	for _, s := range parts {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, "  ")
}

// cut shortens s to so many characters.
func cut(s string, columns int) string {
	if utf8.RuneCountInString(s) <= columns || columns < 1 {
		return s
	}
	return string([]rune(s)[:columns-1]) + "~"
}

// place is "[3/64] " when the run was planned.
func (p *Progress) place() string {
	if p.current.step == 0 {
		return ""
	}
	return fmt.Sprintf("[%*d/%d] ", len(strconv.Itoa(len(p.steps))), p.current.step, len(p.steps))
}

// bar draws a share of 1.
func (p *Progress) bar(share float64) string {
	full := int(min(max(share, 0), 1)*barCells + 0.5)
	done, rest := "█", "░"
	if p.ascii {
		done, rest = "#", "-"
	}
	return strings.Repeat(done, full) + strings.Repeat(rest, barCells-full)
}

// remaining is how long all planned runs will still take, by what was expected of them and
// by how those that are over kept to it.
func (p *Progress) remaining(now time.Time) time.Duration {
	if p.current.step == 0 {
		return 0
	}
	expect, elapsed := float64(p.current.expect), now.Sub(p.current.began)
	factor := p.pace.factor()
	left := max(time.Duration(expect*factor)-elapsed, 0)
	if left == 0 && expect > 0 {
		factor = float64(elapsed) / expect // late already: what follows may be so too
	}
	for _, s := range p.steps[p.next:] {
		left += time.Duration(float64(s.Expect) * factor)
	}
	return left
}

// factor is how many times longer than expected a step takes.
func (p pace) factor() float64 {
	if p.took <= 0 || p.expected <= 0 {
		return 1
	}
	return float64(p.took) / float64(p.expected)
}

// figures are the parts of a point, what matters most first.
func figures(pt result.Point) []string {
	out := []string{result.Rate(pt.RecordsPerS) + " records/s", fmt.Sprintf("%.1f MB/s", pt.MBPerS)}
	if pt.P99Ms > 0 {
		out = append(out, "p99 "+result.Milliseconds(pt.P99Ms))
	}
	if pt.BrokerCores > 0 {
		out = append(out, fmt.Sprintf("broker %.2f cores", pt.BrokerCores))
	}
	return out
}

// outcome is what stays of a run.
func outcome(r result.Run) []string {
	if r.Error != "" {
		return []string{"failed: " + r.Error}
	}
	out := []string{result.Rate(r.RecordsPerS) + " records/s", fmt.Sprintf("%.1f MB/s", r.MBPerS)}
	if l := r.Latency; l != nil {
		out = append(out, "p50 "+result.Milliseconds(l.P50Ms), "p99 "+result.Milliseconds(l.P99Ms))
	} else if l := r.Uncorrected; l != nil {
		out = append(out, "p50 "+result.Milliseconds(l.P50Ms), "p99 "+result.Milliseconds(l.P99Ms))
	}
	if b := r.Broker; b != nil && b.CPUPerGB > 0 {
		out = append(out, fmt.Sprintf("broker %.3f CPU s/GB", b.CPUPerGB))
	}
	if r.FloorRatio > 0 {
		out = append(out, fmt.Sprintf("%.2fx the floor", r.FloorRatio))
	}
	if r.Errors > 0 {
		out = append(out, result.Rate(float64(r.Errors))+" errors")
	}
	if r.WarmupCut {
		out = append(out, "warm-up cut at its limit")
	}
	return out
}

// duration is short: "8s", "3m20s", "1h05m".
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}
