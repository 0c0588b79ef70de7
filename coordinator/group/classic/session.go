package classic

import "github.com/millrace/millrace/protocol"

// Heartbeat takes a Heartbeat and answers it.
func (g *Group) Heartbeat(now Now, memberID, instanceID string, generation int32) protocol.ErrorCode {
	m, code := g.find(memberID, instanceID)
	switch {
	case code != protocol.CodeNone:
		return code
	case generation != g.generation:
		return protocol.CodeIllegalGeneration
	case g.state == Empty:
		return protocol.CodeUnknownMemberID
	}
	m.deadline = now.MonoMs + int64(m.SessionTimeoutMs) // only later than it was: wake stays right
	g.wake = min(g.wake, m.deadline)
	if g.state == PreparingRebalance {
		return protocol.CodeRebalanceInProgress
	}
	return protocol.CodeNone
}

// LeaveRequest is one member of a LeaveGroup.
type LeaveRequest struct {
	MemberID, InstanceID string
	Reason               string
}

// Leave takes members out, and answers for each in order.
func (g *Group) Leave(now Now, c *Config, leaving []LeaveRequest, out *Out) []protocol.ErrorCode {
	codes := make([]protocol.ErrorCode, len(leaving))
	members := false
	for i := range leaving {
		q := &leaving[i]
		if _, pending := g.pending[q.MemberID]; pending && q.InstanceID == "" {
			delete(g.pending, q.MemberID)
			continue
		}
		id := q.MemberID
		if id == "" && q.InstanceID != "" {
			id = g.static[q.InstanceID] // an administrator knows no member ids (KIP-345)
		}
		m, code := g.find(id, q.InstanceID)
		if codes[i] = code; code != protocol.CodeNone {
			continue
		}
		out.event("a member left", orNone(q.Reason), m.ID)
		g.remove(m, protocol.CodeUnknownMemberID, out)
		members = true
	}
	g.afterRemoval(now, c, members, "members left", out)
	return codes
}

// afterRemoval goes on without members, or ids that were never used, that are gone.
func (g *Group) afterRemoval(now Now, c *Config, members bool, reason string, out *Out) {
	switch {
	case g.state == PreparingRebalance:
		g.maybeComplete(now, c, out)
	case g.state != Empty && members:
		g.rebalance(now, c, reason, "", out)
	}
}

// CheckCommit fences an OffsetCommit. generation is -1, with empty ids, for one that comes
// from no member.
func (g *Group) CheckCommit(memberID, instanceID string, generation int32) protocol.ErrorCode {
	if generation < 0 && g.state == Empty {
		return protocol.CodeNone // the group only keeps offsets
	}
	if generation < 0 && memberID == "" && instanceID == "" {
		return protocol.CodeUnknownMemberID // members alone commit, while there are some
	}
	_, code := g.find(memberID, instanceID)
	switch {
	case code != protocol.CodeNone:
		return code
	case generation != g.generation:
		return protocol.CodeIllegalGeneration
	case g.state == CompletingRebalance:
		// It knows of the new generation: it should sync first.
		return protocol.CodeRebalanceInProgress
	}
	return protocol.CodeNone
}

// Committed renews the session of a member whose commit was accepted.
func (g *Group) Committed(memberID string, now Now) {
	if m, ok := g.members[memberID]; ok {
		g.renew(m, now)
	}
}

// Tick does what is due.
func (g *Group) Tick(now Now, c *Config, out *Out) {
	if now.MonoMs < g.wake {
		return
	}
	if ids, members := g.expire(now, out); ids || members {
		g.afterRemoval(now, c, members, "sessions of members expired", out)
	}
	if g.state == PreparingRebalance && now.MonoMs >= g.joinDeadline {
		g.joinExpired(now, c, out)
	}
	if now.MonoMs >= g.syncDeadline {
		g.syncExpired(now, c, out)
	}
	g.wake = g.earliest()
}

// expire removes whoever was not heard of.
func (g *Group) expire(now Now, out *Out) (ids, members bool) {
	for id, deadline := range g.pending {
		if now.MonoMs >= deadline {
			delete(g.pending, id)
			ids = true
		}
	}
	var gone []*Member
	for _, m := range g.order {
		if now.MonoMs >= m.deadline && !m.waits() {
			gone = append(gone, m)
		}
	}
	for _, m := range gone {
		out.event("a member is removed", "no heartbeat came within its session timeout", m.ID)
		g.remove(m, protocol.CodeUnknownMemberID, out)
	}
	return ids, len(gone) > 0
}

// waits tells whether a member waits for the group, and so is not to be heard of.
func (m *Member) waits() bool { return !m.isNew && (m.join != nil || m.sync != nil) }

// syncExpired removes members that joined and then did not ask for their assignment.
func (g *Group) syncExpired(now Now, c *Config, out *Out) {
	g.syncDeadline = never
	if g.state != CompletingRebalance && g.state != Stable {
		return
	}
	var gone []*Member
	for _, m := range g.order {
		if m.unsynced {
			gone = append(gone, m)
		}
	}
	for _, m := range gone {
		out.event("a member is removed", "it did not sync within the rebalance timeout", m.ID)
		g.remove(m, protocol.CodeUnknownMemberID, out)
	}
	if len(gone) > 0 {
		g.rebalance(now, c, "members did not sync in time", "", out)
	}
}

// earliest is the least of all deadlines that count.
func (g *Group) earliest() int64 {
	at := g.syncDeadline
	if g.state == PreparingRebalance {
		at = min(at, g.joinDeadline)
	}
	for _, deadline := range g.pending {
		at = min(at, deadline)
	}
	for _, m := range g.order {
		if !m.waits() {
			at = min(at, m.deadline)
		}
	}
	return at
}
