// Package bench is the load tool of Millrace: "millrace bench" with its commands, which work
// against any Kafka broker. The commands themselves are in the packages below it; this one
// only puts them together for cmd/millrace.
package bench

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/compare"
	"github.com/millrace/millrace/bench/e2e"
	"github.com/millrace/millrace/bench/limits"
	"github.com/millrace/millrace/bench/perf"
	"github.com/millrace/millrace/bench/quorum"
	"github.com/millrace/millrace/bench/report"
	"github.com/millrace/millrace/bench/suite"
	"github.com/millrace/millrace/tools/cli"
)

const help = `Measures a Kafka broker, any one: load and latency with the flags and result lines of Kafka's own tools, what the machine
itself allows, a matrix of scenarios, and one broker against another.`

const examples = `  # a million records of 1 KiB, as fast as it goes; then read them
  millrace bench producer --bootstrap-server 127.0.0.1:9092 --topic load --num-records 1000000 --record-size 1024
  millrace bench consumer --bootstrap-server 127.0.0.1:9092 --topic load --messages 1000000

  # from producer to consumer, 2000 records a second
  millrace bench e2e --bootstrap-server 127.0.0.1:9092 --topic latency --throughput 2000 --duration 30s

  # the floor of this machine; a broker beside it; two brokers in turns; a page of what came out
  millrace bench limits --all --json limits.json
  millrace bench suite --short --json suite.json
  millrace bench compare --a 127.0.0.1:9092 --b 127.0.0.1:9093 --short --json compare.json
  millrace bench report suite.json compare.json --html report.html`

// Command returns "millrace bench"; name is what the user calls it by.
func Command(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:           name,
		Short:         "Measure a Kafka broker, and the machine under it",
		Long:          help,
		Example:       examples,
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
	for _, c := range []*cobra.Command{
		perf.Producer("producer"), perf.Consumer("consumer"), e2e.Command("e2e"),
		limits.Command("limits"), suite.Command("suite"), compare.Command("compare"), quorum.Command("quorum"), report.Command("report"),
	} {
		// A tool's examples call it "millrace NAME": here it is one floor further down.
		c.Example = strings.ReplaceAll(c.Example, "millrace "+c.Name()+" ", "millrace bench "+c.Name()+" ")
		cmd.AddCommand(c)
	}
	cmd.AddCommand(limits.ServerCommand())
	return cmd
}
