package apis

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestElectLeaders(t *testing.T) {
	c := target(t)
	each(c, 0, 2, func(c *client, v int16) {
		made := c.create(2)
		elect := func(kind int8, topics ...kmsg.ElectLeadersRequestTopic) *kmsg.ElectLeadersResponse {
			req := kmsg.NewPtrElectLeadersRequest()
			req.ElectionType, req.Topics = kind, topics
			return call[*kmsg.ElectLeadersResponse](c, v, req)
		}
		kinds := []int8{0}
		if v >= 1 {
			kinds = append(kinds, 1)
		}
		for _, kind := range kinds {
			got := elect(kind, kmsg.ElectLeadersRequestTopic{Topic: made.name, Partitions: []int32{0, 1, 7}}, kmsg.ElectLeadersRequestTopic{Topic: c.fresh(), Partitions: []int32{0}})
			code(c, got.ErrorCode, nil)
			equal(c, "topics", len(got.Topics), 2)
			for i, want := range []*kerr.Error{kerr.ElectionNotNeeded, kerr.ElectionNotNeeded, kerr.UnknownTopicOrPartition} {
				code(c, got.Topics[0].Partitions[i].ErrorCode, want)
			}
			code(c, one(c, "partitions", got.Topics[1].Partitions).ErrorCode, kerr.UnknownTopicOrPartition)
			// All of them: those that need no election are left out.
			equal(c, "topics of all", len(elect(kind).Topics), 0)
		}
		if v >= 1 {
			code(c, elect(5, kmsg.ElectLeadersRequestTopic{Topic: made.name, Partitions: []int32{0}}).ErrorCode, kerr.InvalidRequest)
		}
	})
}

func TestPartitionReassignments(t *testing.T) {
	c := target(t)
	self := c.metadata(12, metadataOf()).ControllerID
	each(c, 0, 1, func(c *client, v int16) {
		made := c.create(1)
		reassign := func(name string, partition int32, replicas ...int32) kmsg.AlterPartitionAssignmentsResponseTopicPartition {
			c.Helper()
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			p.Partition, p.Replicas = partition, replicas
			req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: name, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}}}
			resp := call[*kmsg.AlterPartitionAssignmentsResponse](c, v, req)
			code(c, resp.ErrorCode, nil)
			return one(c, "partitions", one(c, "topics", resp.Topics).Partitions)
		}
		code(c, reassign(made.name, 0, self).ErrorCode, nil)
		code(c, reassign(made.name, 0).ErrorCode, kerr.NoReassignmentInProgress)
		code(c, reassign(made.name, 0, self, self).ErrorCode, kerr.InvalidReplicaAssignment)
		code(c, reassign(made.name, 0, self+77).ErrorCode, kerr.InvalidReplicaAssignment)
		code(c, reassign(made.name, 9, self).ErrorCode, kerr.UnknownTopicOrPartition)
		code(c, reassign(c.fresh(), 0, self).ErrorCode, kerr.UnknownTopicOrPartition)

		list := kmsg.NewPtrListPartitionReassignmentsRequest()
		for _, topics := range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: made.name, Partitions: []int32{0}}}} {
			list.Topics = topics
			resp := call[*kmsg.ListPartitionReassignmentsResponse](c, 0, list)
			code(c, resp.ErrorCode, nil)
			equal(c, "reassignments", len(resp.Topics), 0)
		}
	})
}

