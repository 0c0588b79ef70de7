package broker

import (
	"path"
	"slices"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/protocol"
)

// DescribeLogDirs, versions 1-4.
//
//   - A null list of topics asks for all; a topic that is not here is left out.
//   - An offline directory is listed with KAFKA_STORAGE_ERROR and without topics.
//   - Sizes are positions, not allocations. Capacity and free bytes of the volume from
//     version 4 on.
//   - Offset lag is 0: this broker's replicas are leaders.

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
	logs := slices.Collect(r.b.store.Logs())
	slices.SortFunc(logs, func(a, b *engine.Log) int {
		x, y := a.TopicPartition(), b.TopicPartition()
		if x.Topic != y.Topic {
			if x.Topic < y.Topic {
				return -1
			}
			return 1
		}
		return int(x.Partition) - int(y.Partition)
	})
	wanted := wantedLogs(q)
	byDir := make(map[string][]protocol.DescribeLogDirsResponseTopic)
	for _, l := range logs {
		tp := l.TopicPartition()
		if !wanted(tp) {
			continue
		}
		dir := path.Dir(l.Dir())
		topics := byDir[dir]
		if n := len(topics); n == 0 || topics[n-1].Name != tp.Topic {
			topics = append(topics, protocol.DescribeLogDirsResponseTopic{Name: tp.Topic})
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, protocol.DescribeLogDirsResponsePartition{PartitionIndex: tp.Partition, PartitionSize: l.SizeBytes()})
		byDir[dir] = topics
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
