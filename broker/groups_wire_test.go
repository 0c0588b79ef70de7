package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/metadata/metatest"
	"github.com/millrace/millrace/protocol"
)

// at is version v of an API, or the nearest that it has.
func at[R kmsg.Request](v int16, q R) R {
	api, _ := protocol.Lookup(q.Key())
	q.SetVersion(min(max(v, api.Min), api.Max))
	return q
}

// A member's whole life, in every version of every API that it needs.
func TestGroupAPIsInEveryVersion(t *testing.T) {
	n := groupNode(t)
	id := n.create("t", 2)
	for v := range int16(11) {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			r := n.raw()
			r.t = t
			lifeOfAMember(t, r, v, fmt.Sprint("g", v), id)
		})
	}
}

func lifeOfAMember(t *testing.T, r *raw, v int16, group string, id [16]byte) {
	ok := func(what string, code int16) {
		t.Helper()
		if code != 0 {
			t.Fatalf("%s: code %d", what, code)
		}
	}
	find := at(v, kmsg.NewPtrFindCoordinatorRequest())
	find.CoordinatorKey, find.CoordinatorKeys = group, []string{group, group + "-other"}
	found := r.do(find).(*kmsg.FindCoordinatorResponse)
	if find.Version >= 4 {
		if len(found.Coordinators) != 2 || found.Coordinators[1].Key != group+"-other" {
			t.Fatalf("found %+v", found)
		}
		found.ErrorCode, found.NodeID, found.Port = found.Coordinators[0].ErrorCode, found.Coordinators[0].NodeID, found.Coordinators[0].Port
	}
	if ok("find", found.ErrorCode); found.NodeID != 1 || found.Port <= 0 {
		t.Fatalf("found %+v", found)
	}
	join := at(v, kmsg.NewPtrJoinGroupRequest())
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 10_000, 10_000, "consumer"
	meta := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	joined := r.do(join).(*kmsg.JoinGroupResponse)
	if join.Version >= 4 {
		if joined.ErrorCode != 79 || joined.MemberID == "" || joined.Generation != -1 {
			t.Fatalf("a new member is answered %+v, want MEMBER_ID_REQUIRED", joined)
		}
		join.MemberID = joined.MemberID
		joined = r.do(join).(*kmsg.JoinGroupResponse)
	}
	ok("join", joined.ErrorCode)
	if joined.LeaderID != joined.MemberID || joined.Generation != 1 || len(joined.Members) != 1 || *joined.Protocol != "range" || !strings.HasPrefix(joined.MemberID, "raw-test-") {
		t.Fatalf("joined: %+v", joined)
	}
	sync := at(v, kmsg.NewPtrSyncGroupRequest())
	sync.Group, sync.Generation, sync.MemberID = group, 1, joined.MemberID
	kind, name := "consumer", "range"
	sync.ProtocolType, sync.Protocol = &kind, &name
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("mine")}}
	synced := r.do(sync).(*kmsg.SyncGroupResponse)
	if ok("sync", synced.ErrorCode); string(synced.MemberAssignment) != "mine" {
		t.Fatalf("synced: %+v", synced)
	}
	beat := at(v, kmsg.NewPtrHeartbeatRequest())
	beat.Group, beat.Generation, beat.MemberID = group, 1, joined.MemberID
	ok("heartbeat", r.do(beat).(*kmsg.HeartbeatResponse).ErrorCode)
	commit := at(v, kmsg.NewPtrOffsetCommitRequest())
	commit.Group, commit.Generation, commit.MemberID = group, 1, joined.MemberID
	text := "note"
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = 1, 17, 2, &text
	gone := kmsg.NewOffsetCommitRequestTopicPartition()
	gone.Partition = 9
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p, gone}}}
	committed := r.do(commit).(*kmsg.OffsetCommitResponse)
	if ok("commit", committed.Topics[0].Partitions[0].ErrorCode); committed.Topics[0].Partitions[1].ErrorCode != 3 {
		t.Fatalf("committed: %+v", committed)
	}
	checkFetch(t, r, v, group, id)
	describe := at(v, kmsg.NewPtrDescribeGroupsRequest())
	describe.Groups, describe.IncludeAuthorizedOperations = []string{group, "nobody"}, true
	described := r.do(describe).(*kmsg.DescribeGroupsResponse)
	g := described.Groups[0]
	if ok("describe", g.ErrorCode); g.State != "Stable" || g.Protocol != "range" || len(g.Members) != 1 || string(g.Members[0].MemberAssignment) != "mine" || g.Members[0].ClientHost != "/127.0.0.1" {
		t.Fatalf("described: %+v", g)
	}
	if dead := described.Groups[1]; dead.State != "Dead" || (dead.ErrorCode == 69) != (describe.Version >= 6) {
		t.Fatalf("a group that is not there: %+v", dead)
	}
	list := at(v, kmsg.NewPtrListGroupsRequest())
	list.StatesFilter, list.TypesFilter = []string{"sTable"}, []string{"classic"}
	listed := r.do(list).(*kmsg.ListGroupsResponse)
	ok("list", listed.ErrorCode)
	if i := slices.IndexFunc(listed.Groups, func(l kmsg.ListGroupsResponseGroup) bool { return l.Group == group }); i < 0 || listed.Groups[i].ProtocolType != "consumer" {
		t.Fatalf("listed: %+v", listed)
	}
	leave := at(v, kmsg.NewPtrLeaveGroupRequest())
	leave.Group, leave.MemberID = group, joined.MemberID
	leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}}
	left := r.do(leave).(*kmsg.LeaveGroupResponse)
	if ok("leave", left.ErrorCode); leave.Version >= 3 && left.Members[0].ErrorCode != 0 {
		t.Fatalf("left: %+v", left)
	}
	remove := at(v, kmsg.NewPtrDeleteGroupsRequest())
	remove.Groups = []string{group, "nobody"}
	removed := r.do(remove).(*kmsg.DeleteGroupsResponse)
	if ok("delete", removed.Groups[0].ErrorCode); removed.Groups[1].ErrorCode != 69 {
		t.Fatalf("deleted: %+v", removed)
	}
}

