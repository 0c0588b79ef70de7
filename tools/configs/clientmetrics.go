package configs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const metricsExamples = `  # ask all Java clients of one team for their producer metrics, every ten seconds
  {{.}} --bootstrap-server 127.0.0.1:9092 --alter --name team-a --metrics org.apache.kafka.producer. \
      --interval 10000 --match 'client_id=team-a-.*'

  # which subscriptions there are, what they say; end one
  {{.}} --bootstrap-server 127.0.0.1:9092 --list
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --name team-a
  {{.}} --bootstrap-server 127.0.0.1:9092 --delete --name team-a`

type metricsOptions struct {
	bootstrap, commandConfig, name, match, metrics string
	alter, delete, describe, list, generateName    bool
	intervalMs                                     int
	given                                          func(string) bool
}

// ClientMetrics returns kafka-client-metrics.sh; name is what the user calls it by.
func ClientMetrics(name string) *cobra.Command {
	o := &metricsOptions{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Say which metrics clients push (kafka-client-metrics.sh)",
		Long:    "This tool helps to manipulate and describe client metrics configurations.",
		Example: strings.ReplaceAll(metricsExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&o.bootstrap, "bootstrap-server", "", "REQUIRED: The Kafka server to connect to (HOST:PORT,...).")
	f.StringVar(&o.commandConfig, "command-config", "", "Property file with settings for the admin client.")
	f.BoolVar(&o.alter, "alter", false, "Make or change a subscription.")
	f.BoolVar(&o.delete, "delete", false, "Delete a subscription.")
	f.BoolVar(&o.describe, "describe", false, "Show the settings of a subscription, or of all.")
	f.BoolVar(&o.list, "list", false, "List the subscriptions.")
	f.StringVar(&o.name, "name", "", "Name of the subscription.")
	f.BoolVar(&o.generateName, "generate-name", false, "Make up a name.")
	f.IntVar(&o.intervalMs, "interval", 0, "How often clients push (ms).")
	f.StringVar(&o.match, "match", "", "Which clients: 'k1=v1,k2=v2', values regular expressions, of client_id, client_instance_id, client_software_name, client_software_version, client_source_address, client_source_port.")
	f.StringVar(&o.metrics, "metrics", "", "Prefixes of metric names: 'm1,m2'; * is all.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.given = cmd.Flags().Changed
		if err := o.check(); err != nil {
			return err
		}
		if err := o.run(cmd); err != nil {
			if stopped := cli.Stopped(cmd, err); stopped != nil {
				return stopped
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Error while executing client metrics command : %s\n", cli.ErrorText(err))
			return cli.Exit(1)
		}
		return nil
	}
	return cmd
}

func (o *metricsOptions) check() error {
	actions := map[bool]string{o.alter: "alter", o.delete: "delete", o.describe: "describe", o.list: "list"}
	n := 0
	for _, on := range []bool{o.alter, o.delete, o.describe, o.list} {
		if on {
			n++
		}
	}
	if n != 1 {
		return cli.Usagef("Command must include exactly one action: --alter, --delete, --describe or --list.")
	}
	if o.bootstrap == "" {
		return cli.Usagef("--bootstrap-server must be specified.")
	}
	for _, only := range []string{"generate-name", "interval", "match", "metrics", "name"} {
		if o.given(only) && !o.alter && (only != "name" || o.list) {
			return cli.Usagef("Option \"[%s]\" can't be used with option \"[%s]\"", actions[true], only)
		}
	}
	if o.alter && o.given("name") == o.generateName {
		return cli.Usagef("One of --name or --generate-name must be specified with --alter.")
	}
	if o.delete && !o.given("name") {
		return cli.Usagef("A client metrics resource name must be specified with --delete.")
	}
	return nil
}

func (o *metricsOptions) run(cmd *cobra.Command) error {
	client, err := cli.Dial(cmd, o.bootstrap, o.commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	r := &runner{client: client, admin: kadm.NewClient(client), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
	switch {
	case o.alter:
		return o.change(ctx, r)
	case o.delete:
		found, err := r.fetch(ctx, clientMetrics, []string{o.name}, false)
		if err != nil {
			return err
		}
		var keys []string
		for _, e := range found[o.name] {
			keys = append(keys, e.Name)
		}
		if err := cli.AlterConfigs(ctx, client, kmsg.ConfigResourceTypeClientMetrics, o.name, nil, keys); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "Deleted client metrics config for %s.\n", o.name)
		return nil
	case o.list:
		names, err := clientMetricsNames(ctx, r.admin)
		fmt.Fprintln(r.out, strings.Join(names, "\n"))
		return err
	default:
		return o.show(ctx, r)
	}
}

func (o *metricsOptions) show(ctx context.Context, r *runner) error {
	names, err := clientMetricsNames(ctx, r.admin)
	if err != nil {
		return err
	}
	if o.given("name") {
		names = []string{o.name}
	}
	found, err := r.fetch(ctx, clientMetrics, names, true)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintf(r.out, "Client metrics configs for %s are:\n", name)
		for _, e := range found[name] {
			fmt.Fprintf(r.out, "  %s=%s\n", e.Name, valueOf(e.Value))
		}
	}
	return nil
}

// change sets what the flags say; a flag with an empty value removes its setting.
func (o *metricsOptions) change(ctx context.Context, r *runner) error {
	name := o.name
	if o.generateName {
		var id [16]byte
		_, _ = rand.Read(id[:])
		name = base64.RawURLEncoding.EncodeToString(id[:])
	}
	set, remove := settings{}, []string(nil)
	for flag, value := range map[string][2]string{"interval": {"interval.ms", strconv.Itoa(o.intervalMs)}, "metrics": {"metrics", o.metrics}, "match": {"match", o.match}} {
		switch {
		case !o.given(flag):
		case value[1] == "":
			remove = append(remove, value[0])
		default:
			set[value[0]] = value[1]
		}
	}
	if err := cli.AlterConfigs(ctx, r.client, kmsg.ConfigResourceTypeClientMetrics, name, set, remove); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "Altered client metrics config for %s.\n", name)
	return nil
}

// clientMetricsNames lists the subscriptions.
func clientMetricsNames(ctx context.Context, admin *kadm.Client) ([]string, error) {
	listed, err := admin.ListConfigResources(ctx, kmsg.ConfigResourceTypeClientMetrics)
	if err == nil {
		err = listed.Err
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, res := range listed.Sorted() {
		names = append(names, res.Name)
	}
	return names, nil
}
