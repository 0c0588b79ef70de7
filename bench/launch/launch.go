// Package launch starts a Millrace broker for a measurement: a process of its own (so that
// its CPU is its own) with an empty data folder and private ports, and ends it cleanly.
//
// The broker is a "millrace server" of any build: this very executable, or one that was
// built from another commit. It listens on ports of 127.0.0.1 that the kernel chose, so
// that several run beside each other, and it ends with the process that started it, even
// when that one is killed (Linux).
//
// bench/suite and bench/compare call Start once for each broker that they measure;
// bench/drive then only needs its Address, PID and Admin.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTimeout is how long a broker may take to serve when Options do not say.
const startTimeout = 30 * time.Second

// Options says what broker is wanted. The zero value is this executable with its defaults,
// in a temporary folder.
type Options struct {
	// Binary is a millrace; empty means the executable that runs.
	Binary string
	// Dir is the broker's folder: data and log files go below it and stay. Empty means a
	// new one in TempDir, which Stop removes.
	Dir string
	// TempDir is where a new folder is made; empty means the system's. It decides which
	// disk is measured.
	TempDir string
	// Config holds settings as --override takes them. They win over those of this package
	// (listeners, admin.listener, log.dirs, quorum.client.listener).
	Config map[string]string
	// Args stand before "server": what a binary needs to be a millrace.
	Args []string
	// Env is added to the environment.
	Env []string
	// Timeout is how long the start may take, 0 means 30 s. A folder with much data may
	// need a recovery.
	Timeout time.Duration
	// Output gets what the broker prints, besides Broker.Log; may be nil.
	Output io.Writer
}

// Broker is a running broker. Its methods may be called from any goroutine.
type Broker struct {
	address, admin string
	dir            string
	ownsDir        bool
	process        *os.Process
	log            *output
	done           chan struct{} // closed when the process has ended
	ended          error         // how; read after done
	stop           sync.Once
	stopped        error
}

// Start starts a broker and returns when it serves. The error of a start that failed holds
// what the broker printed. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Broker, error) {
	binary, err := executable(o.Binary)
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: o.Dir, log: newOutput(o.Output), done: make(chan struct{})}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp(o.TempDir, "millrace-bench-"); err != nil {
			return nil, fmt.Errorf("make the broker's folder: %w", err)
		}
		b.ownsDir = true
	}
	cmd := exec.Command(binary, arguments(o, b.dir)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := b.run(cmd); err != nil {
		return nil, errors.Join(&StartError{Binary: binary, Err: err}, b.removeDir())
	}
	if err := b.awaitReady(ctx, o.Timeout); err != nil {
		err = &StartError{Binary: binary, Output: b.Log(), Err: err}
		b.kill()
		return nil, errors.Join(err, b.removeDir())
	}
	return b, nil
}

// executable is the absolute path of the binary: the broker runs in another folder.
func executable(binary string) (string, error) {
	if binary == "" {
		return os.Executable()
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", &StartError{Binary: binary, Err: err}
	}
	return filepath.Abs(path)
}

// arguments is the command line of the broker.
func arguments(o Options, dir string) []string {
	settings := map[string]string{
		"listeners":      "PLAINTEXT://127.0.0.1:0",
		"admin.listener": "127.0.0.1:0",
		"log.dirs":       filepath.Join(dir, "data"),
		// Builds from before they had a quorum inside warn of a key that they do not know.
		"quorum.client.listener": "",
	}
	maps.Copy(settings, o.Config)
	args := append(slices.Clone(o.Args), "server")
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "--override", k+"="+settings[k])
	}
	return args
}

// run starts the process and waits for its end, both on one thread that lives as long: the
// kernel ties "end with your parent" to the thread that made the child.
func (b *Broker) run(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		defer close(b.done)
		unlock := tieToParent(cmd)
		defer unlock()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		b.process = cmd.Process
		started <- nil
		b.ended = cmd.Wait()
	}()
	return <-started
}

func (b *Broker) awaitReady(ctx context.Context, timeout time.Duration) error {
	if timeout == 0 {
		timeout = startTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &TimeoutError{After: timeout})
	defer cancel()
	select {
	case <-b.log.ready:
		b.address, b.admin = b.log.addresses()
		return nil
	case <-b.done:
		if b.ended == nil {
			return errors.New("it ended before it served")
		}
		return b.ended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Address is HOST:PORT for clients.
func (b *Broker) Address() string { return b.address }

// Admin is HOST:PORT of the admin port, empty when Options turned it off.
func (b *Broker) Admin() string { return b.admin }

// PID is the broker's process.
func (b *Broker) PID() int { return b.process.Pid }

// Dir is the broker's folder; its log directory is Dir/data unless Config says otherwise.
func (b *Broker) Dir() string { return b.dir }

// Log is the end of what the broker printed.
func (b *Broker) Log() string { return b.log.String() }

// Done is closed when the process has ended, by Stop or by itself.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Stop ends the broker cleanly (SIGTERM), and when ctx ends before that, at once; a
// temporary folder is removed. The error is that of the first call: a broker that had
// ended by itself, or did not end well, is a *StopError with what it printed.
func (b *Broker) Stop(ctx context.Context) error {
	b.stop.Do(func() { b.stopped = errors.Join(b.end(ctx), b.removeDir()) })
	return b.stopped
}

func (b *Broker) end(ctx context.Context) error {
	select {
	case <-b.done:
		return &StopError{Reason: "had ended by itself", Output: b.Log(), Err: b.ended}
	default:
	}
	if err := b.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.kill()
		return err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		b.kill()
		return &StopError{Reason: "did not stop in time and was killed", Output: b.Log(), Err: context.Cause(ctx)}
	}
	if b.ended != nil {
		return &StopError{Reason: "did not stop cleanly", Output: b.Log(), Err: b.ended}
	}
	return nil
}

func (b *Broker) kill() {
	_ = b.process.Kill() // it may have ended
	<-b.done
}

func (b *Broker) removeDir() error {
	if !b.ownsDir {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// StartError is a broker that did not come to serve.
type StartError struct {
	Binary string
	Output string
	Err    error
}

func (e *StartError) Error() string {
	text := fmt.Sprintf("start the broker %s: %v", e.Binary, e.Err)
	if out := strings.TrimSpace(e.Output); out != "" {
		text += "\nIt printed:\n" + out
	}
	return text
}

// Unwrap gives the reason.
func (e *StartError) Unwrap() error { return e.Err }

// TimeoutError is a broker that did not serve in time.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("it did not serve within %v", e.After) }

// StopError is a broker that did not end as told.
type StopError struct {
	Reason string
	Output string
	Err    error
}

func (e *StopError) Error() string {
	return fmt.Sprintf("the broker %s: %v\nThe end of its log:\n%s", e.Reason, e.Err, strings.TrimSpace(e.Output))
}

// Unwrap gives how the process ended.
func (e *StopError) Unwrap() error { return e.Err }
