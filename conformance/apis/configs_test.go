package apis

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alter changes settings by IncrementalAlterConfigs; ops are "+key=value" (SET), "-key"
// (DELETE), "<key=value" (APPEND) and ">key=value" (SUBTRACT).
func (c *client) alter(v int16, kind kmsg.ConfigResourceType, name string, validateOnly bool, ops ...string) kmsg.IncrementalAlterConfigsResponseResource {
	c.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = validateOnly
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, op := range ops {
		k, value, set := strings.Cut(op[1:], "=")
		cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		cfg.Name, cfg.Op = k, kmsg.IncrementalAlterConfigOp(strings.IndexByte("+-<>", op[0]))
		if set {
			cfg.Value = &value
		}
		r.Configs = append(r.Configs, cfg)
	}
	req.Resources = append(req.Resources, r)
	resp := call[*kmsg.IncrementalAlterConfigsResponse](c, v, req)
	equal(c, "throttle", resp.ThrottleMillis, 0)
	got := one(c, "resources", resp.Resources)
	equal(c, "resource type", got.ResourceType, kind)
	equal(c, "resource name", got.ResourceName, name)
	return got
}

// setting is a value and where it comes from, as DescribeConfigs 4 tells.
func (c *client) setting(kind kmsg.ConfigResourceType, name, key string) string {
	c.Helper()
	got := c.describeConfigs(4, kind, name, []string{key}, false)
	code(c, got.ErrorCode, nil)
	row := one(c, "rows", got.Configs)
	return deref(row.Value) + " " + row.Source.String()
}

func TestIncrementalAlterConfigs(t *testing.T) {
	c := target(t)
	each(c, 0, 1, func(c *client, v int16) {
		made := c.create(1, "retention.ms", "1234")
		const topic = kmsg.ConfigResourceTypeTopic
		code(c, c.alter(v, topic, made.name, true, "+retention.ms=5").ErrorCode, nil)
		equal(c, "after a dry run", c.setting(topic, made.name, "retention.ms"), "1234 DYNAMIC_TOPIC_CONFIG")
		got := c.alter(v, topic, made.name, false, "+retention.ms=99", "+segment.ms=7000", "<cleanup.policy=compact")
		code(c, got.ErrorCode, nil)
		equal(c, "message of a success", got.ErrorMessage == nil, true)
		equal(c, "SET", c.setting(topic, made.name, "retention.ms"), "99 DYNAMIC_TOPIC_CONFIG")
		equal(c, "another SET", c.setting(topic, made.name, "segment.ms"), "7000 DYNAMIC_TOPIC_CONFIG")
		equal(c, "APPEND", c.setting(topic, made.name, "cleanup.policy"), "delete,compact DYNAMIC_TOPIC_CONFIG")
		code(c, c.alter(v, topic, made.name, false, "-retention.ms", "-segment.ms", ">cleanup.policy=delete").ErrorCode, nil)
		equal(c, "DELETE", c.setting(topic, made.name, "segment.ms"), "604800000 DEFAULT_CONFIG")
		equal(c, "SUBTRACT", c.setting(topic, made.name, "cleanup.policy"), "compact DYNAMIC_TOPIC_CONFIG")

		for _, bad := range []struct {
			op   string
			want *kerr.Error
		}{
			{"+retention.ms=x", kerr.InvalidConfig}, {"+no.such.key=1", kerr.InvalidConfig}, {"<retention.ms=1", kerr.InvalidConfig},
			{"+retention.ms", kerr.InvalidRequest}, {">cleanup.policy=compact", kerr.InvalidConfig},
		} {
			refused := c.alter(v, topic, made.name, false, "+segment.ms=1", bad.op)
			code(c, refused.ErrorCode, bad.want)
			if deref(refused.ErrorMessage) == "" {
				c.Errorf("%s: no message", bad.op)
			}
		}
		code(c, c.alter(v, topic, made.name, false, "+segment.ms=1", "+segment.ms=2").ErrorCode, kerr.InvalidRequest)
		equal(c, "after refused changes", c.setting(topic, made.name, "segment.ms"), "604800000 DEFAULT_CONFIG")
		code(c, c.alter(v, topic, c.fresh(), false, "+segment.ms=1").ErrorCode, kerr.UnknownTopicOrPartition)
	})
}

