package configs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
	"github.com/millrace/millrace/tools/kafkazk"
)

// This file is the tool with --zookeeper, for topics: it writes the nodes itself and prints
// the lines of Apache Kafka 1.0's (kafka.admin.ConfigCommand).

func (o *options) checkZooKeeper() (entity, error) {
	for _, other := range []string{"bootstrap-server", "bootstrap-controller", "command-config", "add-config-file", "all"} {
		if o.given(other) {
			return entity{}, cli.Usagef("Option \"[%s]\" can't be used with option \"[zookeeper]\"", other)
		}
	}
	e, err := o.entity()
	if err != nil {
		return e, err
	}
	if len(e.types) != 1 || e.types[0] != topics || e.hasDefault() {
		return e, cli.Usagef("--zookeeper is for topics only: use --bootstrap-server HOST:9092 with the address of a broker for %s", strings.Join(e.types, ","))
	}
	if o.describe {
		return e, e.checkDescribe()
	}
	return e, o.checkAlter(e)
}

func (o *options) runZooKeeper(cmd *cobra.Command, e entity) error {
	err := o.actZooKeeper(cmd, e)
	if err == nil {
		return nil
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

func (o *options) actZooKeeper(cmd *cobra.Command, e entity) error {
	add, err := o.additions()
	if err != nil {
		return err
	}
	zk, err := kafkazk.Dial(cmd.Context(), o.zookeeper)
	if err != nil {
		return err
	}
	defer zk.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	names := e.names
	if len(names) == 0 {
		if names, err = zk.ConfiguredTopics(ctx); err != nil {
			return err
		}
	}
	for _, topic := range names {
		config, err := zk.TopicConfig(ctx, topic)
		if err != nil {
			return err
		}
		if o.describe {
			var words []string
			for _, key := range slices.Sorted(maps.Keys(config)) {
				words = append(words, key+"="+config[key])
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Configs for topic '%s' are %s\n", topic, strings.Join(words, ","))
			continue
		}
		remove := o.deletions()
		if unknown := without(slices.Clone(remove), func(name string) bool { _, there := config[name]; return there }); len(unknown) > 0 {
			return refuse("Invalid config(s): %s", strings.Join(unknown, ","))
		}
		maps.Copy(config, add)
		for _, name := range remove {
			delete(config, name)
		}
		if err := zk.ChangeTopicConfig(ctx, topic, config); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Completed Updating config for entity: topic '%s'.\n", topic)
	}
	return nil
}
