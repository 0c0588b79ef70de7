package configs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// Entity types as they stand on the command line.
const (
	topics        = "topics"
	clients       = "clients"
	users         = "users"
	brokers       = "brokers"
	brokerLoggers = "broker-loggers"
	ips           = "ips"
	clientMetrics = "client-metrics"
	groups        = "groups"
)

func entityTypes() []string {
	return []string{topics, clients, users, brokers, ips, clientMetrics, groups, brokerLoggers}
}

// options are the flags of one command line.
type options struct {
	bootstrap, controller, commandConfig string
	zookeeper                            string
	alter, describe, all, force          bool
	types, names                         []string // of --entity-*, in the order they were given
	addConfig, addConfigFile             string
	deleteConfig                         []string
	given                                func(string) bool
	flags                                *pflag.FlagSet
}

const examples = `  # what a topic has of its own; with all that it inherits
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --topic clicks
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --topic clicks --all

  # keep a topic for a day, compact it too; back to the default
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --topic clicks --add-config 'retention.ms=86400000,cleanup.policy=[compact,delete]'
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --topic clicks --delete-config retention.ms

  # a setting of all brokers, and of one
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --broker-defaults --add-config log.cleaner.threads=2
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --broker 1 --all

  # quotas: a user, a client of every user, one address
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --user alice --add-config producer_byte_rate=1048576
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --entity-type clients --entity-name reporter --add-config request_percentage=50
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --ip 10.0.0.7 --add-config connection_creation_rate=5
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --entity-type users --entity-type clients`

// Command returns kafka-configs.sh; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Show and change settings and quotas (kafka-configs.sh)",
		Long:    "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or group",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	o.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.flags, o.given = cmd.Flags(), cmd.Flags().Changed
		e, err := o.check()
		if err != nil {
			return err
		}
		if o.zookeeper != "" {
			return o.runZooKeeper(cmd, e)
		}
		return o.run(cmd, e)
	}
	return cmd
}

func (o *options) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The Kafka servers to connect to (HOST:PORT,...).")
	f.StringVar(&o.controller, "bootstrap-controller", "", "The Kafka controllers to connect to, instead of --bootstrap-server.")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.describe, "describe", false, "Show the settings of an entity.")
	f.BoolVar(&o.alter, "alter", false, "Change the settings of an entity.")
	f.BoolVar(&o.all, "all", false, "With --describe: all settings, also those that nobody set.")
	f.StringArrayVar(&o.types, "entity-type", nil, "Type of entity: topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups. Users and clients may stand together.")
	f.Var((*ordered)(&o.names), "entity-name", "Name of the entity: topic, client id, user, broker id, address, group.")
	f.Var((*orderedDefault)(&o.names), "entity-default", "The default entity, for clients, users, brokers and ips.")
	f.Lookup("entity-default").NoOptDefVal = "true"
	f.StringVar(&o.addConfig, "add-config", "", "Settings to set: 'k1=v1,k2=[v1,v2],k3=v3'. Users: quotas producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate, or SCRAM-SHA-256=[iterations=8192,password=...]. Ips: connection_creation_rate.")
	f.StringVar(&o.addConfigFile, "add-config-file", "", "Property file with settings to set.")
	f.StringSliceVar(&o.deleteConfig, "delete-config", nil, "Settings to put back to their default: 'k1,k2'.")
	f.BoolVar(&o.force, "force", false, "Suppress console prompts (there are none).")
	for _, s := range short() {
		if s.named {
			f.String(s.flag, "", s.help)
		} else {
			f.Bool(s.flag, false, s.help)
		}
	}
	f.StringVar(&o.zookeeper, "zookeeper", "", "Instead of --bootstrap-server, for topics: the ensemble that keeps the cluster's state (HOST:PORT,.../CHROOT), as with Kafka 1.0.")
	f.String("zk-tls-config-file", "", "")
	cli.Hide(f, "zk-tls-config-file")
	_ = cmd.RegisterFlagCompletionFunc("topic", cli.CompleteTopics)
	_ = cmd.RegisterFlagCompletionFunc("group", cli.CompleteGroups)
	_ = cmd.RegisterFlagCompletionFunc("entity-type", cli.CompleteWords(entityTypes()...))
	_ = cmd.RegisterFlagCompletionFunc("entity-name", func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(o.types) > 0 && o.types[0] == groups {
			return cli.CompleteGroups(cmd, args, typed)
		}
		return cli.CompleteTopics(cmd, args, typed)
	})
}

