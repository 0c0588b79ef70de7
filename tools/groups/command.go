package groups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// options are the flags of one command line.
type options struct {
	bootstrap, commandConfig              string
	groups, topics                        []string
	allGroups, allTopics                  bool
	list, describe, delete                bool
	resetOffsets, deleteOffsets           bool
	validateRegex                         string
	timeoutMs                             int64
	dryRun, execute, export               bool
	toEarliest, toLatest, toCurrent       bool
	toOffset, shiftBy                     int64
	fromFile, toDatetime, byDuration      string
	members, offsets, verbose             bool
	state, kind                           string
	hasState, hasKind, hasRegex           bool
	hasToOffset, hasShiftBy               bool
	hasFromFile, hasDatetime, hasDuration bool
}

const examples = `  # which groups there are; in which state
  {{.}} --bootstrap-server 127.0.0.1:9092 --list
  {{.}} --bootstrap-server 127.0.0.1:9092 --list --state stable,empty --type

  # how far a group is behind; who is in it; which coordinator it has
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --group billing
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --group billing --members --verbose
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --all-groups --state

  # read a topic again from the start; first look, then do it (the group must be stopped)
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --topic clicks --to-earliest --dry-run
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --topic clicks --to-earliest --execute

  # two partitions back to a moment (UTC unless a zone is given); an hour back; ten records back
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --topic clicks:0,1 --to-datetime 2026-01-31T12:00:00.000 --execute
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --all-topics --by-duration PT1H --execute
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --all-topics --shift-by -10 --execute

  # keep positions in a file, and set them again
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --all-topics --to-current --export > offsets.csv
  {{.}} --bootstrap-server 127.0.0.1:9092 --reset-offsets --group billing --from-file offsets.csv --execute

  # forget a group; forget its offsets of one topic
  {{.}} --bootstrap-server 127.0.0.1:9092 --delete --group billing
  {{.}} --bootstrap-server 127.0.0.1:9092 --delete-offsets --group billing --topic clicks`

// Command returns kafka-consumer-groups.sh; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "List, describe, delete consumer groups and reset their offsets (kafka-consumer-groups.sh)",
		Long:    "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(cmd); err != nil {
			return err
		}
		return o.run(cmd)
	}
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.list, "list", false, "List all consumer groups.")
	f.BoolVar(&o.describe, "describe", false, "Describe a group: its partitions with the lag in records (see --members, --state).")
	f.BoolVar(&o.delete, "delete", false, "Delete groups with their offsets: --group g1 --group g2.")
	f.BoolVar(&o.resetOffsets, "reset-offsets", false, "Set the offsets of a group whose consumers are stopped. Needs one of --to-*, --by-duration, --shift-by, --from-file, and a scope: --topic or --all-topics.")
	f.BoolVar(&o.deleteOffsets, "delete-offsets", false, "Delete the offsets of topics from a group.")
	f.StringVar(&o.validateRegex, "validate-regex", "", "Say whether brokers take this regular expression as a subscription (RE2).")
	f.StringArrayVar(&o.groups, "group", nil, "The group to act on; may be repeated.")
	f.BoolVar(&o.allGroups, "all-groups", false, "Act on all consumer groups.")
	f.StringArrayVar(&o.topics, "topic", nil, "A topic, or some partitions of it: clicks:0,1,2; may be repeated.")
	f.BoolVar(&o.allTopics, "all-topics", false, "All topics that the group has offsets of.")
	f.BoolVar(&o.dryRun, "dry-run", false, "Show what --reset-offsets would do (the default).")
	f.BoolVar(&o.execute, "execute", false, "Do what --reset-offsets shows.")
	f.BoolVar(&o.export, "export", false, "Print the offsets of --reset-offsets as CSV, as --from-file reads them.")
	f.BoolVar(&o.toEarliest, "to-earliest", false, "Reset to the first record.")
	f.BoolVar(&o.toLatest, "to-latest", false, "Reset to the end.")
	f.BoolVar(&o.toCurrent, "to-current", false, "Reset to the committed offset; to the end where there is none.")
	f.Int64Var(&o.toOffset, "to-offset", 0, "Reset to this offset.")
	f.Int64Var(&o.shiftBy, "shift-by", 0, "Reset by so many records: forward, or backward when negative.")
	f.StringVar(&o.toDatetime, "to-datetime", "", "Reset to the first record at or after YYYY-MM-DDTHH:mm:SS.sss, with a zone or in UTC.")
	f.StringVar(&o.byDuration, "by-duration", "", "Reset to the first record of the last PnDTnHnMnS.")
	f.StringVar(&o.fromFile, "from-file", "", "Reset to what a CSV file says: topic,partition,offset, or group,topic,partition,offset.")
	f.BoolVar(&o.members, "members", false, "With --describe: the members.")
	f.BoolVar(&o.offsets, "offsets", false, "With --describe: the partitions with their lag (the default).")
	f.StringVar(&o.state, "state", "", "With --describe: state and coordinator. With --list: the states too; only some when given, as stable,empty.")
	f.StringVar(&o.kind, "type", "", "With --list: the types too; only some when given, as classic,consumer.")
	f.BoolVar(&o.verbose, "verbose", false, "With --describe: more columns.")
	f.Int64Var(&o.timeoutMs, "timeout", 30_000, "How long the brokers may take for it all (ms).")
	cli.OptionalValue(f, "state", alone)
	cli.OptionalValue(f, "type", alone)
	_ = cmd.RegisterFlagCompletionFunc("group", cli.CompleteGroups)
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("state", cli.CompleteWords(states()...))
	_ = cmd.RegisterFlagCompletionFunc("type", cli.CompleteWords("classic", "consumer"))
}

