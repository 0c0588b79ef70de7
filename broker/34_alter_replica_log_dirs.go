package broker

import "github.com/millrace/millrace/protocol"

// AlterReplicaLogDirs, versions 1-2.
//
//   - Answered when the move has begun or waits for its turn: DescribeLogDirs (35) shows the
//     future log and how far it is behind. A move that a stop interrupted is begun anew.
//   - A path that is not one of log.dirs: LOG_DIR_NOT_FOUND. A directory that failed, where
//     the log is or where it is to go: KAFKA_STORAGE_ERROR. Unknown partitions:
//     UNKNOWN_TOPIC_OR_PARTITION.
//   - To where the log is: a success, which ends a move that is under way. Another path takes
//     the place of the one before.

func alterReplicaLogDirs(r *request, q *protocol.AlterReplicaLogDirsRequest) protocol.Message {
	resp := new(protocol.AlterReplicaLogDirsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	allowed := r.b.auth.Allowed(r.caller, OpAlter, ResourceCluster, clusterName)
	for i := range q.Dirs {
		d := &q.Dirs[i]
		for j := range d.Topics {
			out := protocol.AlterReplicaLogDirsResponseResult{TopicName: d.Topics[j].Name}
			for _, index := range d.Topics[j].Partitions {
				err := error(errClusterDenied)
				if allowed {
					err = r.b.manager.MoveLog(out.TopicName, index, d.Path)
				}
				p := protocol.AlterReplicaLogDirsResponsePartition{PartitionIndex: index}
				p.ErrorCode, _ = r.answer(err, "topic", out.TopicName, "partition", index, "dir", d.Path)
				out.Partitions = append(out.Partitions, p)
			}
			resp.Results = append(resp.Results, out)
		}
	}
	return resp
}
