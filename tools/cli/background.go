package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// backgroundVar tells a process in the background which descriptor leads to the process that
// started it.
const backgroundVar = "MILLRACE_DAEMON_FD"

// Started is what became of Background.
type Started struct {
	PID    int
	Ready  bool // it said that it serves
	Failed bool // it ended before it did
}

// Background runs this program again with args, without a terminal and in a session of its
// own, its output in console, and waits until the process calls Pipe.Ready, ends, or wait has
// passed. In the last case it goes on, neither Ready nor Failed.
func Background(args []string, console *os.File, wait time.Duration) (Started, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return Started{}, err
	}
	defer read.Close()
	defer write.Close()
	exe, err := os.Executable()
	if err != nil {
		return Started{}, err
	}
	child := exec.Command(exe, args...)
	child.Stdout, child.Stderr = console, console
	child.ExtraFiles = []*os.File{write}
	child.Env = append(os.Environ(), backgroundVar+"=3")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return Started{}, err
	}
	write.Close()
	_ = read.SetReadDeadline(time.Now().Add(wait)) // a pipe has deadlines on Linux and macOS
	word, err := bufio.NewReader(read).ReadString('\n')
	s := Started{PID: child.Process.Pid}
	switch {
	case strings.TrimSpace(word) == "ready":
		s.Ready = true
	case errors.Is(err, os.ErrDeadlineExceeded):
	default: // the process is over
		s.Failed = true
		_ = child.Wait()
		return s, nil
	}
	return s, child.Process.Release()
}

// Pipe leads to the process that started this one in the background; the zero value leads
// nowhere.
type Pipe struct{ file *os.File }

// ParentPipe is the pipe that Background made, if it started this process. That it is closed,
// by the end of the process, without Ready before it, tells the parent that the start failed;
// whatever was printed until then says why.
func ParentPipe() Pipe {
	if !InBackground() {
		return Pipe{}
	}
	return Pipe{os.NewFile(3, "parent")}
}

// InBackground says whether Background started this process.
func InBackground() bool { return os.Getenv(backgroundVar) == "3" }

// Ready tells the parent that this process serves.
func (p Pipe) Ready() {
	if p.file != nil {
		fmt.Fprintln(p.file, "ready")
		p.file.Close()
	}
}
