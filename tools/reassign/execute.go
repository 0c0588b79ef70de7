package reassign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/tools/cli"
)

// list prints what moves.
func (r *runner) list(ctx context.Context) error {
	now, err := cli.Reassignments(ctx, r.client, nil)
	if err != nil {
		return err
	}
	if len(now) == 0 {
		fmt.Fprintln(r.out, "No partition reassignments found.")
		return nil
	}
	fmt.Fprintln(r.out, "Current partition reassignments:")
	for _, p := range slices.SortedFunc(maps.Keys(now), cli.ComparePartitions) {
		m := now[p]
		fmt.Fprintf(r.out, "%s: replicas: %s.", p, cli.JoinIDs(m.Replicas, ","))
		if len(m.Adding) > 0 {
			fmt.Fprintf(r.out, " adding: %s.", cli.JoinIDs(m.Adding, ","))
		}
		if len(m.Removing) > 0 {
			fmt.Fprintf(r.out, " removing: %s.", cli.JoinIDs(m.Removing, ","))
		}
		fmt.Fprintln(r.out)
	}
	return nil
}

func (r *runner) execute(ctx context.Context, text string) error {
	p, err := parsePlan(text)
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return err
	}
	now, err := cli.Reassignments(ctx, r.client, nil)
	if err != nil {
		return err
	}
	if !r.o.additional && len(now) > 0 {
		return terse{"Cannot execute because there is an existing partition assignment.  Use --additional to override this and create a new partition assignment in addition to the existing one. The --additional flag can also be used to change the throttle by resubmitting the current reassignment."}
	}
	current, err := r.current(ctx, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "Current partition replica assignment\n\n%s\n\nSave this to use as the --reassignment-json-file option during rollback\n", printPlan(current))
	if err := r.throttle(ctx, p, now, current); err != nil {
		return err
	}
	if err := r.alter(ctx, p.parts, "Error reassigning partition(s):"); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "Successfully started partition reassignment%s for %s\n", plural(len(p.parts)), cli.JoinPartitions(p.parts.sorted(), ","))
	if len(p.dirs) > 0 {
		return r.moveDirs(ctx, p.dirs)
	}
	return nil
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// current returns how the partitions of a plan lie, after a look whether its brokers and
// partitions exist.
func (r *runner) current(ctx context.Context, p *plan) (placement, error) {
	known, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	topics := map[string]bool{}
	for at, ids := range p.parts {
		topics[at.Topic] = true
		for _, id := range ids {
			if !slices.Contains(known.NodeIDs(), id) {
				return nil, fmt.Errorf("Unknown broker id %d", id)
			}
		}
	}
	all, err := r.placementOf(ctx, slices.Sorted(maps.Keys(topics)))
	if err != nil {
		return nil, err
	}
	current := placement{}
	var missing []cli.Partition
	for _, at := range p.parts.sorted() {
		if ids, ok := all[at]; ok {
			current[at] = ids
		} else {
			missing = append(missing, at)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("Unable to find partition: %s", cli.JoinPartitions(missing, ", "))
	}
	return current, nil
}

// alter starts moves; a nil list of brokers cancels that of its partition.
func (r *runner) alter(ctx context.Context, parts placement, complaint string) error {
	var req kadm.AlterPartitionAssignmentsReq
	for at, ids := range parts {
		req.Assign(at.Topic, at.Index, ids)
	}
	if r.o.keepFactor {
		ctx = kadm.ForbidAlterRf(ctx)
	}
	answers, err := r.admin.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return err
	}
	var failed []string
	for _, a := range answers.Sorted() {
		if a.Err != nil {
			text := a.ErrMessage
			if text == "" {
				text = cli.ErrorText(a.Err)
			}
			failed = append(failed, fmt.Sprintf("%s-%d: %s", a.Topic, a.Partition, text))
		}
	}
	if len(failed) > 0 {
		return terse{complaint + "\n" + strings.Join(failed, "\n")}
	}
	return nil
}

