package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

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
	started, err := cli.Background(o.childArgs(), console, daemonWait)
	switch {
	case err != nil:
		return err
	case started.Failed:
		text, _ := os.ReadFile(console.Name())
		return &cli.ExitError{Code: 1, Message: strings.TrimSpace(string(text))}
	case !started.Ready:
		fmt.Fprintf(cmd.ErrOrStderr(), "still starting (process %d), see %s\n", started.PID, filepath.Join(dir, "server.log"))
	}
	return nil
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
