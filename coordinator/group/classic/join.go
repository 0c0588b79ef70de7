package classic

import "github.com/millrace/millrace/protocol"

// JoinRequest is a JoinGroup.
type JoinRequest struct {
	MemberID   string // "" for a member that has none yet
	InstanceID string // "" for a dynamic member
	// NewID is the id that a new member gets; needed with an empty MemberID only.
	NewID              string
	ClientID           string
	ClientHost         string
	ProtocolType       string
	Protocols          []Protocol
	RebalanceTimeoutMs int32
	SessionTimeoutMs   int32
	// RequireKnownMember is KIP-394: a new dynamic member is told its id and joins again
	// with it (version 4 and later).
	RequireKnownMember bool
	// CanSkipAssignment is KIP-814 (version 9).
	CanSkipAssignment bool
	Reason            string
}

// Join takes a JoinGroup. Its answer comes in this Out or a later one.
func (g *Group) Join(now Now, c *Config, q *JoinRequest, t Ticket, out *Out) {
	refuse := func(id string, code protocol.ErrorCode) { out.Joins = append(out.Joins, Joined{t, refusal(id, code)}) }
	switch {
	case q.SessionTimeoutMs < c.MinSessionMs || q.SessionTimeoutMs > c.MaxSessionMs:
		refuse(q.MemberID, protocol.CodeInvalidSessionTimeout)
		return
	case !g.accepts(q.MemberID, c.MaxSize):
		if m, ok := g.members[q.MemberID]; ok {
			g.remove(m, protocol.CodeGroupMaxSizeReached, out)
			g.afterRemoval(now, c, true, "a member is one too many", out)
		}
		refuse("", protocol.CodeGroupMaxSizeReached)
		return
	case !g.supports(q.ProtocolType, q.Protocols):
		refuse(q.MemberID, protocol.CodeInconsistentGroupProtocol)
		return
	}
	if q.MemberID == "" {
		g.joinNew(now, c, q, t, out)
		return
	}
	if _, pending := g.pending[q.MemberID]; pending {
		if q.InstanceID != "" {
			refuse(q.MemberID, protocol.CodeUnknownMemberID) // ids of static members are never given out ahead
			return
		}
		g.admit(now, c, q, q.MemberID, t, out)
		return
	}
	m, code := g.find(q.MemberID, q.InstanceID)
	if code != protocol.CodeNone {
		refuse(q.MemberID, code)
		return
	}
	g.rejoin(now, c, m, q, t, out)
}

// accepts holds group.max.size. While members join, those who did count, so that of too
// many the first ones stay.
func (g *Group) accepts(memberID string, maxSize int) bool {
	m, known := g.members[memberID]
	switch g.state {
	case Empty:
		return true
	case PreparingRebalance:
		return known && m.join != nil || g.joining < maxSize
	}
	return known || len(g.members) < maxSize
}

// find looks up the member that a request is from, fencing what uses its instance id
// without being it.
func (g *Group) find(memberID, instanceID string) (*Member, protocol.ErrorCode) {
	if instanceID != "" {
		current, ok := g.static[instanceID]
		if !ok {
			return nil, protocol.CodeUnknownMemberID
		}
		if current != memberID {
			return nil, protocol.CodeFencedInstanceID
		}
	}
	m, ok := g.members[memberID]
	if !ok {
		return nil, protocol.CodeUnknownMemberID
	}
	return m, protocol.CodeNone
}

func (g *Group) joinNew(now Now, c *Config, q *JoinRequest, t Ticket, out *Out) {
	if old, ok := g.static[q.InstanceID]; ok && q.InstanceID != "" {
		g.replaceStatic(now, c, g.members[old], q, t, out)
		return
	}
	if q.InstanceID == "" && q.RequireKnownMember {
		g.pending[q.NewID] = g.due(now.MonoMs + int64(q.SessionTimeoutMs))
		out.Joins = append(out.Joins, Joined{t, refusal(q.NewID, protocol.CodeMemberIDRequired)})
		return
	}
	g.admit(now, c, q, q.NewID, t, out)
}

// admit adds a member and rebalances.
func (g *Group) admit(now Now, c *Config, q *JoinRequest, id string, t Ticket, out *Out) {
	m := &Member{
		ID: id, InstanceID: q.InstanceID, ClientID: q.ClientID, ClientHost: q.ClientHost, isNew: true,
		RebalanceTimeoutMs: q.RebalanceTimeoutMs, SessionTimeoutMs: q.SessionTimeoutMs, Protocols: q.Protocols,
	}
	if g.state == PreparingRebalance && g.generation == 0 {
		g.newcomers = true
	}
	g.add(m)
	g.protocolType = q.ProtocolType
	g.awaitJoin(m, t, out)
	m.deadline = g.due(now.MonoMs + newMemberJoinMs)
	g.rebalance(now, c, "a member joined: "+orNone(q.Reason), id, out)
}

func orNone(reason string) string {
	if reason == "" {
		return "the client gave no reason"
	}
	return reason
}

