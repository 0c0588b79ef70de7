package admin

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"
)

// TestKafListing makes the calls behind kaf nodes, topics, topic describe, groups and group
// describe, over all that the broker has, and works the lag out as kaf does.
func TestKafListing(t *testing.T) {
	topic := filled(t, 2, 3)
	group := joined(t, topic, 6)
	a := saramaAdmin(t)
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	client, err := sarama.NewClient([]string{bootstrap}, c)
	must(t, err, "connect")
	defer client.Close()

	nodes, _, err := a.DescribeCluster()
	must(t, err, "nodes")
	topics, err := a.ListTopics()
	must(t, err, "topics")
	equal(t, "topic", []any{topics[topic].NumPartitions, topics[topic].ReplicationFactor}, []any{2, 1})
	var names []string
	for name := range topics {
		names = append(names, name)
	}
	described, err := a.DescribeTopics(names)
	must(t, err, "describe all topics")
	end := map[string]map[int32]int64{}
	for _, d := range described {
		equal(t, d.Name, d.Err, sarama.ErrNoError)
		end[d.Name] = map[int32]int64{}
		for _, p := range d.Partitions {
			equal(t, "leader and replicas", []any{p.Leader, p.Replicas, p.Isr}, []any{nodes[0].ID(), []int32{p.Leader}, []int32{p.Leader}})
			end[d.Name][p.ID], err = client.GetOffset(d.Name, p.ID, sarama.OffsetNewest)
			must(t, err, "end of %s-%d", d.Name, p.ID)
		}
	}
	if i := slices.IndexFunc(described, func(d *sarama.TopicMetadata) bool { return d.Name == "__consumer_offsets" }); i < 0 || !described[i].IsInternal {
		t.Error("__consumer_offsets is not listed as internal")
	}
	settings, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	must(t, err, "settings")
	if len(settings) < 20 {
		t.Errorf("%s has %d settings", topic, len(settings))
	}

	groups, err := a.ListConsumerGroups()
	must(t, err, "groups")
	equal(t, "type of the group", groups[group], "consumer")
	offsets, err := a.ListConsumerGroupOffsets(group, nil)
	must(t, err, "all offsets of the group")
	lag := int64(0)
	for p, block := range offsets.Blocks[topic] {
		lag += end[topic][p] - block.Offset
	}
	equal(t, "partitions and lag", []any{len(offsets.Blocks[topic]), lag}, []any{2, 0})
}
