package group

import "github.com/millrace/millrace/coordinator/group/offsets"

// CommittedOffset is a committed offset with what a lag is shown with.
type CommittedOffset struct {
	Group, Topic string
	Partition    int32
	Offset       int64
	LeaderEpoch  int32 // -1: none
	CommitTimeMs int64 // Unix time
	GroupState   string
	Members      int
}

// Offsets calls f for each committed offset of the groups that this broker coordinates, in no
// order, until it returns false. What it shows of one shard is of one moment; f is called
// without locks, and may keep nothing of o.
func (c *Coordinator) Offsets(f func(o *CommittedOffset) bool) {
	var batch []CommittedOffset
	for _, s := range c.table.Load().shards {
		if s == nil {
			continue
		}
		batch = s.committed(batch[:0])
		for i := range batch {
			if !f(&batch[i]) {
				return
			}
		}
	}
}

func (s *shard) committed(dst []CommittedOffset) []CommittedOffset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving {
		return dst
	}
	for id, e := range s.groups {
		state, size := e.members.state(), e.members.size()
		e.offsets.All(func(tp offsets.TopicPartition, o offsets.Committed) bool {
			dst = append(dst, CommittedOffset{
				Group: id, Topic: tp.Topic, Partition: tp.Partition, Offset: o.Offset.Offset, LeaderEpoch: o.LeaderEpoch,
				CommitTimeMs: o.CommitTimeMs, GroupState: state, Members: size,
			})
			return true
		})
	}
	return dst
}
