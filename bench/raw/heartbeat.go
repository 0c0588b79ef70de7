package raw

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/millrace/millrace/bench/wire"
	"github.com/millrace/millrace/protocol"
)

// Versions of the group APIs: all have fixed-size lengths; a Heartbeat of version 3 names its
// static member.
const (
	findCoordinatorHigh = 2
	joinGroupLow        = 1 // the first with a rebalance timeout
	joinGroupHigh       = 3 // the last in which a member joins without being given an id first
	syncGroupHigh       = 2
	heartbeatHigh       = 2
	leaveGroupHigh      = 2
)

// HeartbeatSpec is a load of consumer groups that stand still: every connection sends
// heartbeats of a member.
type HeartbeatSpec struct {
	Common
	Group  string  // groups are Group-0, Group-1, ...; "": millrace-bench
	Groups int     // of one member each, which several connections speak for; 0: one a connection, at most 100
	Rate   float64 // requests/s, open loop; 0: closed loop
}

const (
	defaultGroup     = "millrace-bench"
	mostGroups       = 100
	benchSessionMs   = 30_000
	coordinatorPoll  = 50 * time.Millisecond
	coordinatorReady = 30 * time.Second
)

// leaveWithin bounds how long the members take to leave at the end.
const leaveWithin = 5 * time.Second

// Heartbeats joins the groups, runs the load and leaves them: who joins next need not wait for
// sessions to end. Errors are those of Produce, and *GroupError.
func Heartbeats(ctx context.Context, t *Target, s HeartbeatSpec) (Stats, error) {
	none := Stats{Stats: wire.NoStats()}
	if err := s.check(); err != nil {
		return none, err
	}
	h := &heartbeats{s: &s, tally: newTally("Heartbeat", s.Threads)}
	var err error
	if h.version, err = t.version(protocol.KeyHeartbeat, "Heartbeat", 0, heartbeatHigh); err != nil {
		return none, err
	}
	defer func() { leave(context.WithoutCancel(ctx), t, h.members) }()
	for i := range s.Groups {
		m, err := join(ctx, t, fmt.Sprintf("%s-%d", s.Group, i))
		if err != nil {
			return none, err
		}
		h.members = append(h.members, m)
	}
	h.build(t.clientID)
	l := s.load(nil)
	l.AddressOf = func(conn int) string { return h.members[conn%len(h.members)].address }
	l.Frame, l.OnReply, l.Keep, l.Rate, l.MaxRequests = h.frame, h.reply, true, s.Rate, s.Records
	h.tally.hook(&l, &s.Common)
	st, err := wire.Run(ctx, l)
	return h.tally.stats(st, err)
}

func (s *HeartbeatSpec) check() error {
	if err := s.Common.check(); err != nil {
		return err
	}
	if s.Group == "" {
		s.Group = defaultGroup
	}
	if s.Groups <= 0 {
		s.Groups = min(s.Connections, mostGroups)
	}
	s.Groups = min(s.Groups, s.Connections)
	return nil
}

// heartbeats makes requests and reads their replies.
type heartbeats struct {
	s       *HeartbeatSpec
	version int16
	tally   *tally
	members []member
	frames  [][1][]byte // one a connection: only the correlation id changes
}

// member is one that has joined.
type member struct {
	group, id  string
	generation int32
	address    string // of the coordinator
}

func (h *heartbeats) build(clientID string) {
	if h.s.ClientID != "" {
		clientID = h.s.ClientID
	}
	h.frames = make([][1][]byte, h.s.Connections)
	for i := range h.frames {
		m := &h.members[i%len(h.members)]
		b := appendHead(nil, protocol.KeyHeartbeat, h.version, 0, clientID)
		b = appendStr(b, m.group)
		b = binary.BigEndian.AppendUint32(b, uint32(m.generation))
		b = appendStr(b, m.id)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		h.frames[i][0] = b
	}
}

// correlationAt is where a request has its correlation id, after size, key and version.
const correlationAt = 8

func (h *heartbeats) frame(conn int, seq int64) [][]byte {
	f := &h.frames[conn]
	binary.BigEndian.PutUint32(f[0][correlationAt:], uint32(seq))
	return f[:]
}

