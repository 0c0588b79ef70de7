package group

import (
	"github.com/millrace/millrace/coordinator/group/classic"
	"github.com/millrace/millrace/protocol"
)

// Description is a group as DescribeGroups shows it.
type Description struct {
	Kind         Kind
	State        string
	ProtocolType string
	Protocol     string
	Members      []MemberDescription
}

// MemberDescription is one member. Metadata and Assignment are those of a stable group; nobody
// may write to them.
type MemberDescription struct {
	ID, InstanceID       string
	ClientID, ClientHost string
	Metadata             []byte
	Assignment           []byte
}

// Describe tells of a classic group. GROUP_ID_NOT_FOUND when there is none.
func (c *Coordinator) Describe(group string) (Description, protocol.ErrorCode) {
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		return Description{}, code
	}
	defer s.exit()
	e, ok := s.groups[group]
	if !ok {
		return Description{}, protocol.CodeGroupIDNotFound
	}
	cg, ok := e.classic()
	if !ok {
		return Description{}, protocol.CodeGroupIDNotFound
	}
	g := cg.g
	d := Description{Kind: Classic, State: g.State().String(), ProtocolType: g.ProtocolType(), Members: make([]MemberDescription, 0, g.Size())}
	stable := g.State() == classic.Stable
	if stable {
		d.Protocol = g.Protocol()
	}
	for _, m := range g.Members() {
		md := MemberDescription{ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost}
		if stable {
			md.Metadata, md.Assignment = m.Metadata(g.Protocol()), m.Assignment
		}
		d.Members = append(d.Members, md)
	}
	return d, protocol.CodeNone
}

// Info is a group as ListGroups shows it.
type Info struct {
	ID           string
	Kind         Kind
	ProtocolType string
	State        string
	Members      int
	Generation   int32
}

// Groups calls f for each group that this broker coordinates, in no order, until it returns
// false. f is called without locks. It returns COORDINATOR_LOAD_IN_PROGRESS when some are not
// loaded yet.
func (c *Coordinator) Groups(f func(g Info) bool) protocol.ErrorCode {
	code := protocol.CodeNone
	for _, s := range c.table.Load().shards {
		if s == nil {
			continue
		}
		s.mu.Lock()
		if s.state == loading {
			code = protocol.CodeCoordinatorLoadInProgress
			s.mu.Unlock()
			continue
		}
		all := make([]Info, 0, len(s.groups))
		for id, e := range s.groups {
			m := e.members
			all = append(all, Info{ID: id, Kind: m.kind(), ProtocolType: m.protocolType(), State: m.state(), Members: m.size(), Generation: m.generation()})
		}
		s.mu.Unlock()
		for _, g := range all {
			if !f(g) {
				return code
			}
		}
	}
	return code
}

// Delete takes a group of a DeleteGroups: its offsets and itself. done gets its code.
func (c *Coordinator) Delete(group string, done func(code protocol.ErrorCode)) {
	s, code := c.enter(group)
	if code != protocol.CodeNone {
		done(code)
		return
	}
	defer s.exit()
	e, ok := s.groups[group]
	switch {
	case !ok:
		code = protocol.CodeGroupIDNotFound
	case e.writes > 0:
		code = protocol.CodeNonEmptyGroup // somebody commits at this moment
	default:
		code = e.members.checkDelete()
	}
	if code != protocol.CodeNone {
		s.later(func() { done(code) })
		return
	}
	s.remove(e, e.offsets.Keys(everyOffset), true, func(err error) {
		code := codeOf(err, protocol.CodeUnknownServerError)
		if code == protocol.CodeNone {
			s.later(func() { s.c.o.Log.Info("group is deleted", "group", group) })
		}
		s.later(func() { done(code) })
	})
}