// alone is the value of --state and --type without one.
const alone = " "

// scenarios are the ways to say where a reset goes, by flag.
func scenarios() []string {
	return []string{"to-offset", "shift-by", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "from-file"}
}

// check refuses command lines that make no sense, in the words of Kafka's tool.
func (o *options) check(cmd *cobra.Command) error {
	f := cmd.Flags()
	o.state, o.kind = strings.TrimSpace(o.state), strings.TrimSpace(o.kind)
	o.hasState, o.hasKind, o.hasRegex = f.Changed("state"), f.Changed("type"), f.Changed("validate-regex")
	o.hasToOffset, o.hasShiftBy, o.hasFromFile = f.Changed("to-offset"), f.Changed("shift-by"), f.Changed("from-file")
	o.hasDatetime, o.hasDuration = f.Changed("to-datetime"), f.Changed("by-duration")
	if o.bootstrap == "" && !o.hasRegex {
		return cli.Missing("bootstrap-server")
	}
	if count(o.list, o.describe, o.delete, o.resetOffsets, o.deleteOffsets, o.hasRegex) != 1 {
		return cli.Usagef("Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex")
	}
	hasGroup := len(o.groups) > 0
	switch {
	case hasGroup && o.allGroups:
		return cli.Usagef("Option \"[group]\" can't be used with option \"[all-groups]\"")
	case hasGroup && o.list:
		return cli.Usagef("Option \"[group]\" can't be used with option \"[list]\"")
	case len(o.topics) > 0 && (o.list || o.describe):
		return cli.Usagef("Option \"[topic]\" can't be used with option \"[%s]\"", map[bool]string{true: "list", false: "describe"}[o.list])
	case (o.describe || o.delete || o.resetOffsets) && !hasGroup && !o.allGroups:
		action := map[bool]string{o.describe: "describe", o.delete: "delete", o.resetOffsets: "reset-offsets"}[true]
		return cli.Usagef("Option [%s] takes one of these options: [group], [all-groups]", action)
	case o.delete && len(o.topics) > 0:
		return cli.Usagef("The consumer does not support topic-specific offset deletion from a consumer group.")
	case o.deleteOffsets && (!hasGroup || len(o.topics) == 0):
		return cli.Usagef("Option [delete-offsets] takes the following options: [group], [topic]")
	}
	if err := o.checkDescribe(f); err != nil {
		return err
	}
	if o.resetOffsets {
		return o.checkReset(cmd)
	}
	return nil
}

