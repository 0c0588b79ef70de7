package broker

import (
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// DescribeQuorum, versions 0-2.
//
//   - The only partition is __cluster_metadata-0; others: UNKNOWN_TOPIC_OR_PARTITION.
//   - This node is the one voter, and leads in the epoch of the controller. Offsets are
//     zxids of the metadata tree: the next one ends the log, and all below are committed.
//   - Version 1 adds times (of the leader itself: now), version 2 directory ids (none: the
//     tree is no Raft log) and the addresses of the nodes.

const metadataTopic = "__cluster_metadata"

func describeQuorum(r *request, q *protocol.DescribeQuorumRequest) protocol.Message {
	b := r.b
	resp := new(protocol.DescribeQuorumResponse)
	r.charge(len(r.body)) // the response has no field for the throttle time
	if !b.auth.Allowed(r.caller, OpDescribe, ResourceCluster, clusterName) {
		resp.ErrorCode, resp.ErrorMessage = r.answer(errClusterDenied)
		return resp
	}
	img := b.loader.Image()
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.DescribeQuorumResponseTopic{TopicName: t.TopicName}
		for j := range t.Partitions {
			out.Partitions = append(out.Partitions, r.describeQuorumOf(img, t.TopicName, t.Partitions[j].PartitionIndex))
		}
		resp.Topics = append(resp.Topics, out)
	}
	if of, ok := img.Broker(b.id); ok {
		host, port, _ := r.s.endpoint(of)
		listener := protocol.DescribeQuorumResponseListener{Name: r.caller.Listener, Host: host, Port: uint16(port)}
		resp.Nodes = []protocol.DescribeQuorumResponseNode{{NodeID: b.id, Listeners: []protocol.DescribeQuorumResponseListener{listener}}}
	}
	return resp
}

func (r *request) describeQuorumOf(img *metadata.Image, topic string, index int32) protocol.DescribeQuorumResponsePartition {
	out := protocol.DescribeQuorumResponsePartition{PartitionIndex: index}
	if topic != metadataTopic || index != 0 {
		out.ErrorCode, out.ErrorMessage = r.answer(errUnknownTopic)
		return out
	}
	now, end := clock.UnixMs(r.b.clock), img.Zxid()+1
	out.LeaderID, out.LeaderEpoch, out.HighWatermark = img.Controller().BrokerID, img.ControllerEpoch(), end
	self := protocol.NewDescribeQuorumResponseVoter()
	self.ReplicaID, self.LogEndOffset, self.LastFetchTimestamp, self.LastCaughtUpTimestamp = r.b.id, end, now, now
	out.CurrentVoters = append(out.CurrentVoters, self)
	return out
}
