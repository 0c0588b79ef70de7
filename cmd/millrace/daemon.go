package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

// daemonVar tells the process in the background which descriptor leads to the process
// that started it.
const daemonVar = "MILLRACE_DAEMON_FD"

// daemonWait is how long -daemon waits for the broker to serve: recovery may take longer,
// and goes on in the background.
const daemonWait = 30 * time.Second

// background starts this command again without a terminal, as Kafka's -daemon does, and
// tells how the start went.
func (o *serverOptions) background(cmd *cobra.Command) error {
	dir := o.logDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(dir, o.service+".out"))
	if err != nil {
		return err
	}
	defer console.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(exe, o.childArgs()...)
	child.Stdout, child.Stderr = console, console
	child.ExtraFiles = []*os.File{write}
	child.Env = append(os.Environ(), daemonVar+"=3")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		write.Close()
		return err
	}
	write.Close()
	_ = read.SetReadDeadline(time.Now().Add(daemonWait)) // a pipe has deadlines on Linux and macOS
	word, err := bufio.NewReader(read).ReadString('\n')
	switch {
	case strings.TrimSpace(word) == "ready":
	case errors.Is(err, os.ErrDeadlineExceeded):
		fmt.Fprintf(cmd.ErrOrStderr(), "still starting (process %d), see %s\n", child.Process.Pid, filepath.Join(dir, "server.log"))
	default:
		text, _ := os.ReadFile(console.Name())
		return &cli.ExitError{Code: 1, Message: strings.TrimSpace(string(text))}
	}
	return child.Process.Release()
}

// childArgs is this command line without -daemon.
func (o *serverOptions) childArgs() []string {
	args := []string{"--as", "kafka-server-start.sh", "--log-format", o.logFormat, "--log-level", o.logLevel}
	for _, kv := range o.overrides {
		args = append(args, "--override", kv)
	}
	if o.file != "" {
		args = append(args, o.file)
	}
	return args
}

// pipe leads to the process that started this one in the background; zero without one.
type pipe struct{ file *os.File }

func parentPipe() pipe {
	if !inBackground() {
		return pipe{}
	}
	return pipe{os.NewFile(3, "parent")}
}

// inBackground says whether background started this process.
func inBackground() bool { return os.Getenv(daemonVar) == "3" }

// ready tells the parent that the broker serves.
func (p pipe) ready() {
	if p.file != nil {
		fmt.Fprintln(p.file, "ready")
		p.file.Close()
	}
}

// finish closes the pipe; without ready before it, the parent knows that the start failed.
func (p pipe) finish(err error) {
	if p.file != nil && err != nil {
		fmt.Fprintln(os.Stderr, err)
		p.file.Close()
	}
}

// notifySystemd tells a Type=notify unit about the state (sd_notify(3)); elsewhere nothing.
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
