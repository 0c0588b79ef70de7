package limits

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A server that does not answer within these times is broken.
const (
	startTimeout = 30 * time.Second
	markTimeout  = 10 * time.Second
)

// child is a server process. It ends when its standard input does: when stop is called, and
// when this process ends, in whatever way.
type child struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	reports chan report // the answers; closed when the process ends
	removed sync.WaitGroup
	mu      sync.Mutex
	failed  error // the first failure that it told
}

// startChild starts a server for j and waits until it is ready.
func startChild(ctx context.Context, command []string, j job) (*child, report, error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, report{}, err
		}
		command = []string{self, "--as", "millrace", "bench", serverCommand}
	}
	c := &child{name: j.Name(), cmd: exec.Command(command[0], command[1:]...), reports: make(chan report, 4)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, report{}, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, report{}, err
	}
	c.in = in
	if err := c.cmd.Start(); err != nil {
		return nil, report{}, fmt.Errorf("start a server for %q: %w", c.name, err)
	}
	go c.listen(out)
	if err := json.NewEncoder(c.in).Encode(j); err != nil {
		return nil, report{}, c.abandon(err)
	}
	r, err := c.await(ctx, startTimeout)
	if err != nil {
		return nil, report{}, c.abandon(err)
	}
	return c, r, nil
}

// listen reads what the server says. Full segments are removed here: the pages of a file are
// paid for by whoever lets go of it last.
func (c *child) listen(out io.Reader) {
	defer close(c.reports)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r report
		if err := json.Unmarshal(line, &r); err != nil {
			r.Error = fmt.Sprintf("said %q", line)
		}
		switch {
		case r.Error != "":
			c.fail(&ServerError{Floor: c.name, Text: r.Error})
			return
		case r.Sealed != "":
			c.removed.Go(func() { c.fail(os.Remove(r.Sealed)) })
		default:
			c.reports <- r
		}
	}
}

func (c *child) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
}

func (c *child) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// await returns the next report.
func (c *child) await(ctx context.Context, timeout time.Duration) (report, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case r, ok := <-c.reports:
		if ok {
			return r, nil
		}
		if err := c.failure(); err != nil {
			return r, err
		}
		return r, &ServerError{Floor: c.name, Text: "it ended without a word"}
	case <-t.C:
		return report{}, &ServerError{Floor: c.name, Text: fmt.Sprintf("no answer within %v", timeout)}
	case <-ctx.Done():
		return report{}, context.Cause(ctx)
	}
}

// mark asks where the server stands now.
func (c *child) mark(ctx context.Context) (mark, error) {
	r, err := c.ask(ctx, markTimeout)
	if err == nil && r.Mark == nil {
		err = &ServerError{Floor: c.name, Text: "it answered something else"}
	}
	if err != nil {
		return mark{}, err
	}
	return *r.Mark, nil
}

// ask sends an empty line, which is the only question there is, and returns the answer.
func (c *child) ask(ctx context.Context, timeout time.Duration) (report, error) {
	if _, err := c.in.Write([]byte("\n")); err != nil {
		return report{}, errors.Join(c.failure(), err)
	}
	return c.await(ctx, timeout)
}

// stop ends the server and waits for it and for the removal of its files.
func (c *child) stop() error {
	_ = c.in.Close()
	for range c.reports {
	}
	err := c.cmd.Wait()
	c.removed.Wait()
	if failed := c.failure(); failed != nil {
		return failed
	}
	return err
}

// abandon ends a server that has not become ready; err is why.
func (c *child) abandon(err error) error {
	_ = c.cmd.Process.Kill()
	_ = c.stop()
	return err
}
