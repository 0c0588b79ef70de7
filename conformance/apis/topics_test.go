package apis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCreateTopics(t *testing.T) {
	c := target(t)
	each(c, 0, 7, func(c *client, v int16) {
		want := newTopic(c.fresh(), 3)
		retention := "12345"
		want.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: &retention}}
		if v >= 1 {
			checked := one(c, "topics", c.createTopics(v, true, want).Topics)
			code(c, checked.ErrorCode, nil)
			code(c, one(c, "topics", c.metadata(12, metadataOf(want.Topic)).Topics).ErrorCode, kerr.UnknownTopicOrPartition)
		}
		resp := c.createTopics(v, false, want)
		equal(c, "throttle", resp.ThrottleMillis, 0)
		made := one(c, "topics", resp.Topics)
		code(c, made.ErrorCode, nil)
		equal(c, "topic", made.Topic, want.Topic)
		if made.ErrorMessage != nil {
			c.Errorf("a success with the message %q", *made.ErrorMessage)
		}
		known := one(c, "topics", c.metadata(12, metadataOf(want.Topic)).Topics)
		equal(c, "partitions", len(known.Partitions), 3)
		if v >= 7 {
			equal(c, "topic id", made.TopicID, known.TopicID)
		}
		if v >= 5 {
			equal(c, "partitions", made.NumPartitions, 3)
			equal(c, "replication factor", made.ReplicationFactor, 1)
			code(c, made.ConfigErrorCode, nil)
			found := false
			for _, row := range made.Configs {
				if row.Name == "retention.ms" {
					found = true
					equal(c, "retention.ms", deref(row.Value), retention)
					equal(c, "its source", row.Source, int8(kmsg.ConfigSourceDynamicTopicConfig))
				}
			}
			equal(c, "retention.ms is there", found, true)
		}
		// It can be used when the answer comes.
		equal(c, "first offset", c.put(topic{name: want.Topic}, values("x")), 0)

		again := one(c, "topics", c.createTopics(v, false, want).Topics)
		code(c, again.ErrorCode, kerr.TopicAlreadyExists)
		if v >= 1 {
			equal(c, "the message names the topic", strings.Contains(deref(again.ErrorMessage), want.Topic), true)
			code(c, one(c, "topics", c.createTopics(v, true, want).Topics).ErrorCode, kerr.TopicAlreadyExists)
		}
		if v >= 5 {
			equal(c, "partitions of what was refused", again.NumPartitions, -1)
			equal(c, "replication factor of what was refused", again.ReplicationFactor, -1)
		}
	})
}

func TestCreateTopicsWithDefaults(t *testing.T) {
	_, c := launch(t, map[string]string{"num.partitions": "5"})
	each(c, 4, 7, func(c *client, v int16) {
		want := newTopic(c.fresh(), -1)
		want.ReplicationFactor = -1
		made := one(c, "topics", c.createTopics(v, false, want).Topics)
		code(c, made.ErrorCode, nil)
		if v >= 5 {
			equal(c, "partitions", made.NumPartitions, 5)
			equal(c, "replication factor", made.ReplicationFactor, 1)
		}
		equal(c, "partitions", len(one(c, "topics", c.metadata(12, metadataOf(want.Topic)).Topics).Partitions), 5)
	})
}

// brokerID is that of the broker that answers.
func (c *client) brokerID() int32 {
	return one(c, "brokers", c.metadata(12, metadataOf()).Brokers).NodeID
}

