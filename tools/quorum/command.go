package quorum

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

// Program is what the composition root hands in.
type Program struct {
	Version string
	// Serve runs a server with a zoo.cfg in this process until it is told to stop.
	Serve func(cmd *cobra.Command, file string, log Logging) error
}

// Logging is how the server's lines look.
type Logging struct{ Format, Level string }

const help = `Run a server of the quorum: a ZooKeeper, in place and with the files of Apache's.

With FILE, a zoo.cfg, the server runs in this terminal until Ctrl-C or SIGTERM. The other
words are those of zkServer.sh: start and stop keep the process's number in dataDir
(or in the file that ZOOPIDFILE names), and log to ZOO_LOG_DIR, or to logs/ beside bin/.
Where no FILE is given, zoo.cfg in ZOOCFGDIR or in conf/ beside bin/ is taken.

The number of a server of an ensemble stands in dataDir/myid. SERVER_JVMFLAGS and JVMFLAGS
may hold -D words, as for Java's server.

Exit codes: 0 when it was told to stop, 2 for a configuration that cannot be used, 3 when
data or disk failed, 14 when a port between servers is taken, 1 for everything else.`

const examples = `  # run a server here, with the zoo.cfg of the tutorial
  {{.}} /opt/zookeeper/conf/zoo.cfg

  # in the background; then ask what it is, and stop it
  {{.}} start /opt/zookeeper/conf/zoo.cfg
  {{.}} status /opt/zookeeper/conf/zoo.cfg
  {{.}} stop /opt/zookeeper/conf/zoo.cfg

  # the same with the scripts in /opt/zookeeper/bin, which find /opt/zookeeper/conf/zoo.cfg
  zkServer.sh start && zkServer.sh status`

// tool is one command line of zkServer.sh.
type tool struct {
	called  string
	dir     string // --config
	program Program
	log     Logging
}

// Command is zkServer.sh. The commands that run a server in this process, and so mind signals
// themselves, get the annotation serves.
func Command(name, serves string, program Program) *cobra.Command {
	t := &tool{called: name, program: program}
	root := &cobra.Command{
		Use: name, Short: "Run a server of the quorum, a ZooKeeper (zkServer.sh)", Long: help, Example: examples,
	}
	words := []*cobra.Command{
		t.word("start", "Start a server in the background; returns when it runs or has failed.", t.start),
		t.word("start-foreground", "Run a server in this terminal.", t.foreground),
		t.word("stop", "Stop the server that start started, and wait for its end.", t.stop),
		t.word("restart", "Stop, then start.", t.restart),
		t.word("status", "Ask the server whether it leads, follows, observes or stands alone.", t.status),
		t.word("version", "Print the version.", nil),
		t.word("print-cmd", "Print the command that start would run.", t.printCommand),
	}
	files := []*cobra.Command{
		initializeCommand("initialize", cli.Called(name)+" initialize"),
		importCommand(cli.Called(name) + " import"),
		snapshotCommand("dump-snapshot", cli.Called(name)+" dump-snapshot"),
		txnLogCommand("dump-log", cli.Called(name)+" dump-log"),
		cleanupCommand("cleanup", cli.Called(name)+" cleanup"),
	}
	cli.Commands(root, append(words, files...)...)
	for _, c := range files[1:] {
		c.Args = cobra.MaximumNArgs(2)
		c.Use = c.Name() + map[string]string{"import": " [FILE]", "cleanup": " [DATADIR]"}[c.Name()]
		if c.Use == c.Name() {
			c.Use += " FILE"
		}
	}
	for _, w := range words {
		w.Args = oneFile
		w.Use = w.Name() + " [FILE]"
	}
	words[1].Annotations[serves] = "yes"
	root.Annotations = map[string]string{serves: "yes"}
	root.Use = name + " [FILE]"
	f := root.PersistentFlags()
	f.StringVar(&t.dir, "config", "", "Folder of zoo.cfg, in place of ZOOCFGDIR.")
	f.StringVar(&t.log.Format, "log-format", "text", "Form of log lines: text or json.")
	f.StringVar(&t.log.Level, "log-level", "info", "Least level that is logged: debug, info, warn or error.")
	_ = root.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.Args = oneFile
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cli.Usagef("which zoo.cfg, or which of start, start-foreground, stop, restart, status, version, print-cmd?")
		}
		return program.Serve(cmd, configFile(t.called, t.dir, args[0]), t.log)
	}
	return root
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return cli.Usagef("unexpected argument %q: one FILE at most", args[1])
	}
	return nil
}

// word is one of zkServer.sh's, which takes the configuration's file.
func (t *tool) word(name, short string, run func(cmd *cobra.Command, p *place) error) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Annotations: map[string]string{cli.NoArguments: "yes"}}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if run == nil {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Millrace %s, a server for clients of Apache ZooKeeper 3.4 to 3.8\n", t.program.Version)
			return err
		}
		p, err := find(t.called, t.dir, strings.Join(args, ""))
		if !cli.InBackground() { // start has said it
			fmt.Fprintf(cmd.ErrOrStderr(), "Using config: %s\n", p.config)
		}
		if err != nil {
			return &cli.ExitError{Code: InvalidInvocation, Message: err.Error()}
		}
		return run(cmd, p)
	}
	return cmd
}

// Exit codes of ZooKeeper's server (ExitCode.java).
const (
	InvalidInvocation = 2  // the configuration cannot be used
	DataUnusable      = 3  // the data directory cannot be used
	AdminFailed       = 4  // the admin server's port cannot be opened
	QuorumPortTaken   = 14 // a port between servers cannot be opened
)

func (t *tool) foreground(cmd *cobra.Command, p *place) error {
	return t.program.Serve(cmd, p.config, t.log)
}
