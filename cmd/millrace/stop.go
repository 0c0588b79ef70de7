package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

const stopExamples = `  # stop the brokers of this machine cleanly; the command does not wait for their end
  {{.}}`

// stopCommand is kafka-server-stop.sh: SIGTERM to every running broker that we may signal.
func stopCommand(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:         name,
		Short:       "Stop the brokers of this machine (kafka-server-stop.sh)",
		Long:        "Send SIGTERM to the brokers of this machine that run this program (SIGNAL=KILL sends another signal).\nThe exit code is 1 when there is none.",
		Example:     strings.ReplaceAll(stopExamples, "{{.}}", cli.Called(name)),
		Annotations: map[string]string{noArguments: "yes"},
	}
	cli.Prepare(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		sig, err := stopSignal(os.Getenv("SIGNAL"))
		if err != nil {
			return err
		}
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		pids, err := brokers("/proc", exe)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "No kafka server to stop")
			return cli.Exit(1)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, sig); err != nil {
				return fmt.Errorf("process %d: %w", pid, err)
			}
		}
		return nil
	}
	return cmd
}

// stopSignal reads the SIGNAL variable of Kafka's script.
func stopSignal(name string) (syscall.Signal, error) {
	switch strings.TrimPrefix(strings.ToUpper(name), "SIG") {
	case "", "TERM":
		return syscall.SIGTERM, nil
	case "KILL":
		return syscall.SIGKILL, nil
	case "INT":
		return syscall.SIGINT, nil
	}
	return 0, cli.Usagef("SIGNAL=%s: must be TERM, INT or KILL", name)
}

// brokers finds the processes that run the program at exe as a server, by what the kernel
// says of each process; exe may have been replaced since. Processes of other users are not
// seen, and those of another installation are not ours to stop.
func brokers(proc, exe string) ([]int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("the running processes cannot be read: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		runs, err := os.Readlink(filepath.Join(proc, e.Name(), "exe"))
		if err != nil || strings.TrimSuffix(runs, " (deleted)") != exe {
			continue
		}
		line, err := os.ReadFile(filepath.Join(proc, e.Name(), "cmdline"))
		if err == nil && isServer(strings.Split(string(bytes.TrimSuffix(line, []byte{0})), "\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// isServer says whether a command line of this program is a broker.
func isServer(args []string) bool {
	name, rest := args[0], args[1:]
	if len(rest) >= 2 && rest[0] == "--as" {
		name, rest = rest[1], rest[2:]
	}
	if base := strings.TrimSuffix(filepath.Base(name), ".sh"); base != "millrace" {
		return base == "kafka-server-start"
	}
	return len(rest) > 0 && rest[0] == "server"
}
