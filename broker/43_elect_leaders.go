package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// ElectLeaders, versions 0-2.
//
//   - Preferred (0), and from version 1 on unclean (1); other types: INVALID_REQUEST.
//   - A null list asks for all partitions that need it; those that do not are left out then.
//     A partition that is named and needs none: ELECTION_NOT_NEEDED.
//   - A replica on a failed log directory cannot lead: PREFERRED_LEADER_NOT_AVAILABLE, or
//     ELIGIBLE_LEADERS_NOT_AVAILABLE when unclean.
//   - The timeout has no effect: the answer comes when the new leader leads.

func electLeaders(r *request, q *protocol.ElectLeadersRequest) protocol.Message {
	b := r.b
	resp := new(protocol.ElectLeadersResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	var parts []controller.PartitionRef
	if q.TopicPartitions != nil {
		parts = []controller.PartitionRef{}
	}
	for i := range q.TopicPartitions {
		for _, p := range q.TopicPartitions[i].Partitions {
			parts = append(parts, controller.PartitionRef{Topic: q.TopicPartitions[i].Topic, Partition: p})
		}
	}
	refused := error(nil)
	switch {
	case !b.auth.Allowed(r.caller, OpAlter, ResourceCluster, clusterName):
		refused = errClusterDenied
	case q.ElectionType != 0 && q.ElectionType != 1:
		refused = &codedError{protocol.CodeInvalidRequest, "election type " + itoa(int32(q.ElectionType)) + " is not known: 0 is preferred, 1 unclean"}
	}
	if refused != nil {
		resp.ErrorCode, _ = r.answer(refused)
		for _, ref := range parts {
			r.addElected(resp, controller.ElectedLeader{PartitionRef: ref, Err: refused})
		}
		return resp
	}
	answers, zxid := b.controller.ElectLeaders(b.ctx, q.ElectionType == 1, parts, func(id int32, p controller.PartitionRef) bool {
		return id == b.id && b.offline(p.Topic, p.Partition)
	})
	settled := b.settled(zxid)
	for _, a := range answers {
		if a.Err == nil {
			a.Err = settled
		}
		r.addElected(resp, a)
	}
	return resp
}

// addElected adds an answer, beside those of its topic.
func (r *request) addElected(resp *protocol.ElectLeadersResponse, a controller.ElectedLeader) {
	list := &resp.ReplicaElectionResults
	if n := len(*list); n == 0 || (*list)[n-1].Topic != a.Topic {
		*list = append(*list, protocol.ElectLeadersResponseReplicaElectionResult{Topic: a.Topic})
	}
	of := &(*list)[len(*list)-1]
	out := protocol.ElectLeadersResponsePartition{PartitionID: a.Partition}
	out.ErrorCode, out.ErrorMessage = r.answer(a.Err, "topic", a.Topic, "partition", a.Partition)
	of.PartitionResult = append(of.PartitionResult, out)
}

// offline tells whether this broker's replica of a partition cannot be served, because its
// log directory failed or its log could not be made.
func (b *Broker) offline(topic string, index int32) bool {
	p, err := b.manager.Get(topic, index)
	if err != nil {
		return codeIs(err, protocol.CodeKafkaStorageError)
	}
	return codeIs(p.Log().Failure(), protocol.CodeKafkaStorageError)
}

func codeIs(err error, want protocol.ErrorCode) bool {
	if err == nil {
		return false
	}
	code, _ := codeOf(err)
	return code == want
}

// offlineReplicas is the replicas of a partition that serve nobody, and its leader, or
// NoLeader when that is one of them.
func (b *Broker) offlineReplicas(img *metadata.Image, topic string, p *metadata.Partition) (offline []int32, leader int32) {
	leader = p.Leader
	for _, id := range p.Replicas {
		_, alive := img.Broker(id)
		if alive && !(id == b.id && b.offline(topic, p.Index)) {
			continue
		}
		offline = append(offline, id)
		if id == leader {
			leader = metadata.NoLeader
		}
	}
	return offline, leader
}
