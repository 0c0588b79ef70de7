package quorum

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/raftlog"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

const cleanupHelp = `Remove all but the newest snapshots of a server, which may run meanwhile. The log is cut by the
server itself, and servers remove old snapshots themselves unless autopurge.purgeInterval=0.

DATADIR is dataDir; without it that of zoo.cfg in ZOOCFGDIR or conf/ is taken. At least the
newest three are kept.`

const cleanupExamples = `  # keep the newest three of the server whose zoo.cfg lies in conf/
  {{.}} -n 3

  # of another one
  {{.}} /data -n 5`

// Cleanup is zkCleanup.sh.
func Cleanup(name string) *cobra.Command {
	cmd := cleanupCommand(name, cli.Called(name))
	args := cmd.Args
	cli.Prepare(cmd)
	cmd.Args = args
	return cmd
}

func cleanupCommand(name, called string) *cobra.Command {
	var keep int
	cmd := &cobra.Command{
		Use: name, Short: "Remove old snapshots (zkCleanup.sh).", Long: cleanupHelp,
		Example: strings.ReplaceAll(cleanupExamples, "{{.}}", called), Args: cobra.MaximumNArgs(2),
	}
	cmd.Flags().IntVarP(&keep, "number", "n", 0, "How many snapshots are kept, 3 or more (-n).")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if keep < 3 {
			return cli.Usagef("count should be greater than or equal to 3: -n COUNT")
		}
		if len(args) == 0 {
			p, err := find(name, "", "")
			if err != nil {
				return err
			}
			args = []string{p.dataDir()}
		}
		// ZooKeeper's tool takes dataLogDir first and then dataDir, where snapshots are.
		dir := filepath.Join(args[len(args)-1], zoocfg.Folder, "snapshots")
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("%s is no data directory of a server: %w", args[len(args)-1], err)
		}
		gone, err := raftlog.PurgeSnapshots(osfs.FS{}, dir, keep)
		for _, file := range gone {
			fmt.Fprintf(cmd.OutOrStdout(), "Removing file: %s\n", file)
		}
		return err
	}
	return cmd
}