func TestCreateTopicsErrors(t *testing.T) {
	c := target(t)
	existing := c.create(1)
	self := c.brokerID()
	assigned := func(name string, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
		out := newTopic(name, -1)
		out.ReplicationFactor = -1
		for i, r := range replicas {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), r
			out.ReplicaAssignment = append(out.ReplicaAssignment, a)
		}
		return out
	}
	configured := func(name, key string, value *string) kmsg.CreateTopicsRequestTopic {
		out := newTopic(name, 1)
		out.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: key, Value: value}}
		return out
	}
	changed := func(change func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
		out := newTopic(c.fresh(), 1)
		change(&out)
		return out
	}
	bad, word, negative := "-2", "soon", "-5"
	each(c, 0, 7, func(c *client, v int16) {
		for _, row := range []struct {
			name string
			ask  kmsg.CreateTopicsRequestTopic
			want *kerr.Error
		}{
			{"no partitions", newTopic(c.fresh(), 0), kerr.InvalidPartitions},
			{"negative partitions", newTopic(c.fresh(), -2), kerr.InvalidPartitions},
			{"replication factor 0", changed(func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = 0 }), kerr.InvalidReplicationFactor},
			{"replication factor 2 of one broker", changed(func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = 2 }), kerr.InvalidReplicationFactor},
			{"no name", newTopic("", 1), kerr.InvalidTopicException},
			{"dots", newTopic("..", 1), kerr.InvalidTopicException},
			{"slash", newTopic("a/b", 1), kerr.InvalidTopicException},
			{"long name", newTopic(strings.Repeat("n", 250), 1), kerr.InvalidTopicException},
			{"exists", newTopic(existing.name, 1), kerr.TopicAlreadyExists},
			{"unknown key", configured(c.fresh(), "retention.msx", &bad), kerr.InvalidConfig},
			{"bad value", configured(c.fresh(), "retention.ms", &word), kerr.InvalidConfig},
			{"value out of range", configured(c.fresh(), "max.message.bytes", &negative), kerr.InvalidConfig},
			{"null value", configured(c.fresh(), "retention.ms", nil), kerr.InvalidConfig},
			{"assignment to nobody", assigned(c.fresh(), []int32{}), kerr.InvalidReplicaAssignment},
			{"assignment to an unknown broker", assigned(c.fresh(), []int32{self + 1000}), kerr.InvalidReplicaAssignment},
			{"assignment to one broker twice", assigned(c.fresh(), []int32{self, self}), kerr.InvalidReplicaAssignment},
			{"too many partitions", newTopic(c.fresh(), 1<<30), kerr.PolicyViolation},
		} {
			got := one(c, "topics", c.createTopics(v, false, row.ask).Topics)
			if got.ErrorCode != row.want.Code {
				c.Errorf("%s: %v (%s), want %v", row.name, kerr.ErrorForCode(got.ErrorCode), deref(got.ErrorMessage), row.want)
			}
			if v >= 1 && deref(got.ErrorMessage) == "" {
				c.Errorf("%s: no message", row.name)
			}
		}
		both := assigned(c.fresh(), []int32{self})
		both.NumPartitions = 1
		code(c, one(c, "topics", c.createTopics(v, false, both).Topics).ErrorCode, kerr.InvalidRequest)
		code(c, one(c, "topics", c.createTopics(v, false, assigned(c.fresh(), []int32{self}, []int32{self})).Topics).ErrorCode, nil)

		// One bad topic costs the others nothing; the same name twice is refused.
		fine, twice := newTopic(c.fresh(), 1), newTopic(c.fresh(), 1)
		codes := map[string]int16{}
		for _, got := range c.createTopics(v, false, fine, newTopic("a b", 1), twice, twice).Topics {
			codes[got.Topic] = got.ErrorCode
		}
		code(c, codes[fine.Topic], nil)
		code(c, codes["a b"], kerr.InvalidTopicException)
		code(c, codes[twice.Topic], kerr.InvalidRequest)
	})
}

// Names that differ only in dots and underscores collide in metrics (Kafka refuses them).
func TestCreateTopicsThatCollide(t *testing.T) {
	c := target(t)
	name := c.fresh()
	code(t, one(t, "topics", c.createTopics(7, false, newTopic(name+".a_b", 1)).Topics).ErrorCode, nil)
	code(t, one(t, "topics", c.createTopics(7, false, newTopic(name+"_a.b", 1)).Topics).ErrorCode, kerr.InvalidTopicException)
}

// deleteTopics names topics as each version does: by name, or by name or id from 6 on.
func (c *client) deleteTopics(v int16, names []string, ids ...[16]byte) *kmsg.DeleteTopicsResponse {
	c.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	req.TopicNames = names
	for _, n := range names {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &n})
	}
	for _, id := range ids {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: id})
	}
	return call[*kmsg.DeleteTopicsResponse](c, v, req)
}

func TestDeleteTopics(t *testing.T) {
	c := target(t)
	each(c, 0, 6, func(c *client, v int16) {
		first, second := c.create(2), c.create(1)
		c.put(first, values("x"))
		unknown := c.fresh()
		resp := c.deleteTopics(v, []string{first.name, unknown})
		equal(c, "throttle", resp.ThrottleMillis, 0)
		equal(c, "topics", len(resp.Topics), 2)
		for _, got := range resp.Topics {
			if deref(got.Topic) == unknown {
				code(c, got.ErrorCode, kerr.UnknownTopicOrPartition)
				continue
			}
			equal(c, "topic", deref(got.Topic), first.name)
			code(c, got.ErrorCode, nil)
			if v >= 6 {
				equal(c, "topic id", got.TopicID, first.id)
			}
		}
		code(c, one(c, "topics", c.metadata(12, metadataOf(first.name)).Topics).ErrorCode, kerr.UnknownTopicOrPartition)
		code(c, one(c, "topics", c.metadata(12, metadataOf(second.name)).Topics).ErrorCode, nil)
		// The same name can be used at once, and is empty.
		code(c, one(c, "topics", c.createTopics(7, false, newTopic(first.name, 1)).Topics).ErrorCode, nil)
		equal(c, "end of the new topic", c.offset(first, 0, -1), 0)
		if v < 6 {
			return
		}
		resp = c.deleteTopics(v, nil, second.id, [16]byte{7})
		equal(c, "topics", len(resp.Topics), 2)
		for _, got := range resp.Topics {
			if got.TopicID == second.id {
				code(c, got.ErrorCode, nil)
				equal(c, "name", deref(got.Topic), second.name)
				continue
			}
			code(c, got.ErrorCode, kerr.UnknownTopicID)
			if got.Topic != nil {
				c.Errorf("an unknown id has the name %q", *got.Topic)
			}
		}
		both := kmsg.NewPtrDeleteTopicsRequest()
		name := unknown
		both.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name, TopicID: [16]byte{7}}}
		code(c, one(c, "topics", call[*kmsg.DeleteTopicsResponse](c, v, both).Topics).ErrorCode, kerr.InvalidRequest)
	})
}