func (o *options) checkDescribe(f *pflag.FlagSet) error {
	if !o.describe {
		for _, only := range []string{"members", "offsets", "verbose"} {
			if f.Changed(only) {
				return cli.Usagef("Option [%s] is only available with [describe]", only)
			}
		}
		if o.hasState && !o.list {
			return cli.Usagef("Option [state] is only available with [describe] and [list]")
		}
	}
	switch {
	case o.hasKind && !o.list:
		return cli.Usagef("Option [type] is only available with [list]")
	case o.describe && count(o.members, o.offsets, o.hasState) > 1:
		return cli.Usagef("Option [describe] takes at most one of these options: [members], [offsets], [state]")
	case o.describe && o.state != "":
		return cli.Usagef("Option [describe] does not take a value for [state]")
	}
	return nil
}

func (o *options) checkReset(cmd *cobra.Command) error {
	f := cmd.Flags()
	var given []string
	for _, s := range scenarios() {
		if f.Changed(s) {
			given = append(given, s)
		}
	}
	switch {
	case o.dryRun && o.execute:
		return cli.Usagef("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
	case len(given) > 1:
		return cli.Usagef("Option \"[%s]\" can't be used with option \"[%s]\"", given[0], given[1])
	case len(given) == 0:
		return cli.Usagef("Option '[reset-offsets]' requires one of the following scenarios: [[%s]]", strings.Join(scenarios(), "], ["))
	case !o.allTopics && len(o.topics) == 0 && !o.hasFromFile:
		return cli.Usagef("One of the reset scopes should be defined: --all-topics, --topic.")
	case o.allTopics && len(o.topics) > 0:
		return cli.Usagef("Option \"[topic]\" can't be used with option \"[all-topics]\"")
	}
	if !o.dryRun && !o.execute {
		cmd.PrintErrln("WARN: No action will be performed as the --execute option is missing. Add --dry-run to say that this is meant.")
	}
	return nil
}

func count(set ...bool) int {
	n := 0
	for _, on := range set {
		if on {
			n++
		}
	}
	return n
}

// runner does the one action that the options ask for.
type runner struct {
	o        *options
	client   *kgo.Client
	admin    *kadm.Client
	out, err io.Writer
	now      func() time.Time
}

func (o *options) run(cmd *cobra.Command) error {
	if o.hasRegex {
		return validateRegex(cmd.OutOrStdout(), o.validateRegex)
	}
	err := o.act(cmd)
	var usage *cli.UsageError
	var exit *cli.ExitError
	if err == nil || errors.As(err, &usage) || errors.As(err, &exit) {
		return err
	}
	if stopped := cli.Stopped(cmd, err); stopped != nil {
		return stopped
	}
	printError(cmd.OutOrStdout(), "Executing consumer group command failed due to "+cli.ErrorLine(err))
	return cli.Exit(1)
}

func (o *options) act(cmd *cobra.Command) error {
	client, err := cli.Dial(cmd, o.bootstrap, o.commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Duration(o.timeoutMs)*time.Millisecond)
	defer cancel()
	r := &runner{o: o, client: client, admin: kadm.NewClient(client), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), now: time.Now}
	switch {
	case o.list:
		return r.list(ctx)
	case o.describe:
		return r.describe(ctx)
	case o.delete:
		return r.delete(ctx)
	case o.deleteOffsets:
		return r.deleteOffsets(ctx)
	default:
		return r.reset(ctx)
	}
}

// printError is how Kafka's tool tells what is wrong with a group: on stdout.
func printError(out io.Writer, text string) { fmt.Fprintf(out, "\nError: %s\n", text) }

// validateRegex judges a subscription pattern: brokers and Go read the same RE2.
func validateRegex(out io.Writer, pattern string) error {
	_, err := regexp.Compile(pattern)
	var bad *syntax.Error
	if errors.As(err, &bad) {
		fmt.Fprintf(out, "The regular expression `%s` is invalid: %s.\n", pattern, bad.Code)
		return nil
	}
	fmt.Fprintf(out, "The regular expression `%s` is valid.\n", pattern)
	return nil
}

// named returns the groups to act on, sorted, each once.
func (r *runner) named(ctx context.Context) ([]string, error) {
	names := slices.Clone(r.o.groups)
	if r.o.allGroups {
		listed, err := r.listed(ctx, nil, nil)
		if err != nil {
			return nil, err
		}
		for _, g := range listed {
			names = append(names, g.Group)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
