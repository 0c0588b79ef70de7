// Command millrace is the whole of Millrace in one binary: the broker, and the tools that
// Kafka's users have in their fingers. It is the only place that puts the parts together.
//
// The name it is called by decides what it is: as kafka-topics.sh (or kafka-topics) it is
// that tool, as kafka-server-start.sh the broker; as millrace it has them as subcommands.
// The scripts in bin/ call "millrace --as NAME ..." which has the same effect.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench"
	"github.com/millrace/millrace/bench/e2e"
	"github.com/millrace/millrace/bench/perf"
	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/cluster"
	"github.com/millrace/millrace/tools/configs"
	"github.com/millrace/millrace/tools/console"
	"github.com/millrace/millrace/tools/doctor"
	"github.com/millrace/millrace/tools/dumplog"
	"github.com/millrace/millrace/tools/groups"
	"github.com/millrace/millrace/tools/offsets"
	"github.com/millrace/millrace/tools/partitions"
	quorumtools "github.com/millrace/millrace/tools/quorum"
	"github.com/millrace/millrace/tools/reassign"
	"github.com/millrace/millrace/tools/topics"
	"github.com/millrace/millrace/tools/zk"
)

// version is set by the build (-ldflags -X main.version=...).
var version = "dev"

func main() {
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of the write, told by the tool
	os.Exit(run(os.Args))
}

// run is main without the process: args[0] is the name that it was called by.
func run(args []string) int {
	calledAs, rest := args[0], args[1:]
	if len(rest) >= 2 && rest[0] == "--as" {
		calledAs, rest = rest[1], rest[2:]
	}
	root := command(calledAs)
	rest = prepare(root, rest)
	// The server minds signals itself: its stop takes time and can be forced.
	ctx, stop := context.Background(), func() {}
	if target, _, err := root.Find(rest); err != nil || target.Annotations[ownSignals] == "" {
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	}
	defer stop()
	root.SetArgs(rest)
	cmd, err := root.ExecuteContextC(ctx)
	return exitCode(ctx, cmd, err)
}

// exitCode is that of the process; ctx has ended when it was interrupted.
func exitCode(ctx context.Context, cmd *cobra.Command, err error) int {
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return cli.Interrupted
	}
	return cli.Report(cmd, err)
}

// ownSignals marks commands that handle SIGINT and SIGTERM.
const ownSignals = "millrace/own-signals"

// tool is one command of the binary.
type tool struct {
	name   string // subcommand; "": only a script, whose subcommand stands elsewhere
	script string // name in Kafka's or ZooKeeper's bin/, without .sh; "": none
	make   func(name string) *cobra.Command
}

func toolbox() []tool {
	return []tool{
		{"server", "kafka-server-start", func(name string) *cobra.Command { return serverCommand(name, startServer) }},
		{"topics", "kafka-topics", topics.Command},
		{"console-producer", "kafka-console-producer", console.Producer},
		{"console-consumer", "kafka-console-consumer", console.Consumer},
		{"configs", "kafka-configs", configs.Command},
		{"client-metrics", "kafka-client-metrics", configs.ClientMetrics},
		{"consumer-groups", "kafka-consumer-groups", groups.Command},
		{"groups", "kafka-groups", groups.Listing},
		{"delete-records", "kafka-delete-records", partitions.DeleteRecords},
		{"leader-election", "kafka-leader-election", partitions.LeaderElection},
		{"log-dirs", "kafka-log-dirs", partitions.LogDirs},
		{"reassign-partitions", "kafka-reassign-partitions", reassign.Command},
		{"cluster", "kafka-cluster", cluster.Command},
		{"broker-api-versions", "kafka-broker-api-versions", cluster.ApiVersions},
		{"features", "kafka-features", cluster.Features},
		{"metadata-quorum", "kafka-metadata-quorum", cluster.Quorum},
		{"get-offsets", "kafka-get-offsets", offsets.Command},
		{"dump-log", "kafka-dump-log", dumplog.Command},
		{"server-stop", "kafka-server-stop", stopCommand},
		{"quorum", "zkServer", func(name string) *cobra.Command { return quorumCommand(name, startQuorum) }},
		{"", "zkServer-initialize", quorumtools.Initialize},
		{"", "zkCleanup", quorumtools.Cleanup},
		{"", "zkSnapShotToolkit", quorumtools.SnapshotToolkit},
		{"", "zkTxnLogToolkit", quorumtools.TxnLogToolkit},
		{"zk", "zkCli", zk.Command},
		{"doctor", "", doctor.Command},
		{"bench", "", bench.Command},
		{"", "kafka-producer-perf-test", perf.Producer},
		{"", "kafka-consumer-perf-test", perf.Consumer},
		{"", "kafka-e2e-latency", e2e.Script},
	}
}

