package broker

import (
	"math"

	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// Metadata, versions 0-13.
//
//   - All topics: an empty list in version 0, null from version 1 on. An empty list from
//     version 1 on asks for none.
//   - Topics by id from version 10 on, with a null name: UNKNOWN_TOPIC_ID.
//   - Auto-creation: as configured, if the request allows it (from version 4 on it can
//     refuse). The answer already has the new topic. Who caused it is logged.
//   - A name that no topic can have: INVALID_TOPIC_EXCEPTION.
//   - Each broker by its endpoint for the listener that the client came by; the one that
//     answers, with nothing advertised, by the address that the client connected to.
//   - A replica whose log directory failed is offline, and leads nothing:
//     LEADER_NOT_AVAILABLE when it is the leader's.
//   - Authorized operations on request (cluster: versions 8-10; topics: from 8 on).
//   - Version 13 can say REBOOTSTRAP_REQUIRED: never, the cluster id does not travel with
//     the request yet.

func describeTopics(r *request, q *protocol.MetadataRequest) protocol.Message {
	b := r.b
	resp := protocol.NewMetadataResponse()
	all := q.Topics == nil || r.h.Version == 0 && len(q.Topics) == 0
	var asked []protocol.MetadataResponseTopic
	if !all {
		asked = make([]protocol.MetadataResponseTopic, 0, len(q.Topics))
		for i := range q.Topics {
			asked = append(asked, r.describeAsked(&q.Topics[i], q))
		}
	}
	img := b.loader.Image() // after auto-creation
	if all {
		for _, t := range img.Topics() {
			if b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Name) {
				asked = append(asked, r.describeTopic(img, t, q))
			}
		}
	}
	resp.Topics = asked
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if r.autoCreated > 0 {
		quota := r.mutations(math.MaxInt16) // what was created is only counted
		_ = quota.take(r.autoCreated)
		resp.ThrottleTimeMs = quota.told(resp.ThrottleTimeMs)
	}
	resp.ClusterID = protocol.StrOrNull(img.ClusterID())
	resp.ControllerID = img.Controller().BrokerID
	for _, of := range img.Brokers() {
		if host, port, ok := r.s.endpoint(of); ok {
			resp.Brokers = append(resp.Brokers, protocol.MetadataResponseBroker{NodeID: of.ID, Host: host, Port: port, Rack: protocol.StrOrNull(of.Rack)})
		}
	}
	if q.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = b.operations(r.caller, clusterOperations[:], ResourceCluster, clusterName)
	}
	return &resp
}

// describeAsked answers for one topic that the client named.
func (r *request) describeAsked(want *protocol.MetadataRequestTopic, q *protocol.MetadataRequest) protocol.MetadataResponseTopic {
	img := r.b.loader.Image()
	if !want.Name.Valid {
		t, ok := img.TopicByID(want.TopicID)
		switch {
		case !ok:
			return unknownTopic(protocol.NullString{}, want.TopicID, protocol.CodeUnknownTopicID)
		case !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, t.Name):
			return unknownTopic(protocol.NullString{}, want.TopicID, protocol.CodeUnknownTopicID)
		}
		return r.describeTopic(img, t, q)
	}
	name := want.Name.Value
	if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceTopic, name) {
		return unknownTopic(want.Name, protocol.UUID{}, protocol.CodeTopicAuthorizationFailed)
	}
	t, ok := img.Topic(name)
	if ok {
		return r.describeTopic(img, t, q)
	}
	if !controller.ValidTopicName(name) {
		return unknownTopic(want.Name, protocol.UUID{}, protocol.CodeInvalidTopicException)
	}
	allowed := r.b.config().Broker.AutoCreateTopics && (r.h.Version < 4 || q.AllowAutoTopicCreation)
	if !allowed {
		return unknownTopic(want.Name, protocol.UUID{}, protocol.CodeUnknownTopicOrPartition)
	}
	if !r.b.auth.Allowed(r.caller, OpCreate, ResourceCluster, clusterName) && !r.b.auth.Allowed(r.caller, OpCreate, ResourceTopic, name) {
		return unknownTopic(want.Name, protocol.UUID{}, protocol.CodeTopicAuthorizationFailed)
	}
	if err := r.autoCreate(name); err != nil {
		code, _ := codeOf(err)
		return unknownTopic(want.Name, protocol.UUID{}, code)
	}
	img = r.b.loader.Image()
	if t, ok = img.Topic(name); !ok { // deleted again already
		return unknownTopic(want.Name, protocol.UUID{}, protocol.CodeUnknownTopicOrPartition)
	}
	return r.describeTopic(img, t, q)
}

// autoCreate makes a topic with the broker's defaults; the log says who wanted it.
func (r *request) autoCreate(name string) error {
	b, c := r.b, r.caller
	zxid, err := b.controller.AutoCreate(b.ctx, name, "principal", c.Principal.String(), "client", c.ClientID,
		"remote", c.Address.String(), "listener", c.Listener, "software", r.s.software)
	if err != nil {
		b.log.Warn("topic was not auto-created", "topic", name, "err", err, "principal", c.Principal.String(), "client", c.ClientID, "remote", c.Address.String())
		return err
	}
	if zxid != 0 {
		b.metrics.autoCreated.Inc()
		r.autoCreated += int(b.config().Broker.NumPartitions)
		return b.settled(zxid)
	}
	return nil
}

func unknownTopic(name protocol.NullString, id protocol.UUID, code protocol.ErrorCode) protocol.MetadataResponseTopic {
	t := protocol.NewMetadataResponseTopic()
	t.Name, t.TopicID, t.ErrorCode = name, id, code
	return t
}

func (r *request) describeTopic(img *metadata.Image, t *metadata.Topic, q *protocol.MetadataRequest) protocol.MetadataResponseTopic {
	out := protocol.NewMetadataResponseTopic()
	out.Name, out.TopicID, out.IsInternal = protocol.Str(t.Name), t.ID, controller.Internal(t.Name)
	out.Partitions = make([]protocol.MetadataResponsePartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		out.Partitions = append(out.Partitions, r.describePartition(img, t.Name, &t.Partitions[i]))
	}
	if q.IncludeTopicAuthorizedOperations {
		out.TopicAuthorizedOperations = r.b.operations(r.caller, topicOperations[:], ResourceTopic, t.Name)
	}
	return out
}

func (r *request) describePartition(img *metadata.Image, topic string, p *metadata.Partition) protocol.MetadataResponsePartition {
	out := protocol.NewMetadataResponsePartition()
	out.PartitionIndex, out.LeaderEpoch = p.Index, p.LeaderEpoch
	out.ReplicaNodes, out.IsrNodes = p.Replicas, p.ISR
	out.OfflineReplicas, out.LeaderID = r.b.offlineReplicas(img, topic, p)
	switch leader, alive := img.Broker(out.LeaderID); {
	case !alive:
		out.ErrorCode, out.LeaderID = protocol.CodeLeaderNotAvailable, metadata.NoLeader
	default:
		if _, _, ok := r.s.endpoint(leader); !ok {
			out.ErrorCode, out.LeaderID = protocol.CodeLeaderNotAvailable, metadata.NoLeader
			if r.h.Version >= 6 {
				out.ErrorCode = protocol.CodeListenerNotFound
			}
		}
	}
	return out
}
