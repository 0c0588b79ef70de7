package apis

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var topicsNamed atomic.Int64

// fresh is a name that no topic has.
func (c *client) fresh() string {
	name := strings.NewReplacer("/", "-", "=", "-").Replace(c.Name())
	return fmt.Sprintf("%s-%x-%d", name, time.Now().UnixMilli(), topicsNamed.Add(1))
}

// topic is one that was made for a test.
type topic struct {
	name string
	id   [16]byte
}

// create makes a topic; configs are key, value, key, value.
func (c *client) create(partitions int32, configs ...string) topic {
	c.Helper()
	t := newTopic(c.fresh(), partitions)
	for i := 0; i < len(configs); i += 2 {
		k := kmsg.NewCreateTopicsRequestTopicConfig()
		k.Name, k.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, k)
	}
	got := one(c, "topics", c.createTopics(7, false, t).Topics)
	if got.ErrorCode != 0 {
		c.Fatalf("create %s: %v: %s", t.Topic, kerr.ErrorForCode(got.ErrorCode), deref(got.ErrorMessage))
	}
	return topic{t.Topic, got.TopicID}
}

func newTopic(name string, partitions int32) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	return t
}

func (c *client) createTopics(v int16, validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsResponse {
	c.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.ValidateOnly, req.TimeoutMillis = topics, validateOnly, int32(patience.Milliseconds())
	return call[*kmsg.CreateTopicsResponse](c, v, req)
}

func (c *client) deleteTopic(t topic) {
	c.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{t.name}
	code(c, one(c, "topics", call[*kmsg.DeleteTopicsResponse](c, 5, req).Topics).ErrorCode, nil)
}

// produceRequest has one batch for one partition, acks=all.
func produceRequest(t topic, partition int32, records []byte) *kmsg.ProduceRequest {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	pt := kmsg.NewProduceRequestTopic()
	pt.Topic, pt.TopicID = t.name, t.id
	pt.Partitions = append(pt.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(patience.Milliseconds())
	req.Topics = append(req.Topics, pt)
	return req
}

// produceAt sends a produce request and returns the answer for its only partition.
func (c *client) produceAt(v int16, req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	c.Helper()
	t := one(c, "topics", call[*kmsg.ProduceResponse](c, v, req).Topics)
	return one(c, "partitions", t.Partitions)
}

// put appends a batch to partition 0 and returns its first offset.
func (c *client) put(t topic, b batch) int64 {
	c.Helper()
	p := c.produceAt(9, produceRequest(t, 0, b.bytes()))
	if p.ErrorCode != 0 {
		c.Fatalf("produce to %s: %v: %s", t.name, kerr.ErrorForCode(p.ErrorCode), deref(p.ErrorMessage))
	}
	return p.BaseOffset
}

// refuse sends a batch that must be refused with the given error, and checks that nothing
// was appended. It returns the message.
func (c *client) refuse(v int16, t topic, records []byte, want *kerr.Error) string {
	c.Helper()
	before := c.offset(t, 0, -1)
	p := c.produceAt(v, produceRequest(t, 0, records))
	code(c, p.ErrorCode, want)
	equal(c, "base offset of what was refused", p.BaseOffset, -1)
	equal(c, "log end after what was refused", c.offset(t, 0, -1), before)
	if v >= 8 && (p.ErrorMessage == nil || *p.ErrorMessage == "") {
		c.Errorf("%v comes without a message", want)
	}
	return deref(p.ErrorMessage)
}

// wanted is a partition of a fetch: no leader epoch, 1 MiB.
func wanted(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	return p
}

// fetchRequest asks for partitions of one topic without a session, and does not wait.
func fetchRequest(t topic, parts ...kmsg.FetchRequestTopicPartition) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, 64<<20
	req.SessionEpoch = -1
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic, ft.TopicID, ft.Partitions = t.name, t.id, parts
	req.Topics = append(req.Topics, ft)
	return req
}

func (c *client) fetch(v int16, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	c.Helper()
	return call[*kmsg.FetchResponse](c, v, req)
}

// fetchOne returns the answer for the only partition of a fetch.
func (c *client) fetchOne(v int16, req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	c.Helper()
	return onePartition(c, c.fetch(v, req))
}

func onePartition(c *client, resp *kmsg.FetchResponse) kmsg.FetchResponseTopicPartition {
	c.Helper()
	code(c, resp.ErrorCode, nil)
	return one(c, "partitions", one(c, "topics", resp.Topics).Partitions)
}

// offset is what ListOffsets 5 says for a timestamp.
func (c *client) offset(t topic, partition int32, timestamp int64) int64 {
	c.Helper()
	p := c.listOffset(5, t, partition, timestamp, nil)
	code(c, p.ErrorCode, nil)
	return p.Offset
}

// listOffset asks for one partition; change may adjust the request.
func (c *client) listOffset(v int16, t topic, partition int32, timestamp int64, change func(*kmsg.ListOffsetsRequest, *kmsg.ListOffsetsRequestTopicPartition)) kmsg.ListOffsetsResponseTopicPartition {
	c.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, timestamp
	if change != nil {
		change(req, &p)
	}
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = t.name
	lt.Partitions = append(lt.Partitions, p)
	req.Topics = append(req.Topics, lt)
	got := one(c, "topics", call[*kmsg.ListOffsetsResponse](c, v, req).Topics)
	equal(c, "topic", got.Topic, t.name)
	return one(c, "partitions", got.Partitions)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