// rejoin takes the JoinGroup of a member that is in the group.
func (g *Group) rejoin(now Now, c *Config, m *Member, q *JoinRequest, t Ticket, out *Out) {
	switch {
	case g.state == CompletingRebalance && m.matches(q.Protocols):
		// The answer was lost, or its sender did not wait for it: what was said stands.
		g.renew(m, now)
		out.Joins = append(out.Joins, Joined{t, g.joinAnswer(m, g.leader == m.ID)})
		return
	case g.state == Stable && m.ID != g.leader && m.matches(q.Protocols):
		// A follower that joins with what it had needs no rebalance; the leader may have seen
		// topics change.
		g.renew(m, now)
		out.Joins = append(out.Joins, Joined{t, g.joinAnswer(m, false)})
		return
	case g.state == Empty: // a member of an empty group is none
		out.Joins = append(out.Joins, Joined{t, refusal(q.MemberID, protocol.CodeUnknownMemberID)})
		return
	}
	g.update(m, q, out)
	g.awaitJoin(m, t, out)
	m.deadline = max(m.deadline, g.due(now.MonoMs+int64(m.SessionTimeoutMs)))
	why := "a member joined again: "
	if m.ID == g.leader {
		why = "the leader joined again: "
	}
	g.rebalance(now, c, why+orNone(q.Reason), m.ID, out)
}

// update takes over what a JoinGroup says of a member.
func (g *Group) update(m *Member, q *JoinRequest, out *Out) {
	g.count(m, -1)
	m.Protocols, m.RebalanceTimeoutMs, m.SessionTimeoutMs = q.Protocols, q.RebalanceTimeoutMs, q.SessionTimeoutMs
	g.count(m, 1)
	g.answerSync(m, SyncAnswer{Code: protocol.CodeRebalanceInProgress}, out)
}

// replacement is a static member that came back under a new id while the group goes on.
type replacement struct {
	ticket       Ticket
	member       *Member
	oldID, newID string
	oldLeader    string
	oldValues    Member // what to go back to when it cannot be written
	canSkip      bool
}

// replaceStatic gives a static member that lost its id another one. In a stable group whose
// protocol stays nobody else notices; the new id is written before it is told.
func (g *Group) replaceStatic(now Now, c *Config, m *Member, q *JoinRequest, t Ticket, out *Out) {
	oldID, oldLeader, oldValues := m.ID, g.leader, *m
	g.rename(m, q.NewID, out)
	m.ClientID, m.ClientHost = q.ClientID, q.ClientHost
	g.update(m, q, out)
	g.renew(m, now)
	out.event("a static member came back and got another id", orNone(q.Reason), m.ID)
	switch {
	case g.state == Stable && g.choose() == g.protocol:
		w := &Write{kind: writeStatic, generation: g.generation, Value: g.snapshot(nil)}
		w.static = &replacement{ticket: t, member: m, oldID: oldID, newID: m.ID, oldLeader: oldLeader, oldValues: oldValues, canSkip: q.CanSkipAssignment}
		out.Writes = append(out.Writes, w)
	default:
		g.awaitJoin(m, t, out)
		g.rebalance(now, c, "a static member came back: "+orNone(q.Reason), m.ID, out)
	}
}

// rename moves a static member to another id. Whoever waits under the old one is fenced.
func (g *Group) rename(m *Member, id string, out *Out) {
	g.answerJoin(m, refusal(m.ID, protocol.CodeFencedInstanceID), out)
	g.answerSync(m, SyncAnswer{Code: protocol.CodeFencedInstanceID}, out)
	delete(g.members, m.ID)
	if g.leader == m.ID {
		g.leader = id
	}
	m.ID = id
	g.members[id] = m
	g.static[m.InstanceID] = id
}

// staticWritten ends replaceStatic.
func (g *Group) staticWritten(w *Write, code protocol.ErrorCode, out *Out) {
	s := w.static
	m := s.member
	current := g.members[s.newID] == m
	if code != protocol.CodeNone {
		if current {
			id := m.ID
			g.rename(m, s.oldID, out)
			g.count(m, -1)
			v := &s.oldValues
			m.ClientID, m.ClientHost, m.Protocols, m.RebalanceTimeoutMs, m.SessionTimeoutMs = v.ClientID, v.ClientHost, v.Protocols, v.RebalanceTimeoutMs, v.SessionTimeoutMs
			g.count(m, 1)
			out.event("a static member keeps its old id: the new one could not be written", code.Message(), id)
		}
		out.Joins = append(out.Joins, Joined{s.ticket, refusal("", code)})
		return
	}
	if !current {
		out.Joins = append(out.Joins, Joined{s.ticket, refusal("", protocol.CodeFencedInstanceID)})
		return
	}
	a := g.joinAnswer(m, false)
	switch {
	case s.canSkip:
		// The leader learns the members, and that it need not assign (KIP-814).
		a.SkipAssignment = g.leader == m.ID
		if a.SkipAssignment {
			a.Members = g.roster()
		}
	default:
		// An older client would assign if it saw its own id as the leader's.
		a.Leader = s.oldLeader
	}
	out.Joins = append(out.Joins, Joined{s.ticket, a})
}
