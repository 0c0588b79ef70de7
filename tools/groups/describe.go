package groups

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/millrace/millrace/tools/cli"
)

// missing stands in a column that has no value.
const missing = "-"

// describe is --describe.
func (r *runner) describe(ctx context.Context) error {
	names, err := r.named(ctx)
	if err != nil {
		return err
	}
	all, err := r.fetch(ctx, names)
	if err != nil {
		return err
	}
	for _, g := range all {
		switch {
		case r.o.members:
			r.printMembers(g)
		case r.o.hasState:
			r.printState(g)
		default:
			rows, err := r.offsetRows(ctx, g)
			if err != nil {
				return err
			}
			r.printOffsets(g, rows)
		}
	}
	return nil
}

// tellState says what a reader of the table must know of the group's state, and whether
// there is a table at all.
func (r *runner) tellState(g *group, rows int) (printed bool) {
	switch g.state {
	case dead:
		printError(r.out, fmt.Sprintf("Consumer group '%s' does not exist.", g.name))
		return false
	case "Empty":
		fmt.Fprintf(r.err, "\nConsumer group '%s' has no active members.\n", g.name)
	case "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling":
		fmt.Fprintf(r.err, "\nWarning: Consumer group '%s' is rebalancing.\n", g.name)
	}
	return rows > 0
}

// row is one partition of a group.
type row struct {
	partition          cli.Partition
	offset, end, epoch *int64
	member             *member
}

// offsetRows lists the partitions of a group: those of its members, the member with the
// most partitions first, then those that it has offsets of but nobody reads.
func (r *runner) offsetRows(ctx context.Context, g *group) ([]row, error) {
	if g.state == dead {
		return nil, nil
	}
	commits, err := r.committedOffsets(ctx, g.name)
	if err != nil {
		return nil, err
	}
	members := slices.Clone(g.members)
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(len(b.assigned), len(a.assigned)) })
	var rows []row
	read := map[cli.Partition]bool{}
	for i := range members {
		for _, p := range members[i].assigned {
			read[p] = true
			rows = append(rows, row{partition: p, member: &members[i]})
		}
	}
	var unread []row
	for p := range commits {
		if !read[p] {
			unread = append(unread, row{partition: p})
		}
	}
	slices.SortFunc(unread, func(a, b row) int { return cli.ComparePartitions(a.partition, b.partition) })
	rows = append(rows, unread...)
	return rows, r.addOffsets(ctx, rows, commits)
}

func (r *runner) addOffsets(ctx context.Context, rows []row, commits map[cli.Partition]committed) error {
	partitions := make([]cli.Partition, len(rows))
	for i := range rows {
		partitions[i] = rows[i].partition
	}
	ends, err := cli.ListOffsets(ctx, r.client, partitions, cli.Latest)
	if err != nil {
		return err
	}
	for i := range rows {
		if c, ok := commits[rows[i].partition]; ok {
			rows[i].offset = &c.at
			if c.epoch >= 0 {
				epoch := int64(c.epoch)
				rows[i].epoch = &epoch
			}
		}
		// A partition without a leader, or of a deleted topic, has no end to compare with.
		if end, ok := ends[rows[i].partition]; ok && end.Err == nil {
			rows[i].end = &end.At
		}
	}
	return nil
}

func (r *runner) printOffsets(g *group, rows []row) {
	if !r.tellState(g, len(rows)) {
		return
	}
	group, topic, consumer, host := 15, 15, 15, 15
	group = max(group, len(g.name))
	for _, row := range rows {
		topic = max(topic, len(row.partition.Topic))
		if row.member != nil {
			consumer, host = max(consumer, len(row.member.id)), max(host, len(row.member.host))
		}
	}
	line := func(name, t, p, epoch, offset, end, lag, id, h, client string) {
		fmt.Fprintf(r.out, "\n%-*s %-*s %-10s ", group, name, topic, t, p)
		if r.o.verbose {
			fmt.Fprintf(r.out, "%-15s ", epoch)
		}
		fmt.Fprintf(r.out, "%-15s %-15s %-15s %-*s %-*s %s", offset, end, lag, consumer, id, host, h, client)
	}
	line("GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID")
	for _, row := range rows {
		id, h, client := missing, missing, missing
		if m := row.member; m != nil {
			id, h, client = m.id, m.host, m.client
		}
		lag := missing
		if row.offset != nil && row.end != nil {
			lag = strconv.FormatInt(*row.end-*row.offset, 10)
		}
		line(g.name, row.partition.Topic, strconv.Itoa(int(row.partition.Index)), orMissing(row.epoch), orMissing(row.offset), orMissing(row.end), lag, id, h, client)
	}
	fmt.Fprintln(r.out)
}

func orMissing[T int32 | int64](n *T) string {
	if n == nil {
		return missing
	}
	return strconv.FormatInt(int64(*n), 10)
}

func (r *runner) printState(g *group) {
	if !r.tellState(g, 1) {
		return
	}
	coordinator := fmt.Sprintf("%s  (%d)", net.JoinHostPort(g.coordinator.Host, strconv.Itoa(int(g.coordinator.Port))), g.coordinator.NodeID)
	group, at := max(15, len(g.name)), max(25, len(coordinator))
	line := func(name, c, assignor, state, epoch, target, members string) {
		fmt.Fprintf(r.out, "\n%-*s %-*s %-20s %-20s ", group, name, at, c, assignor, state)
		if r.o.verbose {
			fmt.Fprintf(r.out, "%-15s %-25s ", epoch, target)
		}
		fmt.Fprint(r.out, members)
	}
	line("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS")
	line(g.name, coordinator, cmp.Or(g.assignor, missing), g.state, orMissing(g.epoch), orMissing(g.target), strconv.Itoa(len(g.members)))
	fmt.Fprintln(r.out)
}

func (r *runner) printMembers(g *group) {
	shown := r.tellState(g, len(g.members))
	if !shown {
		return
	}
	t := newMemberTable(g, r.o.verbose)
	fmt.Fprintln(r.out)
	t.line(r.out, "GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT", "UPGRADED")
	for _, m := range g.members {
		upgraded := missing
		if m.upgraded != nil {
			upgraded = strconv.FormatBool(*m.upgraded)
		}
		t.line(r.out, g.name, m.id, m.instance, m.host, m.client, strconv.Itoa(len(m.assigned)), orMissing(m.epoch), assignment(m.assigned), orMissing(g.target), assignment(m.target), upgraded)
	}
}
