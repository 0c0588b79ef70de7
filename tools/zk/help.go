package zk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

const long = `ZooKeeper's shell. Without a command it reads commands: on a terminal with a prompt, a history and completion by the tab
key, else from its input, one a line. The exit code is that of the last command: 0, 1 when it failed, 127 when there is
no such command.`

const examples = `  # what is at the root of the ZooKeeper on this machine
  {{.}} ls /

  # the brokers of a cluster below a chroot, and what one of them said of itself
  {{.}} -server zk1:2181,zk2:2181,zk3:2181/kafka ls /brokers/ids
  {{.}} -server zk1:2181,zk2:2181,zk3:2181/kafka get /brokers/ids/1

  # several commands through a pipe
  printf 'create /app\ncreate /app/config "a b"\nget -s /app/config\n' | {{.}}

  # everything below a node, and away with it
  {{.}} ls -R /app
  {{.}} deleteall /app`

const optionsHelp = `  -server <host:port,...[/chroot]>   The servers; all are tried, in random order. (default: ` + defaultServer + `)
  -timeout <ms>                      The session's timeout. (default: 30000)
  -r                                 A server that has no quorum will do, if it answers reads.
  -waitforconnection                 Wait for a connection before the first command, as long as -timeout says.
  -client-configuration <file>       ZooKeeper's properties for clients: zookeeper.client.secure=true,
                                     zookeeper.ssl.trustStore.location, zookeeper.ssl.keyStore.location (PEM files),
                                     zookeeper.ssl.hostnameVerification, jute.maxbuffer.
  --help                             Print this help.`

const historyHelp = `The history is kept in ~/` + historyFile + ` (another file: ` + historyVariable + `; none when that is empty). Lines with addauth are
left out, since they hold passwords.`

// usage prints how the tool is used.
func usage(cmd *cobra.Command) error {
	lines := []string{}
	for _, c := range commands() {
		lines = append(lines, c.usage())
	}
	lines = append(lines, "connect host:port", "help", "history", "printwatches on|off", "quit", "redo cmdno")
	slices.Sort(lines)
	_, err := fmt.Fprintf(cmd.OutOrStderr(), "Usage:\n  %s [OPTION]... [COMMAND [WORD]...]\n\nExamples:\n%s\n\nOptions:\n%s\n\nCommands:\n  %s\n\n%s\n",
		cli.Called(cmd.Name()), cmd.Example, optionsHelp, strings.Join(lines, "\n  "), historyHelp)
	return err
}
