package apis

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c *client) describeConfigs(v int16, resource kmsg.ConfigResourceType, name string, keys []string, detail bool) kmsg.DescribeConfigsResponseResource {
	c.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = detail, detail
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = resource, name, keys
	req.Resources = append(req.Resources, r)
	resp := call[*kmsg.DescribeConfigsResponse](c, v, req)
	equal(c, "throttle", resp.ThrottleMillis, 0)
	got := one(c, "resources", resp.Resources)
	equal(c, "resource type", got.ResourceType, resource)
	equal(c, "resource name", got.ResourceName, name)
	return got
}

func TestDescribeConfigsOfATopic(t *testing.T) {
	c := target(t)
	made := c.create(1, "retention.ms", "1234", "cleanup.policy", "compact")
	each(c, 1, 4, func(c *client, v int16) {
		for _, detail := range []bool{false, true} {
			all := c.describeConfigs(v, kmsg.ConfigResourceTypeTopic, made.name, nil, detail)
			code(c, all.ErrorCode, nil)
			rows := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
			for _, row := range all.Configs {
				rows[row.Name] = row
			}
			if len(rows) < 25 || len(rows) != len(all.Configs) {
				c.Errorf("%d rows, %d names", len(all.Configs), len(rows))
			}
			for name, want := range map[string]struct {
				value  string
				source kmsg.ConfigSource
				kind   kmsg.ConfigType
			}{
				"retention.ms":      {"1234", kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigTypeLong},
				"cleanup.policy":    {"compact", kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigTypeList},
				"segment.bytes":     {"1073741824", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeInt},
				"max.message.bytes": {"1048588", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeInt},
				"compression.type":  {"producer", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeString},
				"preallocate":       {"false", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeBoolean},
			} {
				row := rows[name]
				equal(c, name, deref(row.Value), want.value)
				equal(c, name+": source", row.Source, want.source)
				equal(c, name+": sensitive", row.IsSensitive, false)
				equal(c, name+": read only", row.ReadOnly, false)
				if v >= 3 {
					equal(c, name+": type", row.ConfigType, want.kind)
				}
				if detail != (len(row.ConfigSynonyms) > 0) {
					c.Errorf("%s: synonyms %+v, asked for: %v", name, row.ConfigSynonyms, detail)
				}
				if v >= 3 && detail != (deref(row.Documentation) != "") {
					c.Errorf("%s: documentation %q, asked for: %v", name, deref(row.Documentation), detail)
				}
			}
			if detail {
				s := rows["retention.ms"].ConfigSynonyms
				equal(c, "first synonym", s[0].Name+"="+deref(s[0].Value), "retention.ms=1234")
				equal(c, "its source", s[0].Source, kmsg.ConfigSourceDynamicTopicConfig)
				last := s[len(s)-1]
				equal(c, "last synonym's source", last.Source, kmsg.ConfigSourceDefaultConfig)
				equal(c, "last synonym is the broker's", strings.HasPrefix(last.Name, "log.retention."), true)
			}
		}
		some := c.describeConfigs(v, kmsg.ConfigResourceTypeTopic, made.name, []string{"segment.bytes", "no.such.key"}, false)
		code(c, some.ErrorCode, nil)
		equal(c, "the key that was asked for", one(c, "rows", some.Configs).Name, "segment.bytes")
		none := c.describeConfigs(v, kmsg.ConfigResourceTypeTopic, c.fresh(), nil, false)
		code(c, none.ErrorCode, kerr.UnknownTopicOrPartition)
		equal(c, "rows of an unknown topic", len(none.Configs), 0)
	})
}

