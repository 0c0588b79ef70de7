package admin

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKadmGroups(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 2, 3)
	group := joined(t, topic, 6, kgo.Balancers(kgo.RangeBalancer()), kgo.InstanceID("one"))

	for _, c := range a.FindGroupCoordinators(bounded(t), group, group+"-other") {
		must(t, c.Err, "coordinator of %s", c.Name)
	}
	groups, err := a.ListGroups(bounded(t), "Stable")
	must(t, err, "list")
	listed := groups[group]
	equal(t, "listed group", []string{listed.ProtocolType, listed.State}, []string{"consumer", "Stable"})

	described, err := a.DescribeGroups(bounded(t), group)
	must(t, errors.Join(err, described.Error()), "describe")
	d := described[group]
	equal(t, "group", []string{d.State, d.ProtocolType, d.Protocol}, []string{"Stable", "consumer", "range"})
	equal(t, "members", len(d.Members), 1)
	equal(t, "member", []string{*d.Members[0].InstanceID, d.Members[0].ClientID}, []string{"one", "reader"})
	equal(t, "assigned partitions", len(described.AssignedPartitions()[topic]), 2)

	lags, err := a.Lag(bounded(t), group)
	must(t, errors.Join(err, lags.Error()), "lag")
	equal(t, "lag", lags[group].Lag.Total(), 0)

	if res, err := a.DeleteGroup(bounded(t), group); err == nil && !errors.Is(res.Err, kerr.NonEmptyGroup) {
		t.Errorf("a group with a member was deleted: %v", res.Err)
	}
	left, err := a.LeaveGroup(bounded(t), kadm.LeaveGroup(group).InstanceIDs("one"))
	must(t, errors.Join(err, left.Error()), "remove the member")
}

func TestKadmOffsets(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 2, 3)
	group := topic + "-group"
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "noted"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 1, LeaderEpoch: -1})
	must(t, a.CommitAllOffsets(bounded(t), group, offsets), "commit")
	fetched, err := a.FetchOffsets(bounded(t), group)
	must(t, errors.Join(err, fetched.Error()), "fetch")
	zero, _ := fetched.Lookup(topic, 0)
	one, _ := fetched.Lookup(topic, 1)
	equal(t, "offsets", []any{zero.At, zero.Metadata, one.At}, []any{2, "noted", 1})
	many := a.FetchManyOffsets(bounded(t), group, group+"-unknown")
	must(t, many[group].Err, "fetch of many")

	lags, err := a.Lag(bounded(t), group)
	must(t, errors.Join(err, lags.Error()), "lag")
	equal(t, "lag", lags[group].Lag.Total(), 3)

	set := kadm.TopicsSet{}
	set.Add(topic, 1)
	deleted, err := a.DeleteOffsets(bounded(t), group, set)
	must(t, errors.Join(err, deleted.Error()), "delete offsets")
	fetched, err = a.FetchOffsets(bounded(t), group)
	must(t, err, "fetch")
	if o, ok := fetched.Lookup(topic, 1); ok && o.At >= 0 {
		t.Errorf("a deleted offset is %d", o.At)
	}
	res, err := a.DeleteGroups(bounded(t), group)
	must(t, errors.Join(err, res.Error()), "delete the group")
	groups, err := a.ListGroups(bounded(t))
	must(t, err, "list")
	if _, ok := groups[group]; ok {
		t.Error("the deleted group is listed")
	}
}

// TestKadmConsumerGroup is about a group of the new protocol (KIP-848).
func TestKadmConsumerGroup(t *testing.T) {
	a := kadm.NewClient(connect(t))
	topic := filled(t, 2, 3)
	group := joined(t, topic, 6, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	groups, err := a.ListGroupsByType(bounded(t), []string{"consumer"})
	must(t, err, "list")
	if _, ok := groups[group]; !ok {
		t.Errorf("%s is not listed among the groups of type consumer", group)
	}
	var d kadm.DescribedConsumerGroup
	waitFor(t, "the group to be stable", func() bool {
		described, err := a.DescribeConsumerGroups(bounded(t), group)
		must(t, errors.Join(err, described[group].Err), "describe")
		d = described[group]
		return d.State == "Stable"
	})
	equal(t, "assignor", d.AssignorName, "uniform")
	equal(t, "members", len(d.Members), 1)
	equal(t, "client", d.Members[0].ClientID, "reader")
}
