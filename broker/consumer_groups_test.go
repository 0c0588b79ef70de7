package broker

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
)

// nextGroupNode serves groups of the new protocol that move fast.
func nextGroupNode(t testing.TB, settings ...string) *node {
	return groupNode(t, append([]string{"group.consumer.heartbeat.interval.ms=100", "group.consumer.min.heartbeat.interval.ms=100"}, settings...)...)
}

func TestNextGenerationGroupReadsEverything(t *testing.T) {
	n := nextGroupNode(t)
	n.create("t", 6)
	n.fill("t", 6, 600)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	s, wg := newSeen(), new(sync.WaitGroup)
	opts := []kgo.Opt{kgo.ServerSideBalancer()}
	first := n.member(ctx, wg, s, "t", "g", opts...)
	second := n.member(ctx, wg, s, "t", "g", opts...)
	s.wait(t, ctx, 600)
	third := n.member(ctx, wg, s, "t", "g", append(opts, kgo.InstanceID("static"))...)
	adm := kadm.NewClient(n.client())
	balanced := func() bool {
		d, err := adm.DescribeConsumerGroups(ctx, "g")
		if err != nil {
			t.Fatal(err)
		}
		g := d["g"]
		if g.Err != nil || g.State != "Stable" || len(g.Members) != 3 || g.AssignorName == "" {
			return false
		}
		for _, m := range g.Members {
			if len(m.Assignment["t"]) != 2 {
				return false
			}
		}
		return true
	}
	testkit.WaitFor(t, "the group to settle", balanced)
	listed, err := adm.ListGroups(ctx)
	if err != nil || len(listed) != 1 || listed["g"].State != "Stable" || listed["g"].ProtocolType != "consumer" {
		t.Errorf("listed: %+v, %v", listed, err)
	}
	first.Close()
	n.fill("t", 6, 660)
	s.wait(t, ctx, 660)
	for _, cl := range []*kgo.Client{second, third} {
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Error(err)
		}
		cl.Close()
	}
	cancel()
	wg.Wait()
}