func TestDescribeQuorum(t *testing.T) {
	c := target(t)
	self := c.metadata(12, metadataOf()).ControllerID
	each(c, 0, 2, func(c *client, v int16) {
		describe := func(topic string, partition int32) (*kmsg.DescribeQuorumResponse, kmsg.DescribeQuorumResponseTopicPartition) {
			req := kmsg.NewPtrDescribeQuorumRequest()
			req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: topic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: partition}}}}
			resp := call[*kmsg.DescribeQuorumResponse](c, v, req)
			code(c, resp.ErrorCode, nil)
			return resp, one(c, "partitions", one(c, "topics", resp.Topics).Partitions)
		}
		resp, p := describe("__cluster_metadata", 0)
		code(c, p.ErrorCode, nil)
		equal(c, "leader", p.LeaderID, self)
		voter := one(c, "voters", p.CurrentVoters)
		equal(c, "voter", voter.ReplicaID, self)
		equal(c, "observers", len(p.Observers), 0)
		if p.LeaderEpoch < 1 || p.HighWatermark < 1 || voter.LogEndOffset != p.HighWatermark {
			c.Errorf("%+v", p)
		}
		if v >= 1 && (voter.LastFetchTimestamp <= 0 || voter.LastCaughtUpTimestamp <= 0) {
			c.Errorf("the voter's times: %+v", voter)
		}
		if v >= 2 {
			node := one(c, "nodes", resp.Nodes)
			equal(c, "node", node.NodeID, self)
			equal(c, "listener", one(c, "listeners", node.Listeners).Name, "PLAINTEXT")
		}
		c.create(1)
		if _, later := describe("__cluster_metadata", 0); later.HighWatermark <= p.HighWatermark {
			c.Errorf("a new topic left the high watermark at %d", later.HighWatermark)
		}
		_, other := describe("other", 0)
		code(c, other.ErrorCode, kerr.UnknownTopicOrPartition)
		_, other = describe("__cluster_metadata", 1)
		code(c, other.ErrorCode, kerr.UnknownTopicOrPartition)
	})
}

