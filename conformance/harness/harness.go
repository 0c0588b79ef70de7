// Package harness starts, stops and kills brokers for the suites of conformance.
//
// By default it runs the project's own binary: the one that MILLRACE_BIN names, or one
// that it builds once. LAUNCHER names any other command that runs a broker in the
// foreground; it is called with a server.properties file as its last argument. Suites
// that need no control over the process take BOOTSTRAP instead (Target).
//
// A broker keeps its folder and its port over restarts.
package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/netx/ports"
	"github.com/millrace/millrace/internal/testkit/process"
)

// Options says what broker is wanted. The zero value is one with defaults, on a free
// port of loopback, with its data in a new temporary folder.
type Options struct {
	// Config holds lines of server.properties, over those that the harness writes.
	Config map[string]string
	// Dir is the broker's folder, with its properties, log and data; Close leaves it.
	// Empty means a temporary one, which Close removes.
	Dir string
	// DataDir is where the logs lie; empty means Dir/data.
	DataDir string
	// Binary is the broker; empty means MILLRACE_BIN or a fresh build.
	Binary string
	// Env is added to the broker's environment.
	Env []string
	// ReadyTimeout is how long a start may take; 0 means two minutes.
	ReadyTimeout time.Duration
}

// Broker is one broker process, or the place for one while it is down. Its methods are
// not for concurrent use, except Bootstrap and Log.
type Broker struct {
	opts    Options
	argv    []string
	dir     string
	ownsDir bool
	ports   *ports.Reserved // the listener's and the admin port
	proc    *process.Process
}

// Launch starts a broker and waits until it answers.
func Launch(o Options) (*Broker, error) {
	b, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	if err := b.Start(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Prepare does everything but the start.
func Prepare(o Options) (*Broker, error) {
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = 2 * time.Minute
	}
	b := &Broker{opts: o, dir: o.Dir}
	var err error
	if b.argv, err = command(o.Binary); err != nil {
		return nil, err
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "millrace-conformance-"); err != nil {
			return nil, err
		}
		b.ownsDir = true
	}
	if b.ports, err = ports.Reserve(2); err == nil {
		err = b.Configure(nil)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// LaunchFor is Launch for a test: it fails the test if the broker does not start, ends
// the broker with it, and shows the end of the broker's log if it failed.
func LaunchFor(t testing.TB, o Options) *Broker {
	t.Helper()
	b, err := Launch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the broker's log:\n%s", b.Log())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Target is the address that BOOTSTRAP names, or that of a broker launched for the test.
func Target(t testing.TB, o Options) string {
	t.Helper()
	if addr := os.Getenv("BOOTSTRAP"); addr != "" {
		return addr
	}
	return LaunchFor(t, o).Bootstrap()
}

// Configure writes server.properties anew, with the given keys over those of Options,
// for the next start.
func (b *Broker) Configure(more map[string]string) error {
	if more != nil {
		merged := map[string]string{}
		for _, m := range []map[string]string{b.opts.Config, more} {
			for k, v := range m {
				merged[k] = v
			}
		}
		b.opts.Config = merged
	}
	props := map[string]string{
		"listeners":              "PLAINTEXT://" + b.Bootstrap(),
		"log.dirs":               b.DataDir(),
		"admin.listener":         b.AdminAddr(),
		"quorum.client.listener": "",
		"broker.id":              "1",
	}
	for k, v := range b.opts.Config {
		props[k] = v
	}
	var lines []string
	for k, v := range props {
		lines = append(lines, k+"="+v+"\n")
	}
	slices.Sort(lines)
	return os.WriteFile(b.propertiesFile(), []byte(strings.Join(lines, "")), 0o644)
}

func (b *Broker) propertiesFile() string { return filepath.Join(b.dir, "server.properties") }

func (b *Broker) logFile() string { return filepath.Join(b.dir, "broker.log") }

// Bootstrap is the broker's address.
func (b *Broker) Bootstrap() string { return fmt.Sprintf("127.0.0.1:%d", b.ports.Numbers[0]) }

// AdminAddr is the address of its admin port, where the broker has one.
func (b *Broker) AdminAddr() string { return fmt.Sprintf("127.0.0.1:%d", b.ports.Numbers[1]) }

// DataDir is the folder of its logs.
func (b *Broker) DataDir() string {
	if b.opts.DataDir != "" {
		return b.opts.DataDir
	}
	return filepath.Join(b.dir, "data")
}

// Log returns the end of what the broker printed, over all its starts.
func (b *Broker) Log() string {
	const tailBytes = 16 << 10
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
}

// Start starts the broker and returns once it answers.
func (b *Broker) Start() error {
	if err := b.StartOnly(); err != nil {
		return err
	}
	deadline := time.Now().Add(b.opts.ReadyTimeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := answers(b.Bootstrap()); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("no answer in %v: %w; its log ends with:\n%s", b.opts.ReadyTimeout, errors.Join(err, b.Kill()), b.Log())
		}
		select {
		case <-b.proc.Done():
			err := b.proc.Exit()
			b.proc = nil
			return fmt.Errorf("the broker ended during its start: %v; its log ends with:\n%s", err, b.Log())
		case <-time.After(pause):
		}
	}
}

// StartOnly starts the process and does not wait for it.
func (b *Broker) StartOnly() error {
	if b.proc != nil {
		return errors.New("the broker runs already")
	}
	argv := append(slices.Clone(b.argv), b.propertiesFile())
	p, err := process.Start(argv, b.opts.Env, b.dir, b.logFile())
	if err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	b.proc = p
	return nil
}

// Kill ends the broker as kill -9 does, and waits for its end. It is no error when the
// broker does not run.
func (b *Broker) Kill() error {
	if b.proc == nil {
		return nil
	}
	p := b.proc
	b.proc = nil
	return p.Kill()
}

const stopTimeout = 2 * time.Minute

// Stop asks the broker to end and waits. An exit status other than 0 is an error; after
// two minutes it is killed, which is one too.
func (b *Broker) Stop() error {
	if b.proc == nil {
		return errors.New("the broker does not run")
	}
	p := b.proc
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, b.Kill())
	}
	select {
	case <-p.Done():
		b.proc = nil
		if err := p.Exit(); err != nil {
			return fmt.Errorf("the broker's end: %w; its log ends with:\n%s", err, b.Log())
		}
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("no end in %v; its log ends with:\n%s", stopTimeout, b.Log()), b.Kill())
	}
}

// Restart stops the broker cleanly and starts it again on its data.
func (b *Broker) Restart() error {
	if err := b.Stop(); err != nil {
		return err
	}
	return b.Start()
}

// Running reports whether the process still runs.
func (b *Broker) Running() bool {
	return b.proc != nil && b.proc.Running()
}

// PID is the process id, or 0 while the broker is down.
func (b *Broker) PID() int {
	if b.proc == nil {
		return 0
	}
	return b.proc.PID()
}

// Close kills the broker if it runs and removes its folder if that is temporary.
func (b *Broker) Close() error {
	err := errors.Join(b.Kill(), b.ports.Close())
	if b.ownsDir {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}
