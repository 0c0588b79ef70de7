package wire

import "github.com/twmb/franz-go/pkg/kmsg"

// committed checks the partitions of a commit that were accepted.
func (c *Checker) committed(call *Call, q *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) {
	g := c.group(q.Group)
	accepted := map[Partition]bool{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			accepted[Partition{c.topic(t.Topic, t.TopicID), p.Partition}] = p.ErrorCode == 0
		}
	}
	classic := call.classic && len(g.members) == 0
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			at := Partition{c.topic(t.Topic, t.TopicID), p.Partition}
			if !accepted[at] {
				continue
			}
			if floor, ok := call.acked[at]; ok && p.Offset < floor {
				c.breaks("group %s: member %s of generation %d was let commit %s to offset %d after offset %d had been committed",
					q.Group, q.MemberID, q.Generation, at, p.Offset, floor)
			}
			if classic && q.Generation >= 0 && q.Generation < call.generation {
				c.breaks("group %s: member %s was let commit %s in generation %d after generation %d had been announced",
					q.Group, q.MemberID, at, q.Generation, call.generation)
			}
			g.acked[at] = max(g.acked[at], p.Offset)
		}
	}
}

// fetched checks what OffsetFetch says against what had been committed before it was asked.
func (c *Checker) fetched(call *Call, q *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) {
	check := func(group string, at Partition, offset int64, code int16) {
		if floor, ok := call.acked[at]; ok && code == 0 && offset < floor {
			c.breaks("group %s: OffsetFetch tells offset %d of %s after offset %d had been committed", group, offset, at, floor)
		}
	}
	if q.Version < 8 {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				check(q.Group, Partition{t.Topic, p.Partition}, p.Offset, max(p.ErrorCode, resp.ErrorCode))
			}
		}
		return
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				check(g.Group, Partition{c.topic(t.Topic, t.TopicID), p.Partition}, p.Offset, max(p.ErrorCode, g.ErrorCode))
			}
		}
	}
}
