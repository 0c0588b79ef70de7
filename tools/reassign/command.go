package reassign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # propose where the partitions of a topic could lie on brokers 1, 2 and 3
  echo '{"topics": [{"topic": "clicks"}], "version": 1}' > topics.json
  {{.}} --bootstrap-server 127.0.0.1:9092 --generate --topics-to-move-json-file topics.json --broker-list 1,2,3

  # move them, at 50 MB/s at most, once the proposal is saved as plan.json; watch until it is done
  {{.}} --bootstrap-server 127.0.0.1:9092 --execute --reassignment-json-file plan.json --throttle 50000000
  {{.}} --bootstrap-server 127.0.0.1:9092 --verify --reassignment-json-file plan.json

  # what moves; stop it
  {{.}} --bootstrap-server 127.0.0.1:9092 --list
  {{.}} --bootstrap-server 127.0.0.1:9092 --cancel --reassignment-json-file plan.json

  # move a replica to another log directory of its broker
  echo '{"partitions": [{"topic": "clicks", "partition": 0, "replicas": [1], "log_dirs": ["/data/b"]}], "version": 1}' > plan.json
  {{.}} --bootstrap-server 127.0.0.1:9092 --execute --reassignment-json-file plan.json`

// actions are what the tool can do, in Kafka's order.
func actions() []string { return []string{"generate", "execute", "verify", "cancel", "list"} }

// allowed are the flags that go with an action; the first so many are required.
func allowed(action string) (flags []string, required int) {
	switch action {
	case "verify":
		return []string{"reassignment-json-file", "preserve-throttles"}, 1
	case "generate":
		return []string{"topics-to-move-json-file", "broker-list", "disable-rack-aware"}, 2
	case "execute":
		return []string{"reassignment-json-file", "additional", "throttle", "replica-alter-log-dirs-throttle", "timeout", "disallow-replication-factor-change"}, 1
	case "cancel":
		return []string{"reassignment-json-file", "preserve-throttles", "timeout"}, 1
	}
	return nil, 0
}

type options struct {
	bootstrap, controller, commandConfig string
	file, topicsFile, brokerList         string
	disableRackAware, additional         bool
	preserveThrottles, keepFactor        bool
	throttle, dirThrottle, timeoutMs     int64
	action                               string
}

// Command returns the tool; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Move partitions between brokers and directories (kafka-reassign-partitions.sh)",
		Long:    "This tool helps to move topic partitions between replicas.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.StringVar(&o.controller, "bootstrap-controller", "", "The controller(s) to connect to, instead; with --cancel and --list.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.Bool("generate", false, "Propose where partitions could lie. Nothing is moved.")
	f.Bool("execute", false, "Start the moves of --reassignment-json-file.")
	f.Bool("verify", false, "Say how far those moves are; when all are done, remove the throttles.")
	f.Bool("cancel", false, "Cancel those moves.")
	f.Bool("list", false, "List all moves that are under way.")
	f.StringVar(&o.file, "reassignment-json-file", "", "File of the form {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"replicas\": [1,2,3], \"log_dirs\": [\"any\",\"any\",\"/data/b\"]}], \"version\": 1}; log_dirs may be left out.")
	f.StringVar(&o.topicsFile, "topics-to-move-json-file", "", "File of the form {\"topics\": [{\"topic\": \"foo\"}, {\"topic\": \"bar\"}], \"version\": 1}.")
	f.StringVar(&o.brokerList, "broker-list", "", "Brokers that may hold the partitions: \"0,1,2\".")
	f.BoolVar(&o.disableRackAware, "disable-rack-aware", false, "Propose without regard to racks.")
	f.Int64Var(&o.throttle, "throttle", -1, "Bytes per second that moves between brokers may take; 1000 at least.")
	f.Int64Var(&o.dirThrottle, "replica-alter-log-dirs-throttle", -1, "Bytes per second that moves between directories may take.")
	f.Int64Var(&o.timeoutMs, "timeout", 10_000, "How long to wait for moves between directories to begin (ms).")
	f.BoolVar(&o.additional, "additional", false, "Start these moves beside others that are under way, or change their throttle.")
	f.BoolVar(&o.preserveThrottles, "preserve-throttles", false, "Leave throttles as they are.")
	f.BoolVar(&o.keepFactor, "disallow-replication-factor-change", false, "Refuse moves that change the number of replicas.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(cmd.Flags()); err != nil {
			return err
		}
		return o.run(cmd)
	}
	return cmd
}

func (o *options) check(f *pflag.FlagSet) error {
	var given []string
	for _, a := range actions() {
		if f.Changed(a) {
			given = append(given, a)
		}
	}
	switch {
	case len(given) != 1:
		return cli.Usagef("Command must include exactly one action: --%s", strings.Join(actions(), ", --"))
	case o.bootstrap != "" && o.controller != "":
		return cli.Usagef("Please don't specify both --bootstrap-server and --bootstrap-controller")
	case o.bootstrap == "" && o.controller == "":
		return cli.Usagef("Please specify either --bootstrap-server or --bootstrap-controller")
	}
	o.action = given[0]
	flags, required := allowed(o.action)
	for _, name := range flags[:required] {
		if !f.Changed(name) {
			return cli.Missing(name)
		}
	}
	var bad string
	f.Visit(func(flag *pflag.Flag) {
		general := flag.Name == o.action || flag.Name == "bootstrap-server" || flag.Name == "command-config" ||
			flag.Name == "bootstrap-controller" && (o.action == "cancel" || o.action == "list")
		if !general && !slices.Contains(flags, flag.Name) && bad == "" {
			bad = flag.Name
		}
	})
	if bad != "" {
		return cli.Usagef("Option \"[%s]\" can't be used with action \"[%s]\"", bad, o.action)
	}
	return nil
}

// requestTime bounds the work after the cluster was reached, besides --timeout.
const requestTime = time.Minute

// runner does one action.
type runner struct {
	o        *options
	client   *kgo.Client
	admin    *kadm.Client
	out, err io.Writer
	random   func(n int) int
	pause    time.Duration // between two attempts to start moves between directories
}

// terse is an error that Kafka's tool prints as it stands, without "Error: ".
type terse struct{ text string }

func (t terse) Error() string { return t.text }

func (o *options) run(cmd *cobra.Command) error {
	err := o.act(cmd)
	if stopped := cli.Stopped(cmd, err); stopped != nil {
		return stopped
	}
	var usage *cli.UsageError
	var bare terse
	switch {
	case err == nil || errors.As(err, &usage):
		return err
	case errors.As(err, &bare):
		fmt.Fprintln(cmd.OutOrStdout(), bare.text)
	default:
		fmt.Fprintln(cmd.OutOrStdout(), "Error: "+cli.ErrorLine(err))
	}
	return cli.Exit(1)
}

func (o *options) act(cmd *cobra.Command) error {
	text := ""
	if name := o.file + o.topicsFile; name != "" {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text = string(content)
	}
	client, err := cli.Dial(cmd, o.bootstrap+o.controller, o.commandConfig, "reassign-partitions-tool")
	if err != nil {
		return err
	}
	defer client.Close()
	timeout := time.Duration(o.timeoutMs) * time.Millisecond
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime+timeout)
	defer cancel()
	r := &runner{o: o, client: client, admin: kadm.NewClient(client), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), random: rand.IntN, pause: 100 * time.Millisecond}
	switch o.action {
	case "generate":
		return r.generate(ctx, text)
	case "execute":
		return r.execute(ctx, text)
	case "verify":
		return r.verify(ctx, text)
	case "cancel":
		return r.cancel(ctx, text)
	default:
		return r.list(ctx)
	}
}
