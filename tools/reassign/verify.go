package reassign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/tools/cli"
)

// verify says how far the moves of a plan are, and clears the throttles after the last.
func (r *runner) verify(ctx context.Context, text string) error {
	p, err := parsePlan(text)
	if err != nil {
		return err
	}
	now, err := cli.Reassignments(ctx, r.client, nil)
	if err != nil {
		return err
	}
	lie, err := r.whereTheyLie(ctx, p)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.out, "Status of partition reassignment:")
	for _, at := range p.parts.sorted() {
		_, busy := now[at]
		switch {
		case busy:
			fmt.Fprintf(r.out, "Reassignment of partition %s is still in progress.\n", at)
		case slices.Equal(lie[at], p.parts[at]):
			fmt.Fprintf(r.out, "Reassignment of partition %s is completed.\n", at)
		default:
			fmt.Fprintf(r.out, "There is no active reassignment of partition %s, but replica set is %s rather than %s.\n", at, cli.JoinIDs(lie[at], ","), cli.JoinIDs(p.parts[at], ","))
		}
	}
	states, err := r.dirStates(ctx, p.dirs)
	if err != nil {
		return err
	}
	busy := len(now) > 0
	var lines []string
	for _, rep := range slices.SortedFunc(maps.Keys(states), compareReplicas) {
		lines = append(lines, states[rep].tell(rep, p.dirs[rep]))
		busy = busy || states[rep].future != ""
	}
	fmt.Fprintln(r.out, strings.Join(lines, "\n"))
	if busy || r.o.preserveThrottles {
		return nil
	}
	return r.clearThrottles(ctx, p)
}

// whereTheyLie is the placement of a plan's partitions; what is not there is absent.
func (r *runner) whereTheyLie(ctx context.Context, p *plan) (placement, error) {
	names := map[string]bool{}
	for at := range p.parts {
		names[at.Topic] = true
	}
	out := placement{}
	if len(names) == 0 {
		return out, nil
	}
	topics, err := r.admin.ListTopicsWithInternal(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			return nil, t.Err
		}
		for _, d := range t.Partitions {
			out[cli.Partition{Topic: t.Topic, Index: d.Partition}] = d.Replicas
		}
	}
	return out, nil
}

// dirState is where a replica lies, and where it is being moved to; "" is nowhere.
type dirState struct {
	answered        bool
	current, future string
}

// dirStates asks the brokers of a plan's directories where its replicas lie.
func (r *runner) dirStates(ctx context.Context, wanted map[replica]string) (map[replica]dirState, error) {
	out := map[replica]dirState{}
	brokers := map[int32]bool{}
	for rep := range wanted {
		out[rep] = dirState{}
		brokers[rep.broker] = true
	}
	for _, broker := range slices.Sorted(maps.Keys(brokers)) {
		dirs, err := r.admin.DescribeBrokerLogDirs(ctx, broker, nil)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue // a broker that is gone: its replicas cannot be found
		}
		for rep, s := range out {
			if rep.broker != broker {
				continue
			}
			s.answered = true
			for _, d := range dirs {
				p, ok := d.Topics.Lookup(rep.Topic, rep.Index)
				switch {
				case d.Err != nil || !ok:
				case p.IsFuture:
					s.future = d.Dir
				default:
					s.current = d.Dir
				}
			}
			out[rep] = s
		}
	}
	return out, nil
}

// tell says in Kafka's words how far the move of rep to target is.
func (s dirState) tell(rep replica, target string) string {
	switch {
	case !s.answered:
		return fmt.Sprintf("Partition %s cannot be found in any live log directory on broker %d.", rep.Partition, rep.broker)
	case s.current == "":
		return fmt.Sprintf("Partition %s is not found in any live log dir on broker %d. There is likely an offline log directory on the broker.", rep.Partition, rep.broker)
	case s.future == target:
		return fmt.Sprintf("Reassignment of replica %s is still in progress.", rep)
	case s.future != "":
		return fmt.Sprintf("Partition %s on broker %d is being moved to log dir %s instead of %s.", rep.Partition, rep.broker, s.future, target)
	case s.current == target:
		return fmt.Sprintf("Reassignment of replica %s completed successfully.", rep)
	default:
		return fmt.Sprintf("Partition %s on broker %d is not being moved from log dir %s to %s.", rep.Partition, rep.broker, s.current, target)
	}
}
