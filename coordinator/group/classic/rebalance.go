package classic

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// rebalance starts one, or goes on with the one that is under way.
func (g *Group) rebalance(now Now, c *Config, reason, member string, out *Out) {
	if g.state == PreparingRebalance {
		g.maybeComplete(now, c, out)
		return
	}
	if g.state == CompletingRebalance {
		g.failSyncs(now, protocol.CodeRebalanceInProgress, out)
	}
	g.clearSyncing()
	g.writing = false
	wasEmpty := g.state == Empty
	g.become(PreparingRebalance, now)
	out.event("preparing to rebalance", reason, member)
	if wasEmpty {
		g.newcomers = false
		g.initialLeftMs = max(g.rebalanceTimeoutMs()-c.InitialDelayMs, 0)
		g.joinDeadline = g.due(now.MonoMs + c.InitialDelayMs)
		if c.InitialDelayMs <= 0 {
			g.complete(now, c, out)
		}
		return
	}
	g.joinDeadline = g.due(now.MonoMs + g.rebalanceTimeoutMs())
	g.maybeComplete(now, c, out)
}

// maybeComplete ends the joining when everybody is there. An empty group's first rebalance
// waits for its delay all the same.
func (g *Group) maybeComplete(now Now, c *Config, out *Out) {
	if g.state == PreparingRebalance && g.previous != Empty && g.allJoined() {
		g.complete(now, c, out)
	}
}

// joinExpired is the end of the time to join.
func (g *Group) joinExpired(now Now, c *Config, out *Out) {
	if g.previous == Empty && g.newcomers && g.initialLeftMs > 0 {
		g.newcomers = false
		delay := min(max(c.InitialDelayMs, 1), g.initialLeftMs)
		g.initialLeftMs -= delay
		g.joinDeadline = g.due(now.MonoMs + delay)
		return
	}
	g.complete(now, c, out)
}

// complete ends the joining with those who are there: a new generation.
func (g *Group) complete(now Now, c *Config, out *Out) {
	for _, m := range g.missing() {
		out.event("a member did not join in time and is removed", "the rebalance timeout passed", m.ID)
		g.remove(m, protocol.CodeUnknownMemberID, out)
	}
	if !g.electJoined() && len(g.members) > 0 {
		// Static members are given until their sessions end; nobody is there to lead.
		g.joinDeadline = g.due(now.MonoMs + max(g.rebalanceTimeoutMs(), 1))
		return
	}
	g.joinDeadline = never
	g.nextGeneration(now)
	if len(g.members) == 0 {
		out.event("the group is empty", "", "")
		out.Writes = append(out.Writes, &Write{kind: writeEmpty, generation: g.generation, Value: g.snapshot(nil)})
		return
	}
	out.event("the group has a new generation", "", g.leader)
	for _, m := range g.order {
		g.answerJoin(m, g.joinAnswer(m, m.ID == g.leader), out)
		g.renew(m, now)
		m.isNew = false
		m.unsynced = true
		g.syncing++
	}
	g.syncDeadline = g.due(now.MonoMs + g.rebalanceTimeoutMs())
}

// missing are the members that did not join; static ones stay until their session ends.
func (g *Group) missing() []*Member {
	var gone []*Member
	if g.joining == len(g.order) {
		return nil
	}
	for _, m := range g.order {
		if m.join == nil && m.InstanceID == "" {
			gone = append(gone, m)
		}
	}
	return gone
}

// electJoined makes sure that the leader is one who joined.
func (g *Group) electJoined() bool {
	if m, ok := g.members[g.leader]; ok && m.join != nil {
		return true
	}
	for _, m := range g.order {
		if m.join != nil {
			g.leader = m.ID
			return true
		}
	}
	return false
}

func (g *Group) nextGeneration(now Now) {
	g.generation++
	g.clearSyncing()
	if len(g.members) == 0 {
		g.protocol, g.leader = "", ""
		g.become(Empty, now)
	} else {
		g.protocol = g.choose()
		g.become(CompletingRebalance, now)
	}
	g.readTopics()
}

func (g *Group) clearSyncing() {
	for _, m := range g.order {
		m.unsynced = false
	}
	g.syncing = 0
	g.syncDeadline = never
}

// readTopics learns what the members of a consumer group read.
func (g *Group) readTopics() {
	g.topics, g.topicsKnown = nil, false
	if g.protocolType != ConsumerProtocol || g.protocol == "" && len(g.members) > 0 {
		return
	}
	topics := map[string]struct{}{}
	var last []byte
	for _, m := range g.order {
		metadata := m.Metadata(g.protocol)
		if last != nil && string(last) == string(metadata) {
			continue
		}
		names, err := journal.SubscribedTopics(metadata)
		if err != nil {
			return
		}
		for _, name := range names {
			topics[name] = struct{}{}
		}
		last = metadata
	}
	g.topics, g.topicsKnown = topics, true
}

// failSyncs answers who waits for an assignment that will not come, and forgets the old one.
func (g *Group) failSyncs(now Now, code protocol.ErrorCode, out *Out) {
	for _, m := range g.order {
		m.Assignment = nil
		if m.sync != nil {
			g.renew(m, now)
		}
		g.answerSync(m, SyncAnswer{Code: code}, out)
	}
}
