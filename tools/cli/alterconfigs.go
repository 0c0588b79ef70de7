package cli

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs sets and removes settings of one resource, all or none of them; what is not
// named stays as it is.
func AlterConfigs(ctx context.Context, client *kgo.Client, t kmsg.ConfigResourceType, name string, set map[string]string, remove []string) error {
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = t, name
	op := func(key string, value *string, how kmsg.IncrementalAlterConfigOp) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value, c.Op = key, value, how
		resource.Configs = append(resource.Configs, c)
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
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
		if err := NewBrokerError(answer.ErrorCode, answer.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}
