package group

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
)

// CommitRequest is an OffsetCommit.
type CommitRequest struct {
	MemberID, InstanceID string
	Generation           int32 // or member epoch; -1 for a commit by no member
	RetentionMs          int64 // -1: the broker's
	Offsets              []CommitOffset
}

// CommitOffset is one offset of a CommitRequest. Code is set by Commit.
type CommitOffset struct {
	Topic       string
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	Code        protocol.ErrorCode
}

// Commit takes an OffsetCommit. done is called when the offsets are in the log; each has its
// code by then.
func (c *Coordinator) Commit(group string, q *CommitRequest, done func()) {
	refuse := func(code protocol.ErrorCode) {
		for i := range q.Offsets {
			q.Offsets[i].Code = code
		}
		done()
	}
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		refuse(code)
		return
	}
	defer s.exit()
	now := c.now()
	e := s.groups[group]
	switch {
	case e != nil:
		code = e.members.checkCommit(q.MemberID, q.InstanceID, q.Generation)
		if cg, ok := e.members.(*consumerGroup); ok && code == protocol.CodeStaleMemberEpoch {
			code = protocol.CodeNone
			cg.checkLate(c.topics.Load(), q)
		}
	case q.Generation >= 0:
		code = protocol.CodeIllegalGeneration // a member of a group that is not there any more
	default:
		e = s.groupOrNew(group, now)
	}
	if code != protocol.CodeNone {
		s.later(func() { refuse(code) })
		return
	}
	if q.Generation >= 0 {
		e.members.committed(q.MemberID, now)
		s.changed(e)
	}
	records, values := s.commitRecords(group, q, now.UnixMs)
	if len(records) == 0 {
		s.later(done)
		return
	}
	s.append(e, records, func(first int64, err error) {
		code := codeOf(err, protocol.CodeInvalidCommitOffsetSize)
		next := int64(0)
		for i := range q.Offsets {
			o := &q.Offsets[i]
			if o.Code != protocol.CodeNone {
				continue
			}
			if o.Code = code; code == protocol.CodeNone {
				e.offsets.Set(o.Topic, o.Partition, offsets.Committed{Offset: values[next], RecordOffset: first + next})
			}
			next++
		}
		s.later(done)
	})
}

// commitRecords makes the records of the offsets that may be committed.
func (s *shard) commitRecords(group string, q *CommitRequest, nowMs int64) (records []journal.Record, values []journal.Offset) {
	longest := s.config().MetadataMaxBytes
	expire := int64(-1)
	if q.RetentionMs >= 0 {
		expire = nowMs + q.RetentionMs
	}
	for i := range q.Offsets {
		o := &q.Offsets[i]
		switch {
		case o.Code != protocol.CodeNone: // the caller refused it
			continue
		case len(o.Metadata) > longest:
			o.Code = protocol.CodeOffsetMetadataTooLarge
			continue
		}
		v := journal.Offset{Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata, CommitTimeMs: nowMs, ExpireTimeMs: expire}
		records = append(records, journal.OffsetRecord(group, o.Topic, o.Partition, &v))
		values = append(values, v)
	}
	return records, values
}

// FetchRequest is one group of an OffsetFetch.
type FetchRequest struct {
	MemberID    string
	MemberEpoch int32        // -1: not said
	Topics      []FetchTopic // nil: all that the group has
}

// FetchTopic names partitions of a topic.
type FetchTopic struct {
	Name       string
	Partitions []int32
}

// FetchedTopic is the offsets of a topic.
type FetchedTopic struct {
	Name       string
	Partitions []FetchedOffset
}

// FetchedOffset is a committed offset; Offset is -1, and LeaderEpoch, when there is none.
type FetchedOffset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// Fetch takes an OffsetFetch of one group and answers it, in the order asked.
func (c *Coordinator) Fetch(group string, q *FetchRequest) ([]FetchedTopic, protocol.ErrorCode) {
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		return nil, code
	}
	defer s.exit()
	e := s.groups[group]
	var table *offsets.Table
	if e != nil {
		if code := e.members.checkFetch(q.MemberID, q.MemberEpoch); code != protocol.CodeNone {
			return nil, code
		}
		table = &e.offsets
	} else {
		table = new(offsets.Table)
	}
	topics := q.Topics
	if topics == nil {
		for _, name := range table.Topics() {
			topics = append(topics, FetchTopic{name, table.Partitions(name)})
		}
	}
	out := make([]FetchedTopic, len(topics))
	for i := range topics {
		out[i] = FetchedTopic{topics[i].Name, make([]FetchedOffset, len(topics[i].Partitions))}
		for j, p := range topics[i].Partitions {
			f := FetchedOffset{Partition: p, Offset: -1, LeaderEpoch: -1}
			if o, ok := table.Get(topics[i].Name, p); ok {
				f.Offset, f.LeaderEpoch, f.Metadata = o.Offset.Offset, o.LeaderEpoch, o.Metadata
			}
			out[i].Partitions[j] = f
		}
	}
	return out, protocol.CodeNone
}

// DeleteOffsets takes an OffsetDelete; done gets the group's code, and if that is none a code
// for each offset in order.
func (c *Coordinator) DeleteOffsets(group string, which []offsets.TopicPartition, done func(code protocol.ErrorCode, codes []protocol.ErrorCode)) {
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		done(code, nil)
		return
	}
	defer s.exit()
	e := s.groups[group]
	if e == nil {
		code = protocol.CodeGroupIDNotFound
	} else {
		code = e.members.checkOffsetDelete()
	}
	if code != protocol.CodeNone {
		s.later(func() { done(code, nil) })
		return
	}
	codes := make([]protocol.ErrorCode, len(which))
	var records []journal.Record
	var removed []offsets.TopicPartition
	for i, tp := range which {
		if e.members.subscribed(tp.Topic) {
			codes[i] = protocol.CodeGroupSubscribedToTopic
			continue
		}
		if _, ok := e.offsets.Get(tp.Topic, tp.Partition); ok {
			removed = append(removed, tp)
			records = append(records, journal.OffsetTombstone(group, tp.Topic, tp.Partition))
		}
	}
	s.appendAll(e, records, func(last int64, err error) {
		code := codeOf(err, protocol.CodeUnknownServerError)
		if code == protocol.CodeNone {
			for _, tp := range removed {
				e.offsets.RemoveUntil(tp.Topic, tp.Partition, last)
			}
		}
		s.later(func() { done(code, codes) })
	})
}
