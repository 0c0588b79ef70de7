package broker

import (
	"iter"

	"github.com/millrace/millrace/protocol"
)

// endpoint is a row of the table of handlers. Versions and size limits stand in
// protocol's table of APIs; here stands what the broker does with a request.
type endpoint struct {
	key  int16
	name string
	// handshake: served before the peer has authenticated.
	handshake bool
	// slow: the handler may wait for the disk or for the metadata store. What is ready to be
	// sent is sent before it begins. The connection's next request waits, so that the
	// effects of one connection's requests keep their order.
	slow bool
	// serve acts on the request. It opens the reply slot itself. An error closes the
	// connection: the bytes are no such request, or no answer was asked for.
	serve func(r *request) error
}

// endpoints is indexed by API key.
type endpoints struct{ byKey [maxKey + 1]*endpoint }

const maxKey = 127

func (e *endpoints) of(key int16) *endpoint {
	if key < 0 || key > maxKey {
		return nil
	}
	return e.byKey[key]
}

// served yields the rows of protocol's table that have a handler, in the order of keys:
// what ApiVersions lists, and all that is accepted. A codec alone serves nothing.
func (e *endpoints) served() iter.Seq[protocol.API] {
	return func(yield func(protocol.API) bool) {
		for a := range protocol.APIs() {
			if e.of(a.Key) != nil && !yield(a) {
				return
			}
		}
	}
}

// newEndpoints is the one place where handlers are registered, a line for each file.
func newEndpoints() *endpoints {
	e := new(endpoints)
	for _, row := range []endpoint{
		{key: protocol.KeyProduce, serve: serveProduce},
		{key: protocol.KeyFetch, serve: serveFetch},
		plain(protocol.KeyListOffsets, listOffsets),
		parking(protocol.KeyOffsetCommit, offsetCommit),
		plain(protocol.KeyOffsetFetch, offsetFetch),
		slow(plain(protocol.KeyFindCoordinator, findCoordinator)),
		parking(protocol.KeyJoinGroup, joinGroup),
		{key: protocol.KeyHeartbeat, serve: serveHeartbeat},
		plain(protocol.KeyLeaveGroup, leaveGroup),
		parking(protocol.KeySyncGroup, syncGroup),
		plain(protocol.KeyDescribeGroups, describeGroups),
		plain(protocol.KeyListGroups, listGroups),
		parking(protocol.KeyDeleteGroups, deleteGroups),
		parking(protocol.KeyOffsetDelete, offsetDelete),
		slow(plain(protocol.KeyMetadata, describeTopics)),
		{key: protocol.KeyApiVersions, handshake: true, serve: plain(protocol.KeyApiVersions, apiVersions).serve},
		slow(plain(protocol.KeyCreateTopics, createTopics)),
		slow(plain(protocol.KeyDeleteTopics, deleteTopics)),
		slow(plain(protocol.KeyDeleteRecords, deleteRecords)),
		slow(plain(protocol.KeyInitProducerId, initProducerID)),
		plain(protocol.KeyOffsetForLeaderEpoch, offsetForLeaderEpoch),
		plain(protocol.KeyDescribeConfigs, describeConfigs),
		slow(plain(protocol.KeyAlterConfigs, alterConfigs)),
		plain(protocol.KeyAlterReplicaLogDirs, alterReplicaLogDirs),
		slow(plain(protocol.KeyDescribeLogDirs, describeLogDirs)),
		slow(plain(protocol.KeyCreatePartitions, createPartitions)),
		slow(plain(protocol.KeyElectLeaders, electLeaders)),
		slow(plain(protocol.KeyIncrementalAlterConfigs, incrementalAlterConfigs)),
		slow(plain(protocol.KeyAlterPartitionReassignments, alterPartitionReassignments)),
		plain(protocol.KeyListPartitionReassignments, listPartitionReassignments),
		plain(protocol.KeyDescribeClientQuotas, describeClientQuotas),
		slow(plain(protocol.KeyAlterClientQuotas, alterClientQuotas)),
		plain(protocol.KeyDescribeQuorum, describeQuorum),
		slow(plain(protocol.KeyUpdateFeatures, updateFeatures)),
		plain(protocol.KeyDescribeCluster, describeCluster),
		plain(protocol.KeyGetTelemetrySubscriptions, getTelemetrySubscriptions),
		plain(protocol.KeyPushTelemetry, pushTelemetry),
		plain(protocol.KeyDescribeProducers, describeProducers),
		plain(protocol.KeyUnregisterBroker, unregisterBroker),
		plain(protocol.KeyListConfigResources, listConfigResources),
		plain(protocol.KeyDescribeTopicPartitions, describeTopicPartitions),
		parking(protocol.KeyConsumerGroupHeartbeat, consumerGroupHeartbeat),
		plain(protocol.KeyConsumerGroupDescribe, consumerGroupDescribe),
	} {
		api, _ := protocol.Lookup(row.key)
		row.name = api.Name
		e.byKey[row.key] = &row
	}
	return e
}

// plain makes a row of a handler that takes a whole message and answers with one.
func plain[T any, P interface {
	*T
	protocol.Message
}](key int16, handle func(r *request, q P) protocol.Message) endpoint {
	return endpoint{key: key, serve: func(r *request) error {
		q := P(new(T))
		if err := q.Decode(r.body, r.h.Version); err != nil {
			return err
		}
		r.open()
		r.respond(handle(r, q))
		return nil
	}}
}

// parking makes a row of a handler whose answer may come after it has returned.
func parking[T any, P interface {
	*T
	protocol.Message
}](key int16, handle func(r *request, q P, l *later)) endpoint {
	return endpoint{key: key, serve: func(r *request) error {
		q := P(new(T))
		if err := q.Decode(r.body, r.h.Version); err != nil {
			return err
		}
		r.open()
		l := newLater(r)
		handle(r, q, l)
		l.returned()
		return nil
	}}
}

func slow(e endpoint) endpoint {
	e.slow = true
	return e
}
