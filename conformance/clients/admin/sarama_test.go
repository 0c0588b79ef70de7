package admin

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"
)

func saramaAdmin(t *testing.T) sarama.ClusterAdmin {
	t.Helper()
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	a, err := sarama.NewClusterAdmin([]string{bootstrap}, c)
	must(t, err, "connect")
	t.Cleanup(func() { a.Close() })
	return a
}

func TestSaramaTopics(t *testing.T) {
	a := saramaAdmin(t)
	topic := filled(t, 2, 3)
	must(t, a.CreatePartitions(topic, 3, nil, false), "grow")
	must(t, a.DeleteRecords(topic, map[int32]int64{0: 2}), "delete records")
	offsets, err := a.ListOffsets(map[string]map[int32]int64{topic: {0: sarama.OffsetOldest, 1: sarama.OffsetNewest}}, nil)
	must(t, err, "list offsets")
	equal(t, "offsets", []int64{offsets[topic][0].Offset, offsets[topic][1].Offset}, []int64{2, 3})
	detail, err := a.ListTopics()
	must(t, err, "list topics")
	equal(t, "partitions", detail[topic].NumPartitions, 3)
	described, err := a.DescribeTopics([]string{topic})
	must(t, err, "describe topics")
	equal(t, "described", []any{described[0].Name, described[0].Err, len(described[0].Partitions)}, []any{topic, sarama.ErrNoError, 3})
	must(t, a.DeleteTopic(topic), "delete")
}

func TestSaramaConfigs(t *testing.T) {
	a := saramaAdmin(t)
	topic := filled(t, 1, 0)
	value := func(name string) string {
		entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		must(t, err, "describe")
		i := slices.IndexFunc(entries, func(e sarama.ConfigEntry) bool { return e.Name == name })
		if i < 0 {
			t.Fatalf("no %s among %d settings", name, len(entries))
		}
		return entries[i].Value
	}
	hour, size := "3600000", "123456"
	must(t, a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &hour},
	}, false), "alter incrementally")
	equal(t, "retention.ms", value("retention.ms"), hour)
	must(t, a.AlterConfig(sarama.TopicResource, topic, map[string]*string{"max.message.bytes": &size}, false), "alter")
	equal(t, "max.message.bytes", value("max.message.bytes"), size)
	if value("retention.ms") == hour {
		t.Error("AlterConfig left a setting that it did not name")
	}
	if err := a.AlterConfig(sarama.TopicResource, topic, map[string]*string{"no.such.setting": &size}, true); err == nil {
		t.Error("a setting that does not exist was taken")
	}
}

func TestSaramaReplicas(t *testing.T) {
	a := saramaAdmin(t)
	topic := filled(t, 1, 1)
	brokers, controller, err := a.DescribeCluster()
	must(t, err, "describe the cluster")
	equal(t, "controller", controller, brokers[0].ID())
	must(t, a.AlterPartitionReassignments(topic, [][]int32{{controller}}), "reassign")
	under, err := a.ListPartitionReassignments(topic, []int32{0})
	must(t, err, "list reassignments")
	equal(t, "reassignments under way", len(under[topic]), 0)
	elected, err := a.ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {0}})
	must(t, err, "elect leaders")
	if code := elected[topic][0].ErrorCode; code != sarama.ErrElectionNotNeeded && code != sarama.ErrNoError {
		t.Errorf("election: %v", code)
	}
	dirs, err := a.DescribeLogDirs([]int32{controller})
	must(t, err, "describe log dirs")
	found := 0
	for _, d := range dirs[controller] {
		equal(t, d.Path, d.ErrorCode, sarama.ErrNoError)
		for _, in := range d.Topics {
			if in.Topic == topic {
				found += len(in.Partitions)
			}
		}
	}
	equal(t, "partitions found in the directories", found, 1)
}

func TestSaramaQuotas(t *testing.T) {
	a := saramaAdmin(t)
	client := named(t)
	entity := []sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Name: client}}
	must(t, a.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "consumer_byte_rate", Value: 2048}, false), "alter")
	found, err := a.DescribeClientQuotas([]sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Match: client}}, true)
	must(t, err, "describe")
	equal(t, "entries", len(found), 1)
	equal(t, "quotas", found[0].Values, map[string]float64{"consumer_byte_rate": 2048})
	must(t, a.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "consumer_byte_rate", Remove: true}, false), "remove")
}

// TestSaramaGroups makes the calls of kaf groups, kaf group describe, commit and delete too.
func TestSaramaGroups(t *testing.T) {
	a := saramaAdmin(t)
	topic := filled(t, 2, 3)
	group := joined(t, topic, 6)
	listed, err := a.ListConsumerGroups()
	must(t, err, "list")
	equal(t, "listed type", listed[group], "consumer")
	described, err := a.DescribeConsumerGroups([]string{group})
	must(t, err, "describe")
	g := described[0]
	equal(t, "group", []any{g.Err, g.GroupId, g.State, len(g.Members)}, []any{sarama.ErrNoError, group, "Stable", 1})
	for _, m := range g.Members {
		assigned, err := m.GetMemberAssignment()
		must(t, err, "read the assignment")
		equal(t, "assigned partitions", len(assigned.Topics[topic]), 2)
	}
	offsets, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1}})
	must(t, err, "offsets")
	for p := range int32(2) {
		block := offsets.GetBlock(topic, p)
		equal(t, "offset", []any{block.Err, block.Offset}, []any{sarama.ErrNoError, 3})
	}

	other := group + "-other"
	committed, err := a.AlterConsumerGroupOffsets(other, map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 1, LeaderEpoch: -1}}}, nil)
	must(t, err, "alter offsets")
	equal(t, "errors of the commit", committed.Errors[topic][0], sarama.ErrNoError)
	must(t, a.DeleteConsumerGroupOffset(other, topic, 0), "delete an offset")
	if err := a.DeleteConsumerGroup(group); err == nil {
		t.Error("a group with a member was deleted")
	}
}
