package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Commands makes root a tool of several words, "kafka-cluster.sh cluster-id": Kafka's tools
// that are made with argparse4j. Flags that all words share belong to root's
// PersistentFlags, and may stand on either side of the word.
func Commands(root *cobra.Command, words ...*cobra.Command) *cobra.Command {
	Prepare(root)
	root.PersistentFlags().SortFlags = false
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetUsageFunc(commandsUsage)
	names := make([]string, len(words))
	for i, w := range words {
		w.Example = strings.ReplaceAll(w.Example, "{{.}}", Called(root.Name()))
		Prepare(w)
		root.AddCommand(w)
		names[i] = w.Name()
	}
	root.Example = strings.ReplaceAll(root.Example, "{{.}}", Called(root.Name()))
	root.RunE = func(_ *cobra.Command, args []string) error {
		return Usagef("too few arguments: choose one of %s", strings.Join(names, ", "))
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return Usagef("invalid choice: '%s' (choose from '%s')", args[0], strings.Join(names, "', '"))
		}
		return nil
	}
	return root
}

// commandsUsage is the help of a tool of several words.
func commandsUsage(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	fmt.Fprintf(out, "Usage:\n  %s COMMAND [OPTION]...\n", Called(cmd.Name()))
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	fmt.Fprintf(out, "\nCommands:\n")
	for _, w := range cmd.Commands() {
		if w.IsAvailableCommand() {
			fmt.Fprintf(out, "  %-*s%s\n", helpColumn-2, w.Name(), w.Short)
		}
	}
	fmt.Fprintf(out, "\n'%s COMMAND --help' lists the options of a command.\n", Called(cmd.Name()))
	return nil
}