func checkFetch(t *testing.T, r *raw, v int16, group string, id [16]byte) {
	t.Helper()
	fetch := at(v, kmsg.NewPtrOffsetFetchRequest())
	fetch.Group = group
	fetch.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{1, 0}}}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: id, Partitions: []int32{1, 0}}}
	all := kmsg.NewOffsetFetchRequestGroup()
	all.Group = group
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{g, all}
	resp := r.do(fetch).(*kmsg.OffsetFetchResponse)
	if fetch.Version < 8 {
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || resp.ErrorCode != 0 {
			t.Fatalf("fetched: %+v", resp)
		}
		if p := resp.Topics[0].Partitions; p[0].Offset != 17 || *p[0].Metadata != "note" || p[1].Offset != -1 || p[1].ErrorCode != 0 {
			t.Fatalf("fetched: %+v", p)
		}
		return
	}
	if len(resp.Groups) != 2 || resp.Groups[0].ErrorCode != 0 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[1].Topics) != 1 {
		t.Fatalf("fetched: %+v", resp)
	}
	p := resp.Groups[0].Topics[0].Partitions
	if len(p) != 2 || p[0].Offset != 17 || p[0].LeaderEpoch != 2 || *p[0].Metadata != "note" || p[1].Offset != -1 {
		t.Fatalf("fetched: %+v", p)
	}
	if p := resp.Groups[1].Topics[0].Partitions; len(p) != 1 || p[0].Partition != 1 || p[0].Offset != 17 {
		t.Fatalf("all of the group: %+v", p)
	}
	if fetch.Version >= 10 && resp.Groups[1].Topics[0].TopicID != id {
		t.Fatalf("topic id %x", resp.Groups[1].Topics[0].TopicID)
	}
}

