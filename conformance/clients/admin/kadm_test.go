package admin

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKadmTopics(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 2, 3)

	_, err := a.CreateTopic(bounded(t), 1, 1, nil, topic)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("a second %s: %v", topic, err)
	}
	_, err = a.ValidateCreateTopics(bounded(t), 1, 1, nil, topic+"-validated")
	must(t, err, "validate")
	grown, err := a.UpdatePartitions(bounded(t), 4, topic)
	must(t, errors.Join(err, grown.Error()), "grow")
	topics, err := a.ListTopics(bounded(t))
	must(t, err, "list")
	if topics.Has(topic + "-validated") {
		t.Error("a topic that was only validated is there")
	}
	equal(t, "partitions", len(topics[topic].Partitions), 4)

	deleted, err := a.DeleteRecords(bounded(t), kadm.OffsetsFromRecords(kgo.Record{Topic: topic, Partition: 0, Offset: 1}))
	must(t, errors.Join(err, deleted.Error()), "delete records")
	starts, err := a.ListStartOffsets(bounded(t), topic)
	must(t, err, "start offsets")
	ends, err := a.ListEndOffsets(bounded(t), topic)
	must(t, err, "end offsets")
	start, _ := starts.Lookup(topic, 0)
	end, _ := ends.Lookup(topic, 0)
	equal(t, "start and end", []int64{start.Offset, end.Offset}, []int64{2, 3})

	gone, err := a.DeleteTopics(bounded(t), topic)
	must(t, errors.Join(err, gone.Error()), "delete")
}

func TestKadmTopicConfigs(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 1, 0)
	value := func(name string) string {
		all, err := a.DescribeTopicConfigs(bounded(t), topic)
		must(t, err, "describe")
		one, err := all.On(topic, nil)
		must(t, errors.Join(err, one.Err), "describe %s", topic)
		for _, c := range one.Configs {
			if c.Key == name {
				return c.MaybeValue()
			}
		}
		t.Fatalf("no %s", name)
		return ""
	}
	alter := func(op kadm.IncrementalOp, name, text string) error {
		res, err := a.AlterTopicConfigs(bounded(t), []kadm.AlterConfig{{Op: op, Name: name, Value: &text}}, topic)
		if err == nil {
			one, e := res.On(topic, nil)
			err = errors.Join(e, one.Err)
		}
		return err
	}
	byDefault := value("retention.ms")
	must(t, alter(kadm.SetConfig, "retention.ms", "12345678"), "set")
	equal(t, "retention.ms", value("retention.ms"), "12345678")
	must(t, alter(kadm.SetConfig, "cleanup.policy", "delete"), "set")
	must(t, alter(kadm.AppendConfig, "cleanup.policy", "compact"), "append")
	equal(t, "cleanup.policy", value("cleanup.policy"), "delete,compact")
	must(t, alter(kadm.SubtractConfig, "cleanup.policy", "compact"), "subtract")
	equal(t, "cleanup.policy", value("cleanup.policy"), "delete")
	must(t, alter(kadm.DeleteConfig, "retention.ms", ""), "delete")
	equal(t, "retention.ms", value("retention.ms"), byDefault)
	if err := alter(kadm.SetConfig, "retention.ms", "soon"); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("retention.ms=soon: %v", err)
	}

	two := "2"
	res, err := a.AlterTopicConfigsState(bounded(t), []kadm.AlterConfig{{Name: "segment.ms", Value: &two}}, topic)
	must(t, err, "alter state")
	one, err := res.On(topic, nil)
	must(t, errors.Join(err, one.Err), "alter state")
	equal(t, "segment.ms", value("segment.ms"), "2")
	listed, err := a.ListConfigResources(bounded(t), kadm.ConfigResourceTopic)
	must(t, errors.Join(err, listed.Err), "list config resources")
	if !slices.Contains(listed.Names(), topic) {
		t.Errorf("%s is not among %v", topic, listed.Names())
	}
}

func TestKadmBrokerConfigs(t *testing.T) {
	a := kadm.NewClient(connect(t))
	text := "2"
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.cleaner.threads", Value: &text}}
	res, err := a.AlterBrokerConfigs(bounded(t), set, 1)
	must(t, err, "alter")
	one, err := res.On("1", nil)
	must(t, errors.Join(err, one.Err), "alter")
	all, err := a.DescribeBrokerConfigs(bounded(t), 1)
	must(t, err, "describe")
	broker, err := all.On("1", nil)
	must(t, errors.Join(err, broker.Err), "describe")
	for _, c := range broker.Configs {
		if c.Key == "log.cleaner.threads" {
			equal(t, "log.cleaner.threads", c.MaybeValue(), text)
			equal(t, "its source", c.Source, "DYNAMIC_BROKER_CONFIG")
			return
		}
	}
	t.Error("log.cleaner.threads is not described")
}

