package admin

import (
	"testing"

	ck "github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func confluentAdmin(t *testing.T) *ck.AdminClient {
	t.Helper()
	a, err := ck.NewAdminClient(&ck.ConfigMap{"bootstrap.servers": bootstrap})
	must(t, err, "connect")
	t.Cleanup(a.Close)
	return a
}

func noError(t *testing.T, err ck.Error, doing string) {
	t.Helper()
	if err.Code() != ck.ErrNoError {
		t.Fatalf("%s: %v", doing, err)
	}
}

func TestConfluentCluster(t *testing.T) {
	a := confluentAdmin(t)
	topic := filled(t, 2, 3)
	cluster, err := a.DescribeCluster(bounded(t))
	must(t, err, "describe the cluster")
	equal(t, "nodes", len(cluster.Nodes), 1)
	if cluster.ClusterID == nil || *cluster.ClusterID == "" {
		t.Error("no cluster id")
	}
	described, err := a.DescribeTopics(bounded(t), ck.NewTopicCollectionOfTopicNames([]string{topic}))
	must(t, err, "describe topics")
	d := described.TopicDescriptions[0]
	noError(t, d.Error, "describe "+topic)
	equal(t, "partitions", len(d.Partitions), 2)

	deleted, err := a.DeleteRecords(bounded(t), []ck.TopicPartition{{Topic: &topic, Partition: 0, Offset: 1}})
	must(t, err, "delete records")
	must(t, deleted.DeleteRecordsResults[0].TopicPartition.Error, "delete records")
	offsets, err := a.ListOffsets(bounded(t), map[ck.TopicPartition]ck.OffsetSpec{{Topic: &topic, Partition: 0}: ck.EarliestOffsetSpec})
	must(t, err, "list offsets")
	for _, o := range offsets.ResultInfos {
		noError(t, o.Error, "list offsets")
		equal(t, "start", o.Offset, 1)
	}
	elected, err := a.ElectLeaders(bounded(t), ck.NewElectLeadersRequest(ck.ElectionTypePreferred, []ck.TopicPartition{{Topic: &topic, Partition: 0}}))
	must(t, err, "elect leaders")
	equal(t, "elections", len(elected.TopicPartitions), 1)
}

func TestConfluentConfigs(t *testing.T) {
	a := confluentAdmin(t)
	topic := filled(t, 1, 0)
	resource := ck.ConfigResource{Type: ck.ResourceTopic, Name: topic, Config: []ck.ConfigEntry{
		{Name: "segment.bytes", Value: "1048576", IncrementalOperation: ck.AlterConfigOpTypeSet},
	}}
	altered, err := a.IncrementalAlterConfigs(bounded(t), []ck.ConfigResource{resource})
	must(t, err, "alter")
	noError(t, altered[0].Error, "alter")
	described, err := a.DescribeConfigs(bounded(t), []ck.ConfigResource{{Type: ck.ResourceTopic, Name: topic}})
	must(t, err, "describe")
	noError(t, described[0].Error, "describe")
	entry := described[0].Config["segment.bytes"]
	equal(t, "segment.bytes", []any{entry.Value, entry.Source}, []any{"1048576", ck.ConfigSourceDynamicTopic})
}

func TestConfluentGroups(t *testing.T) {
	a := confluentAdmin(t)
	topic := filled(t, 2, 3)
	group := joined(t, topic, 6)
	listed, err := a.ListConsumerGroups(bounded(t), ck.SetAdminMatchConsumerGroupStates([]ck.ConsumerGroupState{ck.ConsumerGroupStateStable}))
	must(t, err, "list")
	found := false
	for _, g := range listed.Valid {
		found = found || g.GroupID == group
	}
	equal(t, "listed", found, true)
	described, err := a.DescribeConsumerGroups(bounded(t), []string{group})
	must(t, err, "describe")
	d := described.ConsumerGroupDescriptions[0]
	noError(t, d.Error, "describe")
	equal(t, "group", []any{d.State, len(d.Members), len(d.Members[0].Assignment.TopicPartitions)}, []any{ck.ConsumerGroupStateStable, 1, 2})

	other := group + "-other"
	altered, err := a.AlterConsumerGroupOffsets(bounded(t), []ck.ConsumerGroupTopicPartitions{{Group: other, Partitions: []ck.TopicPartition{{Topic: &topic, Partition: 1, Offset: 2}}}})
	must(t, err, "alter offsets")
	must(t, altered.ConsumerGroupsTopicPartitions[0].Partitions[0].Error, "alter offsets")
	offsets, err := a.ListConsumerGroupOffsets(bounded(t), []ck.ConsumerGroupTopicPartitions{{Group: other}})
	must(t, err, "list offsets")
	equal(t, "offset", offsets.ConsumerGroupsTopicPartitions[0].Partitions[0].Offset, 2)
	deleted, err := a.DeleteConsumerGroups(bounded(t), []string{other})
	must(t, err, "delete")
	noError(t, deleted.ConsumerGroupResults[0].Error, "delete")
}
