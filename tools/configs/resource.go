package configs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// resourceType maps the type of an entity; dynamic is the source that says that somebody
// set a value for just that entity.
func resourceType(kind, name string) (t kmsg.ConfigResourceType, dynamic kmsg.ConfigSource) {
	switch kind {
	case topics:
		return kmsg.ConfigResourceTypeTopic, kmsg.ConfigSourceDynamicTopicConfig
	case brokers:
		if name == "" {
			return kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicDefaultBrokerConfig
		}
		return kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicBrokerConfig
	case brokerLoggers:
		return kmsg.ConfigResourceTypeBrokerLogger, anySource
	case clientMetrics:
		return kmsg.ConfigResourceTypeClientMetrics, sourceClientMetrics
	default:
		return kmsg.ConfigResourceTypeGroupConfig, sourceGroup
	}
}

// Sources that have no name in the client's enumeration, and one that stands for all.
const (
	anySource           kmsg.ConfigSource = -1
	sourceClientMetrics kmsg.ConfigSource = 7
	sourceGroup         kmsg.ConfigSource = 8
)

// sourceName is how Kafka prints where a value comes from.
func sourceName(s kmsg.ConfigSource) string {
	names := []string{"UNKNOWN", "DYNAMIC_TOPIC_CONFIG", "DYNAMIC_BROKER_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG", "STATIC_BROKER_CONFIG",
		"DEFAULT_CONFIG", "DYNAMIC_BROKER_LOGGER_CONFIG", "DYNAMIC_CLIENT_METRICS_CONFIG", "DYNAMIC_GROUP_CONFIG"}
	if s < 0 || int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// entry is one setting with its value.
type entry = kmsg.DescribeConfigsResponseResourceConfig

// describeBatch resources are asked for at once, so that a long list shows progress.
const describeBatch = 200

// fetch describes resources; all includes what nobody set for just that entity.
func (r *runner) fetch(ctx context.Context, kind string, names []string, all bool) (map[string][]entry, error) {
	out := map[string][]entry{}
	progress := cli.NewProgress(r.err, kind+" described")
	defer progress.Close()
	for batch := range slices.Chunk(names, describeBatch) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms = true
		for _, name := range batch {
			resource := kmsg.NewDescribeConfigsRequestResource()
			resource.ResourceName = name
			resource.ResourceType, _ = resourceType(kind, name)
			req.Resources = append(req.Resources, resource)
		}
		resp, err := req.RequestWith(ctx, r.client)
		if err != nil {
			return nil, err
		}
		for _, found := range resp.Resources {
			if err := cli.NewBrokerError(found.ErrorCode, found.ErrorMessage); err != nil {
				return nil, err
			}
			_, dynamic := resourceType(kind, found.ResourceName)
			entries := slices.DeleteFunc(found.Configs, func(e entry) bool { return !all && dynamic != anySource && e.Source != dynamic })
			slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
			out[found.ResourceName] = entries
		}
		progress.Set(len(out), len(names))
	}
	return out, nil
}

func valueOf(v *string) string {
	if v == nil {
		return "null"
	}
	return *v
}

// singular is the type's name in a sentence: Kafka drops the last letter.
func singular(kind string) string { return kind[:len(kind)-1] }

func (r *runner) describe(ctx context.Context) error {
	switch kind := r.e.types[0]; kind {
	case users, clients:
		return r.describeQuotasAndCredentials(ctx)
	case ips:
		return r.describeQuotas(ctx)
	default:
		return r.describeResources(ctx, kind)
	}
}

func (r *runner) describeResources(ctx context.Context, kind string) error {
	names, err := r.resourceNames(ctx, kind)
	if err != nil {
		return err
	}
	if len(r.e.names) > 0 {
		name := r.e.names[0]
		known := name == "" || kind == groups || r.o.all || slices.Contains(names, name)
		if !known {
			fmt.Fprintf(r.out, "The %s '%s' doesn't exist and doesn't have dynamic config.\n", singular(kind), name)
			return nil
		}
		names = []string{name}
	}
	found, err := r.fetch(ctx, kind, names, r.o.all)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case name == "" && kind == brokers:
			fmt.Fprintf(r.out, "Default configs for %s in the cluster are:\n", kind)
		case r.o.all:
			fmt.Fprintf(r.out, "All configs for %s %s are:\n", singular(kind), name)
		default:
			fmt.Fprintf(r.out, "Dynamic configs for %s %s are:\n", singular(kind), name)
		}
		for _, e := range found[name] {
			synonyms := make([]string, len(e.ConfigSynonyms))
			for i, s := range e.ConfigSynonyms {
				synonyms[i] = sourceName(s.Source) + ":" + s.Name + "=" + valueOf(s.Value)
			}
			fmt.Fprintf(r.out, "  %s=%s sensitive=%t synonyms={%s}\n", e.Name, valueOf(e.Value), e.IsSensitive, strings.Join(synonyms, ", "))
		}
	}
	return nil
}

// resourceNames lists what there is of a type, for a describe without a name.
func (r *runner) resourceNames(ctx context.Context, kind string) ([]string, error) {
	switch kind {
	case topics:
		return cli.Topics(ctx, r.admin, true)
	case brokers, brokerLoggers:
		list, err := r.admin.ListBrokers(ctx)
		if err != nil {
			return nil, err
		}
		var names []string
		ids := list.NodeIDs()
		slices.SortFunc(ids, cmp.Compare[int32])
		for _, id := range ids {
			names = append(names, strconv.Itoa(int(id)))
		}
		if kind == brokers {
			names = append(names, "")
		}
		return names, nil
	case clientMetrics:
		return clientMetricsNames(ctx, r.admin)
	}
	if len(r.e.names) > 0 {
		return nil, nil
	}
	listed, err := r.admin.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	names := listed.Groups()
	if cli.Serves(ctx, r.client, kmsg.ListConfigResources, 1) {
		more, err := r.admin.ListConfigResources(ctx, kmsg.ConfigResourceTypeGroupConfig)
		if err != nil {
			return nil, err
		}
		for _, m := range more.Sorted() {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
