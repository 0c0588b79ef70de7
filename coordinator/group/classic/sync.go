package classic

import "github.com/millrace/millrace/protocol"

// SyncRequest is a SyncGroup.
type SyncRequest struct {
	MemberID, InstanceID   string
	Generation             int32
	ProtocolType, Protocol string // "": not said (before version 5)
	Assignments            map[string][]byte
}

// Sync takes a SyncGroup. Its answer comes in this Out or a later one.
func (g *Group) Sync(now Now, q *SyncRequest, t Ticket, out *Out) {
	answer := func(a SyncAnswer) { out.Syncs = append(out.Syncs, Synced{t, a}) }
	m, code := g.find(q.MemberID, q.InstanceID)
	switch {
	case code != protocol.CodeNone:
	case q.Generation != g.generation:
		code = protocol.CodeIllegalGeneration
	case q.ProtocolType != "" && q.ProtocolType != g.protocolType, q.Protocol != "" && q.Protocol != g.protocol:
		code = protocol.CodeInconsistentGroupProtocol
	case g.state == Empty:
		code = protocol.CodeUnknownMemberID
	case g.state == PreparingRebalance:
		code = protocol.CodeRebalanceInProgress
	}
	if code != protocol.CodeNone {
		answer(SyncAnswer{Code: code})
		return
	}
	g.synced(m)
	if g.syncing == 0 {
		g.syncDeadline = never
	}
	if g.state == Stable {
		g.renew(m, now)
		answer(g.assigned(m))
		return
	}
	g.answerSync(m, SyncAnswer{Code: protocol.CodeRebalanceInProgress}, out)
	m.sync = t
	if m.ID != g.leader || g.writing {
		return
	}
	assignments := make(map[string][]byte, len(g.order))
	for _, o := range g.order {
		assignments[o.ID] = q.Assignments[o.ID] // those of strangers are dropped
	}
	g.writing = true
	out.Writes = append(out.Writes, &Write{kind: writeAssignment, generation: g.generation, assignments: assignments, Value: g.snapshot(assignments)})
}

func (g *Group) assigned(m *Member) SyncAnswer {
	return SyncAnswer{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.Assignment}
}

// Written tells that a Write is in the log, or with a code that it is not and why.
func (g *Group) Written(now Now, c *Config, w *Write, code protocol.ErrorCode, out *Out) {
	switch w.kind {
	case writeStatic:
		g.staticWritten(w, code, out)
	case writeAssignment:
		if g.state != CompletingRebalance || w.generation != g.generation {
			return
		}
		g.writing = false
		if code != protocol.CodeNone {
			g.failSyncs(now, code, out)
			g.rebalance(now, c, "the assignment could not be written: "+code.Message(), "", out)
			return
		}
		g.assign(now, w.assignments, out)
	case writeEmpty:
		if code != protocol.CodeNone {
			out.event("an empty group could not be written; it keeps its last record until the next change", code.Message(), "")
		}
	}
}

// assign puts the leader's assignment into force.
func (g *Group) assign(now Now, assignments map[string][]byte, out *Out) {
	g.become(Stable, now)
	out.event("the group is stable", "", g.leader)
	for _, m := range g.order {
		m.Assignment = assignments[m.ID]
		if m.sync != nil {
			g.answerSync(m, g.assigned(m), out)
			g.renew(m, now)
		}
	}
}