func heartbeatRequest(group, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.SetVersion(1)
	req.Group, req.MemberID, req.MemberEpoch = group, member, epoch
	if epoch == 0 {
		req.RebalanceTimeoutMillis = 10_000
		req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

func TestNextGenerationGroupOnTheWire(t *testing.T) {
	n := nextGroupNode(t)
	n.create("t", 2)
	r := n.raw()
	defer r.c.Close()
	n.findGroup(r, "g")
	beat := func(req *kmsg.ConsumerGroupHeartbeatRequest, want error) *kmsg.ConsumerGroupHeartbeatResponse {
		t.Helper()
		resp := r.do(req).(*kmsg.ConsumerGroupHeartbeatResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != want {
			msg := ""
			if resp.ErrorMessage != nil {
				msg = *resp.ErrorMessage
			}
			t.Errorf("heartbeat of %s in epoch %d: %v (%s), want %v", req.MemberID, req.MemberEpoch, err, msg, want)
		}
		return resp
	}
	beat(heartbeatRequest("g", "a", 3), kerr.GroupIDNotFound)
	join := heartbeatRequest("g", "a", 0)
	beat(join, kerr.InvalidRequest) // subscribes to nothing
	bad := "("
	join.SubscribedTopicRegex = &bad
	beat(join, kerr.InvalidRegularExpression)
	good := "t|u"
	join.SubscribedTopicRegex = &good
	resp := beat(join, nil)
	if resp.MemberEpoch != 1 || resp.Assignment == nil || len(resp.Assignment.Topics) != 1 || len(resp.Assignment.Topics[0].Partitions) != 2 || resp.HeartbeatIntervalMillis != 100 {
		t.Fatalf("%+v", resp)
	}
	beat(heartbeatRequest("g", "a", 1), nil)
	beat(heartbeatRequest("g", "a", 7), kerr.FencedMemberEpoch)
	beat(heartbeatRequest("g", "b", 1), kerr.UnknownMemberID)

	commit := func(member string, epoch int32, want error) {
		t.Helper()
		req := kmsg.NewPtrOffsetCommitRequest()
		req.SetVersion(9)
		req.Group, req.MemberID, req.Generation = "g", member, epoch
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = "t"
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = 5
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		got := kerr.ErrorForCode(r.do(req).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
		if got != want {
			t.Errorf("commit of %s in epoch %d: %v, want %v", member, epoch, got, want)
		}
	}
	commit("a", 1, nil)
	commit("a", 0, kerr.StaleMemberEpoch)
	commit("b", 1, kerr.UnknownMemberID)

	fetch := func(member string, epoch int32, want error) {
		t.Helper()
		req := kmsg.NewPtrOffsetFetchRequest()
		req.SetVersion(9)
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberEpoch = "g", epoch
		if member != "" {
			g.MemberID = &member
		}
		req.Groups = append(req.Groups, g)
		if got := kerr.ErrorForCode(r.do(req).(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode); got != want {
			t.Errorf("fetch of %s in epoch %d: %v, want %v", member, epoch, got, want)
		}
	}
	fetch("a", 1, nil)
	fetch("a", 2, kerr.StaleMemberEpoch)
	fetch("", -1, nil)

	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.SetVersion(6)
	describe.Groups = []string{"g"}
	if got := r.do(describe).(*kmsg.DescribeGroupsResponse).Groups[0]; kerr.ErrorForCode(got.ErrorCode) != kerr.GroupIDNotFound {
		t.Errorf("DescribeGroups tells of a group of the new protocol: %+v", got)
	}
	next := kmsg.NewPtrConsumerGroupDescribeRequest()
	next.SetVersion(1)
	next.Groups, next.IncludeAuthorizedOperations = []string{"g", "nobody"}, true
	groups := r.do(next).(*kmsg.ConsumerGroupDescribeResponse).Groups
	if g := groups[0]; g.State != "Stable" || g.Epoch != 1 || g.AssignorName != "uniform" || len(g.Members) != 1 || g.Members[0].ClientHost != "/127.0.0.1" || g.AuthorizedOperations <= 0 {
		t.Errorf("%+v", g)
	}
	if err := kerr.ErrorForCode(groups[1].ErrorCode); err != kerr.GroupIDNotFound {
		t.Errorf("a group that is not there: %v", err)
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.SetVersion(5)
	list.TypesFilter = []string{"Consumer"}
	if got := r.do(list).(*kmsg.ListGroupsResponse).Groups; len(got) != 1 || got[0].GroupType != "consumer" {
		t.Errorf("listed: %+v", got)
	}
	list.TypesFilter = []string{"classic"}
	if got := r.do(list).(*kmsg.ListGroupsResponse).Groups; len(got) != 0 {
		t.Errorf("listed: %+v", got)
	}

	del := kmsg.NewPtrDeleteGroupsRequest()
	del.SetVersion(2)
	del.Groups = []string{"g"}
	if err := kerr.ErrorForCode(r.do(del).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode); err != kerr.NonEmptyGroup {
		t.Errorf("a group with a member is deleted: %v", err)
	}
	beat(heartbeatRequest("g", "a", -1), nil)
	if err := kerr.ErrorForCode(r.do(del).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := r.do(next).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]; kerr.ErrorForCode(got.ErrorCode) != kerr.GroupIDNotFound {
		t.Errorf("left after its end: %+v", got)
	}
}

// findGroup makes the coordinator's topic.
func (n *node) findGroup(r *raw, group string) {
	n.t.Helper()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.SetVersion(4)
	find.CoordinatorKeys = []string{group}
	if resp := r.do(find).(*kmsg.FindCoordinatorResponse); resp.Coordinators[0].ErrorCode != 0 {
		n.t.Fatalf("%+v", resp)
	}
}

func TestNextGenerationCanBeTurnedOff(t *testing.T) {
	n := nextGroupNode(t, "group.coordinator.rebalance.protocols=classic")
	r := n.raw()
	defer r.c.Close()
	n.findGroup(r, "g")
	if got := r.do(heartbeatRequest("g", "a", 0)).(*kmsg.ConsumerGroupHeartbeatResponse); kerr.ErrorForCode(got.ErrorCode) != kerr.UnsupportedVersion {
		t.Errorf("%+v", got)
	}
}

// denyTopics refuses to show topics.
type denyTopics struct {
	AllowAll
	prefix string
}

func (d denyTopics) Allowed(_ *Caller, _ Operation, kind ResourceType, name string) bool {
	return kind != ResourceTopic || !strings.HasPrefix(name, d.prefix)
}

func TestNextGenerationSeesWhatItMay(t *testing.T) {
	n := startNodeWith(t, nodeOptions{settings: []string{"offsets.topic.num.partitions=1"}, auth: denyTopics{prefix: "secret"}})
	n.create("open", 1)
	n.create("secret", 1)
	r := n.raw()
	defer r.c.Close()
	n.findGroup(r, "g")
	join := heartbeatRequest("g", "a", 0)
	join.SubscribedTopicNames = []string{"open", "secret"}
	if got := r.do(join).(*kmsg.ConsumerGroupHeartbeatResponse); kerr.ErrorForCode(got.ErrorCode) != kerr.TopicAuthorizationFailed {
		t.Errorf("%+v", got)
	}
	all := "open|secret"
	join.SubscribedTopicNames, join.SubscribedTopicRegex = nil, &all
	if got := r.do(join).(*kmsg.ConsumerGroupHeartbeatResponse); got.ErrorCode != 0 || len(got.Assignment.Topics) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestNextGenerationGroupHasItsOwnSettings(t *testing.T) {
	n := nextGroupNode(t)
	r := n.raw()
	defer r.c.Close()
	n.findGroup(r, "g")
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.SetVersion(1)
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, "g"
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	value := "7000"
	c.Name, c.Value = "consumer.heartbeat.interval.ms", &value
	res.Configs = append(res.Configs, c)
	alter.Resources = append(alter.Resources, res)
	if got := r.do(alter).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	for group, want := range map[string]int32{"g": 7000, "other": 100} {
		join := heartbeatRequest(group, "a", 0)
		join.SubscribedTopicNames = []string{"t"}
		testkit.WaitFor(t, group+" to have its heartbeat interval", func() bool {
			resp := r.do(join).(*kmsg.ConsumerGroupHeartbeatResponse)
			return resp.ErrorCode == 0 && resp.HeartbeatIntervalMillis == want
		})
	}
}
