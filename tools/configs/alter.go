package configs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	return incremental(ctx, r.client, t, name, add, remove)
}

// incremental sets and removes settings of one resource, all or none.
func incremental(ctx context.Context, client *kgo.Client, t kmsg.ConfigResourceType, name string, set settings, remove []string) error {
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = t, name
	op := func(key string, value *string, how kmsg.IncrementalAlterConfigOp) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value, c.Op = key, value, how
		resource.Configs = append(resource.Configs, c)
	}
	for _, key := range set.names() {
		op(key, kmsg.StringPtr(set[key]), kmsg.IncrementalAlterConfigOpSet)
	}
	for _, key := range remove {
		op(key, nil, kmsg.IncrementalAlterConfigOpDelete)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, answer := range resp.Resources {
		if err := cli.NewBrokerError(answer.ErrorCode, answer.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}