func TestDeleteTopicsWhenItIsOff(t *testing.T) {
	_, c := launch(t, map[string]string{"delete.topic.enable": "false"})
	made := c.create(1)
	each(c, 0, 6, func(c *client, v int16) {
		want := kerr.TopicDeletionDisabled
		if v < 3 {
			want = kerr.InvalidRequest
		}
		for _, got := range c.deleteTopics(v, []string{made.name}).Topics {
			code(c, got.ErrorCode, want)
			if v >= 5 && deref(got.ErrorMessage) == "" {
				c.Error("no message")
			}
		}
		code(c, one(c, "topics", c.metadata(12, metadataOf(made.name)).Topics).ErrorCode, nil)
	})
}

func (c *client) createPartitions(v int16, validateOnly bool, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsResponse {
	c.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.ValidateOnly, req.TimeoutMillis = topics, validateOnly, int32(patience.Milliseconds())
	return call[*kmsg.CreatePartitionsResponse](c, v, req)
}

func more(name string, count int32, replicas ...[]int32) kmsg.CreatePartitionsRequestTopic {
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, count
	for _, r := range replicas {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
	}
	return t
}

func TestCreatePartitions(t *testing.T) {
	c := target(t)
	self := c.brokerID()
	each(c, 0, 3, func(c *client, v int16) {
		made := c.create(2)
		count := func() int { return len(one(c, "topics", c.metadata(12, metadataOf(made.name)).Topics).Partitions) }
		ask := func(want *kerr.Error, validateOnly bool, topic kmsg.CreatePartitionsRequestTopic) {
			c.Helper()
			resp := c.createPartitions(v, validateOnly, topic)
			equal(c, "throttle", resp.ThrottleMillis, 0)
			got := one(c, "topics", resp.Topics)
			equal(c, "topic", got.Topic, topic.Topic)
			code(c, got.ErrorCode, want)
			if want != nil && deref(got.ErrorMessage) == "" {
				c.Errorf("%v without a message", want)
			}
		}
		ask(nil, true, more(made.name, 4))
		equal(c, "partitions after validateOnly", count(), 2)
		ask(nil, false, more(made.name, 4))
		equal(c, "partitions", count(), 4)
		code(c, c.produceAt(9, produceRequest(made, 3, values("x").bytes())).ErrorCode, nil)
		ask(nil, false, more(made.name, 6, []int32{self}, []int32{self}))
		equal(c, "partitions", count(), 6)
		for _, n := range []int32{6, 5, 0, -1} {
			ask(kerr.InvalidPartitions, false, more(made.name, n))
		}
		ask(kerr.InvalidPartitions, true, more(made.name, 3))
		ask(kerr.UnknownTopicOrPartition, false, more(c.fresh(), 3))
		ask(kerr.InvalidReplicaAssignment, false, more(made.name, 8, []int32{self}))
		ask(kerr.InvalidReplicaAssignment, false, more(made.name, 7, []int32{self + 1000}))
		ask(kerr.InvalidReplicaAssignment, false, more(made.name, 7, []int32{}))
		for _, got := range c.createPartitions(v, false, more(made.name, 7), more(made.name, 8)).Topics {
			code(c, got.ErrorCode, kerr.InvalidRequest)
		}
		equal(c, "partitions after what was refused", count(), 6)
	})
}

// A consumer that waits on a topic learns of new partitions by Metadata, and what was there
// keeps its records.
func TestCreatePartitionsKeepsRecords(t *testing.T) {
	b, c := launch(t, nil)
	made := c.create(1)
	for i := range 3 {
		c.put(made, values(fmt.Sprint(i)))
	}
	code(t, one(t, "topics", c.createPartitions(3, false, more(made.name, 3)).Topics).ErrorCode, nil)
	equal(t, "end", c.offset(made, 0, -1), 3)
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	c = c.another()
	equal(t, "end after a restart", c.offset(made, 0, -1), 3)
	got := one(t, "topics", c.metadata(12, metadataOf(made.name)).Topics)
	equal(t, "partitions after a restart", len(got.Partitions), 3)
	equal(t, "topic id after a restart", got.TopicID, made.id)
}
