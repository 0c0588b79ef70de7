// Package bench is the load tool of Millrace: "millrace bench" with its commands, which work
// against any Kafka broker. The commands themselves are in the packages below it; this one
// only puts them together for cmd/millrace.
package bench

import (
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/perf"
	"github.com/millrace/millrace/tools/cli"
)

const help = `Measures a Kafka broker, any one: load with kafka-producer-perf-test's and kafka-consumer-perf-test's flags and result
lines, what the machine itself allows, and one broker against another.`

const examples = `  # a million records of 1 KiB, as fast as it goes; then read them
  millrace bench producer --bootstrap-server 127.0.0.1:9092 --topic load --num-records 1000000 --record-size 1024
  millrace bench consumer --bootstrap-server 127.0.0.1:9092 --topic load --messages 1000000`

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
	cmd.AddCommand(perf.Producer("producer"), perf.Consumer("consumer"))
	return cmd
}
