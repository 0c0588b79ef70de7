package classic

import (
	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/protocol"
)

// Restore makes a group of what was written of it. Started must be called before any
// request, once all of the log was read.
func Restore(v *journal.Group) *Group {
	g := New(Now{UnixMs: v.StateTimeMs})
	g.generation, g.protocolType, g.protocol, g.leader = v.Generation, v.ProtocolType, v.Protocol, v.Leader
	for i := range v.Members {
		m := &v.Members[i]
		if _, twice := g.members[m.ID]; twice {
			continue // no writer does that
		}
		g.add(&Member{
			ID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeoutMs: m.RebalanceTimeoutMs, SessionTimeoutMs: m.SessionTimeoutMs,
			Protocols: []Protocol{{Name: v.Protocol, Metadata: m.Subscription}}, Assignment: m.Assignment, deadline: never,
		})
	}
	if len(g.members) > 0 {
		g.state, g.previous = Stable, Stable
		if _, ok := g.members[g.leader]; !ok {
			g.leader = g.order[0].ID
		}
	} else {
		g.leader = ""
	}
	g.readTopics()
	return g
}

// Started begins the sessions of a restored group's members. A group with more members than
// group.max.size by now rebalances, so that the surplus is refused.
func (g *Group) Started(now Now, c *Config, out *Out) {
	for _, m := range g.order {
		g.renew(m, now)
	}
	if len(g.order) > c.MaxSize {
		g.rebalance(now, c, "the group has more members than group.max.size", "", out)
	}
}

// Stop answers everybody who waits: the group moves to another broker, or this one stops.
func (g *Group) Stop(code protocol.ErrorCode, out *Out) {
	for _, m := range g.order {
		g.answerJoin(m, refusal(m.ID, code), out)
		g.answerSync(m, SyncAnswer{Code: code}, out)
	}
}
