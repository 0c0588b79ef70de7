package configs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/tools/cli"
)

func (r *runner) alter(ctx context.Context, add settings) error {
	kind, name := r.e.types[0], r.e.names[0]
	remove := r.o.deletions()
	var err error
	switch kind {
	case users, clients:
		err = r.alterUsersAndClients(ctx, add, remove)
	case ips:
		if unknown := without(append(add.names(), remove...), isAddressQuota); len(unknown) > 0 {
			return refuse("Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: %s", strings.Join(unknown, ","))
		}
		err = r.alterQuotas(ctx, add, remove)
	default:
		err = r.alterResource(ctx, kind, name, add, remove)
	}
	if err != nil {
		return err
	}
	if name != "" {
		fmt.Fprintf(r.out, "Completed updating config for %s %s.\n", singular(kind), name)
	} else {
		fmt.Fprintf(r.out, "Completed updating default config for %s in the cluster.\n", kind)
	}
	return nil
}

// without returns the words that keep does not take.
func without(words []string, keep func(string) bool) []string {
	return slices.DeleteFunc(words, keep)
}

// alterResource changes a topic, broker, logger, group or client metrics subscription.
func (r *runner) alterResource(ctx context.Context, kind, name string, add settings, remove []string) error {
	found, err := r.fetch(ctx, kind, []string{name}, kind == brokerLoggers)
	if err != nil {
		return err
	}
	unknown := func(words []string) []string {
		return without(slices.Clone(words), func(w string) bool {
			return slices.ContainsFunc(found[name], func(e entry) bool { return e.Name == w })
		})
	}
	if kind == brokerLoggers {
		if bad := append(unknown(remove), unknown(add.names())...); len(bad) > 0 {
			return refuse("Invalid broker logger(s): %s", strings.Join(bad, ","))
		}
	} else if bad := unknown(remove); len(bad) > 0 {
		return refuse("Invalid config(s): %s", strings.Join(bad, ","))
	}
	t, _ := resourceType(kind, name)
	return cli.AlterConfigs(ctx, r.client, t, name, add, remove)
}
