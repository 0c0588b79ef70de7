package quorum

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

const initializeHelp = `Make the data directories that zoo.cfg names, empty, with the server's number in them.

A directory that holds data already is left alone unless --force is given, which removes the
data in it.`

const initializeExamples = `  # the folders of server.2, by the zoo.cfg in conf/ beside bin/
  {{.}} --myid=2

  # of another zoo.cfg, throwing away what is there
  {{.}} --configfile=/etc/zookeeper/zoo.cfg --myid=2 --force`

// Initialize is zkServer-initialize.sh.
func Initialize(name string) *cobra.Command {
	cmd := initializeCommand(name, cli.Called(name))
	cli.Prepare(cmd)
	return cmd
}

func initializeCommand(name, called string) *cobra.Command {
	var file, myid string
	var force bool
	cmd := &cobra.Command{
		Use: name, Short: "Make a server's data directories (zkServer-initialize.sh)", Long: initializeHelp,
		Example: strings.ReplaceAll(initializeExamples, "{{.}}", called), Annotations: map[string]string{cli.NoArguments: "yes"},
	}
	f := cmd.Flags()
	f.StringVar(&file, "configfile", "", "ZooKeeper config file; without it zoo.cfg in ZOOCFGDIR or conf/.")
	f.StringVar(&myid, "myid", "", "Set the myid to be used, if any (1-255).")
	f.BoolVar(&force, "force", false, "Force creation of the data/txnlog dirs.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if n, err := strconv.Atoi(myid); myid != "" && (err != nil || n < zoocfg.MinID || n > zoocfg.MaxID) {
			return cli.Usagef("--myid %s: must be a number, %d to %d", myid, zoocfg.MinID, zoocfg.MaxID)
		}
		if file == "" {
			file = configFile(name, "", "")
		}
		return initialize(cmd, file, myid, force)
	}
	return cmd
}

// dataFolder is where a server keeps its data in dataDir or dataLogDir.
func dataFolder(dir string) string { return filepath.Join(dir, zoocfg.Folder) }

func initialize(cmd *cobra.Command, file, myid string, force bool) error {
	out := cmd.OutOrStdout()
	if !exists(file) {
		fmt.Fprintf(out, "Unable to find config file at %s\n", file)
		return cli.Exit(1)
	}
	p, err := find("", "", file)
	if err != nil {
		return err
	}
	if p.dataDir() == "" {
		fmt.Fprintf(out, "Unable to determine dataDir from %s\n", file)
		return cli.Exit(1)
	}
	dirs := []struct{ what, dir string }{{"data", p.dataDir()}}
	if log := p.values["dataLogDir"]; log != "" {
		dirs = append(dirs, struct{ what, dir string }{"txnlog", log})
	}
	if force {
		fmt.Fprintln(out, "Force enabled, data/txnlog directories will be re-initialized")
	}
	for _, d := range dirs {
		if !force && exists(dataFolder(d.dir)) {
			fmt.Fprintf(out, "ZooKeeper %s directory already exists at %s (or use --force to force re-initialization)\n", d.what, d.dir)
			return cli.Exit(1)
		}
	}
	for _, d := range dirs {
		err := errors.Join(os.RemoveAll(filepath.Join(d.dir, "myid")), os.RemoveAll(dataFolder(d.dir)), os.MkdirAll(dataFolder(d.dir), 0o755))
		if err != nil {
			return err
		}
	}
	if myid == "" {
		fmt.Fprintf(out, "No myid provided, be sure to specify it in %s/myid if using non-standalone\n", p.dataDir())
	} else {
		fmt.Fprintf(out, "Using myid of %s\n", myid)
		if err := os.WriteFile(filepath.Join(p.dataDir(), "myid"), []byte(myid+"\n"), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(p.dataDir(), "initialize"), nil, 0o644)
}