// The topic's own settings are Kafka's, and its records those that franz-go's types read.
func TestOffsetsTopicIsKafkas(t *testing.T) {
	n := groupNode(t, "offsets.topic.num.partitions=7", "offsets.topic.segment.bytes=2097152", "offsets.topic.compression.codec=1")
	n.create("t", 1)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	cl := n.client()
	adm := kadm.NewClient(cl)
	if err := adm.CommitAllOffsets(ctx, "g", kadm.Offsets{"t": {0: {Topic: "t", At: 5, LeaderEpoch: -1, Metadata: "m"}}}); err != nil {
		t.Fatal(err)
	}
	described, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	topic := described["__consumer_offsets"]
	if len(topic.Partitions) != 7 || !topic.IsInternal {
		t.Errorf("the topic: %+v", topic)
	}
	settings, err := adm.DescribeTopicConfigs(ctx, "__consumer_offsets")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range settings[0].Configs {
		if want, ok := map[string]string{"cleanup.policy": "compact", "segment.bytes": "2097152", "compression.type": "producer"}[c.Key]; ok && c.MaybeValue() != want {
			t.Errorf("%s=%s, want %s", c.Key, c.MaybeValue(), want)
		}
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "__consumer_offsets", Key: []byte("k")}).FirstErr(); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("a client's own record: %v", err)
	}
	reader := n.client(kgo.ConsumeTopics("__consumer_offsets"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	fetches := reader.PollFetches(ctx)
	records := fetches.Records()
	if len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), fetches.Errors())
	}
	var key kmsg.OffsetCommitKey
	var value kmsg.OffsetCommitValue
	if err := key.ReadFrom(records[0].Key); err != nil {
		t.Fatal(err)
	}
	if err := value.ReadFrom(records[0].Value); err != nil {
		t.Fatal(err)
	}
	if key.Group != "g" || key.Topic != "t" || value.Offset != 5 || value.Metadata != "m" || value.Version != 3 || records[0].Attrs.CompressionType() != 1 {
		t.Errorf("%+v %+v, codec %d", key, value, records[0].Attrs.CompressionType())
	}
}

// Settings of a cluster do not make groups of a single node hang.
func TestGroupsServeOnOneNodeWithSettingsOfThree(t *testing.T) {
	n := groupNode(t, "offsets.topic.replication.factor=3", "min.insync.replicas=2", "default.replication.factor=3")
	n.create("t", 1)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := kadm.NewClient(n.client()).CommitAllOffsets(ctx, "g", kadm.Offsets{"t": {0: {Topic: "t", At: 5, LeaderEpoch: -1}}}); err != nil {
		t.Fatal(err)
	}
}

