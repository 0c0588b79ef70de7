package consumer

import (
	"fmt"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// ClassicMember is a member of a classic group that becomes one of the new protocol, or the
// other way round.
type ClassicMember struct {
	ID, InstanceID, ClientID, ClientHost string
	RebalanceTimeoutMs, SessionTimeoutMs int32
	Protocols                            []journal.ClassicProtocol
	// Subscription is the metadata of the protocol that the group chose, Assignment what the
	// leader assigned.
	Subscription, Assignment []byte
}

// FromClassic makes a group of a classic one. Members keep what they have: their generation
// becomes the epoch of the group, of its target assignment and of themselves. Those that
// were in a rebalance are told to join again. The Change holds the records of the group; it
// is applied already.
func FromClassic(env *Env, id string, generation int32, members []ClassicMember) (*Group, Change, error) {
	g := New(id)
	s := step{g: g, env: env}
	var list []*Member
	owned := make(map[partition]bool)
	for i := range members {
		m, err := s.fromClassic(&members[i], generation)
		if err != nil {
			return nil, Change{}, err
		}
		for topic, parts := range m.Assigned {
			for _, p := range parts {
				key := partition{topic, p}
				if owned[key] {
					return nil, Change{}, &Error{protocol.CodeGroupIDNotFound, fmt.Sprintf("Cannot upgrade classic group %s to consumer group because its assignment gives a partition to two members.", id)}
				}
				owned[key] = true
			}
		}
		list = append(list, m)
		s.record(memberRecord(id, m))
	}
	topics := make(map[string]topic)
	for _, m := range list {
		for _, name := range m.Topics {
			if tid, partitions, ok := env.Topics.ByName(name); ok {
				topics[name] = topic{tid, partitions}
			}
		}
	}
	s.record(topicsRecord(id, topics))
	s.record(epochRecord(id, false, generation))
	for _, m := range list {
		s.record(targetRecord(id, m.ID, m.Assigned))
	}
	s.record(epochRecord(id, true, generation))
	for _, m := range list {
		s.record(currentRecord(id, m))
		s.timer(timer{member: m.ID, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
	}
	g.Apply(s.change)
	return g, s.change, nil
}

func (s *step) fromClassic(c *ClassicMember, generation int32) (*Member, error) {
	subscription := c.Subscription
	if len(subscription) == 0 && len(c.Protocols) > 0 {
		subscription = c.Protocols[0].Metadata
	}
	sub, err := journal.ReadSubscription(subscription)
	if err != nil {
		return nil, &Error{protocol.CodeGroupIDNotFound, fmt.Sprintf("Cannot upgrade classic group %s to consumer group because the embedded consumer protocol is malformed.", s.g.id)}
	}
	parts, ours, err := journal.ReadAssignment(c.Assignment)
	if err != nil {
		return nil, &Error{protocol.CodeGroupIDNotFound, fmt.Sprintf("Cannot upgrade classic group %s to consumer group because the embedded consumer protocol is malformed.", s.g.id)}
	}
	if !ours {
		return nil, &Error{protocol.CodeGroupIDNotFound, fmt.Sprintf("Cannot upgrade classic group %s to consumer group because an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.", s.g.id)}
	}
	return &Member{
		ID: c.ID, InstanceID: c.InstanceID, RackID: sub.RackID, ClientID: c.ClientID, ClientHost: c.ClientHost, RebalanceTimeoutMs: c.RebalanceTimeoutMs,
		Topics: sortedNames(sub.Topics), Classic: &journal.ConsumerClassic{SessionTimeoutMs: c.SessionTimeoutMs, Protocols: c.Protocols},
		Epoch: generation, PreviousEpoch: generation, State: Stable, Assigned: s.byID(parts),
	}, nil
}

// BecomesClassic reports whether all members speak the classic protocol, so that the group
// should become a classic one, and the settings and maxSize (group.max.size) let it.
func (g *Group) BecomesClassic(c *Config, maxSize int) bool {
	return g.classic > 0 && g.classic == len(g.members) && c.Migration.Downgrade() && g.classic <= maxSize
}

// ToClassic returns the group's members, sorted by id, as members of a classic group whose
// generation is the group's epoch, and the protocol that they all know. Each has its part of
// the target assignment.
func (g *Group) ToClassic(env *Env) (members []ClassicMember, protocolName string, err error) {
	list := g.Members()
	protocolName = g.commonProtocol(list)
	for _, m := range list {
		c := ClassicMember{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost, RebalanceTimeoutMs: m.RebalanceTimeoutMs,
			SessionTimeoutMs: m.Classic.SessionTimeoutMs, Protocols: m.Classic.Protocols,
		}
		for i := range c.Protocols {
			if c.Protocols[i].Name == protocolName {
				c.Subscription = c.Protocols[i].Metadata
			}
		}
		sub, err := journal.ReadSubscription(c.Subscription)
		if err != nil {
			return nil, "", err
		}
		c.Assignment = journal.AppendAssignment(nil, sub.Version, byName(env, g.target[m.ID]))
		members = append(members, c)
	}
	return members, protocolName, nil
}

// commonProtocol is the protocol that most members prefer among those that all know.
func (g *Group) commonProtocol(list []*Member) string {
	counts, votes := make(map[string]int), make(map[string]int)
	for _, m := range list {
		for i := range m.Classic.Protocols {
			counts[m.Classic.Protocols[i].Name]++
		}
	}
	for _, m := range list {
		for i := range m.Classic.Protocols {
			if name := m.Classic.Protocols[i].Name; counts[name] == len(list) {
				votes[name]++
				break
			}
		}
	}
	best := ""
	for _, name := range sortedKeys(votes) {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}
