package consumer

import (
	"fmt"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// A group of the new protocol may have members that speak the classic one: so a group moves
// from one to the other member by member, while it runs. Such a member has its epoch as
// generation; JoinGroup takes the place of the heartbeat that reconciles, SyncGroup fetches
// what that gave, and Heartbeat tells it to join again when there is more to do.

// consumerType is the protocol type of consumers.
const consumerType = "consumer"

// ClassicJoin is a JoinGroup to such a group.
type ClassicJoin struct {
	MemberID string // "" for none yet
	NewID    string // the id of a member that has none
	// InstanceID is "" for a dynamic member.
	InstanceID         string
	RequireKnownMember bool // version 4 and later (KIP-394)
	ProtocolType       string
	Protocols          []journal.ClassicProtocol
	SessionTimeoutMs   int32
	RebalanceTimeoutMs int32
}

// ClassicJoined is its answer. There is no leader: the broker assigns.
type ClassicJoined struct {
	MemberID   string
	Generation int32
	Protocol   string
}

// JoinClassic handles a JoinGroup. On an error MemberID of the answer is set all the same:
// MEMBER_ID_REQUIRED tells it.
func (g *Group) JoinClassic(env *Env, q *ClassicJoin) (Change, ClassicJoined, error) {
	s := step{g: g, env: env}
	id := cmpOr(q.MemberID, q.NewID)
	out := ClassicJoined{MemberID: id, Generation: -1}
	if !g.supports(q) {
		return Change{}, out, &Error{protocol.CodeInconsistentGroupProtocol, fmt.Sprintf("Member %s's protocols are not supported.", id)}
	}
	sub, err := journal.ReadSubscription(q.Protocols[0].Metadata)
	if err != nil {
		return Change{}, out, &Error{protocol.CodeInconsistentGroupProtocol, "The embedded consumer protocol is malformed: " + err.Error()}
	}
	if q.MemberID == "" && q.InstanceID == "" && q.RequireKnownMember {
		if err := s.room(); err != nil {
			return Change{}, out, err
		}
		return Change{}, out, &Error{protocol.CodeMemberIDRequired, ""}
	}
	old, err := s.findClassic(q, id, len(sub.Owned) > 0)
	if err != nil {
		return Change{}, out, err
	}
	m := joined(old, q, &sub, &env.Client)
	epoch, topics, err := s.subscribe(old, m)
	if err != nil {
		return Change{}, out, err
	}
	if m, err = s.settle(m, epoch, topics, s.byID(sub.Owned), true); err != nil {
		return Change{}, out, err
	}
	s.timer(timer{member: id, kind: joinTimer})
	s.timer(timer{member: id, kind: rebalanceTimer})
	s.timer(timer{member: id, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
	s.timer(timer{member: id, kind: syncTimer, atMs: env.NowMs + int64(m.RebalanceTimeoutMs)})
	out.Generation, out.Protocol = m.Epoch, q.Protocols[0].Name
	return s.change, out, nil
}

// supports tells whether the member can take part: one of its protocols must be known to
// all members of the classic protocol, so that the group can become a classic one.
func (g *Group) supports(q *ClassicJoin) bool {
	if q.ProtocolType != consumerType || len(q.Protocols) == 0 {
		return false
	}
	counts := make(map[string]int)
	for _, m := range g.members {
		if m.Classic != nil {
			for i := range m.Classic.Protocols {
				counts[m.Classic.Protocols[i].Name]++
			}
		}
	}
	for i := range q.Protocols {
		if counts[q.Protocols[i].Name] == g.classic {
			return true
		}
	}
	return false
}

// findClassic returns the member that joins, or a new one. One that comes with an id that
// the group does not have may have been removed without hearing of it: as long as it holds
// partitions, which others may have by now, it is told so. (Kafka takes it in.)
func (s *step) findClassic(q *ClassicJoin, id string, owns bool) (*Member, error) {
	g := s.g
	if q.InstanceID == "" {
		if m := g.members[id]; m != nil {
			return m, nil
		}
		if q.MemberID != "" && owns {
			return nil, unknownMember(g.id, id)
		}
		return newMember(id), s.room()
	}
	m := g.members[g.static[q.InstanceID]]
	switch {
	case q.MemberID == "" && m == nil:
		return newMember(id), s.room()
	case q.MemberID == "":
		return s.takeOver(m, id), nil
	case m == nil:
		return nil, unknownInstance(q.InstanceID)
	case m.ID != id:
		return nil, fencedInstance(id, q.InstanceID, m.ID)
	}
	return m, nil
}

// joined is the member with what its JoinGroup says about it; old when that is nothing new.
func joined(old *Member, q *ClassicJoin, sub *journal.Subscription, c *Client) *Member {
	m := *old
	m.InstanceID, m.RackID = cmpOr(q.InstanceID, m.InstanceID), cmpOr(sub.RackID, m.RackID)
	if q.RebalanceTimeoutMs != -1 {
		m.RebalanceTimeoutMs = q.RebalanceTimeoutMs
	}
	m.Topics, m.Regex, m.ClientID, m.ClientHost = sortedNames(sub.Topics), "", c.ID, c.Host
	m.Classic = &journal.ConsumerClassic{SessionTimeoutMs: q.SessionTimeoutMs, Protocols: q.Protocols}
	if m.described(old) {
		return old
	}
	return &m
}

func (s *step) byID(named []journal.NamedPartitions) Assignment {
	var list []journal.TopicPartitions
	for _, t := range named {
		if id, _, ok := s.env.Topics.ByName(t.Topic); ok {
			list = append(list, journal.TopicPartitions{TopicID: id, Partitions: t.Partitions})
		}
	}
	return fromList(list)
}

// classicMember finds a member that sent a request of the classic protocol.
func (g *Group) classicMember(member, instance string, generation int32) (*Member, error) {
	m := g.members[member]
	if instance != "" {
		m = g.members[g.static[instance]]
		switch {
		case m == nil:
			return nil, &Error{protocol.CodeUnknownMemberID, fmt.Sprintf("Member with instance id %s is not a member of group %s.", instance, g.id)}
		case m.ID != member:
			return nil, fencedInstance(member, instance, m.ID)
		}
	}
	switch {
	case m == nil:
		return nil, unknownMember(g.id, member)
	case m.Classic == nil:
		return nil, &Error{protocol.CodeUnknownMemberID, fmt.Sprintf("Member %s does not use the classic protocol.", m.ID)}
	case m.Epoch != generation:
		return nil, &Error{protocol.CodeIllegalGeneration, fmt.Sprintf("The request generation id %d is not equal to the member epoch %d of member %s.", generation, m.Epoch, m.ID)}
	}
	return m, nil
}

// SyncClassic handles a SyncGroup: it returns what the member may use. Empty protocol names
// are not checked. The Change holds timers only, and goes with an error too.
func (g *Group) SyncClassic(env *Env, member, instance string, generation int32, protocolType, protocolName string) (Change, []byte, error) {
	m, err := g.classicMember(member, instance, generation)
	if err != nil {
		return Change{}, nil, err
	}
	first := m.Classic.Protocols[0]
	if protocolType != "" && protocolType != consumerType || protocolName != "" && protocolName != first.Name {
		return Change{}, nil, &Error{protocol.CodeInconsistentGroupProtocol, fmt.Sprintf("The protocol %s of type %s is not what member %s joined with.", protocolName, protocolType, m.ID)}
	}
	s := step{g: g, env: env}
	// In UNREVOKED_PARTITIONS it has joined for the new epoch, and gives up partitions first.
	if g.epoch > m.Epoch && m.State != UnrevokedPartitions {
		s.expectJoin(m)
		return s.change, nil, &Error{protocol.CodeRebalanceInProgress, fmt.Sprintf("A new rebalance is triggered in group %s and member %s should rejoin to catch up.", g.id, m.ID)}
	}
	sub, err := journal.ReadSubscription(first.Metadata)
	if err != nil {
		return Change{}, nil, &Error{protocol.CodeUnknownServerError, "Malformed embedded consumer protocol: " + err.Error()}
	}
	s.timer(timer{member: m.ID, kind: syncTimer})
	s.timer(timer{member: m.ID, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
	return s.change, journal.AppendAssignment(nil, sub.Version, byName(env, m.Assigned)), nil
}

func byName(env *Env, a Assignment) []journal.NamedPartitions {
	var named []journal.NamedPartitions
	for _, id := range a.Topics() {
		if name, ok := env.Topics.ByID(id); ok {
			named = append(named, journal.NamedPartitions{Topic: name, Partitions: a[id]})
		}
	}
	return named
}

// expectJoin gives a member that was told to join again its rebalance timeout to do it.
func (s *step) expectJoin(m *Member) {
	s.timer(timer{member: m.ID, kind: joinTimer, atMs: s.env.NowMs + int64(m.RebalanceTimeoutMs), absent: true})
}

// HeartbeatClassic handles a Heartbeat. The Change holds timers only. REBALANCE_IN_PROGRESS
// asks the member to join again: the group moved on, it has to give up partitions, or what
// it waits for is free.
func (g *Group) HeartbeatClassic(env *Env, member, instance string, generation int32) (Change, error) {
	m, err := g.classicMember(member, instance, generation)
	if err != nil {
		return Change{}, err
	}
	s := step{g: g, env: env}
	s.timer(timer{member: m.ID, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
	if m.Epoch < g.epoch || m.State == UnrevokedPartitions || m.State == UnreleasedPartitions && !s.waits(m) {
		s.expectJoin(m)
		return s.change, &Error{protocol.CodeRebalanceInProgress, ""}
	}
	return s.change, nil
}

// waits tells whether others own some of what the member is to get.
func (s *step) waits(m *Member) bool {
	taken := s.taken(m.ID)
	for id, parts := range s.g.target[m.ID] {
		for _, p := range parts {
			if !m.Assigned.Has(id, p) && taken(id, p) {
				return true
			}
		}
	}
	return false
}

// ClassicLeave is one member of a LeaveGroup.
type ClassicLeave struct{ MemberID, InstanceID string }

// LeaveClassic handles a LeaveGroup. codes are those of the members, in order.
func (g *Group) LeaveClassic(env *Env, leaving []ClassicLeave) (c Change, codes []protocol.ErrorCode) {
	s := step{g: g, env: env}
	codes = make([]protocol.ErrorCode, len(leaving))
	var gone []*Member
	seen := make(map[string]bool)
	for i, l := range leaving {
		m := g.members[l.MemberID]
		if l.InstanceID != "" {
			m = g.members[g.static[l.InstanceID]]
			if m != nil && l.MemberID != "" && m.ID != l.MemberID {
				codes[i] = protocol.CodeFencedInstanceID
				continue
			}
		}
		if m == nil || m.Classic == nil || seen[m.ID] {
			codes[i] = protocol.CodeUnknownMemberID
			continue
		}
		seen[m.ID] = true
		gone = append(gone, m)
	}
	if len(gone) > 0 {
		s.remove(gone)
	}
	return s.change, codes
}