func TestKadmReplicas(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 2, 2)
	set := kadm.TopicsSet{}
	set.Add(topic, 0, 1)

	elected, err := a.ElectLeaders(bounded(t), kadm.ElectPreferredReplica, set)
	must(t, err, "elect leaders")
	for _, p := range elected[topic] {
		if p.Err != nil && !errors.Is(p.Err, kerr.ElectionNotNeeded) {
			t.Errorf("election of %s-%d: %v", topic, p.Partition, p.Err)
		}
	}
	brokers, err := a.ListBrokers(bounded(t))
	must(t, err, "list brokers")
	var moves kadm.AlterPartitionAssignmentsReq
	moves.Assign(topic, 0, []int32{brokers[0].NodeID})
	moved, err := a.AlterPartitionAssignments(bounded(t), moves)
	must(t, errors.Join(err, moved.Error()), "assign")
	moves = nil
	moves.Assign(topic, 1, []int32{brokers[0].NodeID, 999})
	moved, err = a.AlterPartitionAssignments(bounded(t), moves)
	must(t, err, "assign to a broker that is not there")
	if code := moved[topic][1].Err; !errors.Is(code, kerr.InvalidReplicaAssignment) {
		t.Errorf("assignment to broker 999: %v", code)
	}
	under, err := a.ListPartitionReassignments(bounded(t), set)
	must(t, err, "list reassignments")
	equal(t, "reassignments under way", len(under.Sorted()), 0)

	producers, err := a.DescribeProducers(bounded(t), set)
	must(t, err, "describe producers")
	equal(t, "producers", len(producers.Sorted()) > 0, true)
}

func TestKadmLogDirs(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 1, 5)
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	where := func() (has, other string) {
		all, err := a.DescribeAllLogDirs(bounded(t), set)
		must(t, err, "describe")
		for _, dirs := range all {
			for _, d := range dirs {
				must(t, d.Err, "directory %s", d.Dir)
				if p, ok := d.Topics[topic][0]; ok && !p.IsFuture {
					has = d.Dir
				} else {
					other = d.Dir
				}
			}
		}
		return has, other
	}
	from, to := where()
	if from == "" || to == "" {
		t.Fatalf("%s lies in %q, the other directory is %q", topic, from, to)
	}
	var req kadm.AlterReplicaLogDirsReq
	req.Add(to, set)
	res, err := a.AlterAllReplicaLogDirs(bounded(t), req)
	must(t, err, "move")
	for _, r := range res {
		for _, d := range r.Sorted() {
			must(t, d.Err, "move %s-%d to %s", d.Topic, d.Partition, d.Dir)
		}
	}
	waitFor(t, "the log to have moved", func() bool { now, _ := where(); return now == to })
	ends, err := a.ListEndOffsets(bounded(t), topic)
	must(t, err, "end offsets")
	end, _ := ends.Lookup(topic, 0)
	equal(t, "end offset after the move", end.Offset, 5)
}

func TestKadmQuotas(t *testing.T) {
	a := kadm.NewClient(connect(t))
	client := named(t)
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: &client}}
	alter := func(op kadm.AlterClientQuotaOp) {
		t.Helper()
		res, err := a.AlterClientQuotas(bounded(t), []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{op}}})
		must(t, err, "alter")
		for _, r := range res {
			must(t, r.Err, "alter %v", r.Entity)
		}
	}
	described := func() kadm.ClientQuotaValues {
		t.Helper()
		res, err := a.DescribeClientQuotas(bounded(t), true, []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: &client}})
		must(t, err, "describe")
		if len(res) == 0 {
			return nil
		}
		return res[0].Values
	}
	alter(kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Value: 1 << 20})
	equal(t, "quotas", described(), kadm.ClientQuotaValues{{Key: "producer_byte_rate", Value: 1 << 20}})
	alter(kadm.AlterClientQuotaOp{Key: "producer_byte_rate", Remove: true})
	equal(t, "quotas after the removal", len(described()), 0)
}

func TestKadmCluster(t *testing.T) {
	a := kadm.NewClient(connect(t))
	meta, err := a.BrokerMetadata(bounded(t))
	must(t, err, "metadata")
	equal(t, "controller", meta.Controller, meta.Brokers[0].NodeID)
	if meta.Cluster == "" {
		t.Error("no cluster id")
	}
	versions, err := a.ApiVersions(bounded(t))
	must(t, err, "api versions")
	for _, v := range versions {
		must(t, v.Err, "api versions of broker %d", v.NodeID)
	}
	features, err := a.UpdateFeatures(bounded(t), true, kadm.FeatureUpdate{Feature: "no.such.feature", MaxVersionLevel: 1, UpgradeType: 1})
	must(t, err, "update features")
	if features["no.such.feature"].Err == nil {
		t.Error("a feature that does not exist was updated")
	}
}
