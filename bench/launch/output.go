package launch

import (
	"bytes"
	"io"
	"sync"
)

// output keeps the end of what a broker prints and finds its addresses in it.
type output struct {
	mu      sync.Mutex
	also    io.Writer
	text    []byte
	line    []byte
	address string
	admin   string
	ready   chan struct{}
	isReady bool
}

// keepBytes is how much of a broker's output is kept.
const keepBytes = 64 << 10

func newOutput(also io.Writer) *output { return &output{also: also, ready: make(chan struct{})} }

// Write implements io.Writer for the process's output; it never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.also != nil {
		_, _ = o.also.Write(p) // the broker must not end because a reader went away
	}
	o.text = append(o.text, p...)
	if over := len(o.text) - keepBytes; over > 0 {
		o.text = append(o.text[:0], o.text[over:]...)
	}
	for _, c := range p {
		if o.isReady {
			break
		}
		if c != '\n' {
			o.line = append(o.line, c)
			continue
		}
		o.scan(o.line)
		o.line = o.line[:0]
	}
	return len(p), nil
}

// scan reads one line of the banner that "millrace server" prints when it serves. Its
// last line is the sign that all of it was seen.
func (o *output) scan(line []byte) {
	if _, after, ok := bytes.Cut(line, []byte(" is ready on ")); ok {
		at, _, _ := bytes.Cut(after, []byte(" "))
		o.address = string(at)
	}
	if _, after, ok := bytes.Cut(line, []byte(" curl http://")); ok && o.address != "" {
		at, _, _ := bytes.Cut(after, []byte("/"))
		o.admin = string(at)
	}
	if o.address != "" && bytes.HasPrefix(line, []byte("Any Kafka client works")) {
		o.isReady = true
		close(o.ready)
	}
}

func (o *output) addresses() (address, admin string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.address, o.admin
}

// String is what was kept.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
