package groups

import (
	"fmt"
	"io"
)

// memberTable knows the columns of --describe --members and how wide they are.
type memberTable struct {
	group, id, instance, host, client int
	current, target                   int
	instances                         bool // some member is static
	verbose, migrating                bool
}

func newMemberTable(g *group, verbose bool) *memberTable {
	t := &memberTable{group: 15, id: 15, instance: 17, host: 15, client: 15, current: 20, target: 20, verbose: verbose}
	t.group = max(t.group, len(g.name))
	classic, consumer := false, false
	for _, m := range g.members {
		t.id, t.instance = max(t.id, len(m.id)), max(t.instance, len(m.instance))
		t.host, t.client = max(t.host, len(m.host)), max(t.client, len(m.client))
		t.current, t.target = max(t.current, len(assignment(m.assigned))), max(t.target, len(assignment(m.target)))
		t.instances = t.instances || m.instance != ""
		classic = classic || m.upgraded != nil && !*m.upgraded
		consumer = consumer || m.upgraded != nil && *m.upgraded
	}
	t.migrating = classic && consumer
	return t
}

func (t *memberTable) line(out io.Writer, group, id, instance, host, client, partitions, epoch, current, targetEpoch, target, upgraded string) {
	fmt.Fprintf(out, "%-*s %-*s ", t.group, group, t.id, id)
	if t.instances {
		fmt.Fprintf(out, "%-*s ", t.instance, instance)
	}
	fmt.Fprintf(out, "%-*s %-*s %-15s ", t.host, host, t.client, client, partitions)
	if t.verbose {
		fmt.Fprintf(out, "%-15s %-*s %-15s %-*s", epoch, t.current, current, targetEpoch, t.target, target)
		if t.migrating {
			fmt.Fprintf(out, " %s", upgraded)
		}
	}
	fmt.Fprintln(out)
}
