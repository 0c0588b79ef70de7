package groups

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/tools/cli"
)

// plan is where a group's offsets go.
type plan map[cli.Partition]int64

// reset is --reset-offsets: groups that are in use are left alone and named.
func (r *runner) reset(ctx context.Context) error {
	names, err := r.named(ctx)
	if err != nil {
		return err
	}
	all, err := r.fetch(ctx, names)
	if err != nil {
		return err
	}
	goal, err := r.o.goal(r.now())
	if err != nil {
		return err
	}
	plans := map[string]plan{}
	progress := cli.NewProgress(r.err, "groups reset")
	defer progress.Close()
	for i, g := range all {
		progress.Set(i, len(all))
		if g.state != dead && g.state != "Empty" {
			printError(r.out, fmt.Sprintf("Assignments can only be reset if the group '%s' is inactive, but the current state is %s.", g.name, g.state))
			continue
		}
		p, err := r.planFor(ctx, g.name, goal)
		if err != nil {
			return err
		}
		if r.o.execute {
			if err := r.commit(ctx, g.name, p); err != nil {
				return err
			}
		}
		plans[g.name] = p
	}
	progress.Close()
	if r.o.export {
		return exportPlans(r.out, plans, len(r.o.groups) == 1)
	}
	printPlans(r.out, names, plans)
	return nil
}

// planFor works out where the offsets of one group go.
func (r *runner) planFor(ctx context.Context, group string, goal goal) (plan, error) {
	if goal.file != nil {
		p := goal.file[group]
		if p == nil {
			printError(r.out, fmt.Sprintf("No reset plan for group %s found.", group))
			return plan{}, nil
		}
		if err := r.checkExist(ctx, slices.Collect(maps.Keys(p))); err != nil {
			return nil, err
		}
		return r.clamp(ctx, p)
	}
	var commits map[cli.Partition]committed
	var err error
	if r.o.allTopics || goal.needsCommits {
		if commits, err = r.committedOffsets(ctx, group); err != nil {
			return nil, err
		}
	}
	scope, err := r.scope(ctx, commits)
	if err != nil {
		return nil, err
	}
	if err := r.checkExist(ctx, scope); err != nil {
		return nil, err
	}
	return goal.plan(ctx, r, scope, commits)
}

// scope lists the partitions that a reset is about.
func (r *runner) scope(ctx context.Context, commits map[cli.Partition]committed) ([]cli.Partition, error) {
	if r.o.allTopics {
		return slices.SortedFunc(maps.Keys(commits), cli.ComparePartitions), nil
	}
	partitions, unknown, err := r.partitionsOf(ctx, r.o.topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range slices.Sorted(maps.Keys(unknown)) {
		return nil, fmt.Errorf("topic '%s': %w", topic, unknown[topic])
	}
	return partitions, nil
}

// checkExist refuses partitions that are not there, or that nobody leads.
func (r *runner) checkExist(ctx context.Context, scope []cli.Partition) error {
	if len(scope) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, p := range scope {
		names[p.Topic] = true
	}
	topics, err := r.admin.ListTopicsWithInternal(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return err
	}
	var absent, leaderless []cli.Partition
	for _, p := range slices.SortedFunc(slices.Values(scope), cli.ComparePartitions) {
		detail, ok := topics[p.Topic].Partitions[p.Index]
		switch {
		case !ok:
			absent = append(absent, p)
		case detail.Leader < 0:
			leaderless = append(leaderless, p)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("The partitions \"%s\" do not exist", cli.JoinPartitions(absent, ","))
	}
	if len(leaderless) > 0 {
		return fmt.Errorf("The partitions \"%s\" have no leader", cli.JoinPartitions(leaderless, ","))
	}
	return nil
}

// offsetsAt asks for offsets and takes no answer but an offset.
func (r *runner) offsetsAt(ctx context.Context, scope []cli.Partition, timestamp int64, what string) (plan, error) {
	found, err := cli.ListOffsets(ctx, r.client, scope, timestamp)
	if err != nil {
		return nil, err
	}
	out := plan{}
	for _, p := range scope {
		f, ok := found[p]
		if !ok || f.Err != nil {
			return nil, fmt.Errorf("Error getting %s of topic partition %s: %w", what, p, f.Err)
		}
		out[p] = f.At
	}
	return out, nil
}

// clamp keeps offsets within what the partitions hold, with a warning for each that was not.
func (r *runner) clamp(ctx context.Context, wanted plan) (plan, error) {
	scope := slices.SortedFunc(maps.Keys(wanted), cli.ComparePartitions)
	starts, err := r.offsetsAt(ctx, scope, cli.Earliest, "starting offset")
	if err != nil {
		return nil, err
	}
	ends, err := r.offsetsAt(ctx, scope, cli.Latest, "ending offset")
	if err != nil {
		return nil, err
	}
	out := plan{}
	for _, p := range scope {
		out[p] = wanted[p]
		if wanted[p] > ends[p] {
			out[p] = ends[p]
			fmt.Fprintf(r.err, "WARN: New offset (%d) is higher than latest offset for topic partition %s. Value will be set to %d.\n", wanted[p], p, ends[p])
		} else if wanted[p] < starts[p] {
			out[p] = starts[p]
			fmt.Fprintf(r.err, "WARN: New offset (%d) is lower than earliest offset for topic partition %s. Value will be set to %d.\n", wanted[p], p, starts[p])
		}
	}
	return out, nil
}

func (r *runner) commit(ctx context.Context, group string, p plan) error {
	if len(p) == 0 {
		return nil
	}
	var offsets kadm.Offsets
	for at, offset := range p {
		offsets.Add(kadm.Offset{Topic: at.Topic, Partition: at.Index, At: offset, LeaderEpoch: -1})
	}
	answers, err := r.admin.CommitOffsets(ctx, group, offsets)
	if err != nil {
		return err
	}
	for _, a := range answers.Sorted() {
		if a.Err != nil {
			return fmt.Errorf("offset of %s-%d was not committed: %w", a.Topic, a.Partition, a.Err)
		}
	}
	return nil
}

func printPlans(out io.Writer, names []string, plans map[string]plan) {
	group, topic := 15, 15
	for _, name := range names {
		group = max(group, len(name))
		for p := range plans[name] {
			topic = max(topic, len(p.Topic))
		}
	}
	line := func(g, t, p, offset string) {
		fmt.Fprintf(out, "\n%-*s %-*s %-10s %s", group, g, topic, t, p, offset)
	}
	if len(names) > 0 {
		line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
	}
	for _, name := range names {
		for _, p := range slices.SortedFunc(maps.Keys(plans[name]), cli.ComparePartitions) {
			line(name, p.Topic, strconv.Itoa(int(p.Index)), strconv.FormatInt(plans[name][p], 10))
		}
	}
	fmt.Fprintln(out)
}

// exportPlans writes what --from-file reads: without the group when only one was named.
func exportPlans(out io.Writer, plans map[string]plan, one bool) error {
	w := csv.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		for _, p := range slices.SortedFunc(maps.Keys(plans[name]), cli.ComparePartitions) {
			record := []string{name, p.Topic, strconv.Itoa(int(p.Index)), strconv.FormatInt(plans[name][p], 10)}
			if one {
				record = record[1:]
			}
			if err := w.Write(record); err != nil {
				return err
			}
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}