func TestAlterConfigsOfABroker(t *testing.T) {
	_, c := launch(t, map[string]string{"log.segment.bytes": "100000"})
	made := c.create(1)
	each(c, 0, 1, func(c *client, v int16) {
		const broker = kmsg.ConfigResourceTypeBroker
		inherited := func(want string) {
			c.Helper()
			equal(c, "the topic's segment.bytes", c.setting(kmsg.ConfigResourceTypeTopic, made.name, "segment.bytes"), want)
		}
		inherited("100000 STATIC_BROKER_CONFIG")
		code(c, c.alter(v, broker, "", false, "+log.segment.bytes=200000").ErrorCode, nil)
		inherited("200000 DYNAMIC_DEFAULT_BROKER_CONFIG")
		code(c, c.alter(v, broker, "1", false, "+log.segment.bytes=300000").ErrorCode, nil)
		inherited("300000 DYNAMIC_BROKER_CONFIG")
		row := one(c, "rows", c.describeConfigs(4, broker, "1", []string{"log.segment.bytes"}, true).Configs)
		var chain []string
		for _, s := range row.ConfigSynonyms {
			chain = append(chain, deref(s.Value))
		}
		equal(c, "synonyms", strings.Join(chain, " "), "300000 200000 100000 1073741824")
		equal(c, "defaults of all brokers", one(c, "rows", c.describeConfigs(4, broker, "", nil, false).Configs).Name, "log.segment.bytes")
		code(c, c.alter(v, broker, "1", false, "-log.segment.bytes").ErrorCode, nil)
		code(c, c.alter(v, broker, "", false, "-log.segment.bytes").ErrorCode, nil)
		inherited("100000 STATIC_BROKER_CONFIG")
		for _, bad := range [][2]string{{"1", "+num.partitions=3"}, {"1", "+log.segment.bytes=1"}, {"2", "+log.segment.bytes=100"}, {"", "+advertised.listeners=PLAINTEXT://a:1"}, {"1", "+nonsense.key=1"}} {
			code(c, c.alter(v, broker, bad[0], false, bad[1]).ErrorCode, kerr.InvalidRequest)
		}
	})
}

