package consumer

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/protocol"
)

// Heartbeat handles a heartbeat that Validate found sound: a member joins, goes on or
// leaves. The answer holds once the change is written. On an error nothing changes.
func (g *Group) Heartbeat(env *Env, q *protocol.ConsumerGroupHeartbeatRequest) (Change, *protocol.ConsumerGroupHeartbeatResponse, error) {
	s := step{g: g, env: env}
	if q.MemberEpoch < 0 {
		resp, err := s.leave(q)
		return s.change, resp, err
	}
	owned := ownedBy(q)
	old, err := s.find(q, owned)
	if err != nil {
		return Change{}, nil, err
	}
	m := update(old, q, &env.Client)
	epoch, topics, err := s.subscribe(old, m)
	if err != nil {
		return Change{}, nil, err
	}
	m, err = s.settle(m, epoch, topics, owned, q.TopicPartitions != nil)
	if err != nil {
		return Change{}, nil, err
	}
	s.timer(timer{member: m.ID, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
	resp := protocol.ConsumerGroupHeartbeatResponse{}
	resp.MemberID, resp.MemberEpoch = protocol.Str(m.ID), m.Epoch
	resp.HeartbeatIntervalMs = int32(env.Config.HeartbeatInterval.Milliseconds())
	full := q.MemberEpoch == EpochJoin ||
		q.RebalanceTimeoutMs != -1 && (q.SubscribedTopicNames != nil || q.SubscribedTopicRegex.Valid) && q.TopicPartitions != nil
	if full || !m.Assigned.Equal(old.Assigned) {
		resp.Assignment = answer(m.Assigned)
	}
	return s.change, &resp, nil
}

func ownedBy(q *protocol.ConsumerGroupHeartbeatRequest) Assignment {
	if len(q.TopicPartitions) == 0 {
		return nil
	}
	a := make(Assignment, len(q.TopicPartitions))
	for i := range q.TopicPartitions {
		a[q.TopicPartitions[i].TopicID] = append(a[q.TopicPartitions[i].TopicID], q.TopicPartitions[i].Partitions...)
	}
	for id, parts := range a {
		if len(parts) == 0 {
			delete(a, id)
			continue
		}
		slices.Sort(parts)
	}
	return a
}

// find returns the member that speaks, or a new one.
func (s *step) find(q *protocol.ConsumerGroupHeartbeatRequest, owned Assignment) (*Member, error) {
	g, join := s.g, q.MemberEpoch == EpochJoin
	id := q.MemberID
	if id == "" {
		id = s.env.NewID()
	}
	if q.InstanceID.Valid {
		return s.findStatic(q, id, owned)
	}
	m := g.members[id]
	if m == nil {
		if !join {
			return nil, unknownMember(g.id, id)
		}
		return newMember(id), s.room()
	}
	return m, checkEpochs(m, q, owned)
}

func (s *step) findStatic(q *protocol.ConsumerGroupHeartbeatRequest, id string, owned Assignment) (*Member, error) {
	g, instance := s.g, q.InstanceID.Value
	m := g.members[g.static[instance]]
	if q.MemberEpoch != EpochJoin {
		switch {
		case m == nil:
			return nil, unknownInstance(instance)
		case m.ID != id:
			return nil, fencedInstance(id, instance, m.ID)
		}
		return m, checkEpochs(m, q, owned)
	}
	switch {
	case m == nil && g.members[id] != nil:
		return g.members[id], nil
	case m == nil:
		return newMember(id), s.room()
	case m.ID == id:
		return m, nil
	case m.Classic == nil && m.Epoch != EpochLeaveStatic:
		return nil, &Error{protocol.CodeUnreleasedInstanceID, fmt.Sprintf("Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.", id, instance, m.ID)}
	}
	return s.takeOver(m, id), nil
}

func (s *step) room() error {
	if len(s.g.members) >= s.env.Config.MaxSize {
		return &Error{protocol.CodeGroupMaxSizeReached, fmt.Sprintf("The consumer group has reached its maximum capacity of %d members.", s.env.Config.MaxSize)}
	}
	return nil
}

// takeOver gives a static member a new id.
func (s *step) takeOver(old *Member, id string) *Member {
	m := *old
	m.ID, m.Epoch, m.PreviousEpoch = id, 0, 0
	s.replaced = old.ID
	s.removeRecords(old)
	s.record(memberRecord(s.g.id, &m))
	s.record(targetRecord(s.g.id, id, s.g.target[old.ID]))
	s.record(currentRecord(s.g.id, &m))
	return &m
}

func unknownInstance(instance string) error {
	return &Error{protocol.CodeUnknownMemberID, "Instance id " + instance + " is unknown."}
}

func fencedInstance(id, instance, by string) error {
	return &Error{protocol.CodeFencedInstanceID, fmt.Sprintf("Static member %s with instance id %s was fenced by member %s.", id, instance, by)}
}

// checkEpochs fences a member that missed something. One that lost the answer that moved it
// to its epoch comes with the one before, and may: it holds nothing but what it was given.
func checkEpochs(m *Member, q *protocol.ConsumerGroupHeartbeatRequest, owned Assignment) error {
	got := q.MemberEpoch
	switch {
	case got == EpochJoin || got == m.Epoch:
		return nil
	case got > m.Epoch:
		return &Error{protocol.CodeFencedMemberEpoch, fmt.Sprintf("The consumer group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", got, m.Epoch)}
	case got == m.PreviousEpoch && q.TopicPartitions != nil && subset(owned, m.Assigned):
		return nil
	}
	return &Error{protocol.CodeFencedMemberEpoch, fmt.Sprintf("The consumer group member has a smaller member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", got, m.Epoch)}
}

func subset(a, of Assignment) bool {
	for id, parts := range a {
		for _, p := range parts {
			if !of.Has(id, p) {
				return false
			}
		}
	}
	return true
}

// update is the member with what the request says about it; old when that is nothing new.
func update(old *Member, q *protocol.ConsumerGroupHeartbeatRequest, c *Client) *Member {
	if old.Classic == nil && old.ClientID == c.ID && old.ClientHost == c.Host && saysNothing(old, q) {
		return old // nearly always
	}
	m := *old
	if q.InstanceID.Valid {
		m.InstanceID = q.InstanceID.Value
	}
	if q.RackID.Valid {
		m.RackID = q.RackID.Value
	}
	if q.RebalanceTimeoutMs != -1 {
		m.RebalanceTimeoutMs = q.RebalanceTimeoutMs
	}
	if q.ServerAssignor.Valid {
		m.Assignor = q.ServerAssignor.Value
	}
	if q.SubscribedTopicNames != nil {
		m.Topics = sortedNames(q.SubscribedTopicNames)
	}
	if q.SubscribedTopicRegex.Valid {
		m.Regex = q.SubscribedTopicRegex.Value
	}
	m.ClientID, m.ClientHost, m.Classic = c.ID, c.Host, nil
	if m.described(old) {
		return old
	}
	return &m
}

func saysNothing(old *Member, q *protocol.ConsumerGroupHeartbeatRequest) bool {
	return q.SubscribedTopicNames == nil && !q.SubscribedTopicRegex.Valid && !q.RackID.Valid && !q.ServerAssignor.Valid &&
		(q.RebalanceTimeoutMs == -1 || q.RebalanceTimeoutMs == old.RebalanceTimeoutMs) && (!q.InstanceID.Valid || q.InstanceID.Value == old.InstanceID)
}

// subscribe notes what the member said about itself. It returns the group epoch and the
// topics of the group as they are then.
func (s *step) subscribe(old, m *Member) (epoch int32, topics map[string]topic, err error) {
	g := s.g
	bump := g.epoch == 0
	if m != old {
		s.record(memberRecord(g.id, m))
		bump = bump || !slices.Equal(old.Topics, m.Topics)
		changed, err := s.changeRegex(old, m)
		if err != nil {
			return 0, nil, err
		}
		bump = bump || changed
	}
	bump = s.refreshRegexes() || bump
	epoch, topics = g.epoch, g.topics
	if !bump && g.checked == s.env.Topics.Version() {
		return epoch, topics, nil
	}
	var gone []*Member
	if before := g.members[cmpOr(s.replaced, m.ID)]; before != nil {
		gone = append(gone, before)
	}
	if now := s.subscribedTopics(m, gone); !sameTopics(now, topics) {
		topics, bump = now, true
		s.record(topicsRecord(g.id, topics))
	}
	if bump {
		epoch++
		s.record(epochRecord(g.id, false, epoch))
	}
	s.change.checked = s.env.Topics.Version() + 1
	return epoch, topics, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// settle makes a new target assignment if the group moved on, and moves the member.
func (s *step) settle(m *Member, epoch int32, topics map[string]topic, owned Assignment, ownedKnown bool) (*Member, error) {
	target, targetEpoch := s.targetOf(m), s.g.targetEpoch
	if epoch > targetEpoch {
		var err error
		if target, err = s.retarget(epoch, m, topics); err != nil {
			return nil, err
		}
		targetEpoch = epoch
	}
	return s.reconcile(m, targetEpoch, target, owned, ownedKnown)
}

func answer(a Assignment) *protocol.ConsumerGroupHeartbeatResponseAssignment {
	out := &protocol.ConsumerGroupHeartbeatResponseAssignment{TopicPartitions: make([]protocol.ConsumerGroupHeartbeatResponseTopicPartition, 0, len(a))}
	for _, id := range a.Topics() {
		out.TopicPartitions = append(out.TopicPartitions, protocol.ConsumerGroupHeartbeatResponseTopicPartition{TopicID: id, Partitions: a[id]})
	}
	return out
}