func (h *heartbeats) reply(conn int, seq int64, _ int, reply []byte) {
	c := cursor{b: reply}
	corr := c.i32()
	if h.version >= 1 {
		c.i32() // throttle time
	}
	code := c.i16()
	switch {
	case c.bad || len(c.b) != 0:
		h.tally.broken(fmt.Sprintf("%d bytes are no answer of version %d", len(reply), h.version))
		return
	case corr != int32(seq):
		h.tally.broken(fmt.Sprintf("correlation id %d, want %d", corr, int32(seq)))
		return
	}
	cell := h.tally.cell(conn)
	cell.answers.Add(1)
	if code != 0 {
		h.tally.bad(cell, code)
		return
	}
	cell.records.Add(1)
	h.tally.good()
}

// GroupError says that a group could not be joined.
type GroupError struct {
	Group, API string
	Code       protocol.ErrorCode
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s of group %s: %v", e.API, e.Group, e.Code.Err())
}

// join makes a group of one member, which is its leader and assigns itself nothing.
func join(ctx context.Context, t *Target, group string) (member, error) {
	m := member{group: group}
	if err := t.coordinator(ctx, &m); err != nil {
		return m, err
	}
	version, err := t.version(protocol.KeyJoinGroup, "JoinGroup", joinGroupLow, joinGroupHigh)
	if err != nil {
		return m, err
	}
	req := protocol.NewJoinGroupRequest()
	req.GroupID, req.SessionTimeoutMs, req.RebalanceTimeoutMs, req.ProtocolType = group, benchSessionMs, benchSessionMs, "consumer"
	req.Protocols = []protocol.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	joined := protocol.NewJoinGroupResponse()
	if err := t.ask(ctx, m.address, version, &req, &joined); err != nil {
		return m, err
	}
	if joined.ErrorCode != 0 {
		return m, &GroupError{Group: group, API: "JoinGroup", Code: joined.ErrorCode}
	}
	m.id, m.generation = joined.MemberID, joined.GenerationID
	if version, err = t.version(protocol.KeySyncGroup, "SyncGroup", 0, syncGroupHigh); err != nil {
		return m, err
	}
	assign := protocol.SyncGroupRequest{
		GroupID: group, GenerationID: m.generation, MemberID: m.id,
		Assignments: []protocol.SyncGroupRequestAssignment{{MemberID: m.id, Assignment: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}},
	}
	var synced protocol.SyncGroupResponse
	if err := t.ask(ctx, m.address, version, &assign, &synced); err != nil {
		return m, err
	}
	if synced.ErrorCode != 0 {
		return m, &GroupError{Group: group, API: "SyncGroup", Code: synced.ErrorCode}
	}
	return m, nil
}

// leave takes the members out of their groups. What does not work out in time ends with the
// members' sessions.
func leave(ctx context.Context, t *Target, members []member) {
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	version, err := t.version(protocol.KeyLeaveGroup, "LeaveGroup", 0, leaveGroupHigh)
	if err != nil {
		return
	}
	for _, m := range members {
		var left protocol.LeaveGroupResponse
		if err := t.ask(ctx, m.address, version, &protocol.LeaveGroupRequest{GroupID: m.group, MemberID: m.id}, &left); err != nil {
			return
		}
	}
}

// coordinator waits until the group has one that serves it, and notes where.
func (t *Target) coordinator(ctx context.Context, m *member) error {
	version, err := t.version(protocol.KeyFindCoordinator, "FindCoordinator", 0, findCoordinatorHigh)
	if err != nil {
		return err
	}
	heartbeat, err := t.version(protocol.KeyHeartbeat, "Heartbeat", 0, heartbeatHigh)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, coordinatorReady)
	defer cancel()
	poll := time.NewTicker(coordinatorPoll)
	defer poll.Stop()
	for {
		var found protocol.FindCoordinatorResponse
		if err := t.ask(ctx, t.bootstrap, version, &protocol.FindCoordinatorRequest{Key: m.group}, &found); err != nil {
			return err
		}
		code := found.ErrorCode
		if code == 0 {
			// One that is still loading its groups says so to anybody.
			m.address = net.JoinHostPort(found.Host, strconv.Itoa(int(found.Port)))
			var beat protocol.HeartbeatResponse
			if err := t.ask(ctx, m.address, heartbeat, &protocol.HeartbeatRequest{GroupID: m.group, GenerationID: 0, MemberID: "nobody"}, &beat); err != nil {
				return err
			}
			if code = beat.ErrorCode; !code.Retriable() {
				return nil // it knows nobody of that name, and so its groups
			}
		} else if !code.Retriable() {
			return &GroupError{Group: m.group, API: "FindCoordinator", Code: code}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return &GroupError{Group: m.group, API: "FindCoordinator", Code: code}
		}
	}
}
