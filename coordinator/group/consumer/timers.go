package consumer

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/protocol"
)

type timerKind int8

const (
	// sessionTimer: nothing was heard from the member.
	sessionTimer timerKind = iota
	// rebalanceTimer: the member did not give up partitions in time.
	rebalanceTimer
	// joinTimer: a classic member did not join again after it was told to.
	joinTimer
	// syncTimer: a classic member joined but did not fetch its assignment.
	syncTimer
	timerKinds
)

// deadlines are a member's timers, monotonic milliseconds; 0 is off.
type deadlines struct {
	at             [timerKinds]int64
	rebalanceEpoch int32 // the epoch that the member has to leave
}

// timer sets (atMs > 0) or stops a member's timer.
type timer struct {
	member string
	kind   timerKind
	atMs   int64
	epoch  int32
	absent bool // only if it is off
}

func (g *Group) set(t timer) {
	d := g.deadlines[t.member]
	if d == nil {
		if t.atMs == 0 || g.members[t.member] == nil {
			return
		}
		d = new(deadlines)
		g.deadlines[t.member] = d
	}
	if t.absent && d.at[t.kind] != 0 {
		return
	}
	d.at[t.kind] = t.atMs
	if t.kind == rebalanceTimer {
		d.rebalanceEpoch = t.epoch
	}
	if t.atMs != 0 {
		g.wakeMs = min(g.wakeMs, t.atMs)
	}
}

// WakeMs is when Expire wants to be called next, at the earliest; math.MaxInt64 is never.
func (g *Group) WakeMs() int64 { return g.wakeMs }

// retryMs is when Expire looks again at members that it wanted removed.
const retryMs = 1000

// Expire removes the members whose time is over. removed says why, for the log.
func (g *Group) Expire(env *Env) (c Change, removed []string) {
	g.wakeMs = math.MaxInt64
	var due []*Member
	for _, id := range sortedKeys(g.deadlines) {
		d, m := g.deadlines[id], g.members[id]
		reason := ""
		for kind, at := range d.at {
			switch {
			case at == 0:
			case at > env.NowMs:
				g.wakeMs = min(g.wakeMs, at)
			case timerKind(kind) == rebalanceTimer && m.Epoch != d.rebalanceEpoch:
				d.at[kind] = 0
			default:
				reason = timerKind(kind).reason(m)
			}
		}
		if reason != "" {
			due = append(due, m)
			removed = append(removed, fmt.Sprintf("member %s was removed because %s", id, reason))
		}
	}
	if len(due) == 0 {
		return Change{}, nil
	}
	g.wakeMs = min(g.wakeMs, env.NowMs+retryMs)
	s := step{g: g, env: env}
	s.remove(due)
	return s.change, removed
}

func (k timerKind) reason(m *Member) string {
	switch k {
	case rebalanceTimer:
		return fmt.Sprintf("it failed to transition from epoch %d within %dms", m.Epoch, m.RebalanceTimeoutMs)
	case joinTimer:
		return "the classic member failed to join within the rebalance timeout"
	case syncTimer:
		return "the member failed to sync within timeout"
	}
	return "the member session expired"
}

// Loaded starts the timers of a group that was replayed.
func (g *Group) Loaded(env *Env) {
	for id, m := range g.members {
		g.set(timer{member: id, kind: sessionTimer, atMs: env.NowMs + sessionMs(env, m)})
		if m.State == UnrevokedPartitions && m.Classic == nil {
			g.set(timer{member: id, kind: rebalanceTimer, atMs: env.NowMs + int64(m.RebalanceTimeoutMs), epoch: m.Epoch})
		}
	}
}

func sessionMs(env *Env, m *Member) int64 {
	if m.Classic != nil {
		return int64(m.Classic.SessionTimeoutMs)
	}
	return env.Config.SessionTimeout.Milliseconds()
}

// CheckCommit tells whether a member may commit offsets. A commit from outside the group
// has epoch -1 and needs an empty group.
func (g *Group) CheckCommit(member string, epoch int32) error {
	if epoch < 0 && len(g.members) == 0 {
		return nil
	}
	return g.checkEpoch(member, epoch)
}

// CheckLateCommit tells whether a member of the new protocol may commit an offset of one
// partition in an epoch that it has left meanwhile: it had the partition then, and has it
// still, so nobody else can have committed (as Kafka since 4.3). Such a commit was on its
// way when the member heard of its new epoch.
func (g *Group) CheckLateCommit(member string, epoch int32, id TopicID, index int32) error {
	m := g.members[member]
	if m != nil && m.Classic == nil && epoch < m.Epoch && epoch > 0 {
		if o, ok := g.owners[partition{id, index}]; ok && o.member == member && o.since <= epoch {
			return nil
		}
	}
	return g.CheckCommit(member, epoch)
}

// CheckFetch tells whether committed offsets may be read. A reader that names no member may.
func (g *Group) CheckFetch(member string, epoch int32) error {
	if member == "" && epoch < 0 {
		return nil
	}
	return g.checkEpoch(member, epoch)
}

func (g *Group) checkEpoch(member string, epoch int32) error {
	m := g.members[member]
	switch {
	case m == nil:
		return unknownMember(g.id, member)
	case epoch == m.Epoch:
		return nil
	case m.Classic != nil:
		return &Error{protocol.CodeIllegalGeneration, fmt.Sprintf("The received generation id %d does not match the expected member epoch %d.", epoch, m.Epoch)}
	}
	return &Error{protocol.CodeStaleMemberEpoch, fmt.Sprintf("The received member epoch %d does not match the expected member epoch %d.", epoch, m.Epoch)}
}

func unknownMember(group, member string) error {
	return &Error{protocol.CodeUnknownMemberID, fmt.Sprintf("Member %s is not a member of group %s.", member, group)}
}
