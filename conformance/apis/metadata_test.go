package apis

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// notAsked is what authorized operations are when nobody asked for them.
const notAsked = -1 << 31

func (c *client) metadata(v int16, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	c.Helper()
	return call[*kmsg.MetadataResponse](c, v, req)
}

// metadataOf asks for topics by name, without auto-creation; no names ask for none.
func metadataOf(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &n
		req.Topics = append(req.Topics, t)
	}
	return req
}

func TestMetadataDescribesATopic(t *testing.T) {
	c := target(t)
	made := c.create(3)
	each(c, 0, 13, func(c *client, v int16) {
		resp := c.metadata(v, metadataOf(made.name))
		c.checkCluster(v, resp)
		got := one(c, "topics", resp.Topics)
		code(c, got.ErrorCode, nil)
		equal(c, "name", deref(got.Topic), made.name)
		equal(c, "internal", got.IsInternal, false)
		if v >= 10 {
			equal(c, "topic id", got.TopicID, made.id)
		}
		equal(c, "authorized operations", got.AuthorizedOperations, notAsked)
		equal(c, "partitions", len(got.Partitions), 3)
		for i, p := range got.Partitions {
			code(c, p.ErrorCode, nil)
			equal(c, "partition", p.Partition, int32(i))
			equal(c, "leader", p.Leader, resp.Brokers[0].NodeID)
			if v >= 7 && p.LeaderEpoch < 0 {
				c.Errorf("leader epoch %d", p.LeaderEpoch)
			}
			equal(c, "replicas", one(c, "replicas", p.Replicas), p.Leader)
			equal(c, "in sync", one(c, "ISR", p.ISR), p.Leader)
			equal(c, "offline replicas", len(p.OfflineReplicas), 0)
		}
	})
}

// checkCluster looks at what every answer has besides topics.
func (c *client) checkCluster(v int16, resp *kmsg.MetadataResponse) {
	c.Helper()
	b := one(c, "brokers", resp.Brokers)
	equal(c, "broker's address", net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), c.addr)
	if v >= 1 {
		equal(c, "controller", resp.ControllerID, b.NodeID)
	}
	if v >= 2 && deref(resp.ClusterID) == "" {
		c.Error("no cluster id")
	}
	equal(c, "throttle", resp.ThrottleMillis, 0)
	equal(c, "cluster operations", resp.AuthorizedOperations, notAsked)
	if v >= 13 {
		code(c, resp.ErrorCode, nil)
	}
}

func TestMetadataOfAllAndOfNoTopics(t *testing.T) {
	c := target(t)
	first, second := c.create(1), c.create(2)
	count := func(resp *kmsg.MetadataResponse) (n int) {
		for _, got := range resp.Topics {
			if name := deref(got.Topic); name == first.name || name == second.name {
				n++
			}
		}
		return n
	}
	each(c, 0, 13, func(c *client, v int16) {
		empty := c.metadata(v, metadataOf())
		c.checkCluster(v, empty)
		if v == 0 {
			equal(c, "topics of an empty list, which asks for all", count(empty), 2)
			return
		}
		equal(c, "topics of an empty list", len(empty.Topics), 0)
		all := kmsg.NewPtrMetadataRequest()
		all.Topics = nil
		equal(c, "topics of null, which asks for all", count(c.metadata(v, all)), 2)
	})
}

func TestMetadataOfUnknownTopics(t *testing.T) {
	c := target(t)
	each(c, 4, 13, func(c *client, v int16) {
		name := c.fresh()
		for range 2 { // asking makes nothing
			got := one(c, "topics", c.metadata(v, metadataOf(name)).Topics)
			code(c, got.ErrorCode, kerr.UnknownTopicOrPartition)
			equal(c, "name", deref(got.Topic), name)
			equal(c, "partitions", len(got.Partitions), 0)
			equal(c, "topic id", got.TopicID, [16]byte{})
		}
		for _, bad := range []string{"", ".", "..", "a b", "a/b", "é", strings.Repeat("x", 250)} {
			req := metadataOf(bad)
			req.AllowAutoTopicCreation = true
			code(c, one(c, "topics", c.metadata(v, req).Topics).ErrorCode, kerr.InvalidTopicException)
		}
	})
}

func TestMetadataByTopicID(t *testing.T) {
	c := target(t)
	made := c.create(1)
	each(c, 12, 13, func(c *client, v int16) {
		req := kmsg.NewPtrMetadataRequest()
		known, unknown := kmsg.NewMetadataRequestTopic(), kmsg.NewMetadataRequestTopic()
		known.TopicID, unknown.TopicID = made.id, [16]byte{1, 2, 3}
		req.Topics = append(req.Topics, known, unknown)
		resp := c.metadata(v, req)
		if len(resp.Topics) != 2 {
			c.Fatalf("%d topics", len(resp.Topics))
		}
		for _, got := range resp.Topics {
			if got.TopicID == made.id {
				code(c, got.ErrorCode, nil)
				equal(c, "name", deref(got.Topic), made.name)
				continue
			}
			code(c, got.ErrorCode, kerr.UnknownTopicID)
			equal(c, "topic id", got.TopicID, unknown.TopicID)
			if got.Topic != nil {
				c.Errorf("an unknown id has the name %q", *got.Topic)
			}
		}
	})
}

func TestMetadataAuthorizedOperationsOnlyWhenAsked(t *testing.T) {
	c := target(t)
	made := c.create(1)
	// READ, WRITE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS and CREATE as
	// bits of AclOperation's codes; the cluster has others.
	const topicOps = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	const clusterOps = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	each(c, 8, 13, func(c *client, v int16) {
		req := metadataOf(made.name)
		req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = true, true
		resp := c.metadata(v, req)
		equal(c, "topic operations without CREATE", one(c, "topics", resp.Topics).AuthorizedOperations&^(1<<5), topicOps&^(1<<5))
		if v <= 10 {
			equal(c, "cluster operations", resp.AuthorizedOperations, clusterOps)
		}
	})
}

func TestMetadataAutoCreates(t *testing.T) {
	b, c := launch(t, map[string]string{"num.partitions": "4"})
	each(c, 0, 13, func(c *client, v int16) {
		name := c.fresh()
		req := metadataOf(name)
		req.AllowAutoTopicCreation = true
		got := one(c, "topics", c.metadata(v, req).Topics)
		code(c, got.ErrorCode, nil) // no second question is needed
		equal(c, "partitions", len(got.Partitions), 4)
		for _, p := range got.Partitions {
			code(c, p.ErrorCode, nil)
		}
		if v >= 10 && got.TopicID == [16]byte{} {
			c.Error("no topic id")
		}
		made := topic{name, got.TopicID}
		equal(c, "first offset", c.put(made, values("at once")), 0)
		if log := b.Log(); !strings.Contains(log, name) || !strings.Contains(log, "apis") || !strings.Contains(log, c.nc.LocalAddr().String()) {
			c.Errorf("the log does not say who made %s:\n%s", name, log)
		}
	})
}

func TestMetadataDoesNotAutoCreateWhenItIsOff(t *testing.T) {
	_, c := launch(t, map[string]string{"auto.create.topics.enable": "false"})
	each(c, 0, 13, func(c *client, v int16) {
		req := metadataOf(c.fresh())
		req.AllowAutoTopicCreation = true
		code(c, one(c, "topics", c.metadata(v, req).Topics).ErrorCode, kerr.UnknownTopicOrPartition)
	})
}
