package consumer

import (
	"slices"
	"strconv"

	"github.com/millrace/millrace/coordinator/group/journal"
)

// step is a change while it is made.
type step struct {
	g      *Group
	env    *Env
	change Change
	// replaced is the id of the static member whose place the step's member takes.
	replaced string
	// resolved are regular expressions that the step resolved, nil for those that it forgot.
	resolved map[string]*journal.ConsumerRegex
}

func (s *step) record(r journal.ConsumerRecord) { s.change.Records = append(s.change.Records, r) }
func (s *step) timer(t timer)                   { s.change.timers = append(s.change.timers, t) }

func itoa(n int32) string { return strconv.Itoa(int(n)) }

func epochRecord(group string, target bool, epoch int32) journal.ConsumerRecord {
	kind := journal.KindConsumerGroup
	if target {
		kind = journal.KindConsumerTargetEpoch
	}
	return journal.ConsumerRecord{Kind: kind, Group: group, Epoch: epoch}
}

// members are the group's members as they will be: with m, and without the one that it
// replaces. Sorted by id.
func (s *step) members(m *Member) []*Member {
	list := make([]*Member, 0, len(s.g.members)+1)
	for id, other := range s.g.members {
		if id != m.ID && id != s.replaced {
			list = append(list, other)
		}
	}
	list = append(list, m)
	slices.SortFunc(list, func(a, b *Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}

// targetOf is the member's part of the present target assignment, or that of the static
// member whose place it takes.
func (s *step) targetOf(m *Member) Assignment {
	if s.replaced != "" && m.InstanceID != "" && s.g.static[m.InstanceID] == s.replaced {
		return s.g.target[s.replaced]
	}
	return s.g.target[m.ID]
}

func (s *step) regexTopics(regex string) []string {
	r, ok := s.resolved[regex]
	if !ok {
		r = s.g.regexes[regex]
	}
	if r == nil {
		return nil
	}
	return r.Topics
}

// subscription is the ids of the existing topics that a member subscribes to.
func (s *step) subscription(m *Member, topics map[string]topic) []TopicID {
	ids := make([]TopicID, 0, len(m.Topics))
	for _, name := range m.Topics {
		if t, ok := topics[name]; ok {
			ids = append(ids, t.id)
		}
	}
	if m.Regex == "" {
		return ids
	}
	for _, name := range s.regexTopics(m.Regex) {
		if _, twice := slices.BinarySearch(m.Topics, name); twice {
			continue
		}
		if t, ok := topics[name]; ok {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// subscribedTopics are the existing topics that the group subscribes to once members came
// (in) and went (out); either may be empty.
func (s *step) subscribedTopics(in *Member, out []*Member) map[string]topic {
	names, regexes := make(map[string]int, len(s.g.nameMembers)), make(map[string]int, len(s.g.regexMembers))
	for name, n := range s.g.nameMembers {
		names[name] = n
	}
	for regex, n := range s.g.regexMembers {
		regexes[regex] = n
	}
	count := func(m *Member, by int) {
		for _, name := range m.Topics {
			add(names, name, by)
		}
		if m.Regex != "" {
			add(regexes, m.Regex, by)
		}
	}
	for _, m := range out {
		count(m, -1)
	}
	if in != nil {
		count(in, 1)
	}
	topics := make(map[string]topic, len(names))
	lookup := func(name string) {
		if id, partitions, ok := s.env.Topics.ByName(name); ok {
			topics[name] = topic{id, partitions}
		}
	}
	for name := range names {
		lookup(name)
	}
	for regex := range regexes {
		for _, name := range s.regexTopics(regex) {
			lookup(name)
		}
	}
	return topics
}

func sameTopics(a, b map[string]topic) bool {
	if len(a) != len(b) {
		return false
	}
	for name, t := range a {
		if b[name] != t {
			return false
		}
	}
	return true
}