// With flush.messages=1 a commit waits for the disk, as a parked slot; groups work all the same.
func TestGroupsOnADurableTopic(t *testing.T) {
	n := groupNode(t, "log.flush.interval.messages=1")
	n.create("t", 3)
	n.fill("t", 3, 90)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	s, wg := newSeen(), new(sync.WaitGroup)
	a := n.member(ctx, wg, s, "t", "g")
	b := n.member(ctx, wg, s, "t", "g")
	s.wait(t, ctx, 90)
	for _, cl := range []*kgo.Client{a, b} {
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	cancel()
	wg.Wait()
}

// A broker that stops does not wait for members that wait for each other.
func TestStopSendsWaitingMembersAway(t *testing.T) {
	n := groupNode(t, "group.initial.rebalance.delay.ms=600000")
	n.create("t", 1)
	r := n.raw()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	r.do(find)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 3, "g", 10_000, 10_000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	r.send(join)
	lost := n.raw() // its peer goes away while it waits
	lost.send(join)
	testkit.WaitFor(t, "both to be parked", func() bool { return n.broker.Stats().Parked.Load() == 2 })
	lost.c.Close()
	testkit.WaitFor(t, "the lost one to be forgotten", func() bool { return n.broker.Stats().Parked.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if err := n.broker.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if resp := r.receive(join, r.corr).(*kmsg.JoinGroupResponse); resp.ErrorCode != 16 {
		t.Errorf("code %d, want 16 (NOT_COORDINATOR)", resp.ErrorCode)
	}
}

// Offsets and members are there after a stop.
func TestGroupsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	quorum := metatest.New(t, clock.Real{})
	n := startNodeWith(t, nodeOptions{dir: dir, quorum: quorum, settings: []string{"group.initial.rebalance.delay.ms=0"}})
	n.create("t", 3)
	n.fill("t", 3, 30)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	s, wg := newSeen(), new(sync.WaitGroup)
	inner, stop := context.WithCancel(ctx)
	cl := n.member(inner, wg, s, "t", "g", kgo.InstanceID("i"))
	s.wait(t, ctx, 30)
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	wg.Wait()
	cl.Close()
	n.stop()
	n = startNodeWith(t, nodeOptions{dir: dir, quorum: quorum})
	adm := kadm.NewClient(n.client())
	offsets, err := adm.FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(3) {
		if o, ok := offsets.Lookup("t", p); !ok || o.At != 10 {
			t.Errorf("partition %d: %+v, want 10", p, o)
		}
	}
	described, err := adm.DescribeGroups(ctx, "g")
	if err != nil || described["g"].State != "Stable" || len(described["g"].Members) != 1 {
		t.Errorf("described: %+v, %v", described["g"], err)
	}
}

// Whoever may not use a group is told so, in each API's own place.
func TestGroupsAskTheAuthorizer(t *testing.T) {
	n := startNodeWith(t, nodeOptions{auth: noGroups{}})
	n.create("t", 1)
	r := n.raw()
	topic := []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	for name, code := range map[string]func() int16{
		"find": func() int16 {
			return r.do(at(3, kmsg.NewPtrFindCoordinatorRequest())).(*kmsg.FindCoordinatorResponse).ErrorCode
		},
		"join":      func() int16 { return r.do(at(5, kmsg.NewPtrJoinGroupRequest())).(*kmsg.JoinGroupResponse).ErrorCode },
		"sync":      func() int16 { return r.do(at(3, kmsg.NewPtrSyncGroupRequest())).(*kmsg.SyncGroupResponse).ErrorCode },
		"heartbeat": func() int16 { return r.do(at(3, kmsg.NewPtrHeartbeatRequest())).(*kmsg.HeartbeatResponse).ErrorCode },
		"leave":     func() int16 { return r.do(at(3, kmsg.NewPtrLeaveGroupRequest())).(*kmsg.LeaveGroupResponse).ErrorCode },
		"commit": func() int16 {
			q := at(5, kmsg.NewPtrOffsetCommitRequest())
			q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: make([]kmsg.OffsetCommitRequestTopicPartition, 1)}}
			return r.do(q).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
		},
		"fetch 1": func() int16 {
			q := at(1, kmsg.NewPtrOffsetFetchRequest())
			q.Topics = topic
			return r.do(q).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0].ErrorCode
		},
		"fetch 5": func() int16 {
			q := at(5, kmsg.NewPtrOffsetFetchRequest())
			q.Topics = topic
			return r.do(q).(*kmsg.OffsetFetchResponse).ErrorCode
		},
		"describe": func() int16 {
			q := at(3, kmsg.NewPtrDescribeGroupsRequest())
			q.Groups = []string{"g"}
			return r.do(q).(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode
		},
		"delete": func() int16 {
			q := at(1, kmsg.NewPtrDeleteGroupsRequest())
			q.Groups = []string{"g"}
			return r.do(q).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode
		},
		"offset delete": func() int16 {
			return r.do(at(0, kmsg.NewPtrOffsetDeleteRequest())).(*kmsg.OffsetDeleteResponse).ErrorCode
		},
	} {
		if got := code(); got != 30 {
			t.Errorf("%s: code %d, want 30 (GROUP_AUTHORIZATION_FAILED)", name, got)
		}
	}
}

// noGroups allows everything but groups.
type noGroups struct{}

func (noGroups) Allowed(_ *Caller, _ Operation, kind ResourceType, _ string) bool {
	return kind != ResourceGroup
}