func TestUpdateFeatures(t *testing.T) {
	_, c := launch(t, nil)
	finalized := func(c *client) (level int16, epoch int64) {
		c.Helper()
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "apis", "1"
		resp := call[*kmsg.ApiVersionsResponse](c, 4, req)
		equal(c, "supported feature", one(c, "supported features", resp.SupportedFeatures).Name, "group.version")
		for _, f := range resp.FinalizedFeatures {
			level = f.MaxVersionLevel
		}
		return level, resp.FinalizedFeaturesEpoch
	}
	each(c, 0, 2, func(c *client, v int16) {
		update := func(feature string, level int16, kind int8, down, dry bool) *kmsg.UpdateFeaturesResponse {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = feature, level, kind, down
			req.FeatureUpdates, req.ValidateOnly = append(req.FeatureUpdates, u), dry
			return call[*kmsg.UpdateFeaturesResponse](c, v, req)
		}
		verdict := func(r *kmsg.UpdateFeaturesResponse) int16 {
			if v >= 2 {
				equal(c, "results", len(r.Results), 0)
				return r.ErrorCode
			}
			return one(c, "results", r.Results).ErrorCode
		}
		level, epoch := finalized(c)
		equal(c, "level", level, 1)
		if v >= 1 {
			code(c, verdict(update("group.version", 0, 2, false, true)), nil)
			level, _ := finalized(c)
			equal(c, "level after a dry run", level, 1)
		}
		code(c, verdict(update("group.version", 0, 1, false, false)), kerr.InvalidUpdateVersion)
		code(c, verdict(update("group.version", 9, 1, false, false)), kerr.InvalidUpdateVersion)
		code(c, verdict(update("no.such.feature", 1, 1, false, false)), kerr.InvalidUpdateVersion)
		code(c, verdict(update("group.version", 0, 2, true, false)), nil)
		level, later := finalized(c)
		equal(c, "level after the downgrade", level, 0)
		heartbeat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		heartbeat.Group, heartbeat.MemberID, heartbeat.RebalanceTimeoutMillis = "group", "member", 60_000
		heartbeat.SubscribedTopicNames, heartbeat.Topics = []string{"topic"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		code(c, call[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, heartbeat).ErrorCode, kerr.UnsupportedVersion)
		if later <= epoch {
			c.Errorf("the epoch of the features went from %d to %d", epoch, later)
		}
		code(c, verdict(update("group.version", 1, 1, false, false)), nil)
	})
}

func TestUnregisterBroker(t *testing.T) {
	c := target(t)
	self := c.metadata(12, metadataOf()).ControllerID
	req := kmsg.NewPtrUnregisterBrokerRequest()
	for id, want := range map[int32]*kerr.Error{self + 77: kerr.BrokerIDNotRegistered, self: kerr.InvalidRequest} {
		req.BrokerID = id
		resp := call[*kmsg.UnregisterBrokerResponse](c, 0, req)
		code(c, resp.ErrorCode, want)
		equal(c, "there is a message", deref(resp.ErrorMessage) != "", true)
	}
}

func TestDescribeProducers(t *testing.T) {
	c := target(t)
	made := c.create(1)
	who := c.initProducerID(4, nil)
	c.put(made, values("a", "b", "c").by(who.ProducerID, who.ProducerEpoch, 0))
	c.put(made, values("d").by(who.ProducerID, who.ProducerEpoch, 3))
	req := kmsg.NewPtrDescribeProducersRequest()
	none := c.fresh()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: made.name, Partitions: []int32{0, 5}}, {Topic: none, Partitions: []int32{0}}}
	resp := call[*kmsg.DescribeProducersResponse](c, 0, req)
	equal(t, "topics", len(resp.Topics), 2)
	p := resp.Topics[0].Partitions[0]
	code(t, p.ErrorCode, nil)
	got := one(t, "producers", p.ActiveProducers)
	equal(t, "producer id", got.ProducerID, who.ProducerID)
	equal(t, "epoch", got.ProducerEpoch, int32(who.ProducerEpoch))
	equal(t, "last sequence", got.LastSequence, 3)
	equal(t, "transaction", got.CurrentTxnStartOffset, -1)
	equal(t, "coordinator epoch", got.CoordinatorEpoch, -1)
	if got.LastTimestamp <= 0 {
		t.Errorf("last timestamp %d", got.LastTimestamp)
	}
	code(t, resp.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
	code(t, resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
}

// The pages of DescribeTopicPartitions say what Metadata says, whatever their size.
func TestDescribeTopicPartitions(t *testing.T) {
	_, c := launch(t, nil)
	var names []string
	for _, n := range []int32{3, 1, 5} {
		names = append(names, c.create(n).name)
	}
	slices.Sort(names)
	missing := c.fresh()
	page := func(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) *kmsg.DescribeTopicPartitionsResponse {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = limit, cursor
		for _, name := range topics {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		return call[*kmsg.DescribeTopicPartitionsResponse](c, 0, req)
	}
	for _, topics := range [][]string{nil, {names[2], names[0], names[1], names[0]}, {names[1], missing}} {
		for limit := int32(0); limit < 11; limit++ {
			counts := map[string]int{}
			var cursor *kmsg.DescribeTopicPartitionsRequestCursor
			for pages := 0; ; pages++ {
				if pages > 20 {
					t.Fatal("no end of pages")
				}
				resp := page(limit, cursor, topics...)
				seen := 0
				for _, got := range resp.Topics {
					name := deref(got.Topic)
					if name == missing {
						code(t, got.ErrorCode, kerr.UnknownTopicOrPartition)
						continue
					}
					code(t, got.ErrorCode, nil)
					if got.TopicID == ([16]byte{}) || got.AuthorizedOperations == notAsked {
						t.Errorf("%s: %+v", name, got)
					}
					for _, p := range got.Partitions {
						code(t, p.ErrorCode, nil)
						equal(t, name+": partition", p.Partition, int32(counts[name]))
						equal(t, "leader", p.LeaderID, 1)
						equal(t, "replicas", len(p.Replicas), 1)
						equal(t, "offline replicas", len(p.OfflineReplicas), 0)
						counts[name]++
						seen++
					}
				}
				if seen > int(max(limit, 1)) {
					t.Errorf("%d partitions in an answer, limit %d", seen, limit)
				}
				if resp.NextCursor == nil {
					break
				}
				cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
			}
			want := 9
			if len(topics) == 2 {
				want = len(c.metadata(12, metadataOf(names[1])).Topics[0].Partitions)
			}
			sum := 0
			for _, n := range counts {
				sum += n
			}
			equal(t, "partitions of all pages", sum, want)
		}
	}
	bad := page(10, &kmsg.DescribeTopicPartitionsRequestCursor{Topic: names[0], Partition: -1}, names[0])
	code(t, one(t, "topics", bad.Topics).ErrorCode, kerr.InvalidRequest)
	if got := c.metadata(12, metadataOf(missing)).Topics[0]; !strings.Contains(kerr.ErrorForCode(got.ErrorCode).Error(), "UNKNOWN_TOPIC") {
		t.Error("a topic was created")
	}
}
