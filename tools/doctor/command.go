package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # a broker on this machine, as it runs
  {{.}}

  # with its configuration, so that log directories and unknown keys are looked at as well
  {{.}} /opt/kafka/config/server.properties

  # a broker elsewhere; its admin port reached through a tunnel
  {{.}} --bootstrap-server broker1:9092 --admin 127.0.0.1:9644

  # for a monitoring system: exit code 1 when something is critical
  {{.}} --json | jq '.findings[] | select(.severity == "critical")'`

const help = `Look for what is wrong with a broker, or will be: configuration, disk, limits, clock,
network, topics, cleaner, consumer lag. The worst comes first, each finding with its remedy.

FILE is the broker's server.properties, for a look at its log directories and settings; it
must be on the broker's machine. Nothing is changed: a small file is written, synced and
removed in each log directory to measure the disk (not with --no-write).

The exit code is 1 when something is critical, else 0.`

type options struct {
	bootstrap, admin, commandConfig, file string
	overrides                             []string
	json, noWrite                         bool
	lagRecords                            int64
	lagTime, timeout                      time.Duration
	given                                 func(string) bool
}

// Command returns "millrace doctor"; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Look for what is wrong with a broker, and say what to do",
		Long:    help,
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),

		Annotations: map[string]string{cli.NoArguments: "yes"},
	}
	cli.Prepare(cmd)
	cmd.Use = name + " [FILE]"
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "127.0.0.1:9092", "The broker's Kafka port (HOST:PORT).")
	f.StringVar(&o.admin, "admin", "", "The broker's admin port (HOST:PORT). Without it: what the broker says in admin.listener.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the client (security.protocol, ...).")
	f.StringArrayVar(&o.overrides, "override", nil, "A setting KEY=VALUE that the broker was started with, on top of FILE; may be repeated.")
	f.BoolVar(&o.json, "json", false, "Print the findings as JSON.")
	f.BoolVar(&o.noWrite, "no-write", false, "Do not measure the disk.")
	f.Int64Var(&o.lagRecords, "lag-records", 100_000, "How many records a group may be behind.")
	f.DurationVar(&o.lagTime, "lag-time", 5*time.Minute, "How long a group may be behind.")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "How long it may all take.")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return cli.Usagef("unexpected argument %q: one FILE at most", args[1])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			o.file = args[0]
		}
		o.given = cmd.Flags().Changed
		return o.run(cmd)
	}
	return cmd
}

func (o *options) run(cmd *cobra.Command) error {
	if _, err := cli.Seeds(o.bootstrap); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	f := &facts{target: o.bootstrap, limits: thresholds{o.lagRecords, o.lagTime.Seconds()}, skipped: map[string]string{}}
	progress := cli.NewProgress(cmd.ErrOrStderr(), "looking, steps done")
	o.gather(ctx, f, progress)
	progress.Close()
	if stopped := cli.Stopped(cmd, cmd.Context().Err()); stopped != nil {
		return stopped // what was not looked at is no finding
	}
	r := judge(f)
	if o.json {
		if err := r.printJSON(cmd.OutOrStdout()); err != nil {
			return err
		}
	} else {
		r.print(cmd.OutOrStdout())
	}
	if r.count(Critical) > 0 {
		return cli.Exit(1)
	}
	return nil
}

// gather asks everything that there is to ask.
func (o *options) gather(ctx context.Context, f *facts, progress *cli.Progress) {
	steps := []func(){
		func() {
			if o.file != "" {
				o.gatherFile(f)
			}
		},
		func() { o.gatherCluster(ctx, f) },
		func() { o.gatherAdmin(ctx, f) },
		func() { o.gatherMachine(f) },
	}
	for i, step := range steps {
		progress.Set(i, len(steps))
		step()
	}
	if f.cluster != nil {
		f.target = fmt.Sprintf("%s (cluster %s, %d broker%s)", o.bootstrap, f.cluster.id, len(f.cluster.brokers), plural(len(f.cluster.brokers)))
	}
	if o.file != "" {
		f.target += ", " + o.file
	}
}