func TestAlterConfigsOfLoggersGroupsAndClientMetrics(t *testing.T) {
	_, c := launch(t, nil)
	each(c, 0, 1, func(c *client, v int16) {
		const logger, group, metrics = kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics
		code(c, c.alter(v, logger, "1", false, "+engine=DEBUG").ErrorCode, nil)
		equal(c, "level", c.setting(logger, "1", "engine"), "DEBUG DYNAMIC_BROKER_LOGGER_CONFIG")
		code(c, c.alter(v, logger, "1", false, "-engine").ErrorCode, nil)
		equal(c, "level of the root", c.setting(logger, "1", "engine"), "INFO DYNAMIC_BROKER_LOGGER_CONFIG")
		code(c, c.alter(v, logger, "1", false, "+no.logger=DEBUG").ErrorCode, kerr.InvalidConfig)
		code(c, c.alter(v, logger, "2", false, "+engine=DEBUG").ErrorCode, kerr.InvalidRequest)

		code(c, c.alter(v, group, "a/group", false, "+consumer.session.timeout.ms=50000").ErrorCode, nil)
		row := c.describeConfigs(4, group, "a/group", []string{"consumer.session.timeout.ms"}, true)
		got := one(c, "rows", row.Configs)
		equal(c, "group", deref(got.Value), "50000")
		equal(c, "its source", int8(got.Source), 8)
		code(c, c.alter(v, group, "a/group", false, "+consumer.session.timeout.ms=1").ErrorCode, kerr.InvalidConfig)

		equal(c, "rows of no subscription", len(c.describeConfigs(4, metrics, "sub", nil, false).Configs), 0)
		code(c, c.alter(v, metrics, "sub", false, "+interval.ms=1000", "+metrics=org.apache.", "+match=client_id=app-.*").ErrorCode, nil)
		equal(c, "rows of a subscription", len(c.describeConfigs(4, metrics, "sub", nil, false).Configs), 3)
		for lv, kinds := range map[int16][]int8{0: nil, 1: {16, 32}} {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.ResourceTypes = kinds
			listed := call[*kmsg.ListConfigResourcesResponse](c, lv, req)
			code(c, listed.ErrorCode, nil)
			want := "sub"
			if lv == 1 {
				want = "sub a/group"
			}
			var names []string
			for _, r := range listed.ConfigResources {
				names = append(names, r.Name)
			}
			equal(c, "listed", strings.Join(names, " "), want)
		}
		code(c, c.alter(v, metrics, "sub", false, "-interval.ms", "-metrics", "-match").ErrorCode, nil)
		code(c, c.alter(v, group, "a/group", false, "-consumer.session.timeout.ms").ErrorCode, nil)
		equal(c, "rows of a subscription that is gone", len(c.describeConfigs(4, metrics, "sub", nil, false).Configs), 0)
	})
	made := c.create(1)
	req := kmsg.NewPtrListConfigResourcesRequest()
	found := map[int8]string{}
	for _, r := range call[*kmsg.ListConfigResourcesResponse](c, 1, req).ConfigResources {
		found[int8(r.Type)] = r.Name
	}
	equal(t, "types", len(found), 3)
	equal(t, "topic", found[2], made.name)
	equal(t, "broker", found[4], "1")
	equal(t, "logger", found[8], "1")
	req.ResourceTypes = []int8{99}
	code(t, call[*kmsg.ListConfigResourcesResponse](c, 1, req).ErrorCode, kerr.UnsupportedVersion)
}

func TestAlterConfigs(t *testing.T) {
	c := target(t)
	each(c, 0, 2, func(c *client, v int16) {
		made := c.create(1, "retention.ms", "1234", "segment.ms", "5000")
		alter := func(name string, validateOnly bool, key string, value *string) *kmsg.AlterConfigsResponse {
			req := kmsg.NewPtrAlterConfigsRequest()
			req.ValidateOnly = validateOnly
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
			cfg := kmsg.NewAlterConfigsRequestResourceConfig()
			cfg.Name, cfg.Value = key, value
			r.Configs = append(r.Configs, cfg)
			req.Resources = append(req.Resources, r)
			return call[*kmsg.AlterConfigsResponse](c, v, req)
		}
		value := "77"
		code(c, one(c, "resources", alter(made.name, true, "retention.ms", &value).Resources).ErrorCode, nil)
		equal(c, "after a dry run", c.setting(kmsg.ConfigResourceTypeTopic, made.name, "segment.ms"), "5000 DYNAMIC_TOPIC_CONFIG")
		got := one(c, "resources", alter(made.name, false, "retention.ms", &value).Resources)
		code(c, got.ErrorCode, nil)
		equal(c, "resource name", got.ResourceName, made.name)
		equal(c, "what was given", c.setting(kmsg.ConfigResourceTypeTopic, made.name, "retention.ms"), "77 DYNAMIC_TOPIC_CONFIG")
		equal(c, "what was left out", c.setting(kmsg.ConfigResourceTypeTopic, made.name, "segment.ms"), "604800000 DEFAULT_CONFIG")
		code(c, one(c, "resources", alter(made.name, false, "retention.ms", nil).Resources).ErrorCode, kerr.InvalidRequest)
		code(c, one(c, "resources", alter(made.name, false, "no.such.key", &value).Resources).ErrorCode, kerr.InvalidConfig)
		code(c, one(c, "resources", alter(c.fresh(), false, "retention.ms", &value).Resources).ErrorCode, kerr.UnknownTopicOrPartition)
	})
}
