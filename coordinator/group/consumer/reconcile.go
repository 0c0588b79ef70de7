package consumer

import (
	"slices"

	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/protocol"
)

// reconciliation moves one member towards the target assignment, as far as it can go now.
// It follows Kafka's CurrentAssignmentBuilder.
type reconciliation struct {
	targetEpoch int32
	target      Assignment
	// taken reports whether another member owns the partition.
	taken func(id TopicID, partition int32) bool
	// owned is what the member says that it holds; ownedKnown is false when it said nothing.
	owned      Assignment
	ownedKnown bool
}

// next returns the member's next self, or m when nothing changes.
func (r *reconciliation) next(m *Member) (*Member, error) {
	switch m.State {
	case Stable:
		if m.Epoch == r.targetEpoch {
			return m, nil
		}
	case UnrevokedPartitions:
		if r.holds(m.Pending) {
			return m, nil
		}
	case UnreleasedPartitions:
	default:
		// A later version wrote this state. The member starts again without partitions.
		if !r.ownedKnown || len(r.owned) > 0 {
			return nil, &Error{protocol.CodeFencedMemberEpoch, "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."}
		}
	}
	return r.compute(m), nil
}

// holds reports whether the member may still hold some of the partitions: it says so, or
// says nothing.
func (r *reconciliation) holds(a Assignment) bool {
	if !r.ownedKnown {
		return true
	}
	for id, parts := range a {
		for _, p := range parts {
			if r.owned.Has(id, p) {
				return true
			}
		}
	}
	return false
}

func (r *reconciliation) compute(m *Member) *Member {
	keep, revoke, grant := make(Assignment), make(Assignment), make(Assignment)
	unreleased := false
	for id, parts := range m.Assigned {
		for _, p := range parts {
			if r.target.Has(id, p) {
				keep[id] = append(keep[id], p)
			} else {
				revoke[id] = append(revoke[id], p)
			}
		}
	}
	for id, parts := range r.target {
		for _, p := range parts {
			switch {
			case m.Assigned.Has(id, p):
			case r.taken(id, p):
				unreleased = true
			default:
				grant[id] = append(grant[id], p)
			}
		}
	}
	n := *m
	n.Assigned, n.Pending = keep, Assignment{}
	if len(revoke) > 0 && r.holds(revoke) {
		// It stays in its epoch until it has given these up.
		n.State, n.Pending = UnrevokedPartitions, revoke
		n.moveTo(m.Epoch)
		return &n
	}
	n.Assigned = union(keep, grant)
	n.moveTo(r.targetEpoch)
	n.State = Stable
	if unreleased {
		n.State = UnreleasedPartitions
	}
	return &n
}

func union(a, b Assignment) Assignment {
	out := make(Assignment, len(a)+len(b))
	for _, x := range []Assignment{a, b} {
		for id, parts := range x {
			out[id] = append(out[id], parts...)
		}
	}
	for _, parts := range out {
		slices.Sort(parts)
	}
	return out
}

// reconcile moves the step's member to the target assignment and notes what came of it.
func (s *step) reconcile(m *Member, targetEpoch int32, target Assignment, owned Assignment, ownedKnown bool) (*Member, error) {
	if m.reconciled(targetEpoch) {
		return m, nil
	}
	r := reconciliation{targetEpoch: targetEpoch, target: target, taken: s.taken(m.ID), owned: owned, ownedKnown: ownedKnown}
	n, err := r.next(m)
	if err != nil || n.at(m) {
		return m, err
	}
	s.record(currentRecord(s.g.id, n))
	if n.Classic == nil { // members of the classic protocol have other timers
		if n.State == UnrevokedPartitions {
			s.timer(timer{member: n.ID, kind: rebalanceTimer, atMs: s.env.NowMs + int64(n.RebalanceTimeoutMs), epoch: n.Epoch})
		} else {
			s.timer(timer{member: n.ID, kind: rebalanceTimer})
		}
	}
	return n, nil
}

// taken tells what others own. What the static member owned whose place this one takes is
// its own.
func (s *step) taken(member string) func(TopicID, int32) bool {
	return func(id TopicID, p int32) bool {
		o, ok := s.g.owners[partition{id, p}]
		return ok && o.member != member && o.member != s.replaced
	}
}

// retarget makes a new target assignment for the group as it is with the step's member,
// notes the differences, and returns the member's part.
func (s *step) retarget(epoch int32, m *Member, topics map[string]topic) (Assignment, error) {
	spec := assignor.Spec{Partitions: make(map[TopicID]int32, len(topics))}
	for _, t := range topics {
		spec.Partitions[t.id] = t.partitions
	}
	for _, other := range s.members(m) {
		spec.Members = append(spec.Members, assignor.Member{
			ID: other.ID, InstanceID: other.InstanceID, RackID: other.RackID,
			Topics: s.subscription(other, topics), Owned: s.targetOf(other),
		})
	}
	a := s.env.Config.assignor(s.preferredAssignor(m))
	result, err := a.Assign(spec)
	if err != nil {
		return nil, &Error{protocol.CodeUnknownServerError, "Failed to compute a new target assignment for epoch " + itoa(epoch) + ": " + err.Error()}
	}
	for i := range spec.Members {
		id := spec.Members[i].ID
		if old, ok := s.g.target[id]; !ok || !old.Equal(result[id]) {
			s.record(targetRecord(s.g.id, id, result[id]))
		}
	}
	s.record(epochRecord(s.g.id, true, epoch))
	return result[m.ID], nil
}

// preferredAssignor is the one that most members ask for; without any, the default.
func (s *step) preferredAssignor(m *Member) string {
	votes := make(map[string]int)
	for _, other := range s.members(m) {
		if other.Assignor != "" && s.env.Config.assignor(other.Assignor) != nil {
			votes[other.Assignor]++
		}
	}
	best := s.env.Config.Assignors[0].Name()
	most := 0
	for _, a := range s.env.Config.Assignors {
		if votes[a.Name()] > most {
			best, most = a.Name(), votes[a.Name()]
		}
	}
	return best
}
