package raw

import "sort"

// leaderGroup is the partitions of one address, as indices into Common.Partitions, sorted
// by topic and index.
type leaderGroup struct {
	address string
	parts   []int
}

// byLeader groups partitions by the address of their leader, in order of first appearance.
func byLeader(parts []Partition) []*leaderGroup {
	var groups []*leaderGroup
	at := map[string]*leaderGroup{}
	for i, p := range parts {
		g := at[p.Address]
		if g == nil {
			g = &leaderGroup{address: p.Address}
			at[p.Address] = g
			groups = append(groups, g)
		}
		g.parts = append(g.parts, i)
	}
	for _, g := range groups {
		sort.SliceStable(g.parts, func(i, j int) bool {
			a, b := parts[g.parts[i]], parts[g.parts[j]]
			if a.Topic != b.Topic {
				return a.Topic < b.Topic
			}
			return a.Index < b.Index
		})
	}
	return groups
}

// seat is where a connection sits: with which leader, and as which of that leader's
// connections.
type seat struct {
	group *leaderGroup
	rank  int // among the connections of the group
	of    int // their number
	first int // index into group.parts of the partition that it begins with
}

// seats places at least one connection with each leader: they go to the leaders in turn.
func seats(parts []Partition, connections int) []seat {
	groups := byLeader(parts)
	out := make([]seat, max(connections, len(groups)))
	for c := range out {
		g := c % len(groups)
		s := seat{group: groups[g], rank: c / len(groups), of: (len(out) - g + len(groups) - 1) / len(groups)}
		s.first = s.rank * len(s.group.parts) / s.of
		out[c] = s
	}
	return out
}

// share is the partitions that a fetching connection reads: its part of the group's, one
// when there are more connections than partitions, all with every.
func (s seat) share(every bool) []int {
	n := len(s.group.parts)
	switch {
	case every:
		return append(append([]int(nil), s.group.parts[s.first:]...), s.group.parts[:s.first]...)
	case s.of >= n:
		return []int{s.group.parts[s.rank%n]}
	}
	var out []int
	for j := s.rank; j < n; j += s.of {
		out = append(out, s.group.parts[j])
	}
	return out
}

// windows cuts the group into runs of k partitions, at most as many as it has. The last run
// takes some of the one before, so that all requests are of one size.
func (g *leaderGroup) windows(k int) [][]int {
	var runs [][]int
	for from := 0; from < len(g.parts); from += k {
		to := min(from+k, len(g.parts))
		runs = append(runs, g.parts[to-k:to])
	}
	return runs
}
