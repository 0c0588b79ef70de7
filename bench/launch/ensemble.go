package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/netx/ports"
)

// ConfigWord in a command stands for the path of the member's zoo.cfg.
const ConfigWord = "{cfg}"

// EnsembleOptions says which ZooKeeper servers are wanted.
type EnsembleOptions struct {
	// Command runs one server in the foreground with the zoo.cfg that stands in ConfigWord's
	// place, or comes last: {"millrace", "quorum", "{cfg}"}.
	Command []string
	Servers int // 1: alone
	TickMs  int
	TempDir string   // "": the system's; it decides which disk is measured
	Config  []string // further lines of zoo.cfg
	Timeout time.Duration
}

// Ensemble is a number of servers as processes on this machine.
type Ensemble struct {
	Members []*Member
	dir     string
	ports   *ports.Reserved
}

// Member is one server; it keeps its folder and ports while it is down.
type Member struct {
	Address string // of clients, HOST:PORT
	argv    []string
	dir     string
	timeout time.Duration
	proc    *Broker // the process; nil while it is down
}

// StartEnsemble starts the servers and returns when all of them serve.
func StartEnsemble(ctx context.Context, o EnsembleOptions) (*Ensemble, error) {
	if o.Timeout == 0 {
		o.Timeout = startTimeout
	}
	dir, err := os.MkdirTemp(o.TempDir, "millrace-bench-")
	if err != nil {
		return nil, fmt.Errorf("make the ensemble's folder: %w", err)
	}
	e := &Ensemble{dir: dir}
	if err := e.start(ctx, o); err != nil {
		return nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

func (e *Ensemble) start(ctx context.Context, o EnsembleOptions) error {
	if err := e.layOut(o); err != nil {
		return err
	}
	for _, m := range e.Members {
		if err := m.spawn(); err != nil {
			return err
		}
	}
	for _, m := range e.Members {
		if err := m.awaitServing(ctx); err != nil {
			return err
		}
	}
	return nil
}

// layOut writes the folders and configurations.
func (e *Ensemble) layOut(o EnsembleOptions) error {
	var err error
	if e.ports, err = ports.Reserve(3 * o.Servers); err != nil {
		return err
	}
	numbers := e.ports.Numbers
	var servers strings.Builder
	for i := range o.Servers {
		fmt.Fprintf(&servers, "server.%d=127.0.0.1:%d:%d\n", i+1, numbers[3*i+1], numbers[3*i+2])
	}
	for i := range o.Servers {
		m := &Member{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(numbers[3*i])), dir: filepath.Join(e.dir, strconv.Itoa(i+1)), timeout: o.Timeout}
		data := filepath.Join(m.dir, "data")
		text := fmt.Sprintf("tickTime=%d\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n%s\n",
			o.TickMs, data, numbers[3*i], strings.Join(o.Config, "\n"))
		if o.Servers > 1 {
			text += servers.String()
		}
		file := filepath.Join(m.dir, "zoo.cfg")
		if err := errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(file, []byte(text), 0o644),
			os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(i+1)+"\n"), 0o644)); err != nil {
			return err
		}
		m.argv = command(o.Command, file)
		e.Members = append(e.Members, m)
	}
	return nil
}

func command(words []string, file string) []string {
	argv, found := make([]string, 0, len(words)+1), false
	for _, w := range words {
		found = found || strings.Contains(w, ConfigWord)
		argv = append(argv, strings.ReplaceAll(w, ConfigWord, file))
	}
	if !found {
		argv = append(argv, file)
	}
	return argv
}

func (m *Member) spawn() error {
	binary, err := executable(m.argv[0])
	if err != nil {
		return err
	}
	b := &Broker{dir: m.dir, log: newOutput(nil), done: make(chan struct{})}
	cmd := exec.Command(binary, m.argv[1:]...)
	cmd.Dir = m.dir
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := b.run(cmd); err != nil {
		return &StartError{Binary: binary, Err: err}
	}
	m.proc = b
	return nil
}

// Start starts a member that is down and returns when it serves.
func (m *Member) Start(ctx context.Context) error {
	if err := m.spawn(); err != nil {
		return err
	}
	return m.awaitServing(ctx)
}

func (m *Member) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, &TimeoutError{After: m.timeout})
	defer cancel()
	for m.Mode() == "" {
		select {
		case <-m.proc.done:
			return &StartError{Binary: m.argv[0], Output: m.proc.Log(), Err: errors.New("it ended before it served")}
		case <-ctx.Done():
			return &StartError{Binary: m.argv[0], Output: m.proc.Log(), Err: context.Cause(ctx)}
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// PID is the member's process, 0 while it is down.
func (m *Member) PID() int {
	if m.proc == nil {
		return 0
	}
	return m.proc.PID()
}

// Mode is "leader", "follower", "observer" or "standalone"; empty while it does not serve.
func (m *Member) Mode() string { return Mode(m.Address) }

// Mode asks the server at an address what it is.
func Mode(address string) string {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "srvr"); err != nil {
		return ""
	}
	text, _ := io.ReadAll(c) // ZooKeeper may reset the connection after the answer
	for line := range strings.Lines(string(text)) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// Kill ends the member at once.
func (m *Member) Kill() {
	if m.proc != nil {
		m.proc.kill()
		m.proc = nil
	}
}

// Stop ends the member with SIGTERM, and at once when ctx ends first. A JVM that was
// told to end says so by its exit code, which is no error here.
func (m *Member) Stop(ctx context.Context) error {
	if m.proc == nil {
		return nil
	}
	err := m.proc.end(ctx)
	m.proc = nil
	var stop *StopError
	var exit *exec.ExitError
	if errors.As(err, &stop) && errors.As(err, &exit) && exit.ExitCode() == 128+15 {
		return nil
	}
	return err
}

// Stop ends all members and removes their folders.
func (e *Ensemble) Stop(ctx context.Context) error {
	var errs []error
	for _, m := range e.Members {
		errs = append(errs, m.Stop(ctx))
	}
	return errors.Join(append(errs, e.ports.Close(), os.RemoveAll(e.dir))...)
}
