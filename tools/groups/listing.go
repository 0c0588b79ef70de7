package groups

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const listingExamples = `  # groups of all types
  {{.}} --bootstrap-server 127.0.0.1:9092 --list

  # only those of consumers, of either protocol; only those of one type or protocol
  {{.}} --bootstrap-server 127.0.0.1:9092 --list --consumer
  {{.}} --bootstrap-server 127.0.0.1:9092 --list --group-type classic --protocol connect`

type listingOptions struct {
	bootstrap, commandConfig, kind, protocol string
	list, consumer, share, streams           bool
}

// Listing returns kafka-groups.sh; name is what the user calls it by.
func Listing(name string) *cobra.Command {
	o := &listingOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "List groups of all types (kafka-groups.sh)",
		Long:    "This tool helps to list groups of all types.",
		Example: strings.ReplaceAll(listingExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The Kafka server to connect to (HOST:PORT,...).")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.list, "list", false, "List the groups.")
	f.StringVar(&o.kind, "group-type", "", "Only groups of this type: classic, consumer, share or streams.")
	f.StringVar(&o.protocol, "protocol", "", "Only groups of this protocol type (consumer, connect, ...).")
	f.BoolVar(&o.consumer, "consumer", false, "Only consumer groups, of either protocol, also those that only commit.")
	f.BoolVar(&o.share, "share", false, "Only share groups.")
	f.BoolVar(&o.streams, "streams", false, "Only streams groups.")
	_ = cmd.RegisterFlagCompletionFunc("group-type", cli.CompleteWords("classic", "consumer", "share", "streams"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := o.run(cmd); err != nil {
			if stopped := cli.Stopped(cmd, err); stopped != nil {
				return stopped
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Error while executing groups command : %s\n", cli.ErrorText(err))
			return cli.Exit(1)
		}
		return nil
	}
	return cmd
}

func (o *listingOptions) check() error {
	switch {
	case o.bootstrap == "":
		return cli.Missing("bootstrap-server")
	case !o.list:
		return cli.Usagef("Command must include exactly one action: --list.")
	case o.kind != "" && title(o.kind) == "Unknown":
		return cli.Usagef("--group-type must be a valid group type.")
	case count(o.consumer, o.share, o.streams, o.kind != "" || o.protocol != "") > 1:
		return cli.Usagef("Only one of [consumer], [share], [streams] and [group-type] with [protocol] may be used")
	}
	return nil
}

func (o *listingOptions) run(cmd *cobra.Command) error {
	client, err := cli.Dial(cmd, o.bootstrap, o.commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*cli.DefaultTimeout)
	defer cancel()
	all, err := listGroups(ctx, client, cmd.ErrOrStderr(), nil, nil)
	if err != nil {
		return err
	}
	width := 20
	var rows [][3]string
	for _, g := range all {
		if !o.takes(g) {
			continue
		}
		kind := ""
		if g.GroupType != "" {
			kind = title(g.GroupType)
		}
		rows = append(rows, [3]string{g.Group, kind, g.ProtocolType})
		width = max(width, len(g.Group), len(kind), len(g.ProtocolType))
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%-*s %-*s %-*s\n", width, "GROUP", width, "TYPE", width, "PROTOCOL")
	for _, row := range rows {
		fmt.Fprintf(out, "%-*s %-*s %-*s \n", width, row[0], width, row[1], width, row[2])
	}
	return nil
}

// takes is the filter of the command line.
func (o *listingOptions) takes(g kmsg.ListGroupsResponseGroup) bool {
	ofType := func(kind string) bool { return strings.EqualFold(g.GroupType, kind) }
	switch {
	case o.kind != "":
		return ofType(o.kind) && (o.protocol == "" || g.ProtocolType == o.protocol)
	case o.protocol != "":
		return g.ProtocolType == o.protocol
	case o.consumer:
		return g.ProtocolType == "consumer" || g.ProtocolType == "" || ofType("consumer")
	case o.share:
		return ofType("share")
	case o.streams:
		return ofType("streams")
	}
	return true
}
