package classic

import "github.com/millrace/millrace/coordinator/group/journal"

// Converted makes a group of one that spoke the new protocol (KIP-848) until now, from what
// is written of it and all protocols that its members offered, by member id. Started and
// Rebalance are to follow.
func Converted(v *journal.Group, protocols map[string][]Protocol) *Group {
	g := Restore(v)
	for _, m := range g.order {
		if all := protocols[m.ID]; len(all) > 0 {
			g.count(m, -1)
			m.Protocols = all
			g.count(m, 1)
		}
	}
	return g
}

// Rebalance asks all members to join again.
func (g *Group) Rebalance(now Now, c *Config, reason string, out *Out) {
	g.rebalance(now, c, reason, "", out)
}
