package group

import (
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/coordinator/group/offsets"
	"github.com/millrace/millrace/protocol"
)

// Kind is the protocol of a group's members.
type Kind uint8

// The kinds of groups.
const (
	Classic Kind = iota
	Consumer
)

// String is Kafka's name of the kind, as listed.
func (k Kind) String() string {
	if k == Consumer {
		return "consumer"
	}
	return "classic"
}

// members is the membership side of a group, whatever its protocol. All methods are called
// with the shard's lock held.
type members interface {
	kind() Kind
	state() string
	// protocolType is "consumer", another client's, or "" for a group that only keeps offsets.
	protocolType() string
	generation() int32
	size() int

	// wakeMs is when tick wants to be called, by the monotonic clock: not later than anything
	// is due, math.MaxInt64 for never.
	wakeMs() int64
	tick(s *shard, e *entry, now classic.Now)
	// loaded is called once, after the whole log was replayed and before any request.
	loaded(s *shard, e *entry, now classic.Now)
	// unload answers everybody who waits with NOT_COORDINATOR.
	unload(s *shard, e *entry)

	// checkCommit fences an OffsetCommit; generation is the member epoch of newer protocols.
	checkCommit(memberID, instanceID string, generation int32) protocol.ErrorCode
	// committed is told of a commit that passed.
	committed(memberID string, now classic.Now)
	// checkFetch fences an OffsetFetch that names a member (version 9 and later).
	checkFetch(memberID string, epoch int32) protocol.ErrorCode
	// checkDelete tells whether the group may be deleted.
	checkDelete() protocol.ErrorCode
	// checkOffsetDelete tells whether single offsets may be; those of subscribed topics may not.
	checkOffsetDelete() protocol.ErrorCode
	subscribed(topic string) bool
	retention() offsets.Rule
	// tombstones remove the group's own records.
	tombstones(id string) []journal.Record
}

// classicGroup is a group of the classic protocol, or one that only keeps offsets.
type classicGroup struct{ g *classic.Group }

func (c *classicGroup) kind() Kind           { return Classic }
func (c *classicGroup) state() string        { return c.g.State().String() }
func (c *classicGroup) protocolType() string { return c.g.ProtocolType() }
func (c *classicGroup) generation() int32    { return c.g.Generation() }
func (c *classicGroup) size() int            { return c.g.Size() }
func (c *classicGroup) wakeMs() int64        { return c.g.WakeMs() }

func (c *classicGroup) tick(s *shard, e *entry, now classic.Now) {
	var out classic.Out
	c.g.Tick(now, &s.config().Classic, &out)
	s.settle(e, c, &out)
}

func (c *classicGroup) loaded(s *shard, e *entry, now classic.Now) {
	var out classic.Out
	c.g.Started(now, &s.config().Classic, &out)
	s.settle(e, c, &out)
}

func (c *classicGroup) unload(s *shard, e *entry) {
	var out classic.Out
	c.g.Stop(protocol.CodeNotCoordinator, &out)
	s.settle(e, c, &out)
}

func (c *classicGroup) checkCommit(memberID, instanceID string, generation int32) protocol.ErrorCode {
	return c.g.CheckCommit(memberID, instanceID, generation)
}

func (c *classicGroup) committed(memberID string, now classic.Now) { c.g.Committed(memberID, now) }

func (c *classicGroup) checkFetch(string, int32) protocol.ErrorCode { return protocol.CodeNone }

func (c *classicGroup) checkDelete() protocol.ErrorCode {
	if c.g.State() != classic.Empty {
		return protocol.CodeNonEmptyGroup
	}
	return protocol.CodeNone
}

func (c *classicGroup) checkOffsetDelete() protocol.ErrorCode {
	if c.g.State() != classic.Empty && c.g.ProtocolType() != classic.ConsumerProtocol {
		return protocol.CodeNonEmptyGroup // what such members read is not known
	}
	return protocol.CodeNone
}

func (c *classicGroup) subscribed(topic string) bool {
	return c.g.State() != classic.Empty && c.g.Subscribed(topic)
}

// retention holds KIP-211: offsets of a group without members age from when it lost them;
// those of a stable consumer group from their commit, if nobody reads the topic any more;
// those of a group that never had members from their commit.
func (c *classicGroup) retention() offsets.Rule {
	g := c.g
	switch {
	case g.ProtocolType() == "":
		return offsets.Rule{SinceMs: -1}
	case g.State() == classic.Empty:
		return offsets.Rule{SinceMs: g.StateTimeMs()}
	case g.State() == classic.Stable && g.ProtocolType() == classic.ConsumerProtocol && g.TopicsKnown():
		return offsets.Rule{SinceMs: -1, Subscribed: g.Subscribed}
	}
	return offsets.Rule{Keep: true}
}

func (c *classicGroup) tombstones(id string) []journal.Record {
	if c.g.Generation() == 0 {
		return nil // nothing was ever written
	}
	return []journal.Record{journal.GroupTombstone(id)}
}

// settle does what a step of a classic group left to be done.
func (s *shard) settle(e *entry, c *classicGroup, out *classic.Out) {
	for i := range out.Joins {
		j := &out.Joins[i]
		s.later(func() { j.Ticket.(func(classic.JoinAnswer))(j.Answer) })
	}
	for i := range out.Syncs {
		y := &out.Syncs[i]
		s.later(func() { y.Ticket.(func(classic.SyncAnswer))(y.Answer) })
	}
	s.report(e, c.g, out.Events)
	if e.members != members(c) {
		return // the group changed its protocol: what it was must not be written any more
	}
	for _, w := range out.Writes {
		s.append(e, []journal.Record{journal.GroupRecord(e.id, &w.Value)}, func(_ int64, err error) {
			var next classic.Out
			code := codeOf(err, protocol.CodeUnknownServerError)
			c.g.Written(s.c.now(), &s.config().Classic, w, code, &next)
			s.settle(e, c, &next)
		})
	}
	s.changed(e)
}

// report logs what happened to a group.
func (s *shard) report(e *entry, g *classic.Group, events []classic.Event) {
	if len(events) == 0 {
		return
	}
	id, generation, state, size := e.id, g.Generation(), g.State().String(), g.Size()
	s.later(func() {
		for _, ev := range events {
			args := []any{"group", id, "generation", generation, "state", state, "members", size}
			if ev.Member != "" {
				args = append(args, "member", ev.Member)
			}
			if ev.Reason != "" {
				args = append(args, "reason", ev.Reason)
			}
			s.c.o.Log.Info("group: "+ev.Message, args...)
		}
	})
}
