package consumer

import (
	"slices"

	"github.com/millrace/millrace/coordinator/group/journal"
)

// Change is what a step wants: records to be written, and what follows from them in memory
// that the log does not hold. The zero Change is none.
type Change struct {
	Records []journal.ConsumerRecord
	timers  []timer
	checked int64 // new value of Group.checked, plus one; 0 leaves it
}

// Apply makes a change after its records were written.
func (g *Group) Apply(c Change) {
	for i := range c.Records {
		g.Replay(&c.Records[i])
	}
	for _, t := range c.timers {
		g.set(t)
	}
	if c.checked > 0 {
		g.checked = c.checked - 1
	}
}

// Replay applies one record of the group. Records come in the order in which they were
// written, but compaction may have taken earlier ones: a tombstone for what is not known is
// no error.
func (g *Group) Replay(r *journal.ConsumerRecord) {
	switch r.Kind {
	case journal.KindConsumerGroup:
		g.epoch = r.Epoch // 0 for a tombstone
	case journal.KindConsumerTargetEpoch:
		g.targetEpoch = r.Epoch
		if r.Deleted {
			g.targetEpoch = -1
		}
	case journal.KindConsumerTopics:
		clear(g.topics)
		for _, t := range r.Topics {
			g.topics[t.Name] = topic{id: t.ID, partitions: t.NumPartitions}
		}
	case journal.KindConsumerTarget:
		if r.Deleted {
			delete(g.target, r.Name)
		} else {
			g.target[r.Name] = fromList(r.Target)
		}
	case journal.KindConsumerRegex:
		g.replayRegex(r)
	case journal.KindConsumerMember:
		g.replayMember(r)
	case journal.KindConsumerCurrent:
		g.replayCurrent(r)
	}
}

func (g *Group) replayRegex(r *journal.ConsumerRecord) {
	if r.Deleted {
		delete(g.regexes, r.Name)
		return
	}
	resolved := *r.Regex
	resolved.Topics = sortedNames(resolved.Topics)
	g.regexes[r.Name] = &resolved
}

func (g *Group) replayMember(r *journal.ConsumerRecord) {
	old := g.members[r.Name]
	if r.Deleted {
		g.replace(old, nil)
		return
	}
	m := newMember(r.Name)
	if old != nil {
		*m = *old
	}
	v := r.Member
	m.InstanceID, m.RackID, m.ClientID, m.ClientHost = v.InstanceID, v.RackID, v.ClientID, v.ClientHost
	m.RebalanceTimeoutMs, m.Regex, m.Assignor, m.Classic = v.RebalanceTimeoutMs, v.SubscribedTopicRegex, v.ServerAssignor, v.Classic
	m.Topics = sortedNames(v.SubscribedTopicNames)
	g.replace(old, m)
}

func (g *Group) replayCurrent(r *journal.ConsumerRecord) {
	old := g.members[r.Name]
	if old == nil && r.Deleted {
		return
	}
	m := newMember(r.Name)
	if old != nil {
		*m = *old
	}
	if r.Deleted {
		m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Pending = EpochLeave, EpochLeave, Stable, nil, nil
	} else {
		v := r.Current
		m.Epoch, m.PreviousEpoch, m.State = v.MemberEpoch, v.PreviousMemberEpoch, MemberState(v.State)
		if m.State < Stable || m.State > UnreleasedPartitions {
			m.State = UnknownState
		}
		m.Assigned, m.Pending = fromList(v.Assigned), fromList(v.PendingRevocation)
	}
	g.replace(old, m)
}

// replace puts a member in the place of its former self; nil is no member.
func (g *Group) replace(old, m *Member) {
	if m != nil {
		g.own(m, m.Assigned)
		g.own(m, m.Pending)
	}
	if old != nil {
		g.count(old, -1)
		g.disown(old, m, old.Assigned)
		g.disown(old, m, old.Pending)
		if g.static[old.InstanceID] == old.ID {
			delete(g.static, old.InstanceID)
		}
	}
	if m == nil {
		if old != nil {
			delete(g.members, old.ID)
			delete(g.deadlines, old.ID)
		}
		return
	}
	g.members[m.ID] = m
	g.count(m, 1)
	if m.InstanceID != "" {
		g.static[m.InstanceID] = m.ID
	}
}

func (g *Group) count(m *Member, by int) {
	for _, name := range m.Topics {
		add(g.nameMembers, name, by)
	}
	if m.Regex != "" {
		if add(g.regexMembers, m.Regex, by) == 0 {
			delete(g.compiled, m.Regex)
		}
	}
	if m.Classic != nil {
		g.classic += by
	}
}

func add(counts map[string]int, key string, by int) int {
	n := counts[key] + by
	if n == 0 {
		delete(counts, key)
	} else {
		counts[key] = n
	}
	return n
}

// own makes a member the owner of what it is not the owner of yet.
func (g *Group) own(m *Member, a Assignment) {
	for id, parts := range a {
		for _, p := range parts {
			if key := (partition{id, p}); g.owners[key].member != m.ID {
				g.owners[key] = owner{m.ID, m.Epoch}
			}
		}
	}
}

// disown ends the ownership of what the member has no more.
func (g *Group) disown(old, m *Member, a Assignment) {
	for id, parts := range a {
		for _, p := range parts {
			key := partition{id, p}
			if g.owners[key].member == old.ID && (m == nil || !m.Assigned.Has(id, p) && !m.Pending.Has(id, p)) {
				delete(g.owners, key)
			}
		}
	}
}

// topicsRecord writes topics down, sorted by name.
func topicsRecord(group string, topics map[string]topic) journal.ConsumerRecord {
	list := make([]journal.ConsumerTopic, 0, len(topics))
	for name, t := range topics {
		list = append(list, journal.ConsumerTopic{ID: t.id, Name: name, NumPartitions: t.partitions})
	}
	slices.SortFunc(list, func(a, b journal.ConsumerTopic) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return journal.ConsumerRecord{Kind: journal.KindConsumerTopics, Group: group, Topics: list}
}
