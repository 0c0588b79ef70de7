package classic

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// Out is what a call leaves to be done. The shell does it after the call, in any order.
type Out struct {
	Joins  []Joined
	Syncs  []Synced
	Writes []*Write
	Events []Event
}

// Joined is the answer to a JoinGroup.
type Joined struct {
	Ticket Ticket
	Answer JoinAnswer
}

// Synced is the answer to a SyncGroup.
type Synced struct {
	Ticket Ticket
	Answer SyncAnswer
}

// JoinAnswer answers a JoinGroup. Generation is -1 in a refusal.
type JoinAnswer struct {
	Code           protocol.ErrorCode
	Generation     int32
	ProtocolType   string // "": null
	Protocol       string // "": null
	Leader         string
	MemberID       string
	SkipAssignment bool
	Members        []JoinMember // for the leader only
}

// JoinMember is a member as the leader sees it.
type JoinMember struct {
	ID, InstanceID string
	Metadata       []byte
}

// SyncAnswer answers a SyncGroup.
type SyncAnswer struct {
	Code                   protocol.ErrorCode
	ProtocolType, Protocol string
	Assignment             []byte
}

// Write is a value to be written to the group's record. Written must be called for it.
type Write struct {
	Value journal.Group

	kind        writeKind
	generation  int32
	assignments map[string][]byte
	static      *replacement
}

type writeKind uint8

const (
	writeEmpty writeKind = iota
	writeAssignment
	writeStatic
)

// Event is a line for the log.
type Event struct {
	Message string
	Reason  string
	Member  string
}

func (o *Out) event(message, reason, member string) {
	o.Events = append(o.Events, Event{message, reason, member})
}

// refusal is a JoinAnswer that is an error.
func refusal(memberID string, code protocol.ErrorCode) JoinAnswer {
	return JoinAnswer{Code: code, Generation: -1, MemberID: memberID}
}

// answerJoin answers a member that waits in JoinGroup, if it does.
func (g *Group) answerJoin(m *Member, a JoinAnswer, out *Out) {
	if m.join == nil {
		return
	}
	out.Joins = append(out.Joins, Joined{m.join, a})
	m.join = nil
	g.joining--
}

// awaitJoin parks a JoinGroup; one that waited before is told to come again.
func (g *Group) awaitJoin(m *Member, t Ticket, out *Out) {
	g.answerJoin(m, refusal(m.ID, protocol.CodeRebalanceInProgress), out)
	m.join = t
	g.joining++
}

// answerSync answers a member that waits in SyncGroup, if it does.
func (g *Group) answerSync(m *Member, a SyncAnswer, out *Out) {
	if m.sync == nil {
		return
	}
	out.Syncs = append(out.Syncs, Synced{m.sync, a})
	m.sync = nil
}

// roster is the members as the leader gets them.
func (g *Group) roster() []JoinMember {
	all := make([]JoinMember, len(g.order))
	for i, m := range g.order {
		all[i] = JoinMember{m.ID, m.InstanceID, m.Metadata(g.protocol)}
	}
	return all
}

// joinAnswer tells a member of the current generation.
func (g *Group) joinAnswer(m *Member, members bool) JoinAnswer {
	a := JoinAnswer{Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, MemberID: m.ID}
	if members {
		a.Members = g.roster()
	}
	return a
}

// snapshot is the group as it is written, with the assignments given, or with those in
// force when they are nil.
func (g *Group) snapshot(assignments map[string][]byte) journal.Group {
	v := journal.Group{
		ProtocolType: g.protocolType, Generation: g.generation, Protocol: g.protocol, Leader: g.leader, StateTimeMs: g.stateTimeMs,
		Members: make([]journal.Member, len(g.order)),
	}
	for i, m := range g.order {
		a := m.Assignment
		if assignments != nil {
			a = assignments[m.ID]
		}
		v.Members[i] = journal.Member{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost, RebalanceTimeoutMs: m.RebalanceTimeoutMs,
			SessionTimeoutMs: m.SessionTimeoutMs, Subscription: m.Metadata(g.protocol), Assignment: a,
		}
	}
	return v
}