// command returns the root command for the name that the binary was called by.
func command(calledAs string) *cobra.Command {
	base := filepath.Base(calledAs)
	for _, t := range toolbox() {
		if t.script != "" && strings.TrimSuffix(base, ".sh") == t.script {
			return t.make(base)
		}
	}
	root := &cobra.Command{
		Use:           "millrace",
		Short:         "A Kafka broker and its tools in one binary",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unknown command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, t := range toolbox() {
		if t.name != "" {
			root.AddCommand(t.make(t.name))
		}
	}
	root.AddCommand(versionCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usagef("%s", err) })
	root.InitDefaultCompletionCmd()
	completeScripts(root)
	return root
}

const rootHelp = `Millrace is a Kafka broker in one binary, with the tools that Kafka's users know.

  millrace server                        start a broker on 127.0.0.1:9092, data in ./data
  millrace topics --bootstrap-server 127.0.0.1:9092 --create --topic clicks
  millrace console-producer --bootstrap-server 127.0.0.1:9092 --topic clicks
  millrace console-consumer --bootstrap-server 127.0.0.1:9092 --topic clicks --from-beginning
  millrace quorum zoo.cfg                run a server of the quorum, a ZooKeeper

Called as kafka-topics.sh, zkServer.sh and so on (see bin/) it is that tool.`

// prepare makes args readable for cobra in the manner of Kafka's tools, and serves what
// all tools share: no argument at all shows the help and fails, --version.
func prepare(root *cobra.Command, args []string) []string {
	target, rest, err := root.Find(args)
	if err != nil || len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		return args
	}
	target.InitDefaultHelpFlag()
	run := target.RunE
	if run != nil && target.Flags().Lookup("version") != nil {
		target.RunE = func(cmd *cobra.Command, positional []string) error {
			if show, _ := cmd.Flags().GetBool("version"); show {
				fmt.Fprintln(cmd.OutOrStdout(), version)
				return nil
			}
			if len(rest) == 0 && target.Annotations[noArguments] == "" {
				cmd.SetOut(cmd.ErrOrStderr())
				_ = cmd.Help()
				return cli.Exit(1)
			}
			return run(cmd, positional)
		}
	}
	return cli.NormalizeFor(root, args)
}

// noArguments marks commands that mean something without any argument.
const noArguments = cli.NoArguments

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "millrace", version)
			return err
		},
	}
}

// completeScripts lets the bash completion of millrace serve the names of the scripts in
// bin/ as well: each of them answers __complete itself.
func completeScripts(root *cobra.Command) {
	names := ""
	for _, t := range toolbox() {
		if t.script != "" {
			names += " " + t.script + ".sh " + t.script
		}
	}
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Long += "\nThe bash script completes the names of the scripts in bin/ too (kafka-topics.sh and so on)."
		for _, shell := range c.Commands() {
			if shell.Name() != "bash" {
				continue
			}
			inner := shell.RunE
			shell.RunE = func(cmd *cobra.Command, args []string) error {
				if err := inner(cmd, args); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "complete -o default -o nospace -F __start_millrace%s\n", names)
				return err
			}
		}
	}
}
