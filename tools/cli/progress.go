package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Work that takes longer than progressAfter shows how far it is, redrawn at most every
// progressEvery, and only where a person looks: never into a file or a pipe.
const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// Progress is a line on a terminal that says how far a long piece of work is.
type Progress struct {
	out   io.Writer // nil: nobody looks
	what  string
	now   func() time.Time
	next  time.Time
	drawn bool
}

// NewProgress returns a line for what ("groups described") on out.
func NewProgress(out io.Writer, what string) *Progress {
	p := &Progress{what: what, now: time.Now}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.out = out
	}
	p.next = p.now().Add(progressAfter)
	return p
}

// Set says that done of total are done.
func (p *Progress) Set(done, total int) {
	now := p.now()
	if p.out == nil || now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	p.drawn = true
	fmt.Fprintf(p.out, "\r\x1b[K%s: %d of %d", p.what, done, total)
}

// Close takes the line away.
func (p *Progress) Close() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