// short lists the flags that say type and name in one, in the order in which they count.
func short() []struct {
	flag, kind string
	named      bool
	help       string
} {
	return []struct {
		flag, kind string
		named      bool
		help       string
	}{
		{"topic", topics, true, "The topic."},
		{"client", clients, true, "The client's id."},
		{"user", users, true, "The user's principal name."},
		{"broker", brokers, true, "The broker's id."},
		{"broker-logger", brokerLoggers, true, "The broker's id, for its log levels."},
		{"ip", ips, true, "The address."},
		{"client-metrics", clientMetrics, true, "The name of a client metrics subscription."},
		{"group", groups, true, "The group's id."},
		{"client-defaults", clients, false, "The defaults of all clients."},
		{"user-defaults", users, false, "The defaults of all users."},
		{"broker-defaults", brokers, false, "The defaults of all brokers."},
		{"ip-defaults", ips, false, "The defaults of all addresses."},
	}
}

// ordered and orderedDefault keep --entity-name and --entity-default in one list: which
// type a default belongs to follows from its place.
type (
	ordered        []string
	orderedDefault []string
)

func (o *ordered) String() string        { return "" }
func (o *ordered) Type() string          { return "string" }
func (o *ordered) Set(name string) error { *o = append(*o, name); return nil }

func (o *orderedDefault) String() string   { return "false" }
func (o *orderedDefault) Type() string     { return "bool" }
func (o *orderedDefault) IsBoolFlag() bool { return true }
func (o *orderedDefault) Set(on string) error {
	if on == "true" {
		*o = append(*o, "")
	}
	return nil
}

// runner does what one command line asks for.
type runner struct {
	o        *options
	e        entity
	client   *kgo.Client
	admin    *kadm.Client
	out, err io.Writer
}

// requestTime bounds the whole work after the cluster was reached.
const requestTime = time.Minute

func (o *options) run(cmd *cobra.Command, e entity) error {
	err := o.act(cmd, e)
	var usage *cli.UsageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	if stopped := cli.Stopped(cmd, err); stopped != nil {
		return stopped
	}
	if _, refused := err.(refusal); refused {
		cmd.PrintErrln(err)
		return cli.Exit(1)
	}
	cmd.PrintErrf("Error while executing config command with args '%s'\n%s\n", o.line(), cli.ErrorLine(err))
	return cli.Exit(1)
}

func (o *options) act(cmd *cobra.Command, e entity) error {
	add, err := o.additions()
	if err != nil {
		return err
	}
	at := o.bootstrap
	if at == "" {
		at = o.controller
	}
	client, err := cli.Dial(cmd, at, o.commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	r := &runner{o: o, e: e, client: client, admin: kadm.NewClient(client), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
	if o.alter {
		return r.alter(ctx, add)
	}
	return r.describe(ctx)
}

// line is the command line again, for the message of a failure; passwords stay out of it.
func (o *options) line() string {
	var words []string
	o.flags.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if f.Name == "entity-name" {
			value = strings.Join(o.names, ",")
		}
		if strings.Contains(value, "password=") {
			value = "[hidden]"
		}
		words = append(words, "--"+f.Name)
		if f.Value.Type() != "bool" {
			words = append(words, strings.Trim(value, "[]"))
		}
	})
	return strings.Join(words, " ")
}

// refusal is an error of which Kafka's tool prints the bare text.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }
