package zk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/tools/cli"
)

// arguments is what stands behind the name of the tool.
type arguments struct {
	server   string
	timeout  time.Duration
	readOnly bool
	wait     bool
	help     bool
	config   *clientConfig
	command  []string
}

// Command returns zkCli under the name it was called by.
func Command(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Look at and change what a ZooKeeper keeps",
		Long:    long,
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
		// Options stand before the command, and what is behind it belongs to it.
		DisableFlagParsing: true,
		SilenceErrors:      true,
		SilenceUsage:       true,
		Args:               cobra.ArbitraryArgs,
		Annotations:        map[string]string{cli.NoArguments: "true"},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := parseArguments(args, cmd.ErrOrStderr())
			if err != nil {
				return cli.Usagef("%s", err)
			}
			if a.help {
				return cmd.Help()
			}
			return a.run(cmd)
		},
		ValidArgsFunction: complete,
	}
	cmd.SetUsageFunc(usage)
	return cmd
}

// defaultServer is where a ZooKeeper on this machine is.
const defaultServer = "localhost:2181"

// parseArguments reads options up to the first word that is none. They have one dash, or two.
func parseArguments(args []string, errs io.Writer) (*arguments, error) {
	a := &arguments{server: defaultServer, timeout: 30 * time.Second, config: &clientConfig{}}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			a.command = args[i:]
			return a, nil
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		next := func() (string, error) {
			if hasValue {
				return value, nil
			}
			if i++; i == len(args) {
				return "", fmt.Errorf("Error: no argument found for option %s", args[i-1])
			}
			return args[i], nil
		}
		if err := a.option(name, next, errs); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *arguments) option(name string, next func() (string, error), errs io.Writer) (err error) {
	switch name {
	case "server":
		a.server, err = next()
	case "timeout":
		var text string
		if text, err = next(); err != nil {
			return err
		}
		ms, err := strconv.ParseInt(text, 10, 32)
		if err != nil || ms <= 0 {
			return fmt.Errorf("-timeout is a number of milliseconds above 0, not %q", text)
		}
		a.timeout = time.Duration(ms) * time.Millisecond
	case "r":
		a.readOnly = true
	case "waitforconnection":
		a.wait = true
	case "client-configuration":
		var file string
		if file, err = next(); err == nil {
			a.config, err = readClientConfig(file, errs)
		}
	case "h", "help":
		a.help = true
	default:
		return fmt.Errorf("unknown option -%s: there are -server, -timeout, -r, -waitforconnection, -client-configuration", name)
	}
	return err
}

// open connects to servers.
func (a *arguments) open(ctx context.Context, servers string, s *shell) (*client.Client, error) {
	dial, err := a.config.dialer()
	if err != nil {
		return nil, err
	}
	zk, err := client.New(client.Config{
		Servers: servers, SessionTimeout: a.timeout, Dial: dial, Clock: clock.Real{}, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		MaxBuffer: a.config.maxBuffer, ReadOnly: a.readOnly, OnState: s.onState, OnEvent: s.onEvent,
	})
	if err != nil || !a.wait {
		return zk, err
	}
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := zk.WaitConnected(limited); err != nil {
		zk.Abandon()
		return nil, fmt.Errorf("KeeperErrorCode = ConnectionLoss: no server of %s answered within %v", servers, a.timeout)
	}
	return zk, nil
}

// run connects and runs one command, or those that are typed or come through a pipe.
func (a *arguments) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	connect := func(servers string, s *shell) (*client.Client, error) { return a.open(ctx, servers, s) }
	interactive := a.command == nil && cli.Interactive(cmd.InOrStdin(), cmd.OutOrStdout())
	var t *terminal
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if interactive {
		var err error
		if t, err = openTerminal(cmd.InOrStdin().(*os.File), cmd.OutOrStdout().(*os.File), errs); err != nil {
			return err
		}
		defer t.close()
		out, errs = t, t
	}
	s := newShell(out, errs, connect)
	fmt.Fprintln(s.out, "Connecting to "+a.server)
	if err := s.connectTo(ctx, a.server); err != nil {
		return &cli.ExitError{Code: 1, Message: err.Error()}
	}
	defer func() {
		// A Ctrl-C ends the wait for the server's word as well.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		s.leave(closing)
	}()
	var err error
	switch {
	case a.command != nil:
		s.run(ctx, a.command)
	case interactive:
		fmt.Fprintln(s.out, "Welcome to ZooKeeper!\nJLine support is enabled")
		err = t.loop(ctx, s)
	default:
		fmt.Fprintln(s.out, "Welcome to ZooKeeper!\nJLine support is disabled")
		err = readLines(ctx, cmd.InOrStdin(), s)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case s.exit != 0:
		return cli.Exit(s.exit)
	}
	return nil
}

// readLines runs the commands of a pipe or a file.
func readLines(ctx context.Context, in io.Reader, s *shell) error {
	r := bufio.NewReader(in)
	for !s.quit {
		line, err := await(ctx, func() (string, error) { return r.ReadString('\n') })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			s.line(ctx, line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await calls read and returns when it does, or when ctx ends.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	ch := make(chan result, 1)
	go func() {
		line, err := read()
		ch <- result{line, err}
	}()
	select {
	case r := <-ch:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
