// Package process runs the servers that the suites test, as children that die with the test.
package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one run of a program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	exit error
}

// Start runs argv in dir with its output appended to a file. The child dies with the
// thread that started it, so that thread is kept until the child's end: nothing is left
// running when a test is killed.
func Start(argv, env []string, dir, logFile string) (*Process, error) {
	out, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		out.Close()
		started <- err
		if err == nil {
			p.exit = cmd.Wait()
			close(p.done)
		}
	}()
	return p, <-started
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed at the process's end.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended, as exec.Cmd.Wait tells it. It may be called once Done is closed.
func (p *Process) Exit() error { return p.exit }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal. It is no error when the process has ended.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends the process as kill -9 does, and waits for its end.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Waits is how long the threads of a process (a number, or "self") were ready to run and got no
// processor, as far as the system tells. On a machine with nothing else to do that is next to
// nothing: a time that a test bounds is the machine's without it.
func Waits(pid string) (sum time.Duration) {
	names, _ := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "schedstat"))
	for _, name := range names {
		text, _ := os.ReadFile(name) // a thread may be gone
		if fields := strings.Fields(string(text)); len(fields) == 3 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
