package broker

import (
	"path"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/protocol"
)

// DescribeLogDirs, versions 1-4.
//
//   - A null list of topics asks for all; a topic that is not here is left out.
//   - An offline directory is listed with KAFKA_STORAGE_ERROR and without topics.
//   - Sizes are positions, not allocations. Capacity and free bytes of the volume from
//     version 4 on.
//   - Offset lag is 0: this broker's replicas are leaders. The copy of a log that is on its
//     way to another directory (34), or waits for its turn, stands there too, as a future one,
//     with its lag.

func describeLogDirs(r *request, q *protocol.DescribeLogDirsRequest) protocol.Message {
	resp := new(protocol.DescribeLogDirsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if !r.b.auth.Allowed(r.caller, OpDescribe, ResourceCluster, clusterName) {
		resp.ErrorCode, _ = r.answer(errClusterDenied)
		return resp
	}
	byDir := r.logsByDir(q)
	for _, d := range r.b.store.Dirs() {
		out := protocol.NewDescribeLogDirsResponseResult()
		out.LogDir = d.Path
		if d.Err != nil {
			out.ErrorCode = protocol.CodeKafkaStorageError
		} else {
			out.TotalBytes, out.UsableBytes = d.TotalBytes, d.FreeBytes
			out.Topics = byDir[path.Clean(d.Path)]
		}
		resp.Results = append(resp.Results, out)
	}
	return resp
}

// logsByDir groups the wanted logs by directory and topic.
func (r *request) logsByDir(q *protocol.DescribeLogDirsRequest) map[string][]protocol.DescribeLogDirsResponseTopic {
	wanted := wantedLogs(q)
	byDir := make(map[string][]protocol.DescribeLogDirsResponseTopic)
	add := func(dir, topic string, p protocol.DescribeLogDirsResponsePartition) {
		dir = path.Clean(dir)
		topics := byDir[dir]
		at, found := slices.BinarySearchFunc(topics, topic, func(t protocol.DescribeLogDirsResponseTopic, name string) int {
			return strings.Compare(t.Name, name)
		})
		if !found {
			topics = slices.Insert(topics, at, protocol.DescribeLogDirsResponseTopic{Name: topic})
		}
		topics[at].Partitions = append(topics[at].Partitions, p)
		byDir[dir] = topics
	}
	for l := range r.b.store.Logs() { // by topic and partition
		if tp := l.TopicPartition(); wanted(tp) {
			add(l.LogDir(), tp.Topic, protocol.DescribeLogDirsResponsePartition{PartitionIndex: tp.Partition, PartitionSize: l.SizeBytes()})
		}
	}
	for _, m := range r.b.manager.WaitingMoves() { // a tool that asks would take them for given up
		tp := m.TopicPartition
		if l, ok := r.b.store.Get(tp); ok && wanted(tp) {
			lag := l.LogEndOffset() - l.LogStartOffset()
			add(m.Dir, tp.Topic, protocol.DescribeLogDirsResponsePartition{PartitionIndex: tp.Partition, OffsetLag: lag, IsFutureKey: true})
		}
	}
	for _, m := range r.b.store.Moves() {
		if tp := m.TopicPartition; wanted(tp) {
			add(m.Dir, tp.Topic, protocol.DescribeLogDirsResponsePartition{
				PartitionIndex: tp.Partition, PartitionSize: m.SizeBytes, OffsetLag: m.OffsetLag, IsFutureKey: true,
			})
		}
	}
	return byDir
}

func wantedLogs(q *protocol.DescribeLogDirsRequest) func(engine.TopicPartition) bool {
	if q.Topics == nil {
		return func(engine.TopicPartition) bool { return true }
	}
	set := make(map[engine.TopicPartition]bool)
	for i := range q.Topics {
		for _, p := range q.Topics[i].Partitions {
			set[engine.TopicPartition{Topic: q.Topics[i].Topic, Partition: p}] = true
		}
	}
	return func(tp engine.TopicPartition) bool { return set[tp] }
}