func TestDescribeConfigsOfABroker(t *testing.T) {
	_, c := launch(t, map[string]string{"log.retention.hours": "5"})
	each(c, 1, 4, func(c *client, v int16) {
		self := c.describeConfigs(v, kmsg.ConfigResourceTypeBroker, "1", []string{"log.retention.hours", "num.partitions", "listeners", "broker.id"}, true)
		code(c, self.ErrorCode, nil)
		for _, row := range self.Configs {
			switch row.Name {
			case "log.retention.hours":
				equal(c, row.Name, deref(row.Value), "5")
				equal(c, row.Name+": source", row.Source, kmsg.ConfigSourceStaticBrokerConfig)
			case "num.partitions":
				equal(c, row.Name, deref(row.Value), "1")
				equal(c, row.Name+": source", row.Source, kmsg.ConfigSourceDefaultConfig)
				equal(c, row.Name+": read only", row.ReadOnly, true)
			case "broker.id":
				equal(c, row.Name, deref(row.Value), "1")
			case "listeners":
				equal(c, row.Name, deref(row.Value), "PLAINTEXT://"+c.addr)
			}
		}
		equal(c, "rows", len(self.Configs), 4)
		code(c, c.describeConfigs(v, kmsg.ConfigResourceTypeBroker, "", nil, false).ErrorCode, nil)
		for _, other := range []string{"2", "x", "-1"} {
			got := c.describeConfigs(v, kmsg.ConfigResourceTypeBroker, other, nil, false)
			code(c, got.ErrorCode, kerr.InvalidRequest)
			if deref(got.ErrorMessage) == "" {
				c.Error("no message")
			}
		}
		code(c, c.describeConfigs(v, 77, "x", nil, false).ErrorCode, kerr.InvalidRequest)
	})
}

func TestDescribeCluster(t *testing.T) {
	c := target(t)
	cluster := deref(c.metadata(12, metadataOf()).ClusterID)
	each(c, 0, 2, func(c *client, v int16) {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = 1
		for _, ops := range []bool{false, true} {
			req.IncludeClusterAuthorizedOperations = ops
			resp := call[*kmsg.DescribeClusterResponse](c, v, req)
			code(c, resp.ErrorCode, nil)
			equal(c, "throttle", resp.ThrottleMillis, 0)
			equal(c, "cluster id", resp.ClusterID, cluster)
			b := one(c, "brokers", resp.Brokers)
			equal(c, "controller", resp.ControllerID, b.NodeID)
			equal(c, "address", net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), c.addr)
			equal(c, "operations were asked for", resp.ClusterAuthorizedOperations != notAsked, ops)
			if v >= 1 {
				equal(c, "endpoint type", resp.EndpointType, 1)
			}
		}
		if v >= 1 {
			for kind, want := range map[int8]*kerr.Error{2: kerr.MismatchedEndpointType, 3: kerr.UnsupportedEndpointType, 0: kerr.UnsupportedEndpointType} {
				req.EndpointType = kind
				code(c, call[*kmsg.DescribeClusterResponse](c, v, req).ErrorCode, want)
			}
		}
	})
}

func TestDescribeLogDirs(t *testing.T) {
	c := target(t)
	made, other := c.create(2), c.create(1)
	b := sized(10_000)
	for range 3 {
		c.put(made, b)
	}
	each(c, 1, 4, func(c *client, v int16) {
		ask := func(all bool, parts ...int32) map[string]int64 {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: made.name, Partitions: parts}}
			if all {
				req.Topics = nil
			}
			resp := call[*kmsg.DescribeLogDirsResponse](c, v, req)
			code(c, resp.ErrorCode, nil)
			equal(c, "throttle", resp.ThrottleMillis, 0)
			sizes := map[string]int64{}
			for _, d := range resp.Dirs {
				code(c, d.ErrorCode, nil)
				if d.Dir == "" || d.Dir[0] != '/' {
					c.Errorf("directory %q", d.Dir)
				}
				if v >= 4 && (d.TotalBytes <= 0 || d.UsableBytes <= 0 || d.UsableBytes > d.TotalBytes) {
					c.Errorf("volume of %d bytes, %d usable", d.TotalBytes, d.UsableBytes)
				}
				for _, dt := range d.Topics {
					for _, p := range dt.Partitions {
						equal(c, "lag", p.OffsetLag, 0)
						equal(c, "future", p.IsFuture, false)
						sizes[dt.Topic+"-"+strconv.Itoa(int(p.Partition))] = p.Size
					}
				}
			}
			return sizes
		}
		all := ask(true)
		equal(c, "size", all[made.name+"-0"], 3*int64(len(b.bytes())))
		equal(c, "size of an empty partition", all[made.name+"-1"], 0)
		if _, ok := all[other.name+"-0"]; !ok {
			c.Error("null leaves a topic out")
		}
		some := ask(false, 0, 9)
		equal(c, "partitions that were asked for", len(some), 1)
		equal(c, "size", some[made.name+"-0"], 3*int64(len(b.bytes())))
	})
}
