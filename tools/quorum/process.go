package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

// startWait is how long start waits for a server to run, and stopWait how long stop waits for
// its end: both go on without it.
const (
	startWait = 30 * time.Second
	stopWait  = 60 * time.Second
)

// readPID is the number in a pid file; 0 when there is no file.
func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return 0, fmt.Errorf("%s holds no process number: remove it", file)
	}
	return pid, nil
}

// runs tells whether pid is a server of this program. Where the system does not tell what a
// process runs, a process that exists is believed to be one.
func runs(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return !exists("/proc/self/cmdline")
	}
	return isServer(strings.Split(string(bytes.TrimSuffix(line, []byte{0})), "\x00"))
}

// isServer says whether a command line is that of a server of the quorum.
func isServer(args []string) bool {
	name, rest := args[0], args[1:]
	if len(rest) >= 2 && rest[0] == "--as" {
		name, rest = rest[1], rest[2:]
	}
	if strings.TrimSuffix(filepath.Base(name), ".sh") == "zkServer" {
		return true
	}
	return len(rest) > 0 && rest[0] == "quorum"
}

// start runs a server in the background, tells how that went and keeps its number.
func (t *tool) start(cmd *cobra.Command, p *place) error {
	out := cmd.OutOrStdout()
	if err := p.prepare(cmd); err != nil {
		return err
	}
	file, err := p.pidFile()
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.MkdirAll(p.logDir, 0o755)); err != nil {
		return err
	}
	fmt.Fprint(out, "Starting zookeeper ... ")
	pid, err := readPID(file)
	if err != nil {
		fmt.Fprintln(out, "FAILED TO START")
		return err
	}
	if pid > 0 && runs(pid) {
		fmt.Fprintf(out, "already running as process %d.\n", pid)
		return cli.Exit(1)
	}
	console, err := os.Create(p.console())
	if err != nil {
		fmt.Fprintln(out, "SERVER DID NOT START")
		return err
	}
	defer console.Close()
	started, err := cli.Background(t.serverArgs(p), console, startWait)
	switch {
	case err != nil:
		fmt.Fprintln(out, "SERVER DID NOT START")
		return err
	case started.Failed:
		fmt.Fprintln(out, "FAILED TO START")
		text, _ := os.ReadFile(console.Name())
		return &cli.ExitError{Code: 1, Message: strings.TrimSpace(string(text))}
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(started.PID)), 0o644); err != nil {
		fmt.Fprintln(out, "FAILED TO WRITE PID")
		return errors.Join(err, syscall.Kill(started.PID, syscall.SIGTERM))
	}
	fmt.Fprintln(out, "STARTED")
	if !started.Ready {
		fmt.Fprintf(cmd.ErrOrStderr(), "it reads its data still (process %d), see %s\n", started.PID, LogFile())
	}
	return nil
}

// serverArgs is the command line of a server in the background.
func (t *tool) serverArgs(p *place) []string {
	return []string{"--as", "zkServer.sh", "--log-format", t.log.Format, "--log-level", t.log.Level, "start-foreground", absolute(p.config)}
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// prepare asks for the folders where ZOO_DATADIR_AUTOCREATE_DISABLE says that none is made.
func (p *place) prepare(cmd *cobra.Command) error {
	if os.Getenv("ZOO_DATADIR_AUTOCREATE_DISABLE") == "" {
		return nil
	}
	for _, d := range []struct{ what, dir string }{{"data", p.dataDir()}, {"txnlog", p.values["dataLogDir"]}} {
		if d.dir != "" && !exists(dataFolder(d.dir)) {
			fmt.Fprintf(cmd.OutOrStdout(), "ZooKeeper %s directory is missing at %s fix the path or run initialize\n", d.what, d.dir)
			return cli.Exit(1)
		}
	}
	return nil
}

// stop ends the server whose number is in the pid file, and waits until it is gone.
func (t *tool) stop(cmd *cobra.Command, p *place) error {
	out := cmd.OutOrStdout()
	file, err := p.pidFile()
	if err != nil {
		return err
	}
	fmt.Fprint(out, "Stopping zookeeper ... ")
	pid, err := readPID(file)
	switch {
	case err != nil:
		fmt.Fprintln(out, "FAILED")
		return err
	case pid == 0:
		fmt.Fprintf(out, "no zookeeper to stop (could not find file %s)\n", file)
		return nil
	case !runs(pid):
		fmt.Fprintf(out, "no zookeeper to stop (process %d of %s is no server)\n", pid, file)
		return os.Remove(file)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		fmt.Fprintln(out, "FAILED")
		return fmt.Errorf("process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(stopWait); runs(pid); {
		if time.Now().After(deadline) {
			fmt.Fprintln(out, "STILL STOPPING")
			return fmt.Errorf("process %d did not end in %v: wait, or end it by kill -9 %d, which loses nothing that was acknowledged", pid, stopWait, pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fmt.Fprintln(out, "STOPPED")
	return nil
}

func (t *tool) restart(cmd *cobra.Command, p *place) error {
	if err := t.stop(cmd, p); err != nil {
		return err
	}
	return t.start(cmd, p)
}

// printCommand prints what start would run.
func (t *tool) printCommand(cmd *cobra.Command, p *place) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	words := []string{strconv.Quote(exe)}
	for _, a := range t.serverArgs(p) {
		words = append(words, strconv.Quote(a))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s > %q 2>&1 < /dev/null\n", strings.Join(words, " "), p.console())
	return err
}
