package group

import (
	"math"
	"time"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
)

// scheduleSweep arms the timer for the next look at old offsets.
func (c *Coordinator) scheduleSweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.sweeper = c.o.Clock.AfterFunc(time.Duration(c.o.Config().CheckMs)*time.Millisecond, func() {
		c.sweep()
		c.scheduleSweep()
	})
}

// sweep forgets offsets whose time is over, and groups of which nothing is left.
func (c *Coordinator) sweep() {
	c.sweeping.Lock()
	defer c.sweeping.Unlock()
	for _, s := range c.table.Load().shards {
		if s == nil {
			continue
		}
		s.mu.Lock()
		ids := make([]string, 0, len(s.groups))
		for id := range s.groups {
			ids = append(ids, id)
		}
		s.mu.Unlock()
		for _, id := range ids { // one at a time, so that nobody waits for all
			s.sweep(id)
		}
	}
}

func (s *shard) sweep(id string) {
	s.mu.Lock()
	defer s.exit()
	e, ok := s.groups[id]
	if !ok || s.state != serving || e.writes > 0 {
		return
	}
	expired := e.offsets.Expired(e.members.retention(), s.c.now().UnixMs, s.config().RetentionMs)
	s.forgetOffsets(e, expired, "their retention is over")
}

// forgetOffsets removes offsets, and the group with the last of them when it has no members
// and nobody who was told a member id may still come back with it.
func (s *shard) forgetOffsets(e *entry, which []offsets.TopicPartition, reason string) {
	whole := len(which) == e.offsets.Len() && e.members.checkDelete() == protocol.CodeNone && e.members.wakeMs() == math.MaxInt64
	if !whole && len(which) == 0 {
		return
	}
	s.remove(e, which, whole, func(err error) {
		if n := len(which); err == nil && n > 0 {
			id := e.id
			s.later(func() {
				s.c.o.Log.Info("offsets of a group are forgotten", "group", id, "offsets", n, "reason", reason)
			})
		}
	})
}

// remove writes tombstones for offsets, with whole also for the group itself, and then drops
// them from memory, but for what came meanwhile. done is called with the lock held.
func (s *shard) remove(e *entry, which []offsets.TopicPartition, whole bool, done func(err error)) {
	records := make([]journal.Record, 0, len(which)+1)
	for _, tp := range which {
		records = append(records, journal.OffsetTombstone(e.id, tp.Topic, tp.Partition))
	}
	if whole {
		records = append(records, e.members.tombstones(e.id)...)
	}
	s.appendAll(e, records, func(last int64, err error) {
		if err != nil {
			done(err)
			return
		}
		for _, tp := range which {
			e.offsets.RemoveUntil(tp.Topic, tp.Partition, last)
		}
		if whole && e.offsets.Len() == 0 && e.writes == 0 && e.members.checkDelete() == protocol.CodeNone {
			s.forget(e)
		}
		done(nil)
	})
}

// forgetTopics removes the offsets of topics that are gone.
func (s *shard) forgetTopics(gone []string) {
	s.mu.Lock()
	defer s.exit()
	if s.state != serving {
		return
	}
	for _, e := range s.groups {
		var which []offsets.TopicPartition
		for _, topic := range gone {
			for _, p := range e.offsets.Partitions(topic) {
				which = append(which, offsets.TopicPartition{Topic: topic, Partition: p})
			}
		}
		if len(which) > 0 {
			s.forgetOffsets(e, which, "their topic was deleted")
		}
	}
}

// everyOffset picks all.
func everyOffset(offsets.TopicPartition, offsets.Committed) bool { return true }
