package zk

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/quorum/client"
)

// complete is the completion of a shell outside: options, commands, and paths of the server
// that the line names.
func complete(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	a, err := parseArguments(args, io.Discard)
	switch {
	case err != nil:
		if len(args) > 0 && strings.TrimLeft(args[len(args)-1], "-") == "client-configuration" {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return nil, none
	case strings.HasPrefix(typed, "-") && a.command == nil:
		return []string{"-server", "-timeout", "-r", "-waitforconnection", "-client-configuration", "--help"}, none
	case a.command == nil:
		return commandNames(), none
	case !strings.HasPrefix(typed, "/"):
		return nil, none
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
	defer cancel()
	s := newShell(io.Discard, io.Discard, func(servers string, s *shell) (*client.Client, error) { return a.open(ctx, servers, s) })
	if s.connectTo(ctx, a.server) != nil {
		return nil, none
	}
	defer s.leave(ctx)
	dir := typed[:strings.LastIndexByte(typed, '/')]
	if dir == "" {
		dir = "/"
	}
	var paths []string
	for _, name := range s.names(ctx, dir) {
		paths = append(paths, join(dir, name))
	}
	return paths, none | cobra.ShellCompDirectiveNoSpace
}