// moveDirs starts moves between directories. A replica that is still on its way to the
// broker is tried again until --timeout.
func (r *runner) moveDirs(ctx context.Context, wanted map[replica]string) error {
	pending := maps.Clone(wanted)
	deadline := time.Now().Add(time.Duration(r.o.timeoutMs) * time.Millisecond)
	progress := cli.NewProgress(r.err, "moves between directories started")
	defer progress.Close()
	for {
		done, err := r.alterDirs(ctx, pending)
		if err != nil {
			return err
		}
		for _, d := range done {
			fmt.Fprintf(r.out, "Successfully started moving log directory to %s for replica %s-%d with broker %d \n", pending[d], d.Topic, d.Index, d.broker)
			delete(pending, d)
		}
		if len(pending) == 0 {
			return nil
		}
		progress.Set(len(wanted)-len(pending), len(wanted))
		if time.Now().After(deadline) {
			var names []string
			for _, p := range slices.SortedFunc(maps.Keys(pending), compareReplicas) {
				names = append(names, p.String())
			}
			return terse{fmt.Sprintf("Timed out before log directory move%s could be started for: %s", plural(len(pending)), strings.Join(names, ","))}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.pause):
		}
	}
}

// alterDirs asks each broker once and returns the moves that it took.
func (r *runner) alterDirs(ctx context.Context, wanted map[replica]string) ([]replica, error) {
	byBroker := map[int32]kadm.AlterReplicaLogDirsReq{}
	for rep, dir := range wanted {
		req := byBroker[rep.broker]
		var set kadm.TopicsSet
		set.Add(rep.Topic, rep.Index)
		req.Add(dir, set)
		byBroker[rep.broker] = req
	}
	var done []replica
	for _, broker := range slices.Sorted(maps.Keys(byBroker)) {
		answers, err := r.admin.AlterBrokerReplicaLogDirs(ctx, broker, byBroker[broker])
		if err != nil {
			return nil, fmt.Errorf("broker %d: %w", broker, err)
		}
		for _, a := range answers.Sorted() {
			rep := replica{cli.Partition{Topic: a.Topic, Index: a.Partition}, broker}
			switch {
			case errors.Is(a.Err, kerr.ReplicaNotAvailable):
			case a.Err != nil:
				return nil, fmt.Errorf("Failed to alter dir for %s: %s", rep, cli.ErrorLine(a.Err))
			default:
				done = append(done, rep)
			}
		}
	}
	slices.SortFunc(done, compareReplicas)
	return done, nil
}

func (r *runner) cancel(ctx context.Context, text string) error {
	p, err := parsePlan(text)
	if err != nil {
		return err
	}
	now, err := cli.Reassignments(ctx, r.client, p.parts.sorted())
	if err != nil {
		return err
	}
	stop := placement{}
	for at, m := range now {
		if len(m.Adding) > 0 || len(m.Removing) > 0 {
			stop[at] = nil
		}
	}
	if len(stop) == 0 {
		fmt.Fprintln(r.out, "None of the specified partition reassignments are active.")
	} else {
		if err := r.alter(ctx, stop, fmt.Sprintf("Error cancelling partition reassignment%s for:", plural(len(stop)))); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "Successfully cancelled partition reassignment%s for: %s\n", plural(len(stop)), cli.JoinPartitions(stop.sorted(), ","))
	}
	states, err := r.dirStates(ctx, p.dirs)
	if err != nil {
		return err
	}
	back := map[replica]string{}
	for rep, s := range states {
		if s.future != "" {
			back[rep] = s.current
		}
	}
	if len(back) == 0 {
		fmt.Fprintln(r.out, "None of the specified partition moves are active.")
	} else if err := r.moveDirs(ctx, back); err != nil {
		return err
	}
	if r.o.preserveThrottles {
		return nil
	}
	return r.clearThrottles(ctx, p)
}
