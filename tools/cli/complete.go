package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Completion is the shape of cobra's completion functions.
type Completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// CompleteTopics is the shell completion of topic names.
func CompleteTopics(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return completeFrom(cmd, func(ctx context.Context, admin *kadm.Client) []string {
		names, _ := Topics(ctx, admin, false)
		return names
	})
}

// CompleteGroups is the shell completion of group ids.
func CompleteGroups(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return completeFrom(cmd, func(ctx context.Context, admin *kadm.Client) []string {
		groups, _ := admin.ListGroups(ctx)
		return groups.Groups()
	})
}

// completeFrom asks the cluster of the command line that is being typed, and gives up
// quickly: a shell waits for it.
func completeFrom(cmd *cobra.Command, ask func(context.Context, *kadm.Client) []string) ([]string, cobra.ShellCompDirective) {
	bootstrap := FirstOf(cmd.Flags(), "bootstrap-server", "broker-list")
	if bootstrap == "" {
		bootstrap = "127.0.0.1:9092"
	}
	seeds, err := Seeds(bootstrap)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RetryTimeout(time.Second))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	names := ask(ctx, kadm.NewClient(c))
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteWords offers fixed words.
func CompleteWords(words ...string) Completion {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}
